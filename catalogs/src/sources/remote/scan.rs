//! The step of a plan that asks a database and reads the answer. It asks when it is first polled, with what joins above it
//! have learned of their keys by then.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use engine::receipt::SourceRead;
use engine::{Expected, Transfers};
use futures::{StreamExt, TryStreamExt};

use super::question::Question;
use super::{Remote, keys};

/// How long a scan waits for the keys of a join. They are nearly always there before it is asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads what one question asks.
#[derive(Clone)]
pub(super) struct RemoteExec {
    asked: Arc<dyn Asked>,
    table: String,
    statistics: Arc<Statistics>,
    /// What is done here with the rows and not asked for, and why.
    notes: Arc<[String]>,
    /// What operators above know, or will know, of the rows that they need.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    /// The dynamic filters that a join in this plan completes: worth waiting for.
    awaited: Arc<HashSet<u64>>,
    /// What it has asked, and when.
    sent: Arc<OnceLock<(String, DateTime<Utc>)>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RemoteExec {
    pub(super) fn new<R: Remote>(remote: Arc<R>, question: Question<R>, table: String, statistics: Statistics) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&question.schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            asked: Arc::new(Ask { remote, question }),
            table,
            statistics: Arc::new(statistics),
            notes: Arc::default(),
            filters: Vec::new(),
            awaited: Arc::default(),
            sent: Arc::default(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The same scan, that shows `notes`.
    pub(super) fn noting(self, notes: Arc<[String]>) -> Self {
        Self { notes, ..self }
    }

    /// The same scan, that waits for the dynamic filters with these ids.
    pub(super) fn awaiting(&self, ids: &Arc<HashSet<u64>>) -> Self {
        Self { awaited: Arc::clone(ids), ..self.clone() }
    }

    /// What it is going to fetch, as the source estimates it.
    pub(super) fn expected(&self) -> Option<Expected> {
        let known = |count: &Precision<usize>| count.get_value().and_then(|count| u64::try_from(*count).ok());
        Some(Expected {
            source: self.asked.source().to_owned(),
            rows: known(&self.statistics.num_rows)?,
            bytes: known(&self.statistics.total_byte_size).unwrap_or_default(),
            // Conditions may leave any part of it.
            is_sure: !self.has_filters() && self.asked.is_whole(),
        })
    }

    /// What it has read.
    fn has_read(&self) -> SourceRead {
        let metrics = self.metrics.clone_inner();
        let fetched = metrics.sum_by_name("bytes_fetched").map(|bytes| bytes.as_usize() as u64);
        let sent = self.sent.get();
        SourceRead {
            source: self.asked.source().to_owned(),
            table: Some(self.table.clone()),
            asked: sent.map(|(sql, _)| sql.clone()),
            kept_here: self.notes.to_vec(),
            grouped: self.asked.is_grouped(),
            rows: metrics.output_rows().map(|rows| rows as u64),
            bytes: fetched,
            version: None,
            as_of: sent.map(|(_, at)| *at),
        }
    }

    /// `rows`, counted on their way in.
    fn counted(
        &self,
        rows: SendableRecordBatchStream,
        partition: usize,
        context: &TaskContext,
    ) -> SendableRecordBatchStream {
        let (asked, transfers) = (Arc::clone(&self.asked), Transfers::of(context));
        let fetched = MetricBuilder::new(&self.metrics).counter("bytes_fetched", partition);
        let stream = rows.map(move |batch| {
            let batch = batch?;
            // What a count answers is one number, whatever the rows that it stands for.
            let rows = if asked.is_count() { 1 } else { batch.num_rows() };
            let bytes = batch.get_array_memory_size();
            fetched.add(bytes);
            if let Some(transfers) = &transfers {
                transfers.count(asked.source(), rows as u64, bytes as u64)?;
            }
            Ok(batch)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.asked.schema()), stream))
    }

    pub(super) fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }
}

/// What a step has read, if it is one that asks a database.
pub(crate) fn has_read(step: &Arc<dyn ExecutionPlan>) -> Option<SourceRead> {
    step.downcast_ref::<RemoteExec>().map(RemoteExec::has_read)
}

impl fmt::Debug for RemoteExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteExec").field("table", &self.table).field("sql", &self.asked.sql()).finish_non_exhaustive()
    }
}

impl DisplayAs for RemoteExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, sql) = (self.asked.source(), self.asked.sql());
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "RemoteExec: source={source}, table={}", self.table)?;
                if let Some(rows) = self.statistics.num_rows.get_value() {
                    write!(f, ", estimated_rows={rows}")?;
                }
                if let Some(bytes) = self.statistics.total_byte_size.get_value() {
                    write!(f, ", estimated_bytes={bytes}")?;
                }
                if !self.notes.is_empty() {
                    write!(f, ", here=[{}]", self.notes.join("; "))?;
                }
                write!(f, ", sql={sql}")?;
                if self.has_filters() {
                    let filters: Vec<String> = self.filters.iter().map(ToString::to_string).collect();
                    write!(f, ", dynamic=[{}]", filters.join(", "))?;
                }
                Ok(())
            }
            DisplayFormatType::TreeRender => {
                writeln!(f, "source={source}")?;
                writeln!(f, "table={}", self.table)?;
                writeln!(f, "sql={sql}")
            }
        }
    }
}

impl ExecutionPlan for RemoteExec {
    fn name(&self) -> &'static str {
        "RemoteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    /// A join fills only those filters that it finds here.
    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for filter in &self.filters {
            if f(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("RemoteExec reads a source and has no children") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        // Whoever pushed a filter checks the rows again: what is asked of the server here only spares rows.
        let answers = vec![PushedDown::No; result.parent_filters.len()];
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        if phase != FilterPushdownPhase::Post || !self.asked.takes_filters() {
            return Ok(propagation);
        }
        let more: Vec<_> = result.parent_filters.into_iter().map(|parent| parent.filter).filter(is_dynamic).collect();
        if more.is_empty() {
            return Ok(propagation);
        }
        let filters = self.filters.iter().cloned().chain(more).collect();
        Ok(propagation.with_updated_node(Arc::new(Self { filters, ..self.clone() })))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("RemoteExec has one partition, not {partition}");
        }
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        if self.filters.is_empty() {
            let rows = self.asked.read(&[], &context, metrics, &self.sent);
            return Ok(self.counted(rows, partition, &context));
        }
        let (asked, filters, awaited) = (Arc::clone(&self.asked), self.filters.clone(), Arc::clone(&self.awaited));
        let sent = Arc::clone(&self.sent);
        let within = Arc::clone(&context);
        let rows = async move {
            // Without the keys in time, all rows are asked for: that is slower, and no less right.
            let _ = tokio::time::timeout(PATIENCE, completed(&filters, &awaited)).await;
            Ok::<_, DataFusionError>(asked.read(&filters, &within, metrics, &sent))
        };
        let stream = futures::stream::once(rows).try_flatten();
        let rows = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.asked.schema()), stream));
        Ok(self.counted(rows, partition, &context))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>, DataFusionError> {
        Ok(Arc::clone(&self.statistics))
    }
}

/// A question and who answers it, whatever its kind of database.
trait Asked: fmt::Debug + Send + Sync {
    fn source(&self) -> &str;
    fn schema(&self) -> &SchemaRef;
    fn sql(&self) -> String;
    /// Whether more conditions change nothing but the rows that come: a limit counts the rows as they were asked for.
    fn takes_filters(&self) -> bool;
    /// Whether it asks for nothing but the number of rows.
    fn is_count(&self) -> bool;
    /// Whether it asks for all rows of a table, or for the first ones.
    fn is_whole(&self) -> bool;
    /// Whether it asks for groups.
    fn is_grouped(&self) -> bool;
    fn read(
        &self,
        filters: &[Arc<dyn PhysicalExpr>],
        context: &Arc<TaskContext>,
        metrics: BaselineMetrics,
        sent: &OnceLock<(String, DateTime<Utc>)>,
    ) -> SendableRecordBatchStream;
}

#[derive(Debug)]
struct Ask<R: Remote> {
    remote: Arc<R>,
    question: Question<R>,
}

impl<R: Remote> Asked for Ask<R> {
    fn source(&self) -> &str {
        self.remote.id()
    }

    fn schema(&self) -> &SchemaRef {
        &self.question.schema
    }

    fn sql(&self) -> String {
        self.question.sql()
    }

    fn takes_filters(&self) -> bool {
        self.question.limit.is_none() && !self.question.columns.is_empty()
    }

    fn is_count(&self) -> bool {
        self.question.counts()
    }

    fn is_whole(&self) -> bool {
        self.question.is_whole()
    }

    fn is_grouped(&self) -> bool {
        self.question.is_grouped
    }

    fn read(
        &self,
        filters: &[Arc<dyn PhysicalExpr>],
        context: &Arc<TaskContext>,
        metrics: BaselineMetrics,
        sent: &OnceLock<(String, DateTime<Utc>)>,
    ) -> SendableRecordBatchStream {
        let more = filters.iter().filter_map(|filter| keys::sql::<R>(filter, &self.question.columns));
        let question = self.question.clone().with_conditions(more);
        let has_keys = filters.iter().any(keys::has_list);
        sent.get_or_init(|| (shortened(question.sql()), Utc::now()));
        self.remote.read(Question { has_keys, ..question }, context, metrics)
    }
}

/// The beginning of a statement that is too long to be kept, such as one with all the keys of a join.
fn shortened(mut sql: String) -> String {
    const LONGEST: usize = 8 << 10;
    if sql.len() > LONGEST {
        let bytes = sql.len();
        sql.truncate(sql.floor_char_boundary(LONGEST));
        sql.push_str(&format!(".. ({bytes} bytes)"));
    }
    sql
}

/// The dynamic filters in an expression.
pub(super) fn dynamic_ids(expression: &Arc<dyn PhysicalExpr>) -> Vec<u64> {
    let mut ids = Vec::new();
    // The walk itself cannot fail.
    let _ = expression.apply(|part| {
        if part.downcast_ref::<DynamicFilterPhysicalExpr>().is_some() {
            ids.extend(part.expression_id());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    ids
}

fn is_dynamic(filter: &Arc<dyn PhysicalExpr>) -> bool {
    !dynamic_ids(filter).is_empty()
}

/// Waits until the filters that are worth waiting for say all that they will say.
async fn completed(filters: &[Arc<dyn PhysicalExpr>], awaited: &HashSet<u64>) {
    for filter in filters {
        let mut parts = Vec::new();
        let _ = filter.apply(|part| {
            if part.expression_id().is_some_and(|id| awaited.contains(&id)) {
                parts.push(Arc::clone(part));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        for part in parts {
            if let Some(dynamic) = part.downcast_ref::<DynamicFilterPhysicalExpr>() {
                dynamic.wait_complete().await;
            }
        }
    }
}
