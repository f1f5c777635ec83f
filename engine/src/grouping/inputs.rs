//! What an aggregate makes of a batch before it adds it up: keys, and for each call its arguments and filter.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::aggregates::AggregateExec;

/// What a call takes, and which rows it takes it of.
type Call = (Vec<Arc<dyn PhysicalExpr>>, Option<Arc<dyn PhysicalExpr>>);

/// The expressions.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    calls: Vec<Call>,
}

/// The values that the calls take of a batch, each with its filter.
pub(super) type Arguments = Vec<(Vec<ArrayRef>, Option<BooleanArray>)>;

impl Inputs {
    pub(super) fn of(aggregate: &AggregateExec) -> Self {
        let filters = aggregate.filter_expr().iter().cloned();
        let arguments = aggregate.aggr_expr().iter().map(|call| call.expressions());
        Self { keys: aggregate.group_expr().input_exprs(), calls: arguments.zip(filters).collect() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        let arguments = self.calls.iter().flat_map(|(values, filter)| values.iter().chain(filter));
        self.keys.iter().chain(arguments)
    }

    pub(super) fn evaluate(&self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Arguments)> {
        let arguments = self.calls.iter().map(|(values, filter)| {
            let values = evaluate_expressions_to_arrays(values, batch)?;
            let filter = filter.as_ref().map(|filter| condition(filter, batch)).transpose()?;
            Ok((values, filter))
        });
        Ok((evaluate_expressions_to_arrays(&self.keys, batch)?, arguments.collect::<Result<_>>()?))
    }
}

/// Adds rows to the sums of their groups.
pub(super) fn add(
    sums: &mut [Box<dyn GroupsAccumulator>],
    arguments: &Arguments,
    groups: &[usize],
    all_groups: usize,
) -> Result<()> {
    for (sums, (values, filter)) in sums.iter_mut().zip(arguments) {
        sums.update_batch(values, groups, filter.as_ref(), all_groups)?;
    }
    Ok(())
}

fn condition(filter: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let column: ArrayRef = filter.evaluate(batch)?.into_array(batch.num_rows())?;
    match column.as_boolean_opt() {
        Some(condition) => Ok(condition.clone()),
        None => internal_err!("a filter is {}", column.data_type()),
    }
}
