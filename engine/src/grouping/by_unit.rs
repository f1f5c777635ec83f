//! GROUP BY with a unit among its keys: the first of the two levels that survey estimates and `reach` are made of.
//!
//! There are many units (people, PSUs) and few groups, so nearly every row is of another group of the pair. DataFusion's first
//! pass would hand each row on as a whole state; here the rows themselves go to the partition of their unit, and are added up there
//! once. Without enough memory the sums go to disk, by unit, and come back part by part.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
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
use super::inputs::Inputs;
use super::spill::{Managers, Part, Spill};
use super::table::{Known, Layout, Table};

/// An aggregate in one step, over rows that are spread by unit.
#[derive(Debug, Clone)]
pub(super) struct ByUnitExec {
    input: Arc<dyn ExecutionPlan>,
    inputs: Inputs,
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
        let properties = properties(&input, &layout, &schema);
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, inputs: Inputs::of(aggregate), layout, schema, properties, metrics })
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
            let keys = self.layout.columns(&self.inputs.keys, of_units);
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
        InputDistributionRequirements::new(vec![Distribution::KeyPartitioned(
            self.layout.columns(&self.inputs.keys, true),
        )])
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut next = TreeNodeRecursion::Continue;
        for expression in self.inputs.all() {
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
        let metrics = SpillMetrics::new(&self.metrics, partition);
        let manager = |schema| {
            SpillManager::new(context.runtime_env(), metrics.clone(), schema)
                .with_compression_type(context.session_config().spill_compression())
        };
        let spill = Managers { states: manager(self.state_schema()?), rows: manager(self.input.schema()) };
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

/// So often are units spread over files anew. Each time the parts are 32 times smaller.
const MOST_DEPTH: u64 = 4;

/// One partition at work.
struct Work {
    step: ByUnitExec,
    metrics: BaselineMetrics,
    memory: MemoryReservation,
    spill: Managers,
    batch_rows: usize,
}

type Rows = BoxStream<'static, Result<RecordBatch>>;

/// What remains to be read: rows, or what went to disk.
enum Left {
    Rows(SendableRecordBatchStream),
    Part { part: Part, depth: u64 },
}

/// What came of it: the groups, or more parts than before.
enum Read {
    Groups(Vec<Result<RecordBatch>>),
    Spilled(Vec<Left>),
}

impl Work {
    /// The groups of all rows. Each part holds all there is of its units, so it is read like rows; what is too large is spread again.
    fn groups(self, rows: SendableRecordBatchStream) -> Rows {
        let made = stream::try_unfold((self, vec![Left::Rows(rows)]), async |(work, mut left)| {
            let Some(next) = left.pop() else { return Ok(None) };
            match work.read(next).await? {
                Read::Groups(groups) => Ok::<_, DataFusionError>(Some((stream::iter(groups), (work, left)))),
                Read::Spilled(parts) => {
                    left.extend(parts);
                    Ok(Some((stream::iter(Vec::new()), (work, left))))
                }
            }
        });
        made.try_flatten().boxed()
    }

    async fn read(&self, left: Left) -> Result<Read> {
        let (states, rows, depth) = match left {
            Left::Rows(rows) => (None, Some(rows), 0),
            Left::Part { part: Part { states, rows }, depth } => {
                let read = |manager: &SpillManager, file: Option<Arc<dyn SpillFile>>| {
                    file.map(|file| manager.read_spill_as_stream(file, None)).transpose()
                };
                (read(&self.spill.states, states)?, read(&self.spill.rows, rows)?, depth)
            }
        };
        self.memory.free();
        let mut known = Growing { work: self, depth, table: Table::new(&self.step.layout)?, spill: None };
        if let Some(mut states) = states {
            while let Some(batch) = states.try_next().await? {
                let _timer = self.metrics.elapsed_compute().timer();
                known.table.merge(batch.columns())?;
                known.fit()?;
            }
        }
        if let Some(mut rows) = rows {
            while let Some(batch) = rows.try_next().await? {
                let _timer = self.metrics.elapsed_compute().timer();
                known.add(&batch)?;
                known.fit()?;
            }
        }
        known.finish()
    }

    /// The groups in batches.
    fn batches(&self, known: Known) -> Result<Vec<Result<RecordBatch>>> {
        let all = RecordBatch::try_new(Arc::clone(&self.step.schema), known.columns)?;
        self.metrics.record_output(all.num_rows());
        let starts = (0..all.num_rows()).step_by(self.batch_rows.max(1));
        Ok(starts.map(|start| Ok(all.slice(start, self.batch_rows.min(all.num_rows() - start)))).collect())
    }
}

/// What is known so far of the groups of a part, in memory and on disk.
struct Growing<'a> {
    work: &'a Work,
    depth: u64,
    table: Table,
    spill: Option<Spill>,
}

impl Growing<'_> {
    fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let Work { step, .. } = self.work;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if let Some(spill) = self.spill.as_mut().filter(|spill| spill.takes_rows()) {
            let units = step.layout.columns(&step.inputs.keys, true);
            return spill.write_rows(rows, &evaluate_expressions_to_arrays(&units, rows)?);
        }
        let (keys, arguments) = step.inputs.evaluate(rows)?;
        self.table.add(&keys, &arguments)
    }

    /// Makes sure that it is within memory: else it goes to disk.
    fn fit(&mut self) -> Result<()> {
        let Work { step, memory, spill: managers, .. } = self.work;
        let waiting = self.spill.as_ref().map_or(0, Spill::size);
        let Err(error) = memory.try_resize(self.table.size() + waiting) else { return Ok(()) };
        if let (0, Some(spill)) = (self.table.len(), &mut self.spill) {
            return spill.flush();
        }
        if self.depth == MOST_DEPTH {
            return Err(error);
        }
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::create(managers, self.depth)?),
        };
        spill.write(std::mem::replace(&mut self.table, Table::new(&step.layout)?), managers)?;
        memory.free();
        Ok(())
    }

    fn finish(self) -> Result<Read> {
        let Some(mut spill) = self.spill else {
            return Ok(Read::Groups(self.work.batches(self.table.take_values()?)?));
        };
        if self.table.len() > 0 {
            spill.write(self.table, &self.work.spill)?;
        }
        self.work.memory.free();
        let left = |part| Left::Part { part, depth: self.depth + 1 };
        Ok(Read::Spilled(spill.finish()?.into_iter().map(left).collect()))
    }
}
