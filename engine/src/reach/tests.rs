//! `reach` against a naive model: a map from unit to weight per group.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, StringArray};
use proptest::prelude::*;

use crate::Code;
use crate::weighted::tests::{Bench, assert_close};

/// A row of the random tables: group, person, household, value, filter. Weights are a function of the unit.
#[derive(Debug, Clone)]
struct Row {
    g: Option<i32>,
    person: Option<i32>,
    house: Option<i32>,
    x: Option<i32>,
    keep: Option<bool>,
    weighed: bool,
}

impl Row {
    fn person_weight(&self) -> Option<f64> {
        self.person.filter(|_| self.weighed).map(|person| f64::from(person % 5) * 0.5)
    }

    fn house_weight(&self) -> Option<f64> {
        self.house.map(|house| f64::from(house) + 0.25)
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let maybe = |range| proptest::option::weighted(0.9, range);
    let bit = proptest::option::weighted(0.8, any::<bool>());
    let row = (maybe(0..3), maybe(0..12), maybe(0..4), maybe(-9..9), bit, proptest::bool::weighted(0.9));
    let row = row.prop_map(|(g, person, house, x, keep, weighed)| Row { g, person, house, x, keep, weighed });
    proptest::collection::vec(row, 0..90)
}

fn bench(rows: &[Row]) -> Bench {
    let names = rows.iter().map(|row| row.house.map(|house| format!("house {house}")));
    Bench::new().with_table(
        "t",
        vec![
            ("g", Arc::new(rows.iter().map(|row| row.g).collect::<Int32Array>()) as ArrayRef),
            ("person", Arc::new(rows.iter().map(|row| row.person).collect::<Int32Array>())),
            ("house", Arc::new(names.collect::<StringArray>())),
            ("x", Arc::new(rows.iter().map(|row| row.x).collect::<Int32Array>())),
            ("keep", Arc::new(rows.iter().map(|row| row.keep).collect::<BooleanArray>())),
            ("w", Arc::new(rows.iter().map(Row::person_weight).collect::<Float64Array>())),
            ("hw", Arc::new(rows.iter().map(Row::house_weight).collect::<Float64Array>())),
        ],
    )
}

fn reached<'a>(rows: impl Iterator<Item = &'a Row>, unit: impl Fn(&Row) -> Option<(i32, f64)>) -> Option<f64> {
    Some(rows.filter_map(unit).collect::<BTreeMap<_, _>>().values().sum())
}

fn person(row: &Row) -> Option<(i32, f64)> {
    Some((row.person?, row.person_weight()?))
}

fn house(row: &Row) -> Option<(i32, f64)> {
    Some((row.house?, row.house_weight()?))
}

/// The rows of each group as SQL has it.
fn groups(rows: &[Row]) -> BTreeMap<Option<i32>, Vec<Row>> {
    let mut groups: BTreeMap<_, Vec<Row>> = BTreeMap::new();
    rows.iter().for_each(|row| groups.entry(row.g).or_default().push(row.clone()));
    groups
}

/// Next to other aggregates that can be merged, that cannot, and of other units.
const AGGREGATES: &str = "reach(person, w), reach(person, w) FILTER (WHERE keep), count(*), sum(x), min(x)";
const MORE_AGGREGATES: &str = "count(DISTINCT person), reach(house, hw) FILTER (WHERE keep), avg(x), weighted_count(w)";

fn check(columns: &[Vec<Option<f64>>], at: usize, rows: &[Row]) {
    let kept = || rows.iter().filter(|row| row.keep == Some(true));
    let xs = || rows.iter().filter_map(|row| row.x);
    let sum = xs().map(f64::from).reduce(|a, b| a + b);
    let expected = [
        ("reach", reached(rows.iter(), person)),
        ("reach, filtered", reached(kept(), person)),
        ("count", Some(rows.len() as f64)),
        ("sum", sum),
        ("min", xs().min().map(f64::from)),
        ("distinct", reached(rows.iter(), |row| Some((row.person?, 1.0)))),
        ("reach of houses, filtered", reached(kept(), house)),
        ("avg", sum.map(|sum| sum / xs().count() as f64)),
        ("weighted_count", Some(rows.iter().filter_map(Row::person_weight).sum())),
    ];
    for (column, (what, expected)) in columns.iter().zip(expected) {
        assert_close(column[at], expected, what);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn each_unit_counts_once_in_its_group(rows in rows()) {
        let bench = bench(&rows);
        for aggregates in [AGGREGATES.to_owned(), format!("{AGGREGATES}, {MORE_AGGREGATES}")] {
            let columns = bench.floats(&format!("SELECT {aggregates}, g FROM t GROUP BY g"));
            let (keys, columns) = columns.split_last().unwrap();
            let groups = groups(&rows);
            assert_eq!(keys.len(), groups.len());
            for (at, key) in keys.iter().enumerate() {
                check(columns, at, &groups[&key.map(|key| key as i32)]);
            }
        }
    }

    #[test]
    fn each_unit_counts_once_overall(rows in rows()) {
        let bench = bench(&rows);
        for aggregates in [AGGREGATES.to_owned(), format!("{AGGREGATES}, {MORE_AGGREGATES}")] {
            check(&bench.floats(&format!("SELECT {aggregates} FROM t")), 0, &rows);
        }
    }
}

fn small() -> Bench {
    let row = |g, person, house, x| Row {
        g: Some(g),
        person: Some(person),
        house: Some(house),
        x: Some(x),
        keep: Some(true),
        weighed: true,
    };
    // Weights: person 1: 0.5, 2: 1.0, 3: 1.5. Houses: 0: 0.25, 1: 1.25.
    bench(&[row(1, 1, 0, 10), row(1, 1, 0, 20), row(1, 2, 0, 30), row(2, 3, 1, 40), row(2, 1, 0, 50)])
}

#[test]
fn reach_works_wherever_an_aggregate_does() {
    let bench = small();
    let of = |sql: &str| bench.floats(sql);
    let some = |values: &[f64]| values.iter().map(|value| Some(*value)).collect::<Vec<_>>();
    assert_eq!(of("SELECT reach(person, w) FROM t"), [some(&[3.0])]);
    assert_eq!(
        of("SELECT g * 10, reach(person, w) r FROM t GROUP BY g * 10 ORDER BY r DESC"),
        [some(&[20.0, 10.0]), some(&[2.0, 1.5])]
    );
    assert_eq!(of("SELECT g FROM t GROUP BY g HAVING reach(person, w) > 1.7"), [some(&[2.0])]);
    assert_eq!(of("SELECT g FROM t GROUP BY g ORDER BY reach(person, w) / count(*)"), [some(&[1.0, 2.0])]);
    assert_eq!(of("SELECT round(reach(person, w)) + 1 FROM t"), [some(&[4.0])]);
    assert_eq!(
        of("WITH r AS (SELECT g, reach(person, w) AS n FROM t GROUP BY g) SELECT max(n) FROM r"),
        [some(&[2.0])]
    );
    assert_eq!(of("SELECT count(*) FROM t WHERE w < (SELECT reach(person, w) FROM t WHERE g = 1)"), [some(&[4.0])]);
    assert_eq!(of("SELECT reach(a.person, a.w) FROM t a JOIN t b ON a.g = b.g"), [some(&[3.0])]);
    assert_eq!(of("SELECT reach(w => w, unit => person) FROM t"), [some(&[3.0])]);
    assert_eq!(of("SELECT reach(house, hw), reach(person, w) FROM t"), [some(&[1.5]), some(&[3.0])]);
    assert_eq!(of("SELECT reach(concat(house, person), 1) FROM t"), [some(&[3.0])]);
    assert_eq!(
        of("SELECT person, reach(person, w) FROM t GROUP BY person ORDER BY 1"),
        [some(&[1.0, 2.0, 3.0]), some(&[0.5, 1.0, 1.5])]
    );
    assert_eq!(of("SELECT max(r) OVER () FROM (SELECT reach(person, w) AS r FROM t GROUP BY g)"), [some(&[2.0, 2.0])]);
    assert_eq!(of("SELECT reach(person, w) FROM t UNION ALL SELECT 1 ORDER BY 1"), [some(&[1.0, 3.0])]);
}

#[test]
fn the_plan_of_reach_can_be_explained() {
    let batch = small().run("EXPLAIN SELECT g, reach(person, w) FROM t GROUP BY g").unwrap();
    let plan = arrow::util::pretty::pretty_format_batches(&[batch]).unwrap().to_string();
    assert!(plan.contains("reach_unit_weight"), "{plan}");
}

#[test]
fn reach_is_taken_for_each_row_of_an_outer_query() {
    let sql =
        "SELECT k, (SELECT reach(person, w) FROM t WHERE t.g = o.k) AS r FROM (VALUES (1), (2), (3)) o(k) ORDER BY k";
    assert_eq!(small().floats(sql)[1], [Some(1.5), Some(2.0), Some(0.0)]);
}

#[test]
fn of_no_rows_reach_is_zero_and_others_are_what_they_are_alone() {
    let bench = bench(&[]);
    let columns = bench.floats("SELECT reach(person, w), count(*), sum(x), weighted_count(w) FROM t");
    assert_eq!(columns.concat(), [Some(0.0), Some(0.0), None, Some(0.0)]);
    let columns = bench.floats("SELECT reach(person, w), count(*), avg(x), count(DISTINCT g), reach(house, hw) FROM t");
    assert_eq!(columns.concat(), [Some(0.0), Some(0.0), None, Some(0.0), Some(0.0)]);
}

#[test]
fn decimals_next_to_reach_stay_what_they_are() {
    let bench = small();
    for other in ["max(g)", "avg(g)"] {
        let sql = format!("SELECT reach(person, w), sum(CAST(x AS DECIMAL(20, 2))) AS s, {other} FROM t");
        let batch = bench.run(&sql).unwrap();
        assert_eq!(*batch.column(1).data_type(), arrow::datatypes::DataType::Decimal128(30, 2));
        assert_eq!(arrow::util::display::array_value_to_string(batch.column(1), 0).unwrap(), "150.00");
    }
}

#[test]
fn what_reach_cannot_do_it_says() {
    let bench = small();
    let error = |sql: &str, code: Code, words: &str| {
        let (found, message) = bench.error(sql);
        assert_eq!(found, code, "{sql}: {message}");
        assert!(message.contains(words), "{sql}: {message}");
    };
    error("SELECT reach(person, w) OVER () FROM t", Code::UnsupportedSql, "no window form");
    error("SELECT reach(person, w) OVER (ORDER BY g) FROM t", Code::UnsupportedSql, "no window form");
    error("SELECT reach(DISTINCT person, w) FROM t", Code::UnsupportedSql, "takes no DISTINCT");
    error("SELECT reach(person) FROM t", Code::InvalidArgument, "takes 2 arguments, not 1");
    error("SELECT reach(person, house) FROM t", Code::InvalidArgument, "w must be a number, not text");
    error("SELECT reach(person, -w) FROM t", Code::InvalidArgument, "reach: a weight is negative");
    error("SELECT reach(person, x) FROM t", Code::InvalidArgument, "different weights in one group");
    assert_eq!(bench.floats("SELECT reach(person, x) FROM t GROUP BY x ORDER BY x")[0][0], Some(10.0));
}
