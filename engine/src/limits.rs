//! Bounds on what one query, and all of them together, may use.

use std::time::Duration;

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
    /// Queries that run at once; more wait their turn, and those that would wait too long are `overloaded`.
    pub concurrent_queries: usize,
    /// Bounds on what one principal may use.
    pub per_principal: PerPrincipal,
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
            concurrent_queries: 64,
            per_principal: PerPrincipal::default(),
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
