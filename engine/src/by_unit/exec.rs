//! The step itself: rows in by unit, a row out for each unit in each group.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::spill_file::SpillFile;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    Partitioning, PlanProperties, SpillManager,
};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::UNIT;
use super::spill::Spill;
use super::table::{Known, Layout, Table};

/// What a call takes, and which rows it takes it of.
type Arguments = (Vec<Arc<dyn PhysicalExpr>>, Option<Arc<dyn PhysicalExpr>>);

/// An aggregate in one step, over rows that are spread by unit.
#[derive(Debug, Clone)]
pub(super) struct ByUnitExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    arguments: Vec<Arguments>,
    layout: Layout,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ByUnitExec {
    /// What `aggregate` makes of its rows, in the columns of `schema`.
    ///
    /// # Errors
    /// Those of the types of its keys.
    pub(super) fn try_new(aggregate: &AggregateExec, schema: SchemaRef) -> Result<Self> {
        let input = Arc::clone(aggregate.input());
        let group_by = aggregate.group_expr();
        let layout = Layout {
            keys: group_by.group_schema(&input.schema())?,
            is_unit: group_by.expr().iter().map(|(_, name)| name.starts_with(UNIT)).collect(),
            calls: aggregate.aggr_expr().to_vec(),
        };
        let filters = aggregate.filter_expr().iter().cloned();
        let arguments = layout.calls.iter().map(|call| call.expressions()).zip(filters).collect();
        let properties = properties(&input, &layout, &schema);
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, keys: group_by.input_exprs(), arguments, layout, schema, properties, metrics })
    }

    /// Keys, states: what is on disk when memory does not suffice.
    fn state_schema(&self) -> Result<SchemaRef> {
        let mut fields = self.layout.keys.fields().to_vec();
        for call in &self.layout.calls {
            fields.extend(call.state_fields()?);
        }
        Ok(Arc::new(Schema::new(fields)))
    }
}

/// Rows come out of the partition of their unit.
fn properties(input: &Arc<dyn ExecutionPlan>, layout: &Layout, schema: &SchemaRef) -> Arc<PlanProperties> {
    let columns = layout.keys.fields().iter().enumerate();
    let columns: Vec<Arc<dyn PhysicalExpr>> =
        columns.map(|(at, key)| Arc::new(Column::new(key.name(), at)) as Arc<dyn PhysicalExpr>).collect();
    let partitions = input.output_partitioning().partition_count();
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::Hash(layout.columns(&columns, true), partitions),
        EmissionType::Final,
        input.boundedness(),
    ))
}

impl DisplayAs for ByUnitExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |of_units| {
            let keys = self.layout.columns(&self.keys, of_units);
            keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let calls: Vec<&str> = self.layout.calls.iter().map(|call| call.name()).collect();
        write!(f, "ByUnitExec: unit=[{}], gby=[{}], aggr=[{}]", names(true), names(false), calls.join(", "))
    }
}

impl ExecutionPlan for ByUnitExec {
    fn name(&self) -> &str {
        "ByUnitExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::KeyPartitioned(self.layout.columns(&self.keys, true))])
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let arguments = self.arguments.iter().flat_map(|(values, filter)| values.iter().chain(filter));
        let mut next = TreeNodeRecursion::Continue;
        for expression in self.keys.iter().chain(arguments) {
            next = next.visit_sibling(|| f(expression))?;
        }
        Ok(next)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => {
                let properties = properties(&input, &self.layout, &self.schema);
                let metrics = ExecutionPlanMetricsSet::new();
                Ok(Arc::new(Self { input, properties, metrics, ..self.as_ref().clone() }))
            }
            _ => internal_err!("groups by unit have one input"),
        }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, Arc::clone(&context))?;
        let spill = SpillMetrics::new(&self.metrics, partition);
        let spill = SpillManager::new(context.runtime_env(), spill, self.state_schema()?);
        let spill = spill.with_compression_type(context.session_config().spill_compression());
        let memory = MemoryConsumer::new(format!("ByUnitExec[{partition}]")).with_can_spill(true);
        let work = Work {
            step: self.clone(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            memory: memory.register(context.memory_pool()),
            spill,
            batch_rows: context.session_config().batch_size(),
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), work.groups(rows))))
    }
}

/// So often are units spread over files anew. Each time the parts are 64 times smaller.
const MOST_DEPTH: u64 = 4;

/// One partition at work.
struct Work {
    step: ByUnitExec,
    metrics: BaselineMetrics,
    memory: MemoryReservation,
    spill: SpillManager,
    batch_rows: usize,
}

type Rows = BoxStream<'static, Result<RecordBatch>>;

/// What remains to be read: rows, or states that went to disk.
enum Left {
    Rows(SendableRecordBatchStream),
    States { file: Arc<dyn SpillFile>, depth: u64 },
}

/// What came of it: the groups, or more files than before.
enum Read {
    Groups(Vec<Result<RecordBatch>>),
    Spilled(Vec<Left>),
}

impl Work {
    /// The groups of all rows. Each file holds all there is of its units, so it is read like rows; what is too large is spread again.
    fn groups(self, rows: SendableRecordBatchStream) -> Rows {
        let made = stream::try_unfold((self, vec![Left::Rows(rows)]), async |(work, mut left)| {
            let Some(next) = left.pop() else { return Ok(None) };
            match work.read(next).await? {
                Read::Groups(groups) => Ok::<_, DataFusionError>(Some((stream::iter(groups), (work, left)))),
                Read::Spilled(files) => {
                    left.extend(files);
                    Ok(Some((stream::iter(Vec::new()), (work, left))))
                }
            }
        });
        made.try_flatten().boxed()
    }

    async fn read(&self, left: Left) -> Result<Read> {
        let (mut batches, depth, is_states) = match left {
            Left::Rows(rows) => (rows, 0, false),
            Left::States { file, depth } => (self.spill.read_spill_as_stream(file, None)?, depth, true),
        };
        self.memory.free();
        let mut table = Table::new(&self.step.layout)?;
        let mut spill: Option<Spill> = None;
        while let Some(batch) = batches.try_next().await? {
            let _timer = self.metrics.elapsed_compute().timer();
            if is_states {
                table.merge(batch.columns())?;
            } else {
                self.add(&mut table, &batch)?;
            }
            if let Err(error) = self.memory.try_resize(table.size()) {
                if depth == MOST_DEPTH {
                    return Err(error);
                }
                let spill = match &mut spill {
                    Some(spill) => spill,
                    none => none.insert(Spill::create(&self.spill, depth)?),
                };
                spill.write(std::mem::replace(&mut table, Table::new(&self.step.layout)?))?;
                self.memory.free();
            }
        }
        drop(batches);
        let Some(mut spill) = spill else { return Ok(Read::Groups(self.batches(table.take_values()?)?)) };
        if !table.is_empty() {
            spill.write(table)?;
        }
        self.memory.free();
        let states = |file| Left::States { file, depth: depth + 1 };
        Ok(Read::Spilled(spill.finish()?.into_iter().map(states).collect()))
    }

    fn add(&self, table: &mut Table, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let keys = evaluate_expressions_to_arrays(&self.step.keys, batch)?;
        let arguments = self.step.arguments.iter().map(|(values, filter)| {
            let values = evaluate_expressions_to_arrays(values, batch)?;
            let filter = filter.as_ref().map(|filter| condition(filter, batch)).transpose()?;
            Ok((values, filter))
        });
        table.add(&keys, &arguments.collect::<Result<Vec<_>>>()?)
    }

    /// The groups in batches.
    fn batches(&self, known: Known) -> Result<Vec<Result<RecordBatch>>> {
        let all = RecordBatch::try_new(Arc::clone(&self.step.schema), known.columns)?;
        self.metrics.record_output(all.num_rows());
        let starts = (0..all.num_rows()).step_by(self.batch_rows.max(1));
        Ok(starts.map(|start| Ok(all.slice(start, self.batch_rows.min(all.num_rows() - start)))).collect())
    }
}

fn condition(filter: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let column: ArrayRef = filter.evaluate(batch)?.into_array(batch.num_rows())?;
    match column.as_boolean_opt() {
        Some(condition) => Ok(condition.clone()),
        None => internal_err!("a filter is {}", column.data_type()),
    }
}
