//! The state every query starts from: functions, optimizer rules, settings, and the resources that queries share.
//!
//! It is made once. A query gets a copy with its own clock, and a task context with its own memory.

use std::iter;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use datafusion::common::Result;
use datafusion::common::config::SpillCompression;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{SessionStateDefaults, TaskContext};
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, LogicalPlan, ScalarUDF};
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;

use crate::cached::{CachedPlanner, Store};
use crate::codes::{self, DecodeFilters};
use crate::disclosure::{DisclosurePlanner, UniquePlanner};
use crate::grouping::{FewGroups, GroupByUnit};
use crate::join_order::OrderJoins;
use crate::memory::QueryPool;
use crate::numbers::{FloatLiterals, Quotients};
use crate::policy::{BarrierPlanner, PushLeakproofFilters};
use crate::share::SharedPlanner;
use crate::{Catalog, Deadline, Error, Limits, Quality, extremes, integers, pushdown, survey, weighted};

/// What every query starts from.
#[derive(Debug)]
pub(crate) struct Sessions {
    base: SessionState,
    memory: Arc<GreedyMemoryPool>,
    query_memory: u64,
}

impl Sessions {
    pub(crate) fn new(
        limits: &Limits,
        quality: Quality,
        spill_dir: Option<&Path>,
        catalog: &dyn Catalog,
    ) -> Result<Self, Error> {
        let runtime = runtime(limits, spill_dir)?;
        let base = SessionStateBuilder::new()
            .with_config(config(limits))
            .with_runtime_env(Arc::new(runtime))
            .with_expr_planners(expr_planners())
            .with_scalar_functions(scalar_functions(quality))
            .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
            .with_aggregate_functions(aggregate_functions())
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .with_table_function_list(SessionStateDefaults::default_table_functions())
            .with_analyzer_rules(analyzer_rules())
            .with_optimizer_rules(optimizer_rules())
            .with_physical_optimizer_rules(physical_rules(catalog))
            .with_query_planner(Arc::new(Planner::default()))
            .build();
        Ok(Self {
            base,
            memory: Arc::new(GreedyMemoryPool::new(usize::try_from(limits.memory).unwrap_or(usize::MAX))),
            query_memory: limits.query_memory,
        })
    }

    /// The state of a new query: `now()` is this moment.
    pub(crate) fn open(&self) -> SessionState {
        let mut state = self.base.clone();
        state.mark_start_execution();
        state
    }

    /// What the operators of one query run in: memory of its own, and its deadline for those that ask a source.
    pub(crate) fn task(
        &self,
        state: &SessionState,
        config: SessionConfig,
        id: String,
        bounds: Bounds,
    ) -> Arc<TaskContext> {
        let shared = state.runtime_env();
        let runtime = RuntimeEnv {
            memory_pool: Arc::new(QueryPool::new(self.query_memory.min(bounds.memory), Arc::clone(&self.memory))),
            disk_manager: Arc::clone(&shared.disk_manager),
            cache_manager: Arc::clone(&shared.cache_manager),
            object_store_registry: Arc::clone(&shared.object_store_registry),
        };
        Arc::new(TaskContext::new(
            Some(id.clone()),
            id,
            config.with_extension(Arc::new(Deadline(bounds.deadline))),
            state.scalar_functions().clone(),
            state.higher_order_functions().clone(),
            state.aggregate_functions().clone(),
            state.window_functions().clone(),
            Arc::new(runtime),
        ))
    }
}

/// What one query has at most.
pub(crate) struct Bounds {
    pub(crate) deadline: Instant,
    pub(crate) memory: u64,
}

/// DataFusion's functions, but for the one that would show where a file lies, and those of codebooks and of estimates.
fn scalar_functions(quality: Quality) -> Vec<Arc<ScalarUDF>> {
    let functions = SessionStateDefaults::default_scalar_functions();
    let functions = functions.into_iter().filter(|function| function.name() != "input_file_name");
    functions.chain(codes::all()).chain(survey::scalars(quality)).collect()
}

/// DataFusion's functions, some of them put right, and the weighted ones.
fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    // The last of a name is the one that answers to it.
    let functions = SessionStateDefaults::default_aggregate_functions().into_iter();
    functions.chain(extremes::all()).chain(integers::all()).chain(weighted::all()).chain(survey::all()).collect()
}

fn runtime(limits: &Limits, spill_dir: Option<&Path>) -> Result<RuntimeEnv, Error> {
    const FILE_METADATA_CACHE: usize = 256 << 20;
    let mode = match spill_dir {
        Some(dir) => DiskManagerMode::Directories(vec![dir.to_path_buf()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let disk = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(limits.spill);
    let builder =
        RuntimeEnvBuilder::new().with_disk_manager_builder(disk).with_metadata_cache_limit(FILE_METADATA_CACHE);
    Ok(builder.build()?)
}

fn config(limits: &Limits) -> SessionConfig {
    // Keys of a join's build side that may travel to the other side as a list: see design.md, section 6.
    const JOIN_KEYS: usize = 20_000;
    const JOIN_KEYS_SIZE: usize = 4 << 20;
    let parts = limits.query_parallelism.max(1);
    let mut config = SessionConfig::new().with_information_schema(false).with_target_partitions(parts);
    let options = config.options_mut();
    options.optimizer.hash_join_inlist_pushdown_max_distinct_values = JOIN_KEYS;
    options.optimizer.hash_join_inlist_pushdown_max_size = JOIN_KEYS_SIZE;
    options.sql_parser.parse_float_as_decimal = true;
    // It takes rewritten conditions of FILTER, which may be NULL as far as their type goes, for a bug.
    options.execution.skip_physical_aggregate_schema_check = true;
    // What goes to disk is much the same from row to row.
    options.execution.spill_compression = SpillCompression::Lz4Frame;
    // It panics on NaN.
    options.optimizer.enable_topk_aggregation = false;
    options.execution.time_zone = Some("UTC".to_owned());
    config
}

/// DataFusion's planners of operators, and before them the one of quotients.
fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    let ours: Arc<dyn ExprPlanner> = Arc::new(Quotients);
    iter::once(ours).chain(SessionStateDefaults::default_expr_planners()).collect()
}

/// DataFusion's rules; literals find their types before it coerces them.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let ours: Arc<dyn AnalyzerRule + Send + Sync> = Arc::new(FloatLiterals);
    iter::once(ours).chain(Analyzer::new().rules).collect()
}

/// DataFusion's rules, with three after filter pushdown: one moves harmless predicates below a policy's barrier, and one turns
/// those on recoded columns into what sources know, from where the pushdown of the next pass carries them on; one orders joins,
/// by the filters that are on each table then.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let at = rules.iter().position(|rule| rule.name() == "push_down_filter").map_or(rules.len(), |at| at + 1);
    rules.insert(at, Arc::new(PushLeakproofFilters));
    rules.insert(at + 1, Arc::new(DecodeFilters));
    rules.insert(at + 2, Arc::new(OrderJoins));
    rules
}

/// DataFusion's rules, and after them those of the catalog. Before the one that distributes rows as each step wants them, groups by
/// unit are found.
fn physical_rules(catalog: &dyn Catalog) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules: Vec<_> = pushdown::guarded(PhysicalOptimizer::new().rules).collect();
    let at = rules.iter().position(|rule| rule.name() == "join_selection").map_or(0, |at| at + 1);
    rules.insert(at, Arc::new(GroupByUnit));
    rules.extend(catalog.physical_rules());
    rules.push(Arc::new(FewGroups));
    rules
}

/// Plans what DataFusion does not know of.
#[derive(Debug, Default)]
struct Planner {
    cached: Arc<Store>,
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn datafusion::catalog::Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let cached = CachedPlanner(Arc::clone(&self.cached));
        let planners: Vec<Arc<dyn ExtensionPlanner + Send + Sync>> = vec![
            Arc::new(BarrierPlanner),
            Arc::new(DisclosurePlanner),
            Arc::new(UniquePlanner),
            Arc::new(SharedPlanner::default()),
            Arc::new(cached),
        ];
        DefaultPhysicalPlanner::with_extension_planners(planners).create_physical_plan(plan, session).await
    }
}
