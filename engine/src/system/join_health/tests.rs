//! Sampling: that it takes the same keys on both sides, and that what it says of all of them is near the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};

use super::figures::{Figures, measure_in};
use super::sample::Sample;
use super::{pairs, sides};
use crate::system::Asked;
use crate::{Engine, MemoryCatalog, Principal, Query};

const MILLION: u64 = 1_000_000;

#[test]
fn join_health_measures_a_million_keys_at_most() {
    let share = |rows| Sample::of_rows(rows).share();
    assert_eq!([0, MILLION, MILLION + 1, 2 * MILLION, 3 * MILLION].map(share), [1.0, 1.0, 0.5, 0.5, 0.25]);
    assert!(share(u64::MAX) > 0.0);
}

/// Left: 8,000 customers, once each. Right: two rows for each even one, written in capitals, and 500 rows without a key.
fn engine() -> Engine {
    let left: StringArray = (0..8_000).map(|id| Some(format!("c{id}"))).collect();
    let right: StringArray =
        (0..8_000).map(|row| Some(format!("C{} ", row / 2 * 2))).chain((0..500).map(|_| None)).collect();
    let left_id = Int64Array::from_iter_values(0..8_000);
    let right_id: Int64Array = (0..8_000).map(|row| Some(row / 2 * 2)).chain((0..500).map(|_| None)).collect();
    let left = RecordBatch::try_from_iter_with_nullable([
        ("code", Arc::new(left) as _, true),
        ("number", Arc::new(left_id) as _, true),
    ]);
    let right = RecordBatch::try_from_iter_with_nullable([
        ("code", Arc::new(right) as _, true),
        ("number", Arc::new(right_id) as _, true),
    ]);
    let (left, right) = (left.unwrap(), right.unwrap());
    let catalog = MemoryCatalog::default().with_batches("a", "x", left.schema(), vec![left]).unwrap();
    Engine::builder(catalog.with_batches("a", "y", right.schema(), vec![right]).unwrap()).build().unwrap()
}

async fn measured(column: &str, sample: Sample) -> Figures {
    let one = |name: &str| BTreeSet::from([name.to_owned()]);
    let wanted = [("left_table", "a.x"), ("right_table", "a.y"), ("left_column", column), ("right_column", column)];
    let asked = Asked {
        engine: engine(),
        principal: Principal::local(),
        query: Query::new(""),
        deadline: None,
        wanted: wanted.into_iter().map(|(name, value)| (name.to_owned(), one(value))).collect::<BTreeMap<_, _>>(),
        columns: None,
    };
    let (left, right) = (sides::left(&asked).await.unwrap(), sides::right(&asked).await.unwrap());
    let pairs = pairs::of(&asked, &left, &right);
    assert_eq!(pairs.len(), 1);
    measure_in(&asked, &pairs[0], sample, (8_000, 8_500)).await.unwrap()
}

#[tokio::test]
async fn join_health_in_a_sample_keeps_every_ratio() {
    let sample = Sample::of_rows(4 * MILLION);
    for column in ["number", "code"] {
        let (all, some) = (measured(column, Sample::of_rows(0)).await, measured(column, sample).await);
        assert_eq!((all.share, some.share), (1.0, 0.25));
        // Ratios of a sample of keys are those of all keys where they are the same for each key.
        assert_eq!((some.left.rows, some.right.rows), (8_000, 8_500));
        assert_eq!((some.left.nulls, some.right.nulls), (0, 500));
        assert_eq!((some.left.duplicates, some.right.max_per_key), (0, Some(2)));
        assert_eq!(some.right.overlap, all.right.overlap);
        assert_eq!(some.right.unmatched_rows, all.right.unmatched_rows);
        assert_eq!(some.right.fan_out, all.right.fan_out);
        let near = |some: u64, all: u64| some.abs_diff(all) * 10 <= all;
        for (some, all) in [
            (some.left.keys, all.left.keys),
            (some.right.keys, all.right.keys),
            (some.right.duplicates, all.right.duplicates),
            (some.shared_keys, all.shared_keys),
            (some.join_rows, all.join_rows),
            (some.left.unmatched_rows, all.left.unmatched_rows),
        ] {
            assert!(near(some, all), "{column}: {some} is far from {all}");
        }
    }
}

#[tokio::test]
async fn join_health_in_a_sample_finds_the_keys_that_a_form_wins() {
    let all = measured("code", Sample::of_rows(0)).await;
    assert_eq!(
        (all.shared_keys, all.more.lower, all.more.trim, all.more.lower_trim),
        (0, Some(0), Some(0), Some(4_000))
    );
    let some = measured("code", Sample::of_rows(4 * MILLION)).await;
    assert_eq!((some.more.lower, some.more.trim), (Some(0), Some(0)));
    let won = some.more.lower_trim.unwrap();
    assert!(won.abs_diff(4_000) < 400, "{won}");
    // All right keys are won, in the sample as well.
    assert_eq!(won, some.right.keys);
}
