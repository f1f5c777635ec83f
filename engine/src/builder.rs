//! The engine and how it is put together. Cheap to clone; it holds no connection of its own.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crate::disclosure::Ledger;
use crate::journal::log::Log;
use crate::journal::{Journal, Observer, Record, Redact};
use crate::meter::Meter;
use crate::policy::{Enforced, Policies, PrincipalEntry};
use crate::session::Sessions;
use crate::turns::Turns;
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
    pub(crate) policies: Arc<Enforced>,
    /// The key of hashes that masks make.
    pub(crate) mask_key: [u8; 32],
    pub(crate) limits: Limits,
    pub(crate) quality: Quality,
    pub(crate) default_dataset: Option<String>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) journal: Journal,
    pub(crate) turns: Turns,
    pub(crate) meter: Arc<Meter>,
    /// What callers have been shown of protected tables.
    pub(crate) ledger: Arc<Ledger>,
}

impl Engine {
    /// An engine over `catalog`, with defaults that the builder can change.
    pub fn builder(catalog: impl Catalog) -> EngineBuilder {
        EngineBuilder {
            catalog: Arc::new(catalog),
            policies: Policies::default(),
            mask_key: random_key(),
            limits: Limits::default(),
            quality: Quality::default(),
            default_dataset: None,
            spill_dir: None,
            observer: None,
            log: None,
            is_recalled: false,
        }
    }

    /// Stops a running query of `principal`; an admin may stop any.
    ///
    /// # Errors
    /// `query_not_found` where no such query runs, or it is somebody else's.
    pub fn cancel(&self, principal: &Principal, id: QueryId) -> Result<(), Error> {
        self.inner.journal.cancel(principal, id)
    }

    /// What the policies of this moment declare of the principal called `name`.
    pub fn declared(&self, name: &str) -> Option<PrincipalEntry> {
        self.present().inner.policies.declared(name)
    }

    /// What the policies of this moment declare of the principal whose certificate has one of `names`.
    pub fn certified(&self, names: &[String]) -> Option<PrincipalEntry> {
        self.present().inner.policies.certified(names)
    }

    /// What the journal keeps of a query that `principal` may see: his own, or any if he is an admin.
    pub fn record(&self, principal: &Principal, id: QueryId) -> Option<Record> {
        self.inner.journal.records(principal).into_iter().find(|record| record.id == id)
    }

    /// Queries that run at this moment.
    pub fn running(&self) -> usize {
        self.inner.journal.running()
    }

    /// From now on queries see these datasets under these policies. Those that run go on with what they started with.
    pub fn reload(&self, catalog: impl Catalog, policies: Policies, default_dataset: Option<String>) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        let policies = Arc::new(Enforced::new(policies));
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
    mask_key: [u8; 32],
    limits: Limits,
    quality: Quality,
    default_dataset: Option<String>,
    spill_dir: Option<PathBuf>,
    observer: Option<Observer>,
    log: Option<(Log, Redact)>,
    is_recalled: bool,
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

    /// The key of hashes that masks make: with the same one they stay the same. Without one it is random.
    pub fn mask_key(mut self, key: [u8; 32]) -> Self {
        self.mask_key = key;
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

    /// Where the journal is written down, and what of a query's text. Without it the journal ends with the process.
    pub fn log(mut self, log: Log, redact: Redact) -> Self {
        self.log = Some((log, redact));
        self
    }

    /// The journal goes on where the log of earlier processes ends, so that they can be asked for too.
    pub fn recall(mut self) -> Self {
        self.is_recalled = true;
        self
    }

    /// The engine.
    ///
    /// # Errors
    /// `internal` where the spill folder cannot be used.
    pub fn build(self) -> Result<Engine, Error> {
        const RECORDS_KEPT: usize = 10_000;
        let sessions = Sessions::new(&self.limits, self.quality, self.spill_dir.as_deref(), &*self.catalog)?;
        let meter = Arc::new(Meter::new(self.limits.clone()));
        let journal = Journal::new(RECORDS_KEPT, self.observer, self.log, Arc::clone(&meter));
        if self.is_recalled
            && let Err(error) = journal.recall()
        {
            tracing::warn!(cause = %error, "What the audit log has of earlier queries cannot be read.");
        }
        let handle = Inner {
            catalog: Arc::new(MemoryCatalog::default()),
            policies: Arc::default(),
            mask_key: self.mask_key,
            turns: Turns::new(self.limits.concurrent_queries),
            meter,
            ledger: Arc::default(),
            limits: self.limits,
            quality: self.quality,
            default_dataset: None,
            sessions: Arc::new(sessions),
            journal,
        };
        let present = Inner {
            catalog: self.catalog,
            policies: Arc::new(Enforced::new(self.policies)),
            default_dataset: self.default_dataset,
            ..handle.clone()
        };
        Ok(Engine { inner: Arc::new(handle), present: Arc::new(RwLock::new(Arc::new(present))) })
    }
}

/// Two random UUIDs have 244 random bits.
fn random_key() -> [u8; 32] {
    let parts = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    *blake3::hash(parts.map(uuid::Uuid::into_bytes).as_flattened()).as_bytes()
}
