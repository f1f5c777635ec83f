//! What a plan is going to fetch from databases, before it runs.

use std::sync::Arc;

use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use engine::Expected;

use super::scan::RemoteExec;

/// One entry for each read whose source can guess it.
pub(crate) fn transfers(plan: &Arc<dyn ExecutionPlan>) -> Vec<Expected> {
    let mut found = Vec::new();
    walk(plan, false, &mut found);
    found
}

fn walk(plan: &Arc<dyn ExecutionPlan>, may_end_early: bool, found: &mut Vec<Expected>) {
    if let Some(scan) = plan.downcast_ref::<RemoteExec>() {
        found.extend(scan.expected().map(|read| Expected { is_sure: read.is_sure && !may_end_early, ..read }));
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
