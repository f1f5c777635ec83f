//! Rows that several places of a plan read, made by whichever of them asks first.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::spill_file::SpillFile;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties, SpillManager,
    StatisticsArgs,
};
use futures::future::{BoxFuture, Shared};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};

/// What the places of a part read.
#[derive(Default)]
pub(super) struct Rows {
    made: Mutex<Option<Making>>,
}

/// The work, while it goes on and when it is done. It ends with the plan.
type Making = Shared<BoxFuture<'static, Result<Arc<[Kept]>, Arc<DataFusionError>>>>;

/// The rows of one partition.
struct Kept {
    batches: Vec<RecordBatch>,
    spilled: Option<(SpillManager, Arc<dyn SpillFile>)>,
    /// What `batches` take.
    _memory: MemoryReservation,
}

impl Rows {
    /// The rows: made from `input` where nobody has asked before.
    fn make(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        metrics: &ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Making {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let making = || {
            let task = SpawnedTask::spawn(keep_all(Arc::clone(input), metrics.clone(), Arc::clone(context)));
            let outcome = async move {
                let kept =
                    task.join().await.unwrap_or_else(|failed| Err(DataFusionError::ExecutionJoin(Box::new(failed))));
                kept.map(Arc::from).map_err(Arc::new)
            };
            outcome.boxed().shared()
        };
        made.get_or_insert_with(making).clone()
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

async fn keep_all(
    input: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
    context: Arc<TaskContext>,
) -> Result<Vec<Kept>> {
    let count = input.output_partitioning().partition_count();
    let mut tasks = Vec::with_capacity(count);
    for partition in 0..count {
        let rows = input.execute(partition, Arc::clone(&context))?;
        let spill = SpillManager::new(context.runtime_env(), SpillMetrics::new(&metrics, partition), input.schema());
        let memory = MemoryConsumer::new(format!("SharedExec[{partition}]")).with_can_spill(true);
        let memory = memory.register(context.memory_pool());
        tasks.push(SpawnedTask::spawn(keep(rows, spill, memory)));
    }
    let mut kept = Vec::with_capacity(count);
    for task in tasks {
        kept.push(task.join().await.map_err(|failed| DataFusionError::ExecutionJoin(Box::new(failed)))??);
    }
    Ok(kept)
}

/// Keeps rows in memory while there is some, and on disk after that.
async fn keep(mut rows: SendableRecordBatchStream, spill: SpillManager, memory: MemoryReservation) -> Result<Kept> {
    let (mut batches, mut file) = (Vec::new(), None);
    while let Some(batch) = rows.try_next().await? {
        if batch.num_rows() == 0 {
            continue;
        }
        if file.is_none() {
            if memory.try_grow(batch.get_array_memory_size()).is_ok() {
                batches.push(batch);
                continue;
            }
            let mut opened = spill.create_in_progress_file("SharedExec")?;
            for kept in batches.drain(..) {
                opened.append_batch(&kept)?;
            }
            memory.free();
            file = Some(opened);
        }
        if let Some(file) = &mut file {
            file.append_batch(&batch)?;
        }
    }
    let spilled = match file {
        Some(mut file) => file.finish()?.map(|file| (spill, file)),
        None => None,
    };
    Ok(Kept { batches, spilled, _memory: memory })
}

impl Kept {
    fn read(&self) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        match &self.spilled {
            Some((spill, file)) => Ok(spill.read_spill_as_stream(Arc::clone(file), None)?.boxed()),
            None => Ok(stream::iter(self.batches.clone().into_iter().map(Ok)).boxed()),
        }
    }
}

/// One place where a part is read.
#[derive(Debug)]
pub(super) struct SharedExec {
    input: Arc<dyn ExecutionPlan>,
    part: usize,
    rows: Arc<Rows>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SharedExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, part: usize, rows: Arc<Rows>) -> Self {
        // Only the rows are the same in each place: how they are spread and ordered is decided for each place by itself.
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Self { input, part, rows, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedExec: part {}", self.part + 1)
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &str {
        "SharedExec"
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
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.part, Arc::clone(&self.rows)))),
            _ => internal_err!("a shared part has one input"),
        }
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(inputs.first().map_or_else(|| Arc::new(Statistics::new_unknown(&self.schema())), Arc::clone))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let making = self.rows.make(&self.input, &self.metrics, &context);
        let schema: SchemaRef = self.schema();
        let count = self.properties.output_partitioning().partition_count();
        let read = async move {
            let kept = making.await.map_err(DataFusionError::Shared)?;
            // The place that made the rows may have had another number of partitions.
            let own = kept.iter().skip(partition).step_by(count).map(Kept::read).collect::<Result<Vec<_>>>()?;
            Ok::<_, DataFusionError>(stream::iter(own).flatten())
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(read).try_flatten())))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Int64Array};
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::prelude::SessionConfig;

    use super::*;

    fn numbers(partitions: i64) -> Arc<dyn ExecutionPlan> {
        let batch = |partition: i64, at: i64| {
            let column = Int64Array::from_iter_values((0..1000).map(|row| (partition * 100 + at) * 1000 + row));
            RecordBatch::try_from_iter([("n", Arc::new(column) as _)]).unwrap()
        };
        let rows: Vec<Vec<RecordBatch>> =
            (0..partitions).map(|partition| (0..20).map(|at| batch(partition, at)).collect()).collect();
        MemorySourceConfig::try_new_exec(&rows, rows[0][0].schema(), None).unwrap()
    }

    fn context(memory: usize) -> Arc<TaskContext> {
        let pool = Arc::new(GreedyMemoryPool::new(memory));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        let context = TaskContext::default().with_session_config(SessionConfig::new()).with_runtime(runtime);
        Arc::new(context)
    }

    async fn values(plan: &SharedExec, context: &Arc<TaskContext>) -> Vec<i64> {
        let mut values = Vec::new();
        for partition in 0..plan.properties.output_partitioning().partition_count() {
            let mut rows = plan.execute(partition, Arc::clone(context)).unwrap();
            while let Some(batch) = rows.try_next().await.unwrap() {
                let column = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
                values.extend(column.values());
            }
        }
        values.sort_unstable();
        values
    }

    #[tokio::test]
    async fn every_place_reads_all_rows_in_memory_and_on_disk() {
        for memory in [100 << 20, 50_000, 0] {
            let (rows, context) = (Arc::new(Rows::default()), context(memory));
            let first = SharedExec::new(numbers(3), 0, Arc::clone(&rows));
            // The second place has partitions of its own, and its input is never asked.
            let second = SharedExec::new(numbers(2), 0, rows);
            let wanted = values(&first, &context).await;
            assert_eq!(wanted.len(), 60_000);
            assert_eq!(values(&second, &context).await, wanted);
            let spilled = first.metrics().unwrap().spilled_rows().unwrap_or_default();
            assert_eq!(spilled > 0, memory < 100_000, "{memory} bytes: {spilled} rows");
            drop((first, second));
            assert_eq!(context.memory_pool().reserved(), 0);
        }
    }
}
