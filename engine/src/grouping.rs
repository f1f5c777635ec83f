//! GROUP BY in other ways than DataFusion's, where these are faster: with a unit among the keys, and where there are few groups.

mod by_unit;
mod cells;
mod few;
mod inputs;
mod numbering;
mod spill;
mod table;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use by_unit::ByUnitExec;
use few::FewGroupsExec;

/// How the names of keys begin that tell the unit.
pub(crate) const UNIT: &str = "unit_key_";

/// The rule that plans aggregates by unit as [`ByUnitExec`].
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
    let Some(first) = first.filter(|_| last.limit_options().is_none()) else { return Ok(None) };
    let is_of_units = first.group_expr().expr().iter().any(|(_, name)| name.starts_with(UNIT));
    if is_of_units && has_plain_groups(first) { ByUnitExec::try_new(first, last.schema()).map(Some) } else { Ok(None) }
}

/// The rule that plans the first pass over rows with whole numbers as keys as [`FewGroupsExec`]. The last of all: others look for
/// DataFusion's aggregates.
#[derive(Debug)]
pub(crate) struct FewGroups;

impl PhysicalOptimizerRule for FewGroups {
    fn name(&self) -> &str {
        "few_groups"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|step| {
            let Some(aggregate) = step.downcast_ref::<AggregateExec>() else { return Ok(Transformed::no(step)) };
            let is_first = *aggregate.mode() == AggregateMode::Partial
                && aggregate.limit_options().is_none()
                && *aggregate.input_order_mode() == InputOrderMode::Linear
                && aggregate.dynamic_expressions_produced().is_empty();
            if is_first && has_plain_groups(aggregate) && few::are_numbers(aggregate)? {
                Ok(Transformed::yes(Arc::new(FewGroupsExec::new(aggregate.clone())) as Arc<dyn ExecutionPlan>))
            } else {
                Ok(Transformed::no(step))
            }
        })
        .data()
    }
}

/// Whether there is one set of keys, and all calls add up many groups at once, whatever the order of rows.
fn has_plain_groups(aggregate: &AggregateExec) -> bool {
    let calls = aggregate.aggr_expr();
    aggregate.group_expr().is_single()
        && !calls.is_empty()
        && calls.iter().all(|call| call.groups_accumulator_supported() && call.order_bys().is_empty())
}
