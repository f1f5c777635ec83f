//! A record of every query: what was asked, by whom, through which door, and how it ended.
//!
//! A record opens before planning and closes exactly once, also when the stream is dropped, fails or panics: the open
//! record is a value whose `Drop` closes it. The journal keeps the latest records in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::{Code, Door, Error, JoinFacts, Principal, Query, QueryId, Transfer, Transfers};

/// What kind of answer a query wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows as they are.
    Raw,
    /// Aggregates, none of them weighted.
    Aggregated,
    /// At least one weighted aggregate.
    Weighted,
    /// System tables only.
    Metadata,
    /// A plan.
    Explain,
    /// It never became a plan.
    Unknown,
}

impl Kind {
    /// The kind's name in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Raw => "raw",
            Kind::Aggregated => "aggregated",
            Kind::Weighted => "weighted",
            Kind::Metadata => "metadata",
            Kind::Explain => "explain",
            Kind::Unknown => "unknown",
        }
    }
}

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It runs.
    Running,
    /// The last row was taken.
    Completed,
    /// It ended in an error; the record has its code.
    Failed,
    /// Somebody cancelled it by its id.
    Cancelled,
    /// The reader went away before the last row.
    Abandoned,
}

impl Outcome {
    /// The outcome's name in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Completed => "completed",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Abandoned => "abandoned",
        }
    }
}

/// One query in the journal.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its id.
    pub id: QueryId,
    /// Its text.
    pub sql: String,
    /// What kind of answer it wants.
    pub kind: Kind,
    /// The datasets it reads.
    pub datasets: Vec<String>,
    /// Who asked.
    pub principal: String,
    /// The way in.
    pub door: Door,
    /// What the client calls itself.
    pub client: Option<String>,
    /// When it came.
    pub started_at: DateTime<Utc>,
    /// Time from its arrival to its plan.
    pub planning: Duration,
    /// Time from its plan to its end, or to now.
    pub execution: Duration,
    /// Rows that left.
    pub rows: u64,
    /// Bytes of Arrow memory that left.
    pub bytes: u64,
    /// What it fetched from databases, by source.
    pub transfers: Vec<Transfer>,
    /// What its joins made of their inputs, once it is complete.
    pub joins: Vec<JoinFacts>,
    /// Whether the caller's `max_rows` cut it.
    pub truncated: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    pub code: Option<Code>,
    /// The sentence that the caller got.
    pub error: Option<String>,
}

impl Record {
    /// Rows that it fetched from databases.
    pub fn source_rows(&self) -> u64 {
        self.transfers.iter().map(|transfer| transfer.rows).sum()
    }

    /// Bytes that it fetched from databases.
    pub fn source_bytes(&self) -> u64 {
        self.transfers.iter().map(|transfer| transfer.bytes).sum()
    }
}

/// Called with each record when it closes, such as by metrics.
pub type Observer = Arc<dyn Fn(&Record) + Send + Sync>;

/// Records of queries: those that run, and the latest that ended.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    keep: usize,
    observer: Option<Observer>,
}

#[derive(Default)]
struct State {
    running: HashMap<QueryId, Running>,
    ended: VecDeque<Record>,
}

struct Running {
    record: Record,
    cancel: CancellationToken,
    planned: Option<Instant>,
    transfers: Option<Arc<Transfers>>,
}

impl Running {
    /// The record as it is now.
    fn now(&self) -> Record {
        let transfers = self.transfers.as_ref().map(|transfers| transfers.so_far()).unwrap_or_default();
        let execution = self.planned.map_or(Duration::ZERO, |planned| planned.elapsed());
        Record { transfers, execution, ..self.record.clone() }
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("keep", &self.shared.keep).finish_non_exhaustive()
    }
}

impl Journal {
    /// A journal that keeps the latest `keep` ended records.
    pub(crate) fn new(keep: usize, observer: Option<Observer>) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), keep, observer }) }
    }

    /// Opens the record of a query that has just arrived.
    pub(crate) fn open(&self, principal: &Principal, query: &Query, cancel: CancellationToken) -> Entry {
        let id = QueryId::new();
        let record = Record {
            id,
            sql: query.sql.clone(),
            kind: Kind::Unknown,
            datasets: Vec::new(),
            principal: principal.name().to_owned(),
            door: query.door,
            client: query.client.clone(),
            started_at: Utc::now(),
            planning: Duration::ZERO,
            execution: Duration::ZERO,
            rows: 0,
            bytes: 0,
            transfers: Vec::new(),
            joins: Vec::new(),
            truncated: false,
            outcome: Outcome::Running,
            code: None,
            error: None,
        };
        self.shared.state().running.insert(id, Running { record, cancel, planned: None, transfers: None });
        Entry { id, began: Instant::now(), shared: Arc::clone(&self.shared), open: true }
    }

    /// Queries that run at this moment.
    pub(crate) fn running(&self) -> usize {
        self.shared.state().running.len()
    }

    /// All records that `principal` may see, the newest first.
    pub(crate) fn records(&self, principal: &Principal) -> Vec<Record> {
        let state = self.shared.state();
        let running = state.running.values().map(Running::now);
        let mut records: Vec<Record> = running
            .chain(state.ended.iter().cloned())
            .filter(|record| principal.is_admin() || record.principal == principal.name())
            .collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.id));
        records
    }

    /// Cancels a running query of `principal`, or any if it is an admin.
    ///
    /// # Errors
    /// `query_not_found` where no such query runs, or it is somebody else's.
    pub(crate) fn cancel(&self, principal: &Principal, id: QueryId) -> Result<(), Error> {
        let state = self.shared.state();
        match state.running.get(&id) {
            Some(running) if principal.is_admin() || running.record.principal == principal.name() => {
                running.cancel.cancel();
                Ok(())
            }
            _ => Err(Error::new(Code::QueryNotFound, "No query with this id is running.")
                .hint("system.queries lists running and ended queries.")),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, id: QueryId, change: impl FnOnce(&mut Running)) {
        if let Some(running) = self.state().running.get_mut(&id) {
            change(running);
        }
    }
}

/// An open record. Dropped while open, it closes as abandoned.
#[derive(Debug)]
pub(crate) struct Entry {
    id: QueryId,
    began: Instant,
    shared: Arc<Shared>,
    open: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Entry {
    pub(crate) fn id(&self) -> QueryId {
        self.id
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The query has a plan: what it reads and wants is known.
    pub(crate) fn planned(&self, kind: Kind, datasets: Vec<String>) {
        let planning = self.began.elapsed();
        self.shared.update(self.id, |running| {
            running.record.kind = kind;
            running.record.datasets = datasets;
            running.record.planning = planning;
            running.planned = Some(Instant::now());
        });
    }

    /// The query counts in `transfers` what it fetches.
    pub(crate) fn fetches(&self, transfers: Arc<Transfers>) {
        self.shared.update(self.id, |running| running.transfers = Some(transfers));
    }

    /// A batch has left.
    pub(crate) fn sent(&self, rows: u64, bytes: u64) {
        self.shared.update(self.id, |running| {
            running.record.rows += rows;
            running.record.bytes += bytes;
        });
    }

    /// The query's joins have ended.
    pub(crate) fn joined(&self, joins: Vec<JoinFacts>) {
        self.shared.update(self.id, |running| running.record.joins = joins);
    }

    pub(crate) fn truncated(&self) {
        self.shared.update(self.id, |running| running.record.truncated = true);
    }

    pub(crate) fn complete(&mut self) {
        self.close(Outcome::Completed, None);
    }

    pub(crate) fn fail(&mut self, error: &Error) {
        let outcome = if error.code() == Code::Cancelled { Outcome::Cancelled } else { Outcome::Failed };
        self.close(outcome, Some(error));
    }

    fn close(&mut self, outcome: Outcome, error: Option<&Error>) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let mut state = self.shared.state();
        let Some(running) = state.running.remove(&self.id) else { return };
        let mut record = running.now();
        if running.planned.is_none() {
            record.planning = self.began.elapsed();
        }
        record.outcome = outcome;
        record.code = error.map(Error::code);
        record.error = error.map(|error| error.message().to_owned());
        while state.ended.len() >= self.shared.keep {
            state.ended.pop_front();
        }
        state.ended.push_back(record.clone());
        drop(state);
        log(&record);
        if let Some(observer) = &self.shared.observer {
            observer(&record);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.close(Outcome::Abandoned, None);
    }
}

fn log(record: &Record) {
    tracing::info!(
        query.id = %record.id,
        query.kind = record.kind.as_str(),
        query.datasets = record.datasets.join(","),
        principal = record.principal,
        door = record.door.as_str(),
        client = record.client.as_deref().unwrap_or_default(),
        rows = record.rows,
        bytes = record.bytes,
        source_rows = record.source_rows(),
        source_bytes = record.source_bytes(),
        planning_ms = record.planning.as_millis() as u64,
        execution_ms = record.execution.as_millis() as u64,
        outcome = record.outcome.as_str(),
        code = record.code.map(Code::as_str).unwrap_or_default(),
        "query"
    );
}
