//! Weighted aggregates over a million rows in memory, next to the plain sum that bounds them from below.

#![expect(missing_docs, reason = "criterion's macros write functions without docs")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::{Engine, Error, MemoryCatalog, Principal, Query};
use futures::TryStreamExt;

const ROWS: i32 = 1_000_000;
const BATCH: usize = 8192;

/// Questions by name: the first is what the others are compared with.
const QUESTIONS: [(&str, &str); 5] = [
    ("sum", "SELECT g, sum(w * x) / sum(w) FROM panel.people GROUP BY g"),
    ("weighted_avg", "SELECT g, weighted_avg(x, w) FROM panel.people GROUP BY g"),
    ("weighted_stddev", "SELECT g, weighted_stddev(x, w) FROM panel.people GROUP BY g"),
    ("weighted_median", "SELECT g, weighted_median(x, w) FROM panel.people GROUP BY g"),
    ("reach", "SELECT g, reach(person, w) FROM panel.people GROUP BY g"),
];

fn people() -> Result<MemoryCatalog, Error> {
    let number = |row: i32, prime: i32, range: i32| f64::from(row.wrapping_mul(prime).rem_euclid(range)) / 7.0;
    let columns: [(&str, ArrayRef); 4] = [
        ("g", Arc::new(Int32Array::from_iter_values((0..ROWS).map(|row| row.wrapping_mul(7919).rem_euclid(20))))),
        ("person", Arc::new(Int32Array::from_iter_values((0..ROWS).map(|row| row / 5)))),
        ("x", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| number(row, 104_729, 9973))))),
        ("w", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| 0.5 + number(row / 5, 1_299_709, 97))))),
    ];
    let whole = RecordBatch::try_from_iter(columns)?;
    let batches = (0..whole.num_rows()).step_by(BATCH).map(|at| whole.slice(at, BATCH.min(whole.num_rows() - at)));
    MemoryCatalog::default().with_batches("panel", "people", whole.schema(), batches.collect())
}

async fn rows(engine: &Engine, sql: &str) -> Result<usize, Error> {
    let stream = engine.query(&Principal::local(), Query::new(sql)).await?;
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}

#[expect(clippy::expect_used, reason = "a bench that cannot run has nothing to say")]
fn weighted(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let engine = Engine::builder(people().expect("the panel is made")).build().expect("the engine is made");
    let mut group = criterion.benchmark_group("weighted");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs().into())).sample_size(20);
    for (name, sql) in QUESTIONS {
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(|| async { rows(&engine, sql).await.expect("the question is answered") });
        });
    }
    group.finish();
}

criterion_group!(benches, weighted);
criterion_main!(benches);
