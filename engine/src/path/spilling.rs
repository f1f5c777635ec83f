//! A second plan for a query whose joins do not fit in memory.
//!
//! A hash join keeps one of its sides in memory, and is the fastest as long as it can. Where memory ends before the first
//! row, the query is planned again: its large joins then sort both sides, which spills.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use crate::Error;
use crate::policy::{Reads, verify_physical};

/// What the reader of the answer is told of a plan that went to disk.
pub(super) fn notice(plan: &Arc<dyn ExecutionPlan>, is_second: bool) -> Option<String> {
    let spilled = spilled_bytes(plan);
    let what = match (is_second, spilled) {
        (true, _) => "The joins did not fit in memory, so their sides were sorted on disk.".to_owned(),
        (false, 0) => return None,
        (false, bytes) => {
            format!(
                "The query did not fit in memory: it wrote {} MB to disk and read them again.",
                bytes.div_ceil(1 << 20)
            )
        }
    };
    Some(format!("{what} With more memory (limits.query_memory, limits.memory) the answer comes faster."))
}

fn spilled_bytes(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or_default();
    own + plan.children().into_iter().map(spilled_bytes).sum::<usize>()
}

/// The tasks of the first plan let go of their memory a moment after it.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSES: usize = 500;
/// So many rows are no burden to anybody.
const FEW_ROWS: usize = 100_000;

/// What a query is planned from.
pub(super) struct SecondPlan {
    pub(super) state: SessionState,
    pub(super) logical: LogicalPlan,
    pub(super) reads: Reads,
}

impl SecondPlan {
    /// Whether it would do better than `first`, which ended with `error`.
    pub(super) fn helps(&self, first: &Arc<dyn ExecutionPlan>, error: &DataFusionError) -> bool {
        let is_memory =
            matches!(error.find_root(), DataFusionError::ResourcesExhausted(text) if !text.contains("disk"));
        is_memory
            && first.exists(|step| Ok(step.downcast_ref::<HashJoinExec>().is_some_and(can_spill))).unwrap_or(false)
    }

    /// Plans with joins that spill, once nothing is left of the first plan.
    pub(super) async fn physical(self, task: &TaskContext) -> Result<Arc<dyn ExecutionPlan>, Error> {
        let mut rules = self.state.physical_optimizers().to_vec();
        // Before the one that sorts and distributes the inputs as each step wants them.
        let at = rules.iter().position(|rule| rule.name() == "join_selection").map_or(0, |at| at + 1);
        rules.insert(at, Arc::new(SpillingJoins));
        let state = SessionStateBuilder::new_from_existing(self.state).with_physical_optimizer_rules(rules).build();
        let physical = state.query_planner().create_physical_plan(&self.logical, &state).await?;
        verify_physical(&physical, self.reads)?;
        for _ in 0..PAUSES {
            if task.memory_pool().reserved() == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(physical)
    }
}

/// Whether a join keeps many rows in memory, and need not: merging has no form that tells NULL keys apart, and does not compare
/// every type in all of its forms.
fn can_spill(join: &HashJoinExec) -> bool {
    let statistics = || StatisticsContext::new().compute(join.left().as_ref(), &StatisticsArgs::new()).ok();
    let rows = || statistics()?.num_rows.get_value().copied();
    let is_small = *join.partition_mode() == PartitionMode::CollectLeft && rows().is_some_and(|rows| rows < FEW_ROWS);
    let schema = join.left().schema();
    let is_comparable = |key: &Arc<dyn PhysicalExpr>| {
        key.data_type(&schema).is_ok_and(|key| {
            key.is_integer()
                || matches!(
                    key,
                    DataType::Boolean
                        | DataType::Date32
                        | DataType::Decimal128(..)
                        | DataType::Timestamp(_, None)
                        | DataType::Utf8
                        | DataType::LargeUtf8
                        | DataType::Utf8View
                )
        })
    };
    !is_small && !join.null_aware && join.on().iter().all(|(left, _)| is_comparable(left))
}

/// The rule that turns large hash joins into sort-merge joins.
#[derive(Debug)]
struct SpillingJoins;

impl PhysicalOptimizerRule for SpillingJoins {
    fn name(&self) -> &str {
        "spilling_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|step| match step.downcast_ref::<HashJoinExec>().filter(|join| can_spill(join)) {
            Some(join) => Ok(Transformed::yes(sorted(join)?)),
            None => Ok(Transformed::no(step)),
        })
        .data()
    }
}

fn sorted(join: &HashJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
    let merge: Arc<dyn ExecutionPlan> = Arc::new(SortMergeJoinExec::try_new(
        Arc::clone(join.left()),
        Arc::clone(join.right()),
        join.on().to_vec(),
        join.filter().cloned(),
        *join.join_type(),
        vec![Default::default(); join.on().len()],
        join.null_equality(),
    )?);
    let Some(columns) = &join.projection else { return Ok(merge) };
    let schema = merge.schema();
    let columns = columns.iter().map(|at| {
        let name = schema.field(*at).name();
        (Arc::new(Column::new(name, *at)) as _, name.clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), merge)?))
}
