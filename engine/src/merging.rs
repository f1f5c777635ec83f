//! Aggregates that can be taken in steps: of parts of a group first, then of the values of the parts.

use std::sync::Arc;

use datafusion::functions_aggregate::count::Count;
use datafusion::logical_expr::AggregateUDF;
use datafusion::logical_expr::expr::AggregateFunction;

use crate::extremes::Extreme;
use crate::integers::{self, OfIntegers};
use crate::weighted::{self, Function};

/// What merges the values that an aggregate has of parts of a group, if they suffice for its value of the whole.
pub(crate) fn merged_by(call: &AggregateFunction) -> Option<Arc<AggregateUDF>> {
    let params = &call.params;
    if params.distinct || !params.order_by.is_empty() || params.null_treatment.is_some() {
        return None;
    }
    let inner = call.func.inner();
    if inner.is::<Count>() {
        Some(integers::sum())
    } else if inner.is::<Extreme>() || inner.downcast_ref::<OfIntegers>().is_some_and(OfIntegers::is_sum) {
        Some(Arc::clone(&call.func))
    } else if inner.is::<Function>() {
        weighted::merged_by(&call.func)
    } else {
        None
    }
}
