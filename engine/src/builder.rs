//! The engine and how it is put together. Cheap to clone; it holds no connection of its own.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Semaphore;

use crate::journal::{Journal, Observer};
use crate::policy::Policies;
use crate::session::Sessions;
use crate::{Catalog, Error, Limits, MemoryCatalog, Principal, Quality, QueryId};

/// The engine: [`Engine::query`] is the only way to rows.
#[derive(Debug, Clone)]
pub struct Engine {
    /// What one query sees from its first name to its last row. A handle that answers nothing yet sees no dataset, so that it
    /// keeps no source open that a reload has taken away: [`Engine::present`] gives what there is.
    pub(crate) inner: Arc<Inner>,
    /// What the next query will see; shared by all clones.
    present: Arc<RwLock<Arc<Inner>>>,
}

/// The catalog and the policies change together, in one step; the rest is the same for the engine's whole life.
#[derive(Debug, Clone)]
pub(crate) struct Inner {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) policies: Policies,
    pub(crate) limits: Limits,
    pub(crate) quality: Quality,
    pub(crate) default_dataset: Option<String>,
    pub(crate) sessions: Arc<Sessions>,
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
            quality: Quality::default(),
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

    /// From now on queries see these datasets under these policies. Those that run go on with what they started with.
    pub fn reload(&self, catalog: impl Catalog, policies: Policies, default_dataset: Option<String>) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        let next = Inner { catalog: Arc::new(catalog), policies, default_dataset, ..Inner::clone(&present) };
        let before = std::mem::replace(&mut *present, Arc::new(next));
        drop(present);
        // Connections may close with it, and no query waits for that.
        drop(before);
    }

    /// The engine with what there is now, for one query.
    pub(crate) fn present(&self) -> Engine {
        let inner = Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner));
        Engine { inner, present: Arc::clone(&self.present) }
    }
}

/// The parts of an engine, each with a sane default.
pub struct EngineBuilder {
    catalog: Arc<dyn Catalog>,
    policies: Policies,
    limits: Limits,
    quality: Quality,
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

    /// From where on estimates are to be used with care.
    pub fn quality(mut self, quality: Quality) -> Self {
        self.quality = quality;
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
        let sessions = Sessions::new(&self.limits, self.quality, self.spill_dir.as_deref(), &*self.catalog)?;
        let handle = Inner {
            catalog: Arc::new(MemoryCatalog::default()),
            policies: Policies::default(),
            permits: Arc::new(Semaphore::new(self.limits.concurrent_queries)),
            limits: self.limits,
            quality: self.quality,
            default_dataset: None,
            sessions: Arc::new(sessions),
            journal: Journal::new(RECORDS_KEPT, self.observer),
        };
        let present = Inner {
            catalog: self.catalog,
            policies: self.policies,
            default_dataset: self.default_dataset,
            ..handle.clone()
        };
        Ok(Engine { inner: Arc::new(handle), present: Arc::new(RwLock::new(Arc::new(present))) })
    }
}
