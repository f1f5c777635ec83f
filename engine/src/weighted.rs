//! The weighted functions of SQL: what a sample says about its population, each row counting as `w` people.
//!
//! One function is one file under `weighted/` and one line in `FUNCTIONS`; the reference page is made from their own
//! documentation. They share their rules: a NULL value or weight leaves the row out, a zero weight contributes nothing,
//! a negative or infinite weight is an error, and the result is a float, since it is an estimate.

mod arguments;
mod avg;
mod corr;
mod count;
mod distribution;
mod effective_n;
mod function;
mod groups;
mod median;
mod moments;
mod quantile;
mod quantile_groups;
mod ratio;
mod reference;
mod rows;
mod running;
mod share;
mod sliding;
mod stddev;
mod sum;
mod variance;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr};

pub(crate) use arguments::{Parameter, check, in_words};
pub(crate) use distribution::{Entry, for_each_listed, quantile, state_fields as quantile_state};
pub(crate) use function::{Function, Statistic};
pub(crate) use groups::{for_each_state, to_columns, touch};
pub(crate) use moments::Moments;
pub(crate) use quantile_groups::QuantileGroups;
pub use reference::reference;
pub(crate) use rows::{Rows, bad_weight, is_weight};

/// Every function, by name. A new one is a file and a line here.
const FUNCTIONS: &[fn() -> Function] = &[
    Function::of::<effective_n::EffectiveN, 1>,
    crate::reach::function,
    Function::of::<avg::WeightedAvg, 2>,
    Function::of::<corr::WeightedCorr, 3>,
    Function::of::<count::WeightedCount, 1>,
    Function::of_quantile::<median::WeightedMedian>,
    Function::of_quantile::<quantile::WeightedQuantile>,
    Function::of::<ratio::WeightedRatio, 3>,
    Function::of::<share::WeightedShare, 2>,
    Function::of::<stddev::WeightedStddev, 2>,
    Function::of::<sum::WeightedSum, 2>,
    Function::of::<variance::WeightedVariance, 2>,
];

/// Every function, for a session to register.
pub(crate) fn all() -> Vec<Arc<AggregateUDF>> {
    FUNCTIONS.iter().map(|function| Arc::new(AggregateUDF::from(function()))).collect()
}

/// Whether a function of this name weighs its rows: one of these, or a survey function.
pub(crate) fn is_weighted(name: &str) -> bool {
    FUNCTIONS.iter().any(|function| function().name_in_sql() == name) || crate::survey::is_survey_function(name)
}

/// The weight of a call of a weighted function by that name. None of other functions.
pub(crate) fn weight_of<'a>(name: &str, arguments: &'a [Expr]) -> Option<&'a Expr> {
    let function = FUNCTIONS.iter().map(|function| function()).find(|function| function.name_in_sql() == name)?;
    arguments.get(function.weight_at()?)
}

/// The function of a name.
pub(crate) fn function(name: &str) -> Option<Arc<AggregateUDF>> {
    let found = FUNCTIONS.iter().map(|function| function()).find(|function| function.name_in_sql() == name);
    found.map(|function| Arc::new(AggregateUDF::from(function)))
}

/// The sum of the weights, which `reach` is made of once each unit has its weight.
pub(crate) fn weighted_count() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Function::of::<count::WeightedCount, 1>()))
}

/// The weighted mean of what `filter` leaves, as a call.
pub(crate) fn weighted_avg(value: Expr, weight: Expr, filter: Option<Expr>) -> Expr {
    let function = Arc::new(AggregateUDF::from(Function::of::<avg::WeightedAvg, 2>()));
    let filter = filter.map(Box::new);
    Expr::AggregateFunction(AggregateFunction::new_udf(function, vec![value, weight], false, filter, vec![], None))
}

/// What merges the values that a weighted function has of parts of a group, if they suffice for its value of the whole.
pub(crate) fn merged_by(function: &Arc<AggregateUDF>) -> Option<Arc<AggregateUDF>> {
    match function.name() {
        <count::WeightedCount as Statistic<1>>::NAME => Some(Arc::clone(function)),
        <sum::WeightedSum as Statistic<2>>::NAME => Some(sum_udaf()),
        _ => None,
    }
}
