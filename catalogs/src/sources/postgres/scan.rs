//! The step of a plan that reads a table of PostgreSQL. One stream, begun when it is first asked for a row.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::pool::{Pool, Session};
use super::reader::{Job, Rows};
use super::relations::Listings;
use super::table::Question;

/// Reads what one question asks.
pub(super) struct PostgresExec {
    question: Arc<Question>,
    table: String,
    statistics: Arc<Statistics>,
    pool: Arc<Pool>,
    listings: Arc<Listings>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PostgresExec {
    pub(super) fn new(
        question: Question,
        table: String,
        statistics: Statistics,
        pool: Arc<Pool>,
        listings: Arc<Listings>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&question.schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            question: Arc::new(question),
            table,
            statistics: Arc::new(statistics),
            pool,
            listings,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl fmt::Debug for PostgresExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresExec")
            .field("table", &self.table)
            .field("sql", &self.question.sql)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for PostgresExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.pool.place().id;
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "PostgresExec: source={source}, table={}, sql={}", self.table, self.question.sql)
            }
            DisplayFormatType::TreeRender => {
                writeln!(f, "source={source}")?;
                writeln!(f, "table={}", self.table)?;
                writeln!(f, "sql={}", self.question.sql)
            }
        }
    }
}

impl ExecutionPlan for PostgresExec {
    fn name(&self) -> &'static str {
        "PostgresExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("PostgresExec reads a source and has no children") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("PostgresExec has one partition, not {partition}");
        }
        let application_name = match context.task_id() {
            Some(query) => format!("weft/{query}"),
            None => "weft".to_owned(),
        };
        let job = Job {
            question: Arc::clone(&self.question),
            session: Session { application_name, statement_timeout: self.pool.settings().statement_timeout },
            batch_rows: context.session_config().batch_size().max(1),
            pool: Arc::clone(&self.pool),
            listings: Arc::clone(&self.listings),
        };
        Ok(Box::pin(Rows::new(job, BaselineMetrics::new(&self.metrics, partition))))
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
