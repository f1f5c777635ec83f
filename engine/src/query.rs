//! What is asked: SQL with its parameters, session defaults and origin. A value, made by a door, taken by the engine.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::ScalarUDF;
use uuid::Uuid;

use crate::{Code, Error};

/// The id of one query: in answers, in the journal, in the source's `application_name`, and the handle to cancel it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(Uuid);

impl QueryId {
    /// A new id. Ids sort by time.
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for QueryId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| Error::new(Code::QueryNotFound, "No query has this id. Ids are listed in system.queries."))
    }
}

/// When a query must be done. Scans find it in their task's session configuration, to bound what they ask of a source.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// The deadline of the query that a scan works for.
    pub fn of(context: &TaskContext) -> Option<Instant> {
        context.session_config().get_extension::<Self>().map(|deadline| deadline.0)
    }
}

/// The way in that a query took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// The command line and its shell.
    Cli,
    /// Arrow Flight SQL.
    Flight,
    /// The engine as a library.
    Library,
    /// The Model Context Protocol.
    Mcp,
    /// HTTP.
    Rest,
}

impl Door {
    const ALL: [Door; 5] = [Door::Cli, Door::Flight, Door::Library, Door::Mcp, Door::Rest];

    /// The door of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|door| door.as_str() == name)
    }

    /// The door's name in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Door::Cli => "cli",
            Door::Flight => "flight",
            Door::Library => "library",
            Door::Mcp => "mcp",
            Door::Rest => "rest",
        }
    }
}

/// How to explain a query instead of answering it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explain {
    /// The plan, without running it.
    Plan,
    /// Run it, and show the plan with what each step did.
    Analyze,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Query {
    pub(crate) sql: String,
    pub(crate) params: Option<RecordBatch>,
    pub(crate) dataset: Option<String>,
    pub(crate) apply_weights: Option<bool>,
    pub(crate) max_rows: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) explain: Option<Explain>,
    pub(crate) door: Door,
    pub(crate) client: Option<String>,
    /// Whether it asks about rows as such, of which weights say nothing.
    pub(crate) is_of_rows: bool,
    /// Functions of this query alone: those that the engine asks itself with.
    pub(crate) functions: Vec<Arc<ScalarUDF>>,
}

impl Query {
    /// A question in SQL. `?` and `$1` are parameters.
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            params: None,
            dataset: None,
            apply_weights: None,
            max_rows: None,
            timeout: None,
            explain: None,
            door: Door::Library,
            client: None,
            is_of_rows: false,
            functions: Vec::new(),
        }
    }

    /// Values for the parameters, by position: a batch of one row.
    pub fn params(mut self, params: impl Into<Option<RecordBatch>>) -> Self {
        self.params = params.into();
        self
    }

    /// The dataset in which bare table names are looked up first.
    pub fn dataset(mut self, dataset: impl Into<Option<String>>) -> Self {
        self.dataset = dataset.into();
        self
    }

    /// Whether plain aggregates over a weighted dataset become weighted ones; absent = as the dataset declares.
    pub fn apply_weights(mut self, apply: impl Into<Option<bool>>) -> Self {
        self.apply_weights = apply.into();
        self
    }

    /// Cut the result after so many rows, and say that it was cut.
    pub fn max_rows(mut self, rows: impl Into<Option<u64>>) -> Self {
        self.max_rows = rows.into();
        self
    }

    /// Give up after so long; the engine's own limit holds all the same.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Explain the query instead of answering it.
    pub fn explain(mut self, explain: Explain) -> Self {
        self.explain = Some(explain);
        self
    }

    /// The door it came through, and what the client calls itself.
    pub fn from(mut self, door: Door, client: impl Into<Option<String>>) -> Self {
        self.door = door;
        self.client = client.into();
        self
    }

    /// The same question, whose counts are of rows also where a dataset wants weights.
    pub(crate) fn of_rows(mut self) -> Self {
        self.is_of_rows = true;
        self
    }

    /// The same question, which may call one more function.
    pub(crate) fn function(mut self, function: Arc<ScalarUDF>) -> Self {
        self.functions.push(function);
        self
    }

    /// The text of the question.
    pub fn sql(&self) -> &str {
        &self.sql
    }
}
