//! A weighted sample is not counted plainly without anybody's knowing it: each person in it stands for many.
//!
//! Plain aggregates over its rows become their weighted forms, as the dataset's mode or the query says; and an aggregate that Weft
//! weighs by itself is refused where a join would count the same row several times. What names its own weight is taken as it is.

mod forms;
mod multiplied;
mod once;
mod sample;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, FieldMetadata, WindowFunction};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Window, WindowFunctionDefinition};

use crate::survey::{self, Notices, Read};
use crate::{Code, Error, Query, Weights, WeightsMode};
use forms::{Plain, Weighted, is_plain};
use multiplied::{Multiplied, Sides};
use sample::{Samples, Weighing};

/// The key of a column's metadata that says which weight it was computed with.
const METADATA: &str = "weft.weight";

/// The plan with plain aggregates over weighted samples as weighted ones. The names of its columns stay; counts become floats.
///
/// # Errors
/// `weight_required` where a weight is out of reach, or a function has no weighted form; `design_missing` where weights are asked for
/// and none are declared; `join_multiplies` where a join counts rows several times.
pub(crate) fn apply(plan: LogicalPlan, reads: &[Read], query: &Query, notices: &Notices) -> Result<LogicalPlan, Error> {
    let declared = || reads.iter().filter_map(|read| Some((read.dataset.id.as_str(), read.dataset.weights.as_ref()?)));
    let required = declared().find(|(_, weights)| weights.mode == WeightsMode::Required);
    if let (Some(false), Some((id, _))) = (query.apply_weights, required) {
        let message = format!("The weights of dataset \"{id}\" cannot be switched off.");
        return Err(Error::new(Code::WeightRequired, message).hint("Ask without apply_weights."));
    }
    if query.apply_weights == Some(true) && declared().next().is_none() {
        return Err(Error::new(Code::DesignMissing, "No dataset of this query declares weights to apply.").hint(
            "Write weighted_count(w), weighted_sum(x, w), weighted_avg(x, w) and their kin, with a column of weights.",
        ));
    }
    let applies = |weights: &Weights| match query.apply_weights {
        Some(asked) => asked,
        None => weights.mode != WeightsMode::Offered,
    };
    let context = Context { samples: Samples::of(reads, applies), reads, notices };
    let mut is_changed = false;
    let weighed = plan.transform_up_with_subqueries(|node| {
        let node = if is_changed { node.recompute_schema()? } else { node };
        let weighed = match &node {
            LogicalPlan::Aggregate(aggregate) => context.aggregate(aggregate)?,
            LogicalPlan::Window(window) => context.window(window)?,
            _ => None,
        };
        is_changed |= weighed.is_some();
        Ok(weighed.map_or_else(|| Transformed::no(node), Transformed::yes))
    });
    Ok(weighed?.data)
}

struct Context<'a> {
    samples: Samples<'a>,
    reads: &'a [Read],
    notices: &'a Notices,
}

impl Context<'_> {
    fn aggregate(&self, aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
        let mut input = Arc::clone(&aggregate.input);
        let keys = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
        let keeps_units = self.samples.is_empty() || self.samples.keeps_units(&aggregate.input, &aggregate.group_expr);
        let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
        let mut is_weighed = false;
        for (at, expression) in aggregate.aggr_expr.iter().enumerate() {
            let call = call_of(expression);
            let plain = call.filter(|call| !keeps_units && is_plain(call.func.name())).map(|call| Plain {
                name: call.func.name(),
                args: &call.params.args,
                is_distinct: call.params.distinct,
                filter: call.params.filter.as_deref(),
                order_by: &call.params.order_by,
            });
            let weighed = plain.map(|plain| self.weighed(&plain, &aggregate.input, &aggregate.group_expr));
            let weighed = weighed.transpose()?.flatten();
            let Some(Weighed { form, written, metadata }) = weighed else {
                if let Some(values) = call.and_then(survey::values_by_declared_weight) {
                    let name = call.map(|call| call.func.name()).unwrap_or_default();
                    input = self.joined_once(input, &aggregate.input, &values, name)?;
                }
                calls.push(expression.clone());
                continue;
            };
            if let Some(values) = &form.values {
                input = self.joined_once(input, &aggregate.input, values, &written)?;
            }
            let filter = form.filter.map(Box::new);
            let params = AggregateFunctionParams {
                args: form.args,
                distinct: false,
                filter,
                order_by: vec![],
                null_treatment: None,
            };
            let name = aggregate.schema.field(keys + at).name();
            let call = Expr::AggregateFunction(AggregateFunction { func: form.function, params });
            calls.push(call.alias_with_metadata(name, Some(metadata)));
            is_weighed = true;
        }
        if !is_weighed && Arc::ptr_eq(&input, &aggregate.input) {
            return Ok(None);
        }
        Ok(Some(LogicalPlan::Aggregate(Aggregate::try_new(input, aggregate.group_expr.clone(), calls)?)))
    }

    fn window(&self, window: &Window) -> Result<Option<LogicalPlan>> {
        if self.samples.is_empty() {
            return Ok(None);
        }
        let mut input = Arc::clone(&window.input);
        let own = window.input.schema().fields().len();
        let mut calls = Vec::with_capacity(window.window_expr.len());
        let mut is_weighed = false;
        for (at, expression) in window.window_expr.iter().enumerate() {
            let call = window_of(expression);
            let weighed = match call.map(|call| (call, &call.fun)) {
                Some((call, WindowFunctionDefinition::AggregateUDF(function)))
                    if is_plain(function.name())
                        && !self.samples.keeps_units(&window.input, &call.params.partition_by) =>
                {
                    let plain = Plain {
                        name: function.name(),
                        args: &call.params.args,
                        is_distinct: call.params.distinct,
                        filter: call.params.filter.as_deref(),
                        order_by: &[],
                    };
                    self.weighed(&plain, &window.input, &call.params.partition_by)?.map(|weighed| (call, weighed))
                }
                _ => None,
            };
            let Some((call, Weighed { form, written, metadata })) = weighed else {
                calls.push(expression.clone());
                continue;
            };
            if let Some(values) = &form.values {
                input = self.joined_once(input, &window.input, values, &written)?;
            }
            let mut weighed = call.clone();
            weighed.fun = WindowFunctionDefinition::AggregateUDF(form.function);
            weighed.params.args = form.args;
            weighed.params.filter = form.filter.map(Box::new);
            weighed.params.distinct = false;
            let name = window.schema.field(own + at).name();
            calls.push(Expr::WindowFunction(Box::new(weighed)).alias_with_metadata(name, Some(metadata)));
            is_weighed = true;
        }
        if !is_weighed {
            return Ok(None);
        }
        Ok(Some(LogicalPlan::Window(Window::try_new(calls, input)?)))
    }

    /// The weighted form of a call over `rows`. None where the rows are not of a sample, or weights don't change what it says.
    fn weighed(&self, plain: &Plain<'_>, rows: &LogicalPlan, keys: &[Expr]) -> Result<Option<Weighed>, Error> {
        let written = plain.written();
        // sum(x * weight) is weighed by hand.
        if plain.args.iter().any(|argument| self.samples.is_of_weights(rows, argument)) {
            return Ok(None);
        }
        let Some(Weighing { dataset, weights, weight }) = self.samples.weighing(&written, rows)? else {
            return Ok(None);
        };
        let Some(form) = plain.weighted(&weight, |unit| self.samples.is_of_units(rows, unit))? else {
            return Ok(None);
        };
        let by = match &weights.table {
            Some(table) => format!("{dataset}.{table}.{}", weights.weight),
            None => format!("{dataset}.{}", weights.weight),
        };
        let can_be_plain = weights.mode != WeightsMode::Required;
        self.notices.weighed(&written, &by, can_be_plain);
        if let Some(period) = self.samples.pooled_period(rows, keys) {
            self.notices.pool(period);
        }
        let metadata =
            FieldMetadata::from([(METADATA.to_owned(), by)].into_iter().collect::<std::collections::BTreeMap<_, _>>());
        Ok(Some(Weighed { form, written, metadata }))
    }

    /// `input`, that ends with an error where a join of `rows` counts the same row several times in a call over `values`.
    fn joined_once(
        &self,
        input: Arc<LogicalPlan>,
        rows: &LogicalPlan,
        values: &[Expr],
        call: &str,
    ) -> Result<Arc<LogicalPlan>> {
        let mut input = input;
        let mut parts = vec![(rows, values.to_vec())];
        while let Some((rows, values)) = parts.pop() {
            let sides = Sides::of(rows, self.reads);
            let ways = sides.once(&values).map_err(|multiplied| refusal(call, &multiplied))?;
            if !ways.iter().all(Vec::is_empty) {
                input = Arc::new(once::guarded(Arc::unwrap_or_clone(input), ways, call)?);
            }
            parts.extend(sides.below(&values));
        }
        Ok(input)
    }
}

/// A call in its weighted form.
struct Weighed {
    form: Weighted,
    /// As it was written.
    written: String,
    metadata: FieldMetadata,
}

fn call_of(expression: &Expr) -> Option<&AggregateFunction> {
    match expression {
        Expr::Alias(alias) => call_of(&alias.expr),
        Expr::AggregateFunction(call) => Some(call),
        _ => None,
    }
}

fn window_of(expression: &Expr) -> Option<&WindowFunction> {
    match expression {
        Expr::Alias(alias) => window_of(&alias.expr),
        Expr::WindowFunction(call) => Some(call),
        _ => None,
    }
}

fn refusal(call: &str, multiplied: &Multiplied) -> Error {
    let Multiplied { side, by } = multiplied;
    let message = match side == by {
        true => format!("{call}: the join counts rows of {side} several times: a row has several partners."),
        false => format!("{call}: the join counts rows of {side} several times, once for each partner in {by}."),
    };
    Error::new(Code::JoinMultiplies, message).hint(format!(
        "Aggregate {by} by the columns that it is joined by in a subquery first, or test it with EXISTS. If each joined row shall \
         count, say the weight: weighted_avg(x, t.w), svy_mean(x, weight => t.w)."
    ))
}
