//! The weighted functions against naive models: ten lines over all rows, in no hurry.

#![expect(clippy::disallowed_methods, reason = "these tests are of the functions, below the governed path")]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int32Type};
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use proptest::prelude::*;

use crate::{Code, Error};

mod models;

/// Runs SQL with the functions registered and `reach` rewritten; tables are given by name.
pub(crate) struct Bench {
    context: SessionContext,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// Few rows per batch on four threads, so that every partial path is walked.
    pub(crate) fn new() -> Self {
        let config = SessionConfig::new()
            .with_batch_size(4)
            .with_target_partitions(4)
            .set_usize("datafusion.execution.skip_partial_aggregation_probe_rows_threshold", 1_000_000);
        Self::with_config(config)
    }

    /// The first stage hands rows on as partial states, one by one.
    fn skipping_partial_aggregation() -> Self {
        let config = SessionConfig::new()
            .with_batch_size(4)
            .with_target_partitions(4)
            .set_usize("datafusion.execution.skip_partial_aggregation_probe_rows_threshold", 0)
            .set_str("datafusion.execution.skip_partial_aggregation_probe_ratio_threshold", "0.0");
        Self::with_config(config)
    }

    fn with_config(config: SessionConfig) -> Self {
        let context = SessionContext::new_with_config(config);
        for function in super::all() {
            context.register_udaf(function.as_ref().clone());
        }
        Self { context, runtime: tokio::runtime::Builder::new_current_thread().build().unwrap() }
    }

    /// A table in several partitions of several batches.
    pub(crate) fn with_table(self, name: &str, columns: Vec<(&str, ArrayRef)>) -> Self {
        let whole =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
                .unwrap();
        let size = whole.num_rows().div_ceil(3).max(1);
        let partitions = (0..whole.num_rows().max(1))
            .step_by(size)
            .map(|at| vec![whole.slice(at, size.min(whole.num_rows() - at))])
            .collect();
        let table = MemTable::try_new(whole.schema(), partitions).unwrap();
        self.context.register_table(name, Arc::new(table)).unwrap();
        self
    }

    pub(crate) fn run(&self, sql: &str) -> Result<RecordBatch, Error> {
        self.runtime.block_on(self.collect(sql)).map_err(Error::from)
    }

    async fn collect(&self, sql: &str) -> Result<RecordBatch, DataFusionError> {
        let plan = self.context.state().create_logical_plan(sql).await?;
        let before = Arc::clone(plan.schema());
        let plan = crate::reach::rewrite(crate::grouping_sets::expand(plan)?)?;
        assert_eq!(before.as_ref(), plan.schema().as_ref(), "the columns that SQL was promised");
        let frame = DataFrame::new(self.context.state(), plan);
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await?;
        Ok(concat_batches(&schema, &batches)?)
    }

    /// Runs, and gives the columns as floats.
    pub(crate) fn floats(&self, sql: &str) -> Vec<Vec<Option<f64>>> {
        let batch = self.run(sql).unwrap();
        let to_floats = |column: &ArrayRef| {
            let column = arrow::compute::cast(column, &DataType::Float64).unwrap();
            column.as_primitive::<Float64Type>().iter().collect()
        };
        batch.columns().iter().map(to_floats).collect()
    }

    /// Runs, and gives the only value.
    pub(crate) fn float(&self, sql: &str) -> Option<f64> {
        let columns = self.floats(sql);
        assert_eq!((columns.len(), columns[0].len()), (1, 1), "{sql}");
        columns[0][0]
    }

    /// Runs what must fail.
    pub(crate) fn error(&self, sql: &str) -> (Code, String) {
        let error = self.run(sql).expect_err(sql);
        (error.code(), error.message().to_owned())
    }
}

pub(crate) fn assert_close(found: Option<f64>, expected: Option<f64>, what: &str) {
    let close = match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3),
        (found, expected) => found == expected,
    };
    assert!(close, "{what}: found {found:?}, expected {expected:?}");
}

/// A row of the random tables: group, value, other value, condition, weight, filter.
#[derive(Debug, Clone)]
struct Row {
    g: Option<i32>,
    x: Option<f64>,
    y: Option<f64>,
    c: Option<bool>,
    w: Option<f64>,
    keep: Option<bool>,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let number = || proptest::option::weighted(0.9, (-500i32..500).prop_map(|x| f64::from(x) / 8.0));
    let weight = proptest::option::weighted(0.9, prop_oneof![Just(0.0), (1u8..200).prop_map(|w| f64::from(w) / 16.0)]);
    let bit = || proptest::option::weighted(0.8, any::<bool>());
    let row = (proptest::option::weighted(0.9, 0..4), number(), number(), bit(), weight, bit());
    let row = row.prop_map(|(g, x, y, c, w, keep)| Row { g, x, y, c, w, keep });
    proptest::collection::vec(row, 0..90)
}

fn with_rows(bench: Bench, rows: &[Row]) -> Bench {
    let at = Int32Array::from_iter_values((0i32..).take(rows.len()));
    bench.with_table(
        "t",
        vec![
            ("at", Arc::new(at) as ArrayRef),
            ("g", Arc::new(rows.iter().map(|row| row.g).collect::<Int32Array>())),
            ("x", Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>())),
            ("y", Arc::new(rows.iter().map(|row| row.y).collect::<Float64Array>())),
            ("c", Arc::new(rows.iter().map(|row| row.c).collect::<BooleanArray>())),
            ("w", Arc::new(rows.iter().map(|row| row.w).collect::<Float64Array>())),
            ("keep", Arc::new(rows.iter().map(|row| row.keep).collect::<BooleanArray>())),
        ],
    )
}

type Model = fn(&[Row]) -> Option<f64>;

/// Every function as it is called on that table, with its model.
const CALLS: &[(&str, Model)] = &[
    ("effective_n(w)", models::effective_n),
    ("weighted_avg(x, w)", models::avg),
    ("weighted_count(w)", models::count),
    ("weighted_median(x, w)", models::median),
    ("weighted_quantile(x, 0.25, w)", models::quarter),
    ("weighted_ratio(x, y, w)", models::ratio),
    ("weighted_share(c, w)", models::share),
    ("weighted_stddev(x, w)", models::stddev),
    ("weighted_sum(x, w)", models::sum),
    ("weighted_variance(x, w)", models::variance),
];

fn calls(suffix: &str) -> String {
    CALLS.iter().map(|(call, _)| format!("{call} {suffix}")).collect::<Vec<_>>().join(", ")
}

fn check_groups(bench: &Bench, rows: &[Row]) {
    let sql = format!("SELECT g, {}, {} FROM t GROUP BY g", calls(""), calls("FILTER (WHERE keep)"));
    let columns = bench.floats(&sql);
    let mut groups: Vec<Option<i32>> = rows.iter().map(|row| row.g).collect();
    groups.sort_unstable();
    groups.dedup();
    assert_eq!(columns[0].len(), groups.len());
    for (at, group) in columns[0].iter().enumerate() {
        let group = group.map(|group| group as i32);
        let all: Vec<Row> = rows.iter().filter(|row| row.g == group).cloned().collect();
        let kept: Vec<Row> = all.iter().filter(|row| row.keep == Some(true)).cloned().collect();
        for (k, (call, model)) in CALLS.iter().enumerate() {
            assert_close(columns[1 + k][at], model(&all), call);
            assert_close(columns[1 + CALLS.len() + k][at], model(&kept), &format!("{call} FILTER"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn groups_are_as_the_models_have_them(rows in rows()) {
        check_groups(&with_rows(Bench::new(), &rows), &rows);
    }

    #[test]
    fn groups_survive_the_state_of_single_rows(rows in rows()) {
        check_groups(&with_rows(Bench::skipping_partial_aggregation(), &rows), &rows);
    }

    #[test]
    fn a_query_without_groups_is_as_the_models_have_it(rows in rows()) {
        let bench = with_rows(Bench::new(), &rows);
        let columns = bench.floats(&format!("SELECT {}, {} FROM t", calls(""), calls("FILTER (WHERE keep)")));
        let kept: Vec<Row> = rows.iter().filter(|row| row.keep == Some(true)).cloned().collect();
        for (k, (call, model)) in CALLS.iter().enumerate() {
            assert_close(columns[k][0], model(&rows), call);
            assert_close(columns[CALLS.len() + k][0], model(&kept), &format!("{call} FILTER"));
        }
    }

    #[test]
    fn window_frames_are_as_the_models_have_them(rows in rows(), before in 0usize..4, after in 0usize..4) {
        let bench = with_rows(Bench::new(), &rows);
        let sliding = format!("FILTER (WHERE keep) OVER (ORDER BY at ROWS BETWEEN {before} PRECEDING AND {after} FOLLOWING)");
        let gapped = "OVER (ORDER BY at ROWS BETWEEN 3 PRECEDING AND 2 PRECEDING)";
        let growing = "OVER (ORDER BY at)";
        let whole = "OVER (PARTITION BY g)";
        let sql = [sliding.as_str(), gapped, growing, whole].map(calls).join(", ");
        let sql = format!("SELECT at, {sql} FROM t ORDER BY at");
        let columns = bench.floats(&sql);
        for at in 0..rows.len() {
            let frame = &rows[at.saturating_sub(before)..(at + after + 1).min(rows.len())];
            let frame: Vec<Row> = frame.iter().filter(|row| row.keep == Some(true)).cloned().collect();
            let earlier = &rows[at.saturating_sub(3)..at.saturating_sub(1)];
            for (k, (call, model)) in CALLS.iter().enumerate() {
                assert_close(columns[1 + k][at], model(&frame), &format!("{call} {sliding} at {at}"));
                assert_close(columns[1 + CALLS.len() + k][at], model(earlier), &format!("{call} {gapped} at {at}"));
                assert_close(columns[1 + 2 * CALLS.len() + k][at], model(&rows[..=at]), &format!("{call} {growing} at {at}"));
                let group: Vec<Row> = rows.iter().filter(|row| row.g == rows[at].g).cloned().collect();
                assert_close(columns[1 + 3 * CALLS.len() + k][at], model(&group), &format!("{call} {whole} at {at}"));
            }
        }
    }
}

fn no_tables() -> Bench {
    Bench::new()
}

#[test]
fn statistics_are_those_of_r() {
    // survey::svydesign(ids = ~1, weights = ~w, data = data.frame(x = c(1, 2, 4, 7, 11), w = c(1, 2, 2, 1, 4)))
    let bench = no_tables();
    let of = |call: &str| {
        bench.float(&format!("SELECT {call} FROM (VALUES (1, 1), (2, 2), (4, 2), (7, 1), (11, 4)) t(x, w)"))
    };
    assert_close(of("weighted_avg(x, w)"), Some(6.4), "svymean");
    assert_close(of("weighted_sum(x, w)"), Some(64.0), "svytotal");
    assert_close(of("weighted_variance(x, w)"), Some(20.55), "svyvar");
    assert_close(of("weighted_stddev(x, w)"), Some(20.55f64.sqrt()), "sqrt(svyvar)");
    assert_close(of("weighted_median(x, w)"), Some(4.0), "svyquantile, qrule = \"math\"");
    assert_close(of("weighted_quantile(x, 0.51, w)"), Some(7.0), "svyquantile, qrule = \"math\"");
    assert_close(of("weighted_quantile(x, 0, w)"), Some(1.0), "the smallest");
    assert_close(of("weighted_quantile(x, 1, w)"), Some(11.0), "the largest");
    assert_close(of("effective_n(w)"), Some(100.0 / 26.0), "sum(w)^2 / sum(w^2)");
    assert_close(of("weighted_share(x > 3, w)"), Some(0.7), "svymean of a condition");
    assert_close(of("weighted_ratio(x, x * x, w)"), Some(64.0 / 574.0), "svyratio");
}

#[test]
fn a_share_that_is_exact_in_decimals_is_reached_in_binary() {
    let bench = no_tables();
    // Of ten rows of weight 0.1, seven reach 0.7 though their float sum does not.
    let sql = "SELECT weighted_quantile(x, 0.7, 0.1) FROM generate_series(1, 10) t(x)";
    assert_close(bench.float(sql), Some(7.0), sql);
    let sql = "SELECT weighted_quantile(x, 0.07, 1) FROM generate_series(1, 100) t(x)";
    assert_close(bench.float(sql), Some(7.0), sql);
}

#[test]
fn integers_decimals_and_floats_give_a_double() {
    let bench = no_tables();
    for (x, w) in
        [("BIGINT", "INT"), ("DECIMAL(12, 2)", "DECIMAL(9, 6)"), ("REAL", "DOUBLE"), ("DECIMAL(50, 4)", "SMALLINT")]
    {
        let calls = "weighted_avg(x, w), weighted_sum(x, w), weighted_count(w), weighted_median(x, w)";
        let from =
            format!("FROM (SELECT CAST(a AS {x}) AS x, CAST(b AS {w}) AS w FROM (VALUES (3, 1), (6, 2)) t(a, b))");
        let batch = bench.run(&format!("SELECT {calls} {from}")).unwrap();
        assert!(batch.columns().iter().all(|column| *column.data_type() == DataType::Float64), "{x}, {w}");
        let values: Vec<f64> =
            batch.columns().iter().map(|column| column.as_primitive::<Float64Type>().value(0)).collect();
        assert_eq!(values, [5.0, 15.0, 3.0, 6.0], "{x}, {w}");
    }
}

#[test]
fn dates_have_a_median_and_keep_their_type() {
    let bench = no_tables();
    let zoned = "Timestamp(Microsecond, Some(\"+05:30\"))";
    for (t, value) in [
        ("Date32", "2024-02-29"),
        ("Date64", "2024-02-29T00:00:00"),
        ("Timestamp(Second, None)", "2024-02-29T00:00:00"),
        (zoned, "2024-02-29T00:00:00+05:30"),
    ] {
        let sql = format!(
            "SELECT weighted_median(d, w) AS m FROM (SELECT arrow_cast(d, '{t}') AS d, w FROM \
             (VALUES ('2023-01-01', 1), ('2024-02-29', 3), ('2025-12-31', 1)) t(d, w)) GROUP BY w > 0"
        );
        let batch = bench.run(&sql).unwrap();
        let text = arrow::util::display::array_value_to_string(batch.column(0), 0).unwrap();
        assert_eq!(text, value, "{t}");
        assert_eq!(*batch.schema().field(0).data_type(), *batch.column(0).data_type());
    }
}

#[test]
fn of_no_rows_counts_are_zero_and_the_rest_is_null() {
    let bench = with_rows(Bench::new(), &[]);
    let columns = bench.floats(&format!("SELECT {} FROM t", calls("")));
    for (k, (call, _)) in CALLS.iter().enumerate() {
        assert_eq!(columns[k][0], call.contains("count").then_some(0.0), "{call}");
    }
}

#[test]
fn a_zero_weight_silences_even_an_infinite_value() {
    let bench = no_tables();
    let of = |call: &str| {
        let rows = "(VALUES (1.0, 1), (3.0, 1), ('Infinity'::DOUBLE, 0), ('NaN'::DOUBLE, 0)) t(x, w)";
        [
            bench.float(&format!("SELECT {call} FROM {rows}")),
            bench.float(&format!("SELECT {call} FROM {rows} GROUP BY w < 9")),
        ]
    };
    assert_eq!(of("weighted_avg(x, w)"), [Some(2.0); 2]);
    assert_eq!(of("weighted_sum(x, w)"), [Some(4.0); 2]);
    assert_eq!(of("weighted_variance(x, w)"), [Some(2.0); 2]);
    assert_eq!(of("weighted_quantile(x, 1, w)"), [Some(3.0); 2]);
}

#[test]
fn an_infinite_value_leaves_a_window_as_if_it_had_never_been_there() {
    let bench = no_tables();
    let sql = "SELECT weighted_avg(x, 1) OVER (ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS m \
               FROM (VALUES (1, 1.0), (2, 'Infinity'::DOUBLE), (3, 2.0), (4, 4.0)) t(at, x) ORDER BY at";
    assert_eq!(bench.floats(sql)[0], [Some(1.0), Some(f64::INFINITY), Some(f64::INFINITY), Some(3.0)]);
}

#[test]
fn a_weight_that_no_sample_has_is_an_error() {
    let bench = no_tables();
    for (call, _) in CALLS {
        for weight in ["-1", "'NaN'", "'Infinity'"] {
            let rows =
                format!("(VALUES (1.0, 2.0, true, 1.0), (2.0, 3.0, false, CAST({weight} AS DOUBLE))) t(x, y, c, w)");
            for tail in ["", " GROUP BY y > 0"] {
                let (code, message) = bench.error(&format!("SELECT {call} FROM {rows}{tail}"));
                assert_eq!(code, Code::InvalidArgument);
                assert!(message.ends_with("a weight is negative, infinite or not a number."), "{message}");
            }
        }
    }
}

#[test]
fn a_weight_that_is_left_out_may_be_anything() {
    let bench = no_tables();
    let sql = "SELECT weighted_avg(x, w) FILTER (WHERE w > 0) FROM (VALUES (1.0, 2.0), (2.0, -1.0)) t(x, w)";
    assert_eq!(bench.float(sql), Some(1.0));
    let sql = "SELECT weighted_avg(x, w) FROM (VALUES (1.0, 2.0), (NULL, -1.0)) t(x, w) GROUP BY w < 9";
    assert_eq!(bench.float(sql), Some(1.0));
}

#[test]
fn wrong_arguments_are_named_in_one_sentence() {
    let bench = no_tables();
    let error = |call: &str| {
        let (code, message) = bench.error(&format!("SELECT {call} FROM (VALUES ('a', 1.0, true, 0.5)) t(s, w, c, p)"));
        assert_eq!(code, Code::InvalidArgument, "{message}");
        message
    };
    assert_eq!(error("weighted_avg(s, w)"), "weighted_avg(x, w): x must be a number, not text.");
    assert_eq!(error("weighted_avg(c, w)"), "weighted_avg(x, w): x must be a number, not true or false.");
    assert_eq!(error("weighted_avg(w)"), "weighted_avg(x, w) takes 2 arguments, not 1.");
    assert_eq!(error("weighted_count()"), "weighted_count(w) takes one argument, not 0.");
    assert_eq!(error("weighted_count(s)"), "weighted_count(w): w must be a number, not text.");
    assert_eq!(
        error("weighted_share(w, w)"),
        "weighted_share(condition, w): condition must be true or false, not a number."
    );
    let message = "weighted_median(x, w): x must be a number, a date or a timestamp, not text.";
    assert_eq!(error("weighted_median(s, w)"), message);
    assert_eq!(error("weighted_avg(s, w) OVER ()"), "weighted_avg(x, w): x must be a number, not text.");
    assert_eq!(error("reach(s, s)"), "reach(unit, w): w must be a number, not text.");
}

#[test]
fn a_quantile_wants_a_constant_share() {
    let bench = no_tables();
    let of =
        |p: &str, tail: &str| format!("SELECT weighted_quantile(w, {p}, w) FROM (VALUES (1.0, 0.5)) t(w, p){tail}");
    for tail in ["", " GROUP BY p"] {
        let wrong = |p: &str| bench.error(&of(p, tail));
        let prefix = "weighted_quantile(x, p, w): p must be";
        assert_eq!(wrong("p"), (Code::InvalidArgument, format!("{prefix} a constant, not a column.")));
        for p in ["1.5", "-0.1", "NULL", "'NaN'::DOUBLE"] {
            assert_eq!(wrong(p), (Code::InvalidArgument, format!("{prefix} a number from 0 to 1.")), "{p}");
        }
        assert_eq!(bench.float(&of("1 - 0.5", tail)), Some(1.0));
    }
}

#[test]
fn distinct_is_refused_in_every_place() {
    let bench = no_tables();
    for call in [
        "weighted_count(DISTINCT w)",
        "weighted_avg(DISTINCT w, w)",
        "weighted_count(DISTINCT w) OVER ()",
        "weighted_median(DISTINCT w, w)",
    ] {
        for tail in ["", " GROUP BY w"] {
            let (code, message) = bench.error(&format!("SELECT {call} FROM (VALUES (1.0)) t(w){tail}"));
            assert_eq!(code, Code::UnsupportedSql, "{call}: {message}");
            assert!(message.ends_with("does not take DISTINCT."), "{message}");
        }
    }
}

#[test]
fn functions_work_in_having_order_by_and_by_argument_name() {
    let bench = no_tables();
    let sql = "SELECT g FROM (VALUES (1, 1.0, 2.0), (2, 9.0, 1.0), (3, 5.0, 1.0), (3, 7.0, 1.0)) t(g, x, w) GROUP BY g \
               HAVING weighted_avg(w => w, x => x) > 2 ORDER BY weighted_avg(x, w)";
    let batch = bench.run(sql).unwrap();
    let groups = arrow::compute::cast(batch.column(0), &DataType::Int32).unwrap();
    assert_eq!(groups.as_primitive::<Int32Type>().values(), &[3, 2]);
}

#[test]
fn columns_are_named_as_they_are_written() {
    let bench = no_tables();
    let batch = bench.run("SELECT weighted_avg(x, w), reach(x, w) FROM (VALUES (1, 2)) t(x, w)").unwrap();
    let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["weighted_avg(t.x,t.w)", "reach(t.x,t.w)"]);
}

#[test]
fn quantiles_of_sorted_groups_are_emitted_as_they_end() {
    // Input that is sorted by its group is emitted group by group, so the others move down.
    let bench = no_tables();
    let sql = "SELECT g, weighted_median(x, 1) AS m, weighted_avg(x, 1) AS a FROM \
               (SELECT x / 10 AS g, x FROM generate_series(0, 199) t(x) ORDER BY x) GROUP BY g ORDER BY g";
    let columns = bench.floats(sql);
    assert_eq!(columns[1], (0..20).map(|g| Some(f64::from(g) * 10.0 + 4.0)).collect::<Vec<_>>());
    assert_eq!(columns[2], (0..20).map(|g| Some(f64::from(g) * 10.0 + 4.5)).collect::<Vec<_>>());
}
