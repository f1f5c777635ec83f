//! What a plan that has run says of the rows under its aggregates, and of what it did not have to read.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

use crate::joins::rows;

/// Rows that went into the innermost aggregates, from the left of the plan to the right. The frame of a design is no base.
pub(super) fn bases(plan: &Arc<dyn ExecutionPlan>) -> Vec<u64> {
    let mut found = Vec::new();
    walk(plan, &mut found);
    found
}

/// Whether there is an aggregate in the plan.
fn walk(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<u64>) -> bool {
    if plan.name() == "CachedExec" {
        return true;
    }
    let mut is_above_another = false;
    for child in plan.children() {
        is_above_another |= walk(child, found);
    }
    let takes_rows = match plan.downcast_ref::<AggregateExec>() {
        Some(aggregate) => !matches!(aggregate.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned),
        None => matches!(plan.name(), "ByUnitExec" | "FewGroupsExec"),
    };
    if takes_rows
        && !is_above_another
        && let [input] = plan.children().as_slice()
    {
        found.extend(rows(input));
    }
    takes_rows || is_above_another
}

/// Parts that were known, and parts that were read to be known.
pub(super) fn cache(plan: &Arc<dyn ExecutionPlan>) -> (u64, u64) {
    let count = |name: &str| {
        let metrics = plan.metrics()?;
        u64::try_from(metrics.sum_by_name(name)?.as_usize()).ok()
    };
    let own = match plan.name() {
        "CachedExec" => (count("cache_hits").unwrap_or_default(), count("cache_misses").unwrap_or_default()),
        _ => (0, 0),
    };
    plan.children().into_iter().map(cache).fold(own, |all, of| (all.0 + of.0, all.1 + of.1))
}
