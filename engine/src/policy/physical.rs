//! The barrier in the physical plan: rows pass, predicates from above do not, but for the keys of a join.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{ChildFilterDescription, FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, StatisticsArgs,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use futures::TryStreamExt;

use super::PolicyBarrier;
use crate::{Code, Error};

/// Plans [`PolicyBarrier`].
#[derive(Debug)]
pub(crate) struct BarrierPlanner;

#[async_trait]
impl ExtensionPlanner for BarrierPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(barrier) = node.as_any().downcast_ref::<PolicyBarrier>() else { return Ok(None) };
        let [input] = physical_inputs else { return internal_err!("a policy barrier has one input") };
        Ok(Some(Arc::new(PolicyBarrierExec::new(
            Arc::clone(input),
            barrier.policy().to_owned(),
            barrier.masked().clone(),
        ))))
    }
}

/// An error from below the barrier without what it says of a row, which may be one that nobody here may see.
fn veiled(error: DataFusionError) -> DataFusionError {
    let error = Error::from(error);
    let is_of_a_row = matches!(
        error.code(),
        Code::ArithmeticError | Code::DataInvalid | Code::InvalidArgument | Code::InvalidSql | Code::Internal
    );
    if !is_of_a_row {
        return error.into();
    }
    Error::new(Code::DataInvalid, "A row of a restricted table cannot be read, or a rule on the table fails on it.")
        .hint("An administrator finds which under this query in the log.")
        .cause(error)
        .into()
}

/// Passes its input on, and stops predicates.
#[derive(Debug)]
pub(crate) struct PolicyBarrierExec {
    input: Arc<dyn ExecutionPlan>,
    policy: String,
    masked: BTreeSet<String>,
    properties: Arc<PlanProperties>,
}

impl PolicyBarrierExec {
    fn new(input: Arc<dyn ExecutionPlan>, policy: String, masked: BTreeSet<String>) -> Self {
        let properties = Arc::clone(input.properties());
        Self { input, policy, masked, properties }
    }
}

impl DisplayAs for PolicyBarrierExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyBarrierExec: {}", self.policy)
    }
}

impl ExecutionPlan for PolicyBarrierExec {
    fn name(&self) -> &str {
        "PolicyBarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.policy.clone(), self.masked.clone()))),
            _ => internal_err!("a policy barrier has one input"),
        }
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?.map_err(veiled);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    /// Statistics are a door too: what is known of the rows below is only ever an estimate above.
    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let below = inputs.first().map(|below| below.as_ref().clone());
        Ok(Arc::new(below.unwrap_or_else(|| Statistics::new_unknown(&self.schema())).to_inexact()))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    /// The keys of a join are leak-proof, and sink where their columns are not masked. Everything else stays above.
    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let are_keys = parent_filters.iter().all(|filter| filter.is::<DynamicFilterPhysicalExpr>());
        if phase != FilterPushdownPhase::Post || !are_keys {
            return Ok(FilterDescription::all_unsupported(&parent_filters, &self.children()));
        }
        let schema = self.schema();
        let open: HashSet<usize> =
            (0..schema.fields().len()).filter(|at| !self.masked.contains(schema.field(*at).name())).collect();
        let child = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, open, &self.input)?;
        Ok(FilterDescription::new().with_child(child))
    }
}
