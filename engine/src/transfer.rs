//! What a query fetches from databases: known beforehand where the plan is sure of it, counted while it comes, and bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::execution::TaskContext;

use crate::{Code, Error, Limits};

/// What one source gives to one query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// The source's id.
    pub source: String,
    /// Rows, as they were estimated beforehand.
    pub estimated_rows: Option<u64>,
    /// Bytes, as they were estimated beforehand.
    pub estimated_bytes: Option<u64>,
    /// Rows.
    pub rows: u64,
    /// Bytes of Arrow memory.
    pub bytes: u64,
}

/// What one read of a plan is going to fetch, as its source's statistics let one guess.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The source's id.
    pub source: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of Arrow memory.
    pub bytes: u64,
    /// Whether nothing narrows the read, and nothing above ends it early.
    pub is_sure: bool,
}

/// Counts what one query fetches. Scans find it in their task's session configuration.
#[derive(Debug)]
pub struct Transfers {
    max_rows: Option<u64>,
    max_bytes: Option<u64>,
    /// Whether the caller may be told how many rows lie in the sources: not where a policy hides some.
    tells: bool,
    fetched: Mutex<Fetched>,
}

#[derive(Debug, Default)]
struct Fetched {
    all: (u64, u64),
    by_source: BTreeMap<String, (u64, u64)>,
    expected: BTreeMap<String, (u64, u64)>,
}

impl Transfers {
    pub(crate) fn new(limits: &Limits, tells: bool) -> Self {
        let (max_rows, max_bytes) = (limits.max_source_rows, limits.max_source_bytes);
        Self { max_rows, max_bytes, tells, fetched: Mutex::default() }
    }

    /// Where the query that a scan works for counts.
    pub fn of(context: &TaskContext) -> Option<Arc<Self>> {
        context.session_config().get_extension()
    }

    /// Takes note of rows that came from `source`.
    ///
    /// # Errors
    /// `budget_exceeded` where the query has fetched more than one query may.
    pub fn count(&self, source: &str, rows: u64, bytes: u64) -> Result<(), Error> {
        let mut fetched = self.fetched();
        match fetched.by_source.get_mut(source) {
            Some(known) => *known = (known.0 + rows, known.1 + bytes),
            None => drop(fetched.by_source.insert(source.to_owned(), (rows, bytes))),
        }
        fetched.all = (fetched.all.0 + rows, fetched.all.1 + bytes);
        let all = fetched.all;
        drop(fetched);
        self.check(all, |tells| match tells {
            true => format!("The query has fetched {} rows from databases", all.0),
            false => "The query has fetched too much from databases".to_owned(),
        })
    }

    /// Takes note of what a plan is going to fetch, and refuses one that is sure to fetch too much.
    ///
    /// # Errors
    /// `budget_exceeded`.
    pub(crate) fn admit(&self, expected: &[Expected]) -> Result<(), Error> {
        let mut fetched = self.fetched();
        for read in expected {
            let known = fetched.expected.entry(read.source.clone()).or_default();
            *known = (known.0.saturating_add(read.rows), known.1.saturating_add(read.bytes));
        }
        drop(fetched);
        let sure = || expected.iter().filter(|read| read.is_sure);
        let sum = |part: fn(&Expected) -> u64| sure().map(part).fold(0, u64::saturating_add);
        let all = (sum(|read| read.rows), sum(|read| read.bytes));
        self.check(all, |tells| {
            let most = sure().max_by_key(|read| read.bytes).map_or("", |read| &read.source);
            match tells {
                true => format!("The query would fetch about {} rows, most from source \"{most}\"", all.0),
                false => format!("The query would fetch too much, most from source \"{most}\""),
            }
        })
    }

    /// What has come so far, by source.
    pub(crate) fn so_far(&self) -> Vec<Transfer> {
        let fetched = self.fetched();
        let sources: BTreeSet<&String> = fetched.by_source.keys().chain(fetched.expected.keys()).collect();
        let of = |source: &String| {
            let (rows, bytes) = fetched.by_source.get(source).copied().unwrap_or_default();
            let expected = fetched.expected.get(source);
            Transfer {
                source: source.clone(),
                estimated_rows: expected.map(|expected| expected.0),
                estimated_bytes: expected.map(|expected| expected.1),
                rows,
                bytes,
            }
        };
        sources.into_iter().map(of).collect()
    }

    fn check(&self, (rows, bytes): (u64, u64), sentence: impl FnOnce(bool) -> String) -> Result<(), Error> {
        let over = |count: u64, max: Option<u64>| max.filter(|max| count > *max);
        let bound = match (over(rows, self.max_rows), over(bytes, self.max_bytes)) {
            (Some(max), _) => format!("limits.max_source_rows is {max}"),
            (None, Some(max)) => format!("limits.max_source_bytes is {max}"),
            (None, None) => return Ok(()),
        };
        Err(Error::new(Code::BudgetExceeded, format!("{}; {bound}.", sentence(self.tells))).hint(
            "Filter or aggregate so that the source does it (EXPLAIN shows what it is asked), or raise the limit.",
        ))
    }

    fn fetched(&self) -> MutexGuard<'_, Fetched> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_hides_is_not_told() {
        let limits = Limits { max_source_rows: Some(100), ..Limits::default() };
        let read = Expected { source: "bank".to_owned(), rows: 4321, bytes: 9, is_sure: true };
        let expected = [read.clone(), Expected { rows: 7, is_sure: false, ..read }];
        for tells in [true, false] {
            let transfers = Transfers::new(&limits, tells);
            let refused = transfers.admit(&expected).unwrap_err();
            assert_eq!(refused.message().contains("4321"), tells, "{refused}");
            transfers.count("bank", 100, 9).unwrap();
            let stopped = transfers.count("bank", 21, 9).unwrap_err();
            assert_eq!(stopped.message().contains("121"), tells, "{stopped}");
            let (estimated_rows, estimated_bytes) = (Some(4328), Some(18));
            let source = "bank".to_owned();
            assert_eq!(
                transfers.so_far(),
                [Transfer { source, estimated_rows, estimated_bytes, rows: 121, bytes: 18 }]
            );
        }
    }

    #[test]
    fn bytes_are_bounded_by_themselves() {
        let limits = Limits { max_source_bytes: Some(1000), ..Limits::default() };
        let transfers = Transfers::new(&limits, true);
        transfers.count("a", 1_000_000, 600).unwrap();
        assert_eq!(transfers.count("b", 1, 600).unwrap_err().code(), Code::BudgetExceeded);
    }
}
