//! DataFusion's pushdown of filters through a physical plan, kept from projections that it would get wrong.
//!
//! It carries a filter through a projection by the names of its columns. Where two of them share a name, such as the `id` of
//! either side of a join, a filter on the one would be put on the other. Nothing is pushed through such a projection.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// `rules`, with those guarded that push filters.
pub(crate) fn guarded(rules: Vec<Rule>) -> impl Iterator<Item = Rule> {
    rules.into_iter().map(|rule| match rule.name().starts_with("FilterPushdown") {
        true => Arc::new(Guarded(rule)),
        false => rule,
    })
}

/// A rule that does not see projections whose columns share a name.
#[derive(Debug)]
struct Guarded(Rule);

impl PhysicalOptimizerRule for Guarded {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let hide = |step: Arc<dyn ExecutionPlan>| match has_namesakes(&step) {
            true => Ok(Transformed::yes(Arc::new(Opaque(step)) as Arc<dyn ExecutionPlan>)),
            false => Ok(Transformed::no(step)),
        };
        let show = |step: Arc<dyn ExecutionPlan>| match step.downcast_ref::<Opaque>() {
            Some(opaque) => Ok(Transformed::yes(Arc::clone(&opaque.0))),
            None => Ok(Transformed::no(step)),
        };
        let hidden = plan.transform_up(hide).data()?;
        self.0.optimize(hidden, config)?.transform_up(show).data()
    }
}

fn has_namesakes(step: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(projection) = step.downcast_ref::<ProjectionExec>() else { return false };
    let mut names: Vec<&str> = projection.expr().iter().map(|column| column.alias.as_str()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair.first() == pair.last())
}

/// A step that takes no filter from above.
#[derive(Debug)]
struct Opaque(Arc<dyn ExecutionPlan>);

impl DisplayAs for Opaque {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(format, f)
    }
}

impl ExecutionPlan for Opaque {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.0.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.0.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self(replace_children_if_necessary(Arc::clone(&self.0), children)?)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.0.execute(partition, context)
    }
}
