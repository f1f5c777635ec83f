//! GROUP BY with a unit among its keys: the first of the two levels that survey estimates and `reach` are made of.
//!
//! There are many units (people, PSUs) and few groups, so nearly every row is of another group of the pair. DataFusion's first
//! pass would hand each row on as a whole state; here the rows themselves go to the partition of their unit, and are added up there
//! once. Without enough memory the sums go to disk, by unit, and come back part by part.

mod cells;
mod exec;
mod numbering;
mod spill;
mod table;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

use exec::ByUnitExec;

/// How the names of keys begin that tell the unit.
pub(crate) const UNIT: &str = "unit_key_";

/// The rule that plans such aggregates as [`ByUnitExec`].
#[derive(Debug)]
pub(crate) struct GroupByUnit;

impl PhysicalOptimizerRule for GroupByUnit {
    fn name(&self) -> &str {
        "group_by_unit"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|step| match by_unit(&step)? {
            Some(by_unit) => Ok(Transformed::yes(Arc::new(by_unit) as Arc<dyn ExecutionPlan>)),
            None => Ok(Transformed::no(step)),
        })
        .data()
    }
}

/// The step in place of an aggregate, and of the partial one below it.
fn by_unit(step: &Arc<dyn ExecutionPlan>) -> Result<Option<ByUnitExec>> {
    let Some(last) = step.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let first = match last.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => Some(last),
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            let below = last.input().downcast_ref::<AggregateExec>();
            below.filter(|below| *below.mode() == AggregateMode::Partial)
        }
        AggregateMode::Partial | AggregateMode::PartialReduce => None,
    };
    let Some(first) = first else { return Ok(None) };
    let keys = first.group_expr();
    let is_of_units = keys.is_single()
        && keys.expr().iter().any(|(_, name)| name.starts_with(UNIT))
        && !first.aggr_expr().is_empty()
        && first.aggr_expr().iter().all(|call| call.groups_accumulator_supported() && call.order_bys().is_empty())
        && last.limit_options().is_none();
    if is_of_units { ByUnitExec::try_new(first, last.schema()).map(Some) } else { Ok(None) }
}
