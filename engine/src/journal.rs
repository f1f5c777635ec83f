//! A record of every query: what was asked, by whom, through which door, and how it ended.
//!
//! A record opens before planning and closes exactly once, also when the stream is dropped, fails or panics: the open
//! record is a value whose `Drop` closes it. The journal keeps the latest records in memory, and all of them in a [`log`], where
//! there is one: before the first row of a query leaves, the log says who asked for it.

pub mod log;
mod recall;
mod record;
mod redact;
mod tool;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use crate::meter::Meter;
use crate::receipt::{Receipt, Settings};
use crate::{Code, Error, JoinFacts, Principal, Query, QueryId, Transfers};
use log::{Asked, Ended, Event, Log};

pub use record::{Kind, Outcome, Record};
pub use redact::Redact;

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
    log: Option<Log>,
    redact: Redact,
    meter: Arc<Meter>,
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
    pub(crate) fn new(keep: usize, observer: Option<Observer>, log: Option<(Log, Redact)>, meter: Arc<Meter>) -> Self {
        let (log, redact) = log.map_or((None, Redact::default()), |(log, redact)| (Some(log), redact));
        Self { shared: Arc::new(Shared { state: Mutex::default(), keep, observer, log, redact, meter }) }
    }

    /// Brings back what the log has of earlier processes, as far as there is room.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub(crate) fn recall(&self) -> std::io::Result<()> {
        let Some(log) = &self.shared.log else { return Ok(()) };
        let recalled = log.latest(self.shared.keep)?;
        self.shared
            .state()
            .ended
            .extend(recalled.into_iter().filter_map(|(asked, ended)| recall::record(asked, ended)));
        Ok(())
    }

    /// Opens the record of a query that has just arrived.
    pub(crate) fn open(&self, principal: &Principal, query: &Query, cancel: CancellationToken) -> Entry {
        let id = QueryId::new();
        let record = Record {
            id,
            sql: query.sql.clone(),
            settings: Settings::of(query),
            kind: Kind::Unknown,
            datasets: Vec::new(),
            principal: principal.name().to_owned(),
            door: query.door,
            client: query.client.clone(),
            tool: tool::tool(query.client.as_deref(), query.door),
            credential: principal.credential().map(str::to_owned),
            peer: principal.peer(),
            policies: Vec::new(),
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
            receipt: None,
        };
        self.shared.state().running.insert(id, Running { record, cancel, planned: None, transfers: None });
        Entry { id, began: Instant::now(), shared: Arc::clone(&self.shared), open: true, is_logged: false }
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

    fn asked(&self, record: &Record) -> Event {
        Event::Asked(Asked {
            query_id: record.id.to_string(),
            principal: record.principal.clone(),
            credential: record.credential.clone(),
            door: record.door.as_str().to_owned(),
            client: record.client.clone(),
            tool: record.tool.to_owned(),
            peer: record.peer.map(|peer| peer.to_string()),
            kind: record.kind.as_str().to_owned(),
            sql: self.redact.text(&record.sql),
            settings: self.redact.settings(&record.settings),
            redacted: self.redact != Redact::Nothing,
            datasets: record.datasets.clone(),
            policies: record.policies.clone(),
            started_at: record.started_at,
        })
    }

    fn ended(&self, record: &Record) -> Event {
        Event::Ended(Ended {
            query_id: record.id.to_string(),
            outcome: record.outcome.as_str().to_owned(),
            code: record.code.map(|code| code.as_str().to_owned()),
            error: record.error.as_deref().and_then(|error| self.redact.sentence(error)),
            rows: record.rows,
            bytes: record.bytes,
            truncated: record.truncated,
            source_rows: record.source_rows(),
            source_bytes: record.source_bytes(),
            planning_ms: record.planning.as_secs_f64() * 1e3,
            execution_ms: record.execution.as_secs_f64() * 1e3,
            receipt: record.receipt.as_ref().map(|receipt| self.redact.receipt(receipt)),
        })
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
    /// Whether the log says who asked.
    is_logged: bool,
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

    /// The query has a plan: what it reads and wants is known. From here on rows may leave, so the log has it first.
    ///
    /// # Errors
    /// `internal` where the log cannot be written.
    pub(crate) fn planned(&mut self, kind: Kind, datasets: Vec<String>, policies: Vec<String>) -> Result<(), Error> {
        let planning = self.began.elapsed();
        let mut asked = None;
        self.shared.update(self.id, |running| {
            running.record.kind = kind;
            running.record.datasets = datasets;
            running.record.policies = policies;
            running.record.planning = planning;
            running.planned = Some(Instant::now());
            asked = self.shared.log.is_some().then(|| self.shared.asked(&running.record));
        });
        if let (Some(log), Some(asked)) = (&self.shared.log, asked) {
            log.write(asked)?;
            self.is_logged = true;
        }
        Ok(())
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

    /// The last row has gone, after these joins.
    pub(crate) fn ended(&self, joins: Vec<JoinFacts>, receipt: Option<Box<Receipt>>) {
        self.shared.update(self.id, |running| {
            running.record.joins = joins;
            running.record.receipt = receipt.map(Arc::from);
        });
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
        self.shared.meter.used(&record.principal, record.rows, record.source_bytes());
        self.log(&record);
        trace(&record);
        if let Some(observer) = &self.shared.observer {
            observer(&record);
        }
    }
}

impl Entry {
    /// Writes down how the query ended, and who asked where that is not written yet. The caller has his answer by now, so
    /// that a failure is told to the operator only.
    fn log(&self, record: &Record) {
        let Some(log) = &self.shared.log else { return };
        let asked = (!self.is_logged).then(|| self.shared.asked(record));
        for event in asked.into_iter().chain([self.shared.ended(record)]) {
            if let Err(error) = log.write(event) {
                tracing::error!(query.id = %record.id, cause = ?error, "The audit log cannot be written.");
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.close(Outcome::Abandoned, None);
    }
}

fn trace(record: &Record) {
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
