//! What the journal keeps of one query.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::receipt::{Receipt, Settings};
use crate::{Code, Door, JoinFacts, QueryId, Transfer};

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
    const ALL: [Kind; 6] = [Kind::Raw, Kind::Aggregated, Kind::Weighted, Kind::Metadata, Kind::Explain, Kind::Unknown];

    /// The kind of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

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
    /// The process ended before it did.
    Lost,
}

impl Outcome {
    const ALL: [Outcome; 6] =
        [Outcome::Running, Outcome::Completed, Outcome::Failed, Outcome::Cancelled, Outcome::Abandoned, Outcome::Lost];

    /// The outcome of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }

    /// The outcome's name in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Completed => "completed",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Abandoned => "abandoned",
            Outcome::Lost => "lost",
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
    /// What it came with besides its text.
    pub settings: Settings,
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
    /// Which of the known tools the client is of.
    pub tool: &'static str,
    /// The credential that the principal came by.
    pub credential: Option<String>,
    /// The address that it came from.
    pub peer: Option<IpAddr>,
    /// The rules that were applied, by table.
    pub policies: Vec<String>,
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
    /// How its answer came about, once it is complete.
    pub receipt: Option<Arc<Receipt>>,
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
