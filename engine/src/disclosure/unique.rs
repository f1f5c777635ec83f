//! A table whose keys are found to be unique while it is read, or else the query fails.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, RecordBatch};
use arrow::row::{OwnedRow, RowConverter, SortField};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::StreamExt;

use super::rewrite::refused;
use crate::Error;

/// The two sides of a join, of which one has to be unique: found out while they are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Sides(Arc<[AtomicBool; 2]>);

impl Sides {
    /// Takes note that a side is not unique; whether the other one may still be.
    fn repeats(&self, is_right: bool) -> bool {
        self.0[usize::from(is_right)].store(true, Ordering::SeqCst);
        !self.0[usize::from(!is_right)].load(Ordering::SeqCst)
    }

    fn place(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl PartialEq for Sides {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Sides {}

impl PartialOrd for Sides {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.place().partial_cmp(&other.place())
    }
}

impl Hash for Sides {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place().hash(state);
    }
}

/// The step of the plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(super) struct Unique {
    input: LogicalPlan,
    keys: Vec<usize>,
    /// The join of which it is a side, and whether it is the right one; None = it has to be unique whatever the other is.
    side: Option<(Sides, bool)>,
}

impl Unique {
    pub(super) fn over(input: LogicalPlan, keys: Vec<usize>, side: Option<(Sides, bool)>) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input, keys, side }) })
    }
}

impl UserDefinedLogicalNodeCore for Unique {
    fn name(&self) -> &str {
        "Unique"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unique: {:?}", self.keys)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Self { input, keys: self.keys.clone(), side: self.side.clone() }),
            _ => internal_err!("what is unique has one input"),
        }
    }
}

/// Plans [`Unique`].
#[derive(Debug)]
pub(crate) struct UniquePlanner;

#[async_trait]
impl ExtensionPlanner for UniquePlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(unique) = node.as_any().downcast_ref::<Unique>() else { return Ok(None) };
        let [input] = physical_inputs else { return internal_err!("what is unique has one input") };
        Ok(Some(Arc::new(UniqueExec::new(Arc::clone(input), unique.keys.clone(), unique.side.clone()))))
    }
}

#[derive(Debug)]
struct UniqueExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<usize>,
    side: Option<(Sides, bool)>,
    properties: Arc<PlanProperties>,
}

impl UniqueExec {
    fn new(input: Arc<dyn ExecutionPlan>, keys: Vec<usize>, side: Option<(Sides, bool)>) -> Self {
        let below = input.properties();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            below.emission_type,
            below.boundedness,
        );
        Self { input, keys, side, properties: Arc::new(properties) }
    }
}

impl DisplayAs for UniqueExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UniqueExec: {:?}", self.keys)
    }
}

impl ExecutionPlan for UniqueExec {
    fn name(&self) -> &str {
        "UniqueExec"
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
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.keys.clone(), self.side.clone()))),
            _ => internal_err!("what is unique has one input"),
        }
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let schema = self.schema();
        let fields = self.keys.iter().map(|key| SortField::new(schema.field(*key).data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let memory = MemoryConsumer::new("UniqueExec").register(context.memory_pool());
        let (keys, side) = (self.keys.clone(), self.side.clone());
        // None once it is known to be not unique, which the other side has to be then.
        let mut seen: Option<HashSet<OwnedRow>> = Some(HashSet::new());
        let checked = input.map(move |batch| {
            let batch = batch?;
            if let Some(known) = &mut seen {
                match note(&batch, &keys, &converter, known)? {
                    Some(grown) => memory.try_grow(grown)?,
                    None if side.as_ref().is_some_and(|(sides, is_right)| sides.repeats(*is_right)) => {
                        seen = None;
                        memory.free();
                    }
                    None => return Err(repeated(side.is_some()).into()),
                }
            }
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, checked)))
    }
}

fn repeated(are_both: bool) -> Error {
    match are_both {
        true => refused("Two protected tables are joined in both of which people have several rows.")
            .hint("Aggregate one of them by person first, or join by more columns."),
        false => refused("A protected table is joined with one that has several rows for the same key.")
            .hint("Make the other side unique by the columns of the join, such as with SELECT DISTINCT."),
    }
}

/// Takes note of the keys of a batch; the bytes that takes, or None where one comes again. A key that is NULL meets nothing.
fn note(
    batch: &RecordBatch,
    keys: &[usize],
    converter: &RowConverter,
    seen: &mut HashSet<OwnedRow>,
) -> Result<Option<usize>> {
    let columns: Vec<_> = keys.iter().map(|key| Arc::clone(batch.column(*key))).collect();
    let rows = converter.convert_columns(&columns)?;
    let mut grown = 0;
    for at in 0..batch.num_rows() {
        if columns.iter().any(|column| column.is_null(at)) {
            continue;
        }
        let row = rows.row(at);
        grown += row.as_ref().len() + size_of::<OwnedRow>();
        if !seen.insert(row.owned()) {
            return Ok(None);
        }
    }
    Ok(Some(grown))
}
