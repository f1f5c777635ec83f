//! A governed plan to one that runs: DataFusion's optimizers, and after each of them the verifier.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout_at};

use super::batch_rows::batch_rows;
use super::govern::Governed;
use super::spilling::SecondPlan;
use crate::disclosure::Failures;
use crate::journal::{Entry, Kind};
use crate::policy::verify_physical;
use crate::session::Bounds;
use crate::share::share_equal_parts;
use crate::survey::Notices;
use crate::turns::{Turn, busy};
use crate::{Catalog, Engine, Error, Principal, Transfers};

/// A plan that runs, with its turn to do so.
pub(super) struct Optimized {
    pub(super) physical: Arc<dyn ExecutionPlan>,
    pub(super) task: Arc<TaskContext>,
    pub(super) schema: SchemaRef,
    pub(super) datasets: Vec<String>,
    pub(super) permit: Option<Turn>,
    pub(super) notices: Arc<Notices>,
    pub(super) failures: Option<Failures>,
    /// For the case that memory does not suffice.
    pub(super) second: SecondPlan,
    pub(super) catalog: Arc<dyn Catalog>,
    /// Where it is about data, and not about Weft, there is a receipt, which tells whether an administrator asked.
    pub(super) receipt_by_admin: Option<bool>,
}

impl Governed {
    /// Optimizes, plans physically, verifies both, and waits for a turn.
    ///
    /// # Errors
    /// `permission_denied` where a rule lost a policy; `overloaded` where the turn does not come; `budget_exceeded` where the
    /// plan is sure to fetch too much.
    pub(super) async fn optimize(
        self,
        engine: &Engine,
        principal: &Principal,
        entry: &Entry,
        deadline: Instant,
    ) -> Result<Optimized, Error> {
        let permit = match self.kind() {
            // Metadata answers also when all turns are taken: that is when people look at system.queries.
            Kind::Metadata => None,
            _ => Some(turn(engine, principal, deadline).await?),
        };
        let logical = unhurried(|| match &self.plan {
            // EXPLAIN keeps the plans that it shows while they are made.
            LogicalPlan::Explain(_) => self.state.optimize(&self.plan),
            plan => self.state.optimizer().optimize(plan.clone(), &self.state, |_, _| {}),
        })?;
        let reads = self.verify(&logical)?;
        let logical = engine.inner.catalog.federate(share_equal_parts(logical)?)?;
        let physical = self.state.query_planner().create_physical_plan(&logical, &self.state).await?;
        verify_physical(&physical, reads)?;
        let transfers = Arc::new(Transfers::new(&engine.inner.limits, !self.grants.has_policies()));
        if self.kind() != Kind::Explain {
            transfers.admit(&engine.inner.catalog.transfers(&physical))?;
        }
        entry.fetches(Arc::clone(&transfers));
        let mut config = self.state.config().clone().with_extension(transfers);
        if let Some(rows) = batch_rows(&physical, config.batch_size()) {
            config = config.with_batch_size(rows);
        }
        let memory = engine.inner.limits.of(principal).query_memory.unwrap_or(u64::MAX);
        let bounds = Bounds { deadline: deadline.into_std(), memory };
        let task = engine.inner.sessions.task(&self.state, config, entry.id().to_string(), bounds);
        let (schema, datasets, notices) = (self.schema(), self.datasets(), Arc::clone(&self.notices));
        let has_receipt = !matches!(self.kind(), Kind::Metadata | Kind::Explain);
        let receipt_by_admin = has_receipt.then(|| principal.is_admin());
        let catalog = Arc::clone(&engine.inner.catalog);
        let failures = self.failures;
        let second = SecondPlan { state: self.state, logical, reads };
        Ok(Optimized { physical, task, schema, datasets, permit, notices, failures, second, catalog, receipt_by_admin })
    }
}

/// Does work that may take long without a pause, such as planning a query of a thousand columns. A thread that waits for
/// the network would otherwise be kept from it, and nobody else would be answered.
fn unhurried<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(work),
        _ => work(),
    }
}

async fn turn(engine: &Engine, principal: &Principal, deadline: Instant) -> Result<Turn, Error> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let own = engine.inner.limits.of(principal).concurrent_queries.unwrap_or(usize::MAX);
    let patience = deadline.min(Instant::now() + PATIENCE);
    timeout_at(patience, engine.inner.turns.take(principal, own)).await.unwrap_or_else(|_elapsed| Err(busy()))
}
