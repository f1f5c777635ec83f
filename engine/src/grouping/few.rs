//! The first pass over rows of few groups that are told by whole numbers, as codes, years and regions are: a row's group is looked
//! up in a list, where DataFusion's own first pass hashes it. As soon as there are many groups, the rest is left to that.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_datafusion_err, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties,
};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::inputs::{self, Inputs};
use super::numbering::{self, Numbering};

/// More groups are many.
const MOST: usize = 1 << 16;

/// Whether all keys of an aggregate are whole numbers.
pub(super) fn are_numbers(aggregate: &AggregateExec) -> Result<bool> {
    let keys = aggregate.group_expr().group_schema(&aggregate.input_schema())?;
    Ok(!keys.fields().is_empty() && keys.fields().iter().all(|key| numbering::is_listed(key.data_type())))
}

/// A partial aggregate that begins with a list of its groups.
#[derive(Debug, Clone)]
pub(super) struct FewGroupsExec {
    aggregate: AggregateExec,
    inputs: Inputs,
    metrics: ExecutionPlanMetricsSet,
}

impl FewGroupsExec {
    pub(super) fn new(aggregate: AggregateExec) -> Self {
        Self { inputs: Inputs::of(&aggregate), aggregate, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for FewGroupsExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FewGroupsExec: ")?;
        self.aggregate.fmt_as(format, f)
    }
}

impl ExecutionPlan for FewGroupsExec {
    fn name(&self) -> &str {
        "FewGroupsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.aggregate.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.aggregate.children()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.aggregate.input_distribution_requirements()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.aggregate.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let aggregate = replace_children_if_necessary(Arc::new(self.aggregate.clone()), children)?;
        match aggregate.downcast_ref::<AggregateExec>() {
            Some(aggregate) => Ok(Arc::new(Self::new(aggregate.clone()))),
            None => internal_err!("an aggregate became {}", aggregate.name()),
        }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.aggregate.input().execute(partition, Arc::clone(&context))?;
        let memory = MemoryConsumer::new(format!("FewGroupsExec[{partition}]")).with_can_spill(true);
        let work = Work {
            step: self.clone(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            memory: memory.register(context.memory_pool()),
            context,
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), work.states(rows))))
    }
}

/// One partition at work.
struct Work {
    step: FewGroupsExec,
    metrics: BaselineMetrics,
    memory: MemoryReservation,
    context: Arc<TaskContext>,
}

impl Work {
    /// The states of the groups, then those that the aggregate itself makes of the rest.
    fn states(self, rows: SendableRecordBatchStream) -> BoxStream<'static, Result<RecordBatch>> {
        let made = stream::once(async move {
            let (states, rest) = self.read(rows).await?;
            let first = stream::iter(states.map(Ok::<_, DataFusionError>));
            Ok::<_, DataFusionError>(match rest {
                None => first.boxed(),
                Some(rest) => first.chain(self.rest(rest)?).boxed(),
            })
        });
        made.try_flatten().boxed()
    }

    /// Adds rows up while there are few groups. What it did not read comes back.
    async fn read(
        &self,
        mut rows: SendableRecordBatchStream,
    ) -> Result<(Option<RecordBatch>, Option<SendableRecordBatchStream>)> {
        let calls = self.step.aggregate.aggr_expr().iter();
        let mut sums: Vec<Box<dyn GroupsAccumulator>> =
            calls.map(|call| call.create_groups_accumulator()).collect::<Result<_>>()?;
        let keys = self.step.aggregate.group_expr().group_schema(&self.step.aggregate.input_schema())?;
        let (mut groups, mut numbers) = (Numbering::of(keys.fields())?, Vec::new());
        let mut rest = None;
        while let Some(batch) = rows.try_next().await? {
            let _timer = self.metrics.elapsed_compute().timer();
            if batch.num_rows() == 0 {
                continue;
            }
            let (keys, arguments) = self.step.inputs.evaluate(&batch)?;
            let count = groups.number(&keys, batch.num_rows(), &mut numbers)?;
            inputs::add(&mut sums, &arguments, &numbers, count)?;
            let size = groups.size() + sums.iter().map(|sums| sums.size()).sum::<usize>();
            if count > MOST || !groups.is_listed() || self.memory.try_resize(size).is_err() {
                rest = Some(rows);
                break;
            }
        }
        if numbers.is_empty() {
            // Some functions have no states of nothing.
            return Ok((None, None));
        }
        let mut columns = groups.take()?;
        for sums in &mut sums {
            columns.extend(sums.state(EmitTo::All)?);
        }
        self.memory.free();
        let states = RecordBatch::try_new(self.step.schema(), columns)?;
        self.metrics.record_output(states.num_rows());
        Ok((Some(states), rest))
    }

    /// What the aggregate makes of rows.
    fn rest(self, rows: SendableRecordBatchStream) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let schema = rows.schema();
        let rest = Rest { schema: Arc::clone(&schema), rows: Mutex::new(Some(rows)) };
        let rest = StreamingTableExec::try_new(schema, vec![Arc::new(rest)], None, [], false, None)?;
        let aggregate = replace_children_if_necessary(Arc::new(self.step.aggregate.clone()), vec![Arc::new(rest)])?;
        let states = aggregate.execute(0, self.context)?;
        let metrics = self.metrics;
        let counted = states.inspect_ok(move |states| metrics.record_output(states.num_rows()));
        Ok(counted.boxed())
    }
}

/// Rows that are already being read.
struct Rest {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rest")
    }
}

impl PartitionStream for Rest {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.take().unwrap_or_else(|| {
            let twice = stream::iter([Err(internal_datafusion_err!("the rest of the rows is read twice"))]);
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), twice))
        })
    }
}
