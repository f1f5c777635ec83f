//! What the joins of a query made of their inputs: rows lost, and rows multiplied. Counted anyway, so that it costs nothing.

use std::sync::Arc;

use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};

/// One join by equal keys.
///
/// Rows that the keys of one side kept from being read on the other are in neither count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinFacts {
    /// Its keys, as `left = right`.
    pub keys: String,
    /// Rows that reached it from the left.
    pub left_rows: u64,
    /// Rows that reached it from the right.
    pub right_rows: u64,
    /// Rows that came out.
    pub rows: u64,
}

/// The joins of a plan that has run, the outermost first.
pub(crate) fn joins(plan: &Arc<dyn ExecutionPlan>) -> Vec<JoinFacts> {
    let mut found = Vec::new();
    walk(plan, &mut found);
    found
}

fn walk(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<JoinFacts>) {
    let keys = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        Some(join.on())
    } else {
        plan.downcast_ref::<SortMergeJoinExec>().map(|join| join.on())
    };
    if let (Some(keys), [left, right]) = (keys, plan.children().as_slice())
        && let (Some(left_rows), Some(right_rows), Some(rows)) = (rows(left), rows(right), rows(plan))
    {
        found.push(JoinFacts { keys: text(keys), left_rows, right_rows, rows });
    }
    for child in plan.children() {
        walk(child, found);
    }
}

fn text(keys: &[(PhysicalExprRef, PhysicalExprRef)]) -> String {
    let pairs = keys.iter().map(|(left, right)| format!("{} = {}", name(left), name(right)));
    pairs.collect::<Vec<_>>().join(" AND ")
}

/// A key without the position of its column.
fn name(key: &PhysicalExprRef) -> String {
    key.downcast_ref::<Column>().map_or_else(|| key.to_string(), |column| column.name().to_owned())
}

/// Rows that a step gave out. One that counts none, and has one input, gives out what came in.
pub(crate) fn rows(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let counted = plan.metrics().and_then(|metrics| metrics.output_rows());
    match (counted, plan.children().as_slice()) {
        (Some(counted), _) => u64::try_from(counted).ok(),
        (None, [input]) => rows(input),
        _ => None,
    }
}
