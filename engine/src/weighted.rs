//! The weighted functions of SQL: what a sample says about its population, each row counting as `w` people.
//!
//! One function is one file under `weighted/` and one line in `FUNCTIONS`; the reference page is made from their own
//! documentation. They share their rules: a NULL value or weight leaves the row out, a zero weight contributes nothing,
//! a negative or infinite weight is an error, and the result is a float, since it is an estimate.

mod arguments;
mod avg;
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
use datafusion::logical_expr::AggregateUDF;

pub(crate) use arguments::Parameter;
pub(crate) use function::{Function, Statistic};
pub(crate) use moments::Moments;
pub use reference::reference;

/// Every function, by name. A new one is a file and a line here.
const FUNCTIONS: &[fn() -> Function] = &[
    Function::of::<effective_n::EffectiveN, 1>,
    crate::reach::function,
    Function::of::<avg::WeightedAvg, 2>,
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

/// The sum of the weights, which `reach` is made of once each unit has its weight.
pub(crate) fn weighted_count() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Function::of::<count::WeightedCount, 1>()))
}

/// What merges the values that a weighted function has of parts of a group, if they suffice for its value of the whole.
pub(crate) fn merged_by(function: &Arc<AggregateUDF>) -> Option<Arc<AggregateUDF>> {
    match function.name() {
        <count::WeightedCount as Statistic<1>>::NAME => Some(Arc::clone(function)),
        <sum::WeightedSum as Statistic<2>>::NAME => Some(sum_udaf()),
        _ => None,
    }
}
