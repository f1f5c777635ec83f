//! A large table in parts that several connections read at the same time, all in one snapshot.
//!
//! The parts are ranges of pages, which PostgreSQL reaches directly from version 14 on. Readers take them from one queue, so
//! that nobody waits for anybody: a reader that finds no free connection leaves its share to the others.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::link::Link;
use super::{Question, quote};

/// Below so many rows one connection is done before a second one has begun.
const FEWEST_ROWS: u64 = 100_000;
/// Pages of one part: large enough that a statement costs nothing, small enough that readers end together.
const FEWEST_PAGES: i64 = 512;
/// Parts for each reader.
const SHARES: i64 = 4;

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

/// Pages from one up to another, or to the end of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    from: i64,
    to: Option<i64>,
}

impl Part {
    /// The conditions that a row of it meets.
    pub(super) fn conditions(self) -> Vec<String> {
        let edge = |sign: &str, page: i64| format!("(ctid {sign} '({page},0)'::tid)");
        let from = (self.from > 0).then(|| edge(">=", self.from));
        from.into_iter().chain(self.to.map(|to| edge("<", to))).collect()
    }
}

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
    let Some(relation) = question.relation.as_deref().filter(|relation| relation.is_paged) else { return Ok(None) };
    let is_large = relation.row_estimate.is_some_and(|rows| rows >= FEWEST_ROWS);
    if readers < 2 || !is_large || question.limit.is_some() || question.columns.is_empty() {
        return Ok(None);
    }
    let Some(name) = quote::literal(&question.from) else { return Ok(None) };
    let facts = format!(
        "SELECT pg_is_in_recovery() OR current_setting('server_version_num')::int4 < 140000, \
         pg_relation_size({name}::regclass) / current_setting('block_size')::int8"
    );
    let facts = link.query_one(&facts)?;
    let (is_unable, pages): (bool, i64) = (facts.try_get(0)?, facts.try_get(1)?);
    if is_unable || pages < 2 * FEWEST_PAGES || !reads_whole_table(link, question)? {
        return Ok(None);
    }
    let snapshot = link.query_one("SELECT pg_export_snapshot()")?.try_get(0)?;
    Ok(Some(Arc::new(Ranges::new(snapshot, parts(pages, readers)))))
}

/// Whether the server would go through all pages: where it has an index to go by, ranges would only be in its way.
fn reads_whole_table(link: &mut Link, question: &Question) -> Result<bool, postgres::Error> {
    if question.conditions.is_empty() {
        return Ok(true);
    }
    let plan = link.query(&format!("EXPLAIN (COSTS OFF) {}", question.sql()), &[])?;
    let first: &str = match plan.first() {
        Some(step) => step.try_get(0)?,
        None => return Ok(false),
    };
    Ok(first.starts_with("Seq Scan") || first.starts_with("Gather"))
}

/// Ranges that cover `pages` and whatever is behind them, the last one first.
fn parts(pages: i64, readers: u32) -> Vec<Part> {
    let step = (pages / (i64::from(readers) * SHARES)).max(FEWEST_PAGES);
    let mut parts: Vec<Part> = (0..pages)
        .step_by(usize::try_from(step).unwrap_or(usize::MAX))
        .map(|from| Part { from, to: Some(from + step) })
        .collect();
    if let Some(last) = parts.last_mut() {
        last.to = None;
    }
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use super::{Part, parts};

    #[test]
    fn parts_cover_every_page_once() {
        for (pages, readers) in [(1024, 2), (1025, 2), (30_000, 4), (7_777_777, 3)] {
            let mut parts = parts(pages, readers);
            parts.reverse();
            assert_eq!(parts[0].from, 0);
            assert!(parts.windows(2).all(|pair| pair[0].to == Some(pair[1].from)));
            assert_eq!(parts.iter().filter(|part| part.to.is_none()).count(), 1);
            assert_eq!(parts.last().unwrap().to, None);
        }
    }

    #[test]
    fn a_part_is_asked_for_by_its_edges() {
        assert_eq!(Part { from: 5, to: Some(9) }.conditions(), ["(ctid >= '(5,0)'::tid)", "(ctid < '(9,0)'::tid)"]);
        assert_eq!(Part { from: 0, to: None }.conditions(), [""; 0]);
    }
}
