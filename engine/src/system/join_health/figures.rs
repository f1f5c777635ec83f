//! What is measured of a pair, and the query that measures it: each table is read once, as keys with their rows.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;

use super::pairs::{Comparison, Pair};
use super::sample::{Sample, bucket};
use crate::names::quoted;
use crate::system::Asked;
use crate::{Error, Query};

/// What was measured of a pair. Where keys were sampled, counts are estimates for all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    pub(super) left: Side,
    pub(super) right: Side,
    pub(super) shared_keys: u64,
    pub(super) join_rows: u64,
    pub(super) more: More,
    /// The share of the keys that was measured, up to 1.
    pub(super) share: f64,
}

/// One side of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Side {
    pub(super) rows: u64,
    pub(super) nulls: u64,
    pub(super) keys: u64,
    pub(super) duplicates: u64,
    pub(super) max_per_key: Option<u64>,
    pub(super) overlap: Option<f64>,
    pub(super) fan_out: Option<f64>,
    pub(super) unmatched_rows: u64,
}

/// Keys that match in a form of theirs and not as they stand. None where the form does not apply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct More {
    pub(super) lower: Option<u64>,
    pub(super) trim: Option<u64>,
    pub(super) lower_trim: Option<u64>,
    pub(super) cast: Option<u64>,
}

impl Figures {
    /// How many rows of one side a row of the other may meet.
    pub(super) fn cardinality(&self) -> Option<&'static str> {
        Some(match (self.left.max_per_key? > 1, self.right.max_per_key? > 1) {
            (false, false) => "one_to_one",
            (false, true) => "one_to_many",
            (true, false) => "many_to_one",
            (true, true) => "many_to_many",
        })
    }
}

/// The rows of a table that the caller may see.
pub(super) async fn rows(asked: &Asked, table: &str) -> Result<u64, Error> {
    let batches = asked.ask(Query::new(format!("SELECT CAST(count(*) AS DOUBLE) FROM {table}"))).await?;
    Ok(whole(numbers(&batches).first().and_then(|row| row.first()).copied().unwrap_or(0.0)))
}

/// Measures a pair: all its keys, or a sample where a table is large.
pub(super) async fn measure(asked: &Asked, pair: &Pair) -> Result<Figures, Error> {
    let rows = (pair.left.rows(asked).await?, pair.right.rows(asked).await?);
    let sample = Sample::of_rows(rows.0.max(rows.1));
    measure_in(asked, pair, sample, rows).await
}

/// Measures a pair in a sample of the keys of tables of so many rows.
pub(super) async fn measure_in(asked: &Asked, pair: &Pair, sample: Sample, rows: (u64, u64)) -> Result<Figures, Error> {
    let batches = asked.ask(Query::new(sql(pair, sample)).function(bucket())).await?;
    Ok(figures(pair.comparison, sample, rows, &numbers(&batches)))
}

/// The forms in which keys are compared, of a key `k`. The first is the key as it stands.
fn forms(comparison: Comparison) -> &'static [&'static str] {
    match comparison {
        Comparison::Plain | Comparison::Fraction => &["k"],
        Comparison::Text => &["k", "lower(k)", "trim(k)", "lower(trim(k))"],
        Comparison::IntegerWithText | Comparison::TextWithInteger => {
            &["k", "coalesce(CAST(try_cast(trim(k) AS BIGINT) AS VARCHAR), k)"]
        }
    }
}

/// One query for all figures of a pair: a row for each form.
///
/// Keys are grouped on each side first, which a database can do itself, then across the sides, then by each form. No join
/// is made, so keys with many rows cost no more than others, and what does not fit into memory spills.
fn sql(pair: &Pair, sample: Sample) -> String {
    let forms = forms(pair.comparison);
    let left = side(&pair.left.sql, &pair.left_column.name, pair.comparison, sample);
    let right = side(&pair.right.sql, &pair.right_column.name, pair.comparison, sample);
    let numbered = |each: &dyn Fn(usize, &str) -> String, between: &str| {
        forms.iter().enumerate().map(|(at, form)| each(at, form)).collect::<Vec<_>>().join(between)
    };
    let columns = numbered(&|at, form| format!("{form} AS k{at}"), ", ");
    let sets = numbered(&|at, _| format!("(k{at})"), ", ");
    let number = numbered(&|at, _| format!("WHEN grouping(k{at}) = 0 THEN {at}"), " ");
    let sums = SUMS.map(|sum| format!("CAST({sum} AS DOUBLE)")).join(", ");
    format!(
        "WITH keys AS (SELECT k, sum(l) AS l, sum(r) AS r FROM \
         (SELECT k, n AS l, 0 AS r FROM ({left}) AS a UNION ALL SELECT k, 0 AS l, n AS r FROM ({right}) AS b) AS sides \
         GROUP BY k), \
         forms AS (SELECT {columns}, l, r, CASE WHEN k IS NOT NULL AND l > 0 THEN 1 ELSE 0 END AS lk, \
         CASE WHEN k IS NOT NULL AND r > 0 THEN 1 ELSE 0 END AS rk FROM keys), \
         groups AS (SELECT CASE {number} END AS form, sum(l) AS l, sum(r) AS r, sum(lk) AS lk, sum(rk) AS rk \
         FROM forms GROUP BY GROUPING SETS ({sets})) \
         SELECT CAST(form AS DOUBLE), {sums} FROM groups GROUP BY form"
    )
}

/// Keys of one table with their rows.
fn side(table: &str, column: &str, comparison: Comparison, sample: Sample) -> String {
    let column = quoted(column);
    let (key, text) = match comparison {
        Comparison::Plain => ("k", "CAST(k AS VARCHAR)"),
        Comparison::Fraction => ("CAST(k AS DOUBLE)", "CAST(CAST(k AS DOUBLE) AS VARCHAR)"),
        // A key falls into the bucket of the form in which it may match.
        Comparison::Text => ("k", "lower(trim(k))"),
        Comparison::IntegerWithText | Comparison::TextWithInteger => (
            "CAST(k AS VARCHAR)",
            "coalesce(CAST(try_cast(trim(CAST(k AS VARCHAR)) AS BIGINT) AS VARCHAR), CAST(k AS VARCHAR))",
        ),
    };
    let only = sample.condition("k", text).map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
    format!("SELECT {key} AS k, n FROM (SELECT {column} AS k, count(*) AS n FROM {table} GROUP BY {column}) AS t{only}")
}

/// What each form is asked: see [`Form`]. The rows without a key are the group that no key falls into.
const SUMS: [&str; 14] = [
    "sum(l)",
    "sum(r)",
    "sum(l) FILTER (WHERE lk + rk = 0)",
    "sum(r) FILTER (WHERE lk + rk = 0)",
    "sum(lk)",
    "sum(rk)",
    "max(l) FILTER (WHERE lk > 0)",
    "max(r) FILTER (WHERE rk > 0)",
    "sum(lk) FILTER (WHERE rk > 0)",
    "sum(rk) FILTER (WHERE lk > 0)",
    "sum(l) FILTER (WHERE lk > 0 AND rk > 0)",
    "sum(r) FILTER (WHERE lk > 0 AND rk > 0)",
    "count(*) FILTER (WHERE lk > 0 AND rk > 0)",
    // As floats: the product of two large counts leaves the integers.
    "sum(CAST(l AS DOUBLE) * CAST(r AS DOUBLE)) FILTER (WHERE lk > 0 AND rk > 0)",
];

/// The sums of one form, as `SUMS` has them; of pairs, the left is first.
#[derive(Debug, Default, Clone, Copy)]
struct Form {
    rows: [f64; 2],
    nulls: [f64; 2],
    keys: [f64; 2],
    max_per_key: [f64; 2],
    matched_keys: [f64; 2],
    matched_rows: [f64; 2],
    shared_keys: f64,
    join_rows: f64,
}

impl Form {
    fn of(sums: &[f64]) -> Self {
        let at = |index: usize| sums.get(index).copied().unwrap_or(0.0);
        let both = |index: usize| [at(index), at(index + 1)];
        Self {
            rows: both(0),
            nulls: both(2),
            keys: both(4),
            max_per_key: both(6),
            matched_keys: both(8),
            matched_rows: both(10),
            shared_keys: at(12),
            join_rows: at(13),
        }
    }

    /// The same keys, of which none matches.
    fn apart(self) -> Self {
        Self { matched_keys: [0.0; 2], matched_rows: [0.0; 2], shared_keys: 0.0, join_rows: 0.0, ..self }
    }
}

fn figures(comparison: Comparison, sample: Sample, rows: (u64, u64), sums: &[Vec<f64>]) -> Figures {
    let form = |number: usize| {
        let found = sums.iter().find(|row| row.first() == Some(&(number as f64)));
        found.map(|row| Form::of(row.get(1..).unwrap_or_default())).unwrap_or_default()
    };
    // A number and its text are one key in the query, and not one key as they stand.
    let plain = if comparison.needs_cast() { form(0).apart() } else { form(0) };
    let share = sample.share();
    let more = |number: usize| {
        let won = [0, 1].map(|side: usize| form(number).matched_keys[side] - plain.matched_keys[side]);
        Some(whole(won[0].max(won[1]) / share))
    };
    let more = match comparison {
        Comparison::Plain | Comparison::Fraction => More::default(),
        Comparison::Text => More { lower: more(1), trim: more(2), lower_trim: more(3), cast: None },
        Comparison::IntegerWithText | Comparison::TextWithInteger => More { cast: more(1), ..More::default() },
    };
    // A table may have changed since its rows were counted: what was read whole is what is said.
    let all = if share < 1.0 { [rows.0 as f64, rows.1 as f64] } else { plain.rows };
    Figures {
        left: one_side(&plain, 0, all[0], share),
        right: one_side(&plain, 1, all[1], share),
        shared_keys: whole(plain.shared_keys / share),
        join_rows: whole(plain.join_rows / share),
        more,
        share,
    }
}

/// One side of `form`, of a table of `rows` rows. Ratios are those of the measured keys, which need no estimate.
fn one_side(form: &Form, side: usize, rows: f64, share: f64) -> Side {
    let nulls = form.nulls[side];
    let measured = form.rows[side] - nulls;
    let keyed = (rows - nulls).max(0.0);
    let of_all = |part: f64| if measured > 0.0 { part * keyed / measured } else { 0.0 };
    Side {
        rows: whole(rows),
        nulls: whole(nulls),
        keys: whole(form.keys[side] / share),
        duplicates: whole((measured - form.keys[side]) / share),
        max_per_key: (form.keys[side] > 0.0).then(|| whole(form.max_per_key[side])),
        overlap: (form.keys[side] > 0.0).then(|| form.matched_keys[side] / form.keys[side]),
        fan_out: (rows > 0.0).then(|| of_all(form.join_rows) / rows),
        unmatched_rows: whole(nulls + keyed - of_all(form.matched_rows[side])),
    }
}

/// A count, from the float that it was summed or estimated in.
fn whole(count: f64) -> u64 {
    count.round().max(0.0) as u64
}

/// The rows of a short answer that is all floats; NULL is 0.
fn numbers(batches: &[RecordBatch]) -> Vec<Vec<f64>> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().filter_map(|column| column.as_primitive_opt::<Float64Type>()).collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.iter().nth(row).flatten().unwrap_or(0.0)).collect());
        }
    }
    rows
}
