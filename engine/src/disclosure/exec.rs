//! The step that judges, as it runs. Cells are judged when all of them are there; rows as they come.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{Distribution, EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, TryStreamExt, stream};

use super::node::{Disclosed, Judge, Sitting};

/// Plans [`Disclosed`].
#[derive(Debug)]
pub(crate) struct DisclosurePlanner;

#[async_trait]
impl ExtensionPlanner for DisclosurePlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(disclosed) = node.as_any().downcast_ref::<Disclosed>() else { return Ok(None) };
        let [input] = physical_inputs else { return internal_err!("disclosure is controlled of one input") };
        let schema = SchemaRef::clone(UserDefinedLogicalNodeCore::schema(disclosed).inner());
        Ok(Some(Arc::new(DisclosureExec::new(Arc::clone(input), schema, Arc::clone(&disclosed.sitting)))))
    }
}

#[derive(Debug)]
pub(super) struct DisclosureExec {
    input: Arc<dyn ExecutionPlan>,
    sitting: Arc<Sitting>,
    properties: Arc<PlanProperties>,
}

impl DisclosureExec {
    fn new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef, sitting: Arc<Sitting>) -> Self {
        let below = input.properties();
        let equivalence = match &sitting.judge {
            Judge::Cells(_) => EquivalenceProperties::new(schema),
            Judge::Rows(_) => {
                EquivalenceProperties::new_with_orderings(Arc::clone(&schema), kept_order(&input, &schema))
            }
        };
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(1),
            below.emission_type,
            below.boundedness,
        );
        Self { input, sitting, properties: Arc::new(properties) }
    }
}

/// The order of the rows below, as far as the columns that are shown tell it.
fn kept_order(input: &Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Option<LexOrdering> {
    let is_shown = |key: &&PhysicalSortExpr| {
        collect_columns(&key.expr).iter().all(|column| column.index() < schema.fields().len())
    };
    LexOrdering::new(input.output_ordering()?.iter().take_while(is_shown).cloned())
}

impl DisplayAs for DisclosureExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DisclosureExec")
    }
}

impl ExecutionPlan for DisclosureExec {
    fn name(&self) -> &str {
        "DisclosureExec"
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
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.schema(), Arc::clone(&self.sitting)))),
            _ => internal_err!("disclosure is controlled of one input"),
        }
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![matches!(self.sitting.judge, Judge::Rows(_))]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut input = self.input.execute(partition, Arc::clone(&context))?;
        let (schema, sitting) = (self.schema(), Arc::clone(&self.sitting));
        let shown = SchemaRef::clone(&schema);
        match &self.sitting.judge {
            Judge::Cells(_) => {
                let below = self.input.schema();
                let memory = MemoryConsumer::new("DisclosureExec").register(context.memory_pool());
                let judged = async move {
                    let mut batches: Vec<RecordBatch> = Vec::new();
                    while let Some(batch) = input.try_next().await? {
                        memory.try_grow(batch.get_array_memory_size())?;
                        batches.push(batch);
                    }
                    let all = concat_batches(&below, &batches)?;
                    drop(batches);
                    match &sitting.judge {
                        Judge::Cells(cells) => cells.judge(&all, &sitting, &shown),
                        Judge::Rows(_) => internal_err!("rows are no cells"),
                    }
                };
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(judged))))
            }
            Judge::Rows(rows) => {
                rows.say(&sitting);
                let seen = rows.nothing_yet();
                let judged = stream::try_unfold((input, seen), move |(mut input, mut seen)| {
                    let (sitting, shown) = (Arc::clone(&sitting), SchemaRef::clone(&shown));
                    async move {
                        let Judge::Rows(rows) = &sitting.judge else { return internal_err!("cells are no rows") };
                        if rows.is_done(&seen) {
                            return Ok(None);
                        }
                        let Some(batch) = input.next().await.transpose()? else { return Ok(None) };
                        Ok(Some((rows.judge(&batch, &sitting, &mut seen, &shown)?, (input, seen))))
                    }
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, judged)))
            }
        }
    }
}
