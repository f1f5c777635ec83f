//! Marks which dynamic filters a scan may wait for: those of hash joins, which are complete before the join asks the other
//! side for rows. The filter of a sort is complete only when everything has been read.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

use super::scan::RemoteExec;

/// The last rule on a physical plan.
#[derive(Debug)]
pub(crate) struct MarkAwaited;

impl PhysicalOptimizerRule for MarkAwaited {
    fn name(&self) -> &'static str {
        "mark_awaited_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut ids = HashSet::new();
        plan.apply(|node| {
            if node.is::<HashJoinExec>() {
                ids.extend(node.dynamic_expressions_produced().iter().filter_map(|filter| filter.expression_id()));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if ids.is_empty() {
            return Ok(plan);
        }
        let ids = Arc::new(ids);
        plan.transform_up(|node| {
            Ok(match node.downcast_ref::<RemoteExec>().filter(|scan| scan.has_filters()) {
                Some(scan) => Transformed::yes(Arc::new(scan.awaiting(&ids)) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(node),
            })
        })
        .data()
    }
}
