//! A weighted function as DataFusion sees it: one implementation for all of them, filled from what each says of itself.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Signature, Volatility,
};

use super::arguments::{self, Parameter, is_point_in_time};
use super::distribution::{self, Quantile};
use super::groups::MomentGroups;
use super::moments::Moments;
use super::quantile_groups::QuantileGroups;
use super::running::Running;
use super::sliding::Sliding;
use crate::{Code, Error};

/// A function of `A` arguments, weight last, whose value follows from a few [`Moments`] of its rows.
pub(crate) trait Statistic<const A: usize>: 'static {
    /// As it is called in SQL.
    const NAME: &'static str;
    /// What an error calls it: the function that the user wrote.
    const WRITTEN: &'static str = Self::NAME;
    /// Its parameters, in order.
    const PARAMETERS: [Parameter; A];
    /// Its value of no rows at all. A function that has one is never NULL.
    const OF_NOTHING: Option<f64> = None;
    /// What it keeps of a group.
    type Moments: Moments;

    /// Its page in the reference.
    fn documentation() -> Option<&'static Documentation>;

    /// Adds one row. The weight is finite and not negative, nothing is NULL.
    fn add(moments: &mut Self::Moments, row: [f64; A]);

    /// Adds many rows, where that can be faster than one by one.
    fn add_all(moments: &mut Self::Moments, columns: [&[f64]; A]) {
        let rows = columns.iter().map(|column| column.len()).min().unwrap_or(0);
        let columns = columns.map(|column| &column[..rows]);
        for row in 0..rows {
            Self::add(moments, columns.map(|column| column[row]));
        }
    }

    /// The value of a group, or NULL.
    ///
    /// # Errors
    /// Whatever the function refuses to answer for the group as a whole.
    fn result(moments: &Self::Moments) -> Result<Option<f64>, Error>;
}

/// A weighted function. It is its name: no two differ in anything else.
#[derive(Debug)]
pub(crate) struct Function {
    name: &'static str,
    parameters: &'static [Parameter],
    of_nothing: Option<f64>,
    documentation: Option<&'static Documentation>,
    signature: Signature,
    accumulators: Accumulators,
}

/// Makes an accumulator for one call of the function.
type New<T> = fn(&AccumulatorArgs) -> Result<Box<T>>;

/// How the function computes, or why it does not.
#[derive(Debug)]
struct Accumulators {
    state: fn() -> Vec<(String, DataType)>,
    running: New<dyn Accumulator>,
    sliding: New<dyn Accumulator>,
    groups: Option<New<dyn GroupsAccumulator>>,
}

impl Function {
    /// The function that computes a statistic from moments.
    pub(crate) fn of<S: Statistic<A>, const A: usize>() -> Self {
        let accumulators = Accumulators {
            state: || {
                let fields = S::Moments::default().fields().len();
                (0..fields).map(|k| (format!("moment_{k}"), DataType::Float64)).collect()
            },
            running: |_| Ok(Box::new(Running::<S, A>::default())),
            sliding: |_| Ok(Box::new(Sliding::<S, A>::default())),
            groups: Some(|_| Ok(Box::new(MomentGroups::<S, A>::default()))),
        };
        Self::new(S::NAME, const { &S::PARAMETERS }, S::documentation(), accumulators)
            .with_value_of_nothing(S::OF_NOTHING)
    }

    /// The function that finds a value in the weighted distribution of its first argument.
    pub(crate) fn of_quantile<Q: Quantile>() -> Self {
        let accumulators = Accumulators {
            state: distribution::state_fields,
            running: |args| Ok(Box::new(distribution::Distribution::new(Q::NAME, Q::probability(args)?, args))),
            sliding: |args| Ok(Box::new(distribution::Distribution::new(Q::NAME, Q::probability(args)?, args))),
            groups: Some(|args| Ok(Box::new(QuantileGroups::new(Q::NAME, Q::probability(args)?, args)))),
        };
        Self::new(Q::NAME, Q::PARAMETERS, Q::documentation(), accumulators)
    }

    /// Which of its arguments is the weight.
    pub(crate) fn weight_at(&self) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.name() == Parameter::WEIGHT.name())
    }

    /// The function that only a plan rewrite can compute: whoever runs it anyway gets `refusal`.
    pub(crate) fn of_rewrite(
        name: &'static str,
        parameters: &'static [Parameter],
        documentation: Option<&'static Documentation>,
        refusal: New<dyn Accumulator>,
    ) -> Self {
        let accumulators = Accumulators {
            state: || vec![("none".to_owned(), DataType::Float64)],
            running: refusal,
            sliding: refusal,
            groups: None,
        };
        Self::new(name, parameters, documentation, accumulators).with_value_of_nothing(Some(0.0))
    }

    fn new(
        name: &'static str,
        parameters: &'static [Parameter],
        documentation: Option<&'static Documentation>,
        accumulators: Accumulators,
    ) -> Self {
        let mut signature = Signature::user_defined(Volatility::Immutable);
        signature.parameter_names = Some(parameters.iter().map(|parameter| parameter.name().to_owned()).collect());
        Self { name, parameters, of_nothing: None, documentation, signature, accumulators }
    }

    fn with_value_of_nothing(mut self, value: Option<f64>) -> Self {
        self.of_nothing = value;
        self
    }

    pub(super) fn name_in_sql(&self) -> &'static str {
        self.name
    }

    /// Its page in the reference.
    pub(super) fn page(&self) -> Option<&'static Documentation> {
        self.documentation
    }

    /// How it is written, as in `weighted_avg(x, w)`.
    pub(super) fn syntax(&self) -> String {
        arguments::signature(self.name, self.parameters)
    }

    /// The result has the type of the values where these are dates, and is a float otherwise.
    fn result_type(&self, arguments: &[DataType]) -> DataType {
        match (self.parameters.first(), arguments.first()) {
            (Some(parameter), Some(given)) if parameter.is_ordered() && is_point_in_time(given) => given.clone(),
            _ => DataType::Float64,
        }
    }

    fn refuse_distinct(&self) -> Error {
        Error::new(Code::UnsupportedSql, format!("{} does not take DISTINCT.", self.syntax()))
            .hint("To count each unit once, aggregate by unit first, or use reach(unit, w).")
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arguments::coerce(self.parameters, given))
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        arguments::check(self.name, self.parameters, given)?;
        Ok(self.result_type(given))
    }

    fn is_nullable(&self) -> bool {
        self.of_nothing.is_none()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.of_nothing {
            Some(value) => Ok(ScalarValue::Float64(Some(value))),
            None => ScalarValue::try_from(data_type),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let fields = (self.accumulators.state)();
        Ok(fields
            .into_iter()
            .map(|(field, data_type)| Arc::new(Field::new(format_state_name(args.name, &field), data_type, true)))
            .collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(self.refuse_distinct().into());
        }
        (self.accumulators.running)(&args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(self.refuse_distinct().into());
        }
        (self.accumulators.sliding)(&args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.accumulators.groups.is_some() && !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match self.accumulators.groups {
            Some(groups) if !args.is_distinct => groups(&args),
            _ => Err(self.refuse_distinct().into()),
        }
    }

    /// Nothing is simplified: this is where a plan with DISTINCT is refused before it runs, and before DataFusion turns
    /// it into a GROUP BY.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|call: AggregateFunction, _| {
            let distinct = call.params.distinct;
            match call.func.inner().downcast_ref::<Function>() {
                Some(function) if distinct => Err(function.refuse_distinct().into()),
                _ => Ok(Expr::AggregateFunction(call)),
            }
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.documentation
    }
}
