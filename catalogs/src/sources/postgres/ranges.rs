//! A large table in parts that several connections read at the same time, all in one snapshot.
//!
//! Readers take the parts from one queue, so that nobody waits for anybody: a reader that finds no free connection leaves its share
//! to the others. What lies on another server, as a foreign table does, knows nothing of the snapshot and is read whole.

mod keys;
mod pages;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Question;
use super::link::Link;

/// Below so many rows one connection is done before a second one has begun.
const FEWEST_ROWS: u64 = 100_000;

/// Conditions that the rows of one part meet, and those of no other.
type Part = Vec<String>;

/// The parts that nobody has taken yet, and the snapshot that all are read in.
#[derive(Debug)]
pub(super) struct Ranges {
    pub(super) snapshot: String,
    left: Mutex<Vec<Part>>,
    assistants: Mutex<Assistants>,
    changed: Condvar,
}

/// Those who read next to the first reader.
#[derive(Debug, Default)]
struct Assistants {
    reading: usize,
    is_closed: bool,
}

/// An assistant that has begun, until it is dropped.
pub(super) struct Entered<'a>(&'a Ranges);

impl Ranges {
    fn new(snapshot: String, left: Vec<Part>) -> Self {
        Self { snapshot, left: Mutex::new(left), assistants: Mutex::default(), changed: Condvar::new() }
    }

    /// An assistant begins. None where the read ends already.
    pub(super) fn enter(&self) -> Option<Entered<'_>> {
        let mut assistants = self.assistants();
        if assistants.is_closed {
            return None;
        }
        assistants.reading += 1;
        Some(Entered(self))
    }

    /// Lets no assistant begin any more, and waits for those that have begun.
    pub(super) fn close(&self) {
        let mut assistants = self.assistants();
        assistants.is_closed = true;
        while assistants.reading > 0 {
            assistants = self.changed.wait(assistants).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn assistants(&self) -> MutexGuard<'_, Assistants> {
        self.assistants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Option<Part> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// A part that was taken and not begun.
    pub(super) fn put_back(&self, part: Part) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(part);
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.assistants().reading -= 1;
        self.0.changed.notify_all();
    }
}

/// Splits what `question` reads for `readers` at once, on the transaction that has just begun on `link`. None where one
/// connection reads it as well: a small table, an index, an old server, a replica, whose snapshots cannot be shared.
pub(super) fn split(
    link: &mut Link,
    question: &Question,
    readers: u32,
) -> Result<Option<Arc<Ranges>>, postgres::Error> {
    let Some(relation) = &question.relation else { return Ok(None) };
    if readers < 2 || question.limit.is_some() || question.columns.is_empty() {
        return Ok(None);
    }
    let parts = match relation.is_paged {
        true => pages::split(link, question, relation, readers)?,
        false => keys::split(link, question, relation, readers)?,
    };
    if parts.len() < 2 {
        return Ok(None);
    }
    let snapshot = link.query_one("SELECT pg_export_snapshot()")?.try_get(0)?;
    Ok(Some(Arc::new(Ranges::new(snapshot, parts))))
}

/// The steps of a plan as EXPLAIN writes it, each with what stands behind it on its line.
fn steps<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let step = |(at, line): (usize, &&'a str)| match line.trim_start().strip_prefix("->") {
        Some(step) => Some(step.trim_start()),
        None => (at == 0).then_some(*line),
    };
    lines.iter().enumerate().filter_map(step)
}
