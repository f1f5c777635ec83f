//! The engine and how it is put together. Cheap to clone; it holds no connection of its own.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::journal::{Journal, Observer};
use crate::policy::Policies;
use crate::session::Sessions;
use crate::{Catalog, Error, Limits, Principal, QueryId};

/// The engine: [`Engine::query`] is the only way to rows.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) policies: Policies,
    pub(crate) limits: Limits,
    pub(crate) default_dataset: Option<String>,
    pub(crate) sessions: Sessions,
    pub(crate) journal: Journal,
    pub(crate) permits: Arc<Semaphore>,
}

impl Engine {
    /// An engine over `catalog`, with defaults that the builder can change.
    pub fn builder(catalog: impl Catalog) -> EngineBuilder {
        EngineBuilder {
            catalog: Arc::new(catalog),
            policies: Policies::default(),
            limits: Limits::default(),
            default_dataset: None,
            spill_dir: None,
            observer: None,
        }
    }

    /// Stops a running query of `principal`; an admin may stop any.
    ///
    /// # Errors
    /// `query_not_found` where no such query runs, or it is somebody else's.
    pub fn cancel(&self, principal: &Principal, id: QueryId) -> Result<(), Error> {
        self.inner.journal.cancel(principal, id)
    }

    /// Queries that run at this moment.
    pub fn running(&self) -> usize {
        self.inner.journal.running()
    }
}

/// The parts of an engine, each with a sane default.
pub struct EngineBuilder {
    catalog: Arc<dyn Catalog>,
    policies: Policies,
    limits: Limits,
    default_dataset: Option<String>,
    spill_dir: Option<PathBuf>,
    observer: Option<Observer>,
}

impl EngineBuilder {
    /// Bounds on queries.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Who may see which rows and values.
    pub fn policies(mut self, policies: Policies) -> Self {
        self.policies = policies;
        self
    }

    /// The dataset of bare table names where a query names none.
    pub fn default_dataset(mut self, dataset: Option<String>) -> Self {
        self.default_dataset = dataset;
        self
    }

    /// The folder for what spills; without one, the system's temporary folder.
    pub fn spill_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.spill_dir = Some(dir.into());
        self
    }

    /// Called with each record of the journal when it closes.
    pub fn observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The engine.
    ///
    /// # Errors
    /// `internal` where the spill folder cannot be used.
    pub fn build(self) -> Result<Engine, Error> {
        const RECORDS_KEPT: usize = 10_000;
        let sessions = Sessions::new(&self.limits, self.spill_dir.as_deref(), &*self.catalog)?;
        Ok(Engine {
            inner: Arc::new(Inner {
                catalog: self.catalog,
                policies: self.policies,
                permits: Arc::new(Semaphore::new(self.limits.concurrent_queries)),
                limits: self.limits,
                default_dataset: self.default_dataset,
                sessions,
                journal: Journal::new(RECORDS_KEPT, self.observer),
            }),
        })
    }
}
