//! The step that reads what is kept, or keeps what it reads.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PlanProperties, StatisticsArgs,
};
use futures::stream;
use futures::{StreamExt, TryStreamExt};

use super::store::{Key, Store};

/// One partition of rows that may be known already.
#[derive(Debug, Clone)]
pub(super) struct CachedExec {
    input: Arc<dyn ExecutionPlan>,
    key: Key,
    store: Arc<Store>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl CachedExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, key: Key, store: Arc<Store>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self { input, key, store, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for CachedExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.store.get(&self.key).is_some() { "known" } else { "not known yet" };
        write!(f, "CachedExec: {state}")
    }
}

impl ExecutionPlan for CachedExec {
    fn name(&self) -> &str {
        "CachedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.key.clone(), Arc::clone(&self.store)))),
            _ => internal_err!("what is cached has one input"),
        }
    }

    fn child_stats_requests(&self, _partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(None)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(inputs.first().map_or_else(|| Arc::new(Statistics::new_unknown(&self.schema())), Arc::clone))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let count = |name| MetricBuilder::new(&self.metrics).counter(name, partition);
        let (hits, misses): (Count, Count) = (count("cache_hits"), count("cache_misses"));
        if let Some(known) = self.store.get(&self.key) {
            hits.add(1);
            let known = (0..known.len()).map(move |at| Ok(known[at].clone()));
            let known = stream::iter(known);
            return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), known)));
        }
        misses.add(1);
        let rows = self.input.execute(0, context)?;
        let (key, store) = (self.key.clone(), Arc::clone(&self.store));
        let kept = stream::once(async move {
            let rows: Vec<_> = rows.try_collect().await?;
            store.put(key, rows.clone());
            Ok::<_, DataFusionError>(stream::iter(rows.into_iter().map(Ok)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), kept.try_flatten().boxed())))
    }
}
