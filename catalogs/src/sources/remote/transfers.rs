//! What a plan is sure to fetch from databases, before it runs.

use std::sync::Arc;

use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use engine::Transfer;

use super::scan::RemoteExec;

/// One entry for each read that nothing narrows and nothing above ends early.
pub(crate) fn transfers(plan: &Arc<dyn ExecutionPlan>) -> Vec<Transfer> {
    let mut found = Vec::new();
    walk(plan, false, &mut found);
    found
}

fn walk(plan: &Arc<dyn ExecutionPlan>, may_end_early: bool, found: &mut Vec<Transfer>) {
    if let Some(scan) = plan.downcast_ref::<RemoteExec>() {
        found.extend(scan.transfer().filter(|_| !may_end_early));
        return;
    }
    // A part that several places share is read by one of them.
    if plan.name() == "SharedExec" {
        return;
    }
    let reads_all = plan.is::<SortExec>() || plan.pipeline_behavior() == EmissionType::Final;
    let may_end_early = !reads_all && (may_end_early || plan.fetch().is_some());
    for child in plan.children() {
        walk(child, may_end_early, found);
    }
}
