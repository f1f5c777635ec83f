//! A survey function as SQL is planned with it, and one call of it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::expr_fn::isnan;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, ExprSchemable, LogicalPlan, Signature,
    Volatility, cast, lit, when,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use super::design::{Design, Given, Read, Said};
use super::estimators::{ESTIMATORS, Estimator, PartOf, Probability};
use super::named::{ABSENT, DESIGN};
use super::options::Options;
use super::period::OfCall;
use super::report;
use super::rewrite::misplaced;
use super::trace;
use crate::weighted::{Parameter, check, in_words};
use crate::{Code, Error};

/// A survey function. It is its name: no two differ in anything else.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) estimator: &'static dyn Estimator,
    signature: Signature,
}

/// Every function, for a session to register.
pub(super) fn all() -> impl Iterator<Item = Arc<AggregateUDF>> {
    ESTIMATORS.iter().map(|estimator| {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Arc::new(AggregateUDF::from(Survey { estimator: *estimator, signature }))
    })
}

impl PartialEq for Survey {
    fn eq(&self, other: &Self) -> bool {
        self.estimator.name() == other.estimator.name()
    }
}

impl Eq for Survey {}

impl Hash for Survey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.estimator.name().hash(state);
    }
}

impl AggregateUDFImpl for Survey {
    fn name(&self) -> &str {
        self.estimator.name()
    }

    /// The call as it was written: design arguments by name, and none that were not given.
    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        let own = self.estimator.parameters().len();
        let design = |at: usize| DESIGN.get(at).copied().unwrap_or("?");
        let named = |(at, argument): (usize, &Expr)| match (argument, at.checked_sub(own)) {
            (Expr::Literal(value, _), Some(_)) if value.is_null() => None,
            (Expr::Literal(ScalarValue::Boolean(Some(ABSENT)), _), Some(at)) => Some(format!("{} => NULL", design(at))),
            (argument, Some(at)) => Some(format!("{} => {}", design(at), written(argument))),
            (Expr::Literal(..), None) if self.name() == "svy_count" => Some("*".to_owned()),
            (argument, None) => Some(written(argument)),
        };
        let arguments: Vec<String> = params.args.iter().enumerate().filter_map(named).collect();
        let distinct = if params.distinct { "DISTINCT " } else { "" };
        let filter = params.filter.as_ref().map(|filter| format!(" FILTER (WHERE {filter})")).unwrap_or_default();
        Ok(format!("{}({distinct}{}){filter}", self.name(), arguments.join(", ")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let parameters = self.estimator.parameters();
        let own = if given.len() == parameters.len() + DESIGN.len() { parameters.len() } else { given.len() };
        check(self.estimator.name(), parameters, &given[..own])?;
        Ok(report::data_type(self.estimator))
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Err(misplaced().into())
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        ScalarValue::try_from(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.estimator.documentation()
    }
}

/// An argument as it was written.
fn written(argument: &Expr) -> String {
    match argument {
        Expr::Literal(value, _) => match (value.try_as_str().flatten(), value.cast_to(&DataType::Utf8)) {
            (Some(text), _) => format!("'{text}'"),
            (None, Ok(ScalarValue::Utf8(Some(text)))) => text,
            _ => value.to_string(),
        },
        argument => argument.schema_name().to_string(),
    }
}

/// What a call is over, if it is one of a survey function that takes the declared weight. None of one that counts units, each once.
pub(crate) fn values_by_declared_weight(call: &AggregateFunction) -> Option<Vec<Expr>> {
    let survey = call.func.inner().downcast_ref::<Survey>()?;
    let (own, design) = call.params.args.split_at_checked(survey.estimator.parameters().len())?;
    let is_declared = design.first().is_none_or(|weight| matches!(weight, Expr::Literal(value, _) if value.is_null()));
    (is_declared && !call.params.distinct).then(|| own.to_vec())
}

/// One call: over which rows, by which design, and how.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) estimator: &'static dyn Estimator,
    pub(super) design: Design,
    pub(super) options: Options,
    pub(super) parts: Vec<PartOf>,
    pub(super) filter: Option<Expr>,
    /// Whether people are counted, each once.
    pub(super) is_distinct: bool,
    /// The share that a quantile reaches.
    pub(super) probability: Option<f64>,
    /// Whether its estimates are what was asked for, and not a step to it.
    pub(super) is_answer: bool,
}

impl Call {
    /// Reads a call over `rows`.
    ///
    /// # Errors
    /// What is wrong with its design or its options.
    pub(super) fn of(call: &AggregateFunction, survey: &Survey, rows: &LogicalPlan, reads: &[Read]) -> Result<Self> {
        let estimator = survey.estimator;
        let (name, parameters) = (estimator.name(), estimator.parameters());
        let params = &call.params;
        let (own, design) = params.args.split_at_checked(parameters.len()).ok_or_else(misplaced)?;
        let is_distinct = params.distinct;
        if (is_distinct && name != "svy_count") || !params.order_by.is_empty() || params.null_treatment.is_some() {
            let message = format!("{name} takes no DISTINCT, ORDER BY or IGNORE NULLS.");
            return Err(Error::new(Code::UnsupportedSql, message)
                .hint("svy_count(DISTINCT unit) counts people.")
                .into());
        }
        let mut given = Given::default();
        let mut options = Options::default();
        for (parameter, argument) in DESIGN.iter().zip(design) {
            if matches!(argument, Expr::Literal(value, _) if value.is_null()) {
                continue;
            }
            match *parameter {
                "weight" => given.weight = Some(number(name, argument, rows)?),
                "psu" => given.psu = said(name, parameter, argument)?,
                "strata" => given.strata = said(name, parameter, argument)?,
                "fpc" => given.fpc = said(name, parameter, argument)?,
                "unit" => given.unit = Some(argument.clone()),
                "frame" => given.frame = text(argument),
                option => {
                    options.set(name, option, argument)?;
                    check_use(estimator, option, argument)?;
                }
            }
        }
        let own = if is_distinct {
            given.unit = own.first().cloned();
            vec![lit(1_i64)]
        } else {
            let schema = rows.schema();
            let coerced = parameters.iter().zip(own).map(|(parameter, argument)| {
                let data_type = argument.get_type(schema)?;
                Ok(match parameter.coerce(&data_type) {
                    Some(wanted) if wanted != data_type => cast(argument.clone(), wanted),
                    _ => argument.clone(),
                })
            });
            coerced.collect::<Result<Vec<_>>>()?
        };
        let parts = estimator.parts(&own);
        let of_call = OfCall { parts: &parts, filter: params.filter.as_deref(), is_distinct };
        let design = Design::of(name, given, rows, reads, &of_call)?;
        let probability = match estimator.probability() {
            Some(Probability::Argument(at)) => Some(share(name, params.args.get(at))?),
            Some(Probability::Number(p)) => Some(p),
            None => None,
        };
        let known_unit = design.unit.clone().filter(|_| is_distinct).map(Expr::is_not_null);
        let filter = params.filter.as_deref().cloned().into_iter().chain(known_unit).reduce(Expr::and);
        Ok(Self { estimator, design, options, parts, filter, is_distinct, probability, is_answer: true })
    }

    /// Whether another call asks for the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let of = |call: &Self| {
            let Self { design, options, parts, filter, is_distinct, probability, .. } = call.clone();
            (call.name(), design, options, parts, filter, is_distinct, probability.map(f64::to_bits))
        };
        of(self) == of(other)
    }

    /// Whether something of each group must be known before its rows are summed.
    pub(super) fn needs_two_passes(&self) -> bool {
        self.probability.is_some() || self.estimator.is_per_unit() || self.estimator.is_centred()
    }

    /// The variable, where there is one.
    pub(super) fn variable(&self) -> Result<&Expr, Error> {
        self.parts.iter().flat_map(|part| &part.variables).next().ok_or_else(misplaced)
    }

    /// The variable as a float, NULL where it is undefined.
    pub(super) fn defined_variable(&self) -> Result<Expr> {
        let variable = cast(self.variable()?.clone(), DataType::Float64);
        when(isnan(variable.clone()), lit(ScalarValue::Float64(None))).otherwise(variable)
    }

    /// Which rows are of the call and of its design.
    pub(super) fn filter_of_design(&self) -> Option<Expr> {
        let of_design = self.design.keys().map(|key| key.clone().is_not_null());
        self.filter.iter().cloned().chain(of_design).reduce(Expr::and)
    }

    /// The function that the user wrote.
    pub(super) fn name(&self) -> &'static str {
        self.estimator.name()
    }
}

/// What a call says of a part of the design.
fn said(function: &str, parameter: &str, argument: &Expr) -> Result<Said, Error> {
    match argument {
        Expr::Literal(ScalarValue::Boolean(Some(ABSENT)), _) => Ok(Said::Absent),
        volatile if volatile.is_volatile() => {
            let message = format!("{function}: {parameter} is another value each time that it is asked.");
            Err(Error::new(Code::InvalidArgument, message).hint("The design is told by columns."))
        }
        given => Ok(Said::Given(given.clone())),
    }
}

/// Refuses an option that says nothing of the function.
fn check_use(estimator: &dyn Estimator, option: &str, argument: &Expr) -> Result<(), Error> {
    let is_used = match option {
        "ci" => {
            text(argument).as_deref() == Some("mean") || estimator.is_proportion() || estimator.probability().is_some()
        }
        "among" => estimator.is_per_unit(),
        _ => true,
    };
    if is_used {
        return Ok(());
    }
    let of = if option == "ci" { "svy_share, svy_quantile and svy_median" } else { "svy_mean_per_unit" };
    let message = format!("{} has no {option} => {argument}: it is for {of}.", estimator.name());
    Err(Error::new(Code::InvalidArgument, message).hint("Leave it out."))
}

/// The weight, which must be a number.
fn number(function: &str, argument: &Expr, rows: &LogicalPlan) -> Result<Expr> {
    let data_type = argument.get_type(rows.schema())?;
    match Parameter::number("weight").coerce(&data_type) {
        Some(_) => Ok(argument.clone()),
        None => {
            let given = in_words(&data_type);
            Err(Error::new(Code::InvalidArgument, format!("{function}: weight must be a number, not {given}.")).into())
        }
    }
}

/// The share that a quantile is asked for.
fn share(function: &str, argument: Option<&Expr>) -> Result<f64> {
    let value = argument.and_then(constant).and_then(|value| value.cast_to(&DataType::Float64).ok());
    match value {
        Some(ScalarValue::Float64(Some(p))) if (0.0..=1.0).contains(&p) => Ok(p),
        // No share, no quantile.
        Some(ScalarValue::Float64(None)) => Ok(f64::NAN),
        _ => Err(Error::new(Code::InvalidArgument, format!("{function}: p must be a number from 0 to 1."))
            .hint("0.5 is the median, 0.9 the value that 90% of the weight does not exceed.")
            .into()),
    }
}

/// The value of an expression without columns.
fn constant(expression: &Expr) -> Option<ScalarValue> {
    if !trace::is_fixed(expression) {
        return None;
    }
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    match simplifier.simplify(expression.clone()).ok()? {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn text(argument: &Expr) -> Option<String> {
    match argument {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    }
}
