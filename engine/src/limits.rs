//! Bounds on what one query, and all of them together, may use.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Principal;

/// Bounds on queries. Each has a default that suits one machine shared with its databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A query that runs longer is stopped: `deadline_exceeded`.
    pub query_timeout: Duration,
    /// A result with more rows is refused: `result_too_large`. None = no bound.
    pub max_rows: Option<u64>,
    /// A query that fetches more rows than this from databases is refused or stopped: `budget_exceeded`. None = no bound.
    pub max_source_rows: Option<u64>,
    /// The same in bytes.
    pub max_source_bytes: Option<u64>,
    /// Bytes of memory for all queries together.
    pub memory: u64,
    /// Bytes of memory for one query; beyond it operators spill.
    pub query_memory: u64,
    /// Bytes of disk for what spills, all queries together.
    pub spill: u64,
    /// Into how many parts the work of one query is divided, at most; 0 is as 1.
    pub query_parallelism: usize,
    /// Queries that run at once; more wait their turn, and those that would wait too long are `overloaded`.
    pub concurrent_queries: usize,
    /// Bounds on what one principal may use.
    pub per_principal: PerPrincipal,
    /// Bounds in their place for principals of a role. Of several roles the most generous holds, each bound by itself.
    pub per_role: BTreeMap<String, PerPrincipal>,
}

/// Bounds on one principal; None = no bound of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerPrincipal {
    /// Queries that run at once; more wait their turn.
    pub concurrent_queries: Option<usize>,
    /// Queries that it may ask in a minute: `rate_limited`.
    pub queries_per_minute: Option<u32>,
    /// Rows that it may be answered with in a day: `rate_limited`.
    pub rows_per_day: Option<u64>,
    /// Bytes that its queries may fetch from databases in a day: `rate_limited`.
    pub source_bytes_per_day: Option<u64>,
    /// How long one of its queries may run, where that is less than [`Limits::query_timeout`].
    pub query_timeout: Option<Duration>,
    /// Bytes of memory for one of its queries, where that is less than [`Limits::query_memory`].
    pub query_memory: Option<u64>,
}

impl PerPrincipal {
    /// Each bound as `choose` takes it of two.
    fn with(self, other: Self, choose: Choose) -> Self {
        Self {
            concurrent_queries: choose.of(self.concurrent_queries, other.concurrent_queries),
            queries_per_minute: choose.of(self.queries_per_minute, other.queries_per_minute),
            rows_per_day: choose.of(self.rows_per_day, other.rows_per_day),
            source_bytes_per_day: choose.of(self.source_bytes_per_day, other.source_bytes_per_day),
            query_timeout: choose.of(self.query_timeout, other.query_timeout),
            query_memory: choose.of(self.query_memory, other.query_memory),
        }
    }

    /// Whether something is counted by the day.
    pub(crate) fn has_budget(&self) -> bool {
        self.rows_per_day.is_some() || self.source_bytes_per_day.is_some()
    }
}

/// Which of two bounds holds.
#[derive(Clone, Copy)]
enum Choose {
    Greater,
    First,
}

impl Choose {
    fn of<T: Ord>(self, one: Option<T>, other: Option<T>) -> Option<T> {
        match self {
            // None is the least: whatever a role says goes before it.
            Choose::Greater => one.max(other),
            Choose::First => one.or(other),
        }
    }
}

impl Limits {
    /// The bounds of a principal.
    pub(crate) fn of(&self, principal: &Principal) -> PerPrincipal {
        let of_roles = principal.roles().iter().filter_map(|role| self.per_role.get(role));
        let most = of_roles.fold(PerPrincipal::default(), |most, of| most.with(*of, Choose::Greater));
        most.with(self.per_principal, Choose::First)
    }
}

const GIB: u64 = 1 << 30;

impl Default for Limits {
    fn default() -> Self {
        let memory = (physical_memory().unwrap_or(8 * GIB) / 2).max(GIB / 2);
        Self {
            query_timeout: Duration::from_secs(300),
            max_rows: None,
            max_source_rows: None,
            max_source_bytes: None,
            memory,
            query_memory: memory / 2,
            spill: 32 * GIB,
            query_parallelism: std::thread::available_parallelism().map_or(1, usize::from),
            concurrent_queries: 64,
            per_principal: PerPrincipal::default(),
            per_role: BTreeMap::new(),
        }
    }
}

/// The machine's memory in bytes, where the system says so in `/proc/meminfo`.
fn physical_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_roles_each_bound_is_the_most_generous_one() {
        let bounds = |rows_per_day, concurrent_queries| PerPrincipal {
            rows_per_day,
            concurrent_queries,
            ..PerPrincipal::default()
        };
        let limits = Limits {
            per_principal: bounds(Some(10), Some(2)),
            per_role: BTreeMap::from([
                ("viewer".to_owned(), bounds(Some(5), None)),
                ("analyst".to_owned(), bounds(Some(100), None)),
                ("robot".to_owned(), bounds(None, Some(9))),
            ]),
            ..Limits::default()
        };
        let of = |roles: &[&str]| limits.of(&Principal::new("meera", roles.iter().map(|role| (*role).to_owned())));
        assert_eq!(of(&[]), bounds(Some(10), Some(2)));
        assert_eq!(of(&["viewer"]), bounds(Some(5), Some(2)));
        assert_eq!(of(&["analyst", "viewer", "other"]), bounds(Some(100), Some(2)));
        assert_eq!(of(&["robot", "viewer"]), bounds(Some(5), Some(9)));
    }
}
