//! Prometheus metrics of queries, fed by the engine's journal. Each server has its own: nothing is global.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::Code;
use engine::journal::{Observer, Record};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

const QUERIES: &str = "weft_queries_total";
const RUNNING: &str = "weft_queries_running";
const SECONDS: &str = "weft_query_duration_seconds";
const ROWS: &str = "weft_query_rows_total";
const BYTES: &str = "weft_query_bytes_total";

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Observations are folded into the histogram at a scrape, and after so many queries where nobody scrapes.
const FOLD_EVERY: u64 = 1024;

/// Metrics of one server.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    seen: AtomicU64,
}

impl Metrics {
    /// Metrics of which nothing has been observed yet.
    pub fn new() -> Self {
        // It fails for an empty list only; then durations are summaries.
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, || {
            describe_counter!(QUERIES, "Queries that ended, by door, outcome and error code");
            describe_gauge!(RUNNING, "Queries that are executing");
            describe_histogram!(SECONDS, "Time from a query's arrival to its end, by door");
            describe_counter!(ROWS, "Rows that left, by door");
            describe_counter!(BYTES, "Bytes of Arrow memory that left, by door");
        });
        Self { shared: Arc::new(Shared { recorder, handle, seen: AtomicU64::new(0) }) }
    }

    /// What the engine's journal calls with each query that ended.
    pub fn observer(&self) -> Observer {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |record: &Record| shared.observe(record))
    }

    /// The metrics in Prometheus' text format, with `running` queries at this moment.
    pub fn render(&self, running: usize) -> String {
        with_local_recorder(&self.shared.recorder, || gauge!(RUNNING).set(running as f64));
        self.shared.handle.render()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Shared {
    fn observe(&self, record: &Record) {
        let door = record.door.as_str();
        let code = record.code.map(Code::as_str).unwrap_or_default();
        with_local_recorder(&self.recorder, || {
            counter!(QUERIES, "door" => door, "outcome" => record.outcome.as_str(), "code" => code).increment(1);
            histogram!(SECONDS, "door" => door).record((record.planning + record.execution).as_secs_f64());
            counter!(ROWS, "door" => door).increment(record.rows);
            counter!(BYTES, "door" => door).increment(record.bytes);
        });
        if self.seen.fetch_add(1, Ordering::Relaxed) % FOLD_EVERY == FOLD_EVERY - 1 {
            self.handle.run_upkeep();
        }
    }
}
