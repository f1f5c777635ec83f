//! What every source kind keeps, whatever holds its tables. A kind's test makes the tables and calls [`contract`].
//!
//! Table `people` has the columns `id`, `name`, `score` and the rows of [`PEOPLE`]; table `empty` has the same columns
//! and no row.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use catalogs::{Scope, Source};
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::physical_plan::execute_stream;
use engine::{Code, Error, TableProviderRef};
use futures::TryStreamExt;

/// The rows of table `people`; `-` is NULL.
pub(crate) const PEOPLE: [[&str; 3]; 5] =
    [["1", "Ann", "1.5"], ["2", "Bob", "-"], ["3", "-", "2.5"], ["4", "Dée", "4.5"], ["5", "E, \"e\"", "-"]];

/// What a kind's test has made.
pub(crate) struct Expected<'a> {
    /// The part of the source with the tables.
    pub(crate) scope: Scope,
    /// The schema that they are in.
    pub(crate) schema: &'a str,
    /// All tables, sorted.
    pub(crate) tables: &'a [&'a str],
    /// A table that cannot be read, with the code that says so.
    pub(crate) broken: Option<(&'a str, Code)>,
    /// What no message may hold: paths, credentials.
    pub(crate) secrets: &'a [&'a str],
}

/// Checks that `source` keeps what every source keeps.
pub(crate) async fn contract(source: &dyn Source, expected: &Expected<'_>) {
    contract_without_empty(source, expected).await;
    let empty = open(source, expected, "empty").await;
    assert_eq!(empty.schema().fields().len(), 3);
    assert!(rows(scan(&empty).build().unwrap()).await.unwrap().is_empty());
    assert_eq!(count(&empty).await, 0);
}

/// The contract of a kind whose tables have no columns without rows.
pub(crate) async fn contract_without_empty(source: &dyn Source, expected: &Expected<'_>) {
    source.test().await.expect("it answers");
    let entries = source.tables(&expected.scope).await.expect("it lists its tables");
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, expected.tables);
    assert!(entries.iter().all(|entry| entry.schema == expected.schema));
    for secret in expected.secrets {
        assert!(!source.location().contains(secret), "the location tells {secret}");
    }
    let people = open(source, expected, "people").await;
    columns_are_described(&people);
    everything_is_read(&people).await;
    projection_filter_and_limit_hold(&people).await;
    a_reader_may_stop_early(&people).await;
    everything_is_read(&people).await;

    for (schema, table) in [(expected.schema, "missing"), ("missing", "people"), (expected.schema, "PEOPLE")] {
        let opened = source.open(&expected.scope, schema, table).await.expect("a missing table is no failure");
        assert!(opened.is_none(), "{schema}.{table}");
    }
    broken_data_says_so_and_no_more(source, expected).await;
}

async fn open(source: &dyn Source, expected: &Expected<'_>, table: &str) -> TableProviderRef {
    source.open(&expected.scope, expected.schema, table).await.expect("it opens").expect("it is there")
}

fn columns_are_described(people: &TableProviderRef) {
    let schema = people.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "name", "score"]);
    for field in schema.fields() {
        assert!(field.metadata().contains_key("weft.source_type"), "{} has no source type", field.name());
    }
    assert!(schema.field(0).data_type().is_integer(), "{}", schema.field(0));
    assert_eq!(schema.field(2).data_type(), &DataType::Float64);
}

async fn everything_is_read(people: &TableProviderRef) {
    assert_eq!(rows(scan(people).build().unwrap()).await.unwrap(), PEOPLE.map(|row| row.map(str::to_owned).to_vec()));
    assert_eq!(count(people).await, PEOPLE.len());
}

async fn projection_filter_and_limit_hold(people: &TableProviderRef) {
    let swapped = scan(people).project([col("score"), col("id")]).unwrap().build().unwrap();
    let expected: Vec<_> = [["-", "2"], ["-", "5"], ["1.5", "1"], ["2.5", "3"], ["4.5", "4"]]
        .map(|row| row.map(str::to_owned).to_vec())
        .into();
    assert_eq!(rows(swapped).await.unwrap(), expected);
    let some = Expr::IsNotNull(Box::new(col("score")));
    for (filter, expected) in [
        (col("id").eq(lit(2_i64)), &["2"][..]),
        (col("id").gt(lit(3_i64)), &["4", "5"]),
        (col("id").in_list(vec![lit(1_i64), lit(9_i64)], false), &["1"]),
        (col("name").eq(lit("Dée")), &["4"]),
        (col("name").is_null(), &["3"]),
        (some.clone().and(col("id").lt(lit(4_i64))), &["1", "3"]),
        (col("score").gt(lit(2.0)), &["3", "4"]),
        (col("name").like(lit("%e\"")), &["5"]),
        (col("id").eq(lit(99_i64)), &[]),
    ] {
        let plan = scan(people).filter(filter.clone()).unwrap().project([col("id")]).unwrap().build().unwrap();
        let found: Vec<String> = rows(plan).await.unwrap().into_iter().flatten().collect();
        assert_eq!(found, expected, "{filter}");
    }
    for limit in [0, 1, 3, 9] {
        let plan = scan(people).limit(0, Some(limit)).unwrap().build().unwrap();
        assert_eq!(rows(plan).await.unwrap().len(), limit.min(PEOPLE.len()), "limit {limit}");
    }
    // A limit counts rows that meet the filter.
    let plan = scan(people).filter(some).unwrap().limit(0, Some(2)).unwrap().build().unwrap();
    assert_eq!(rows(plan).await.unwrap().len(), 2);
}

async fn a_reader_may_stop_early(people: &TableProviderRef) {
    let context = SessionContext::new();
    let plan = context.state().create_physical_plan(&scan(people).build().unwrap()).await.unwrap();
    let mut stream = execute_stream(plan, context.task_ctx()).unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    drop(stream);
}

async fn broken_data_says_so_and_no_more(source: &dyn Source, expected: &Expected<'_>) {
    let Some((table, code)) = expected.broken else { return };
    let error = match source.open(&expected.scope, expected.schema, table).await {
        Ok(opened) => rows(scan(&opened.expect("it is listed")).build().unwrap()).await.expect_err("it is broken"),
        Err(error) => error,
    };
    assert_eq!(error.code(), code, "{error}");
    for secret in expected.secrets {
        assert!(!error.message().contains(secret), "{error}");
    }
}

/// A scan of all columns, to build on.
pub(crate) fn scan(table: &TableProviderRef) -> LogicalPlanBuilder {
    LogicalPlanBuilder::scan("t", provider_as_source(Arc::clone(table)), None).unwrap()
}

/// The rows of a plan as text, sorted; NULL is `-`.
pub(crate) async fn rows(plan: LogicalPlan) -> Result<Vec<Vec<String>>, Error> {
    let mut rows: Vec<Vec<String>> = run(plan).await?.iter().flat_map(texts).collect();
    rows.sort();
    Ok(rows)
}

/// The batches of a plan.
pub(crate) async fn run(plan: LogicalPlan) -> Result<Vec<RecordBatch>, Error> {
    let context = SessionContext::new();
    let plan = context.state().create_physical_plan(&plan).await.map_err(Error::from)?;
    let stream = execute_stream(plan, context.task_ctx()).map_err(Error::from)?;
    stream.try_collect().await.map_err(Error::from)
}

async fn count(table: &TableProviderRef) -> usize {
    let batches = run(scan(table).project(Vec::<Expr>::new()).unwrap().build().unwrap()).await.unwrap();
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let columns: Vec<_> = batch.columns().iter().map(|column| cast(column, &DataType::Utf8).unwrap()).collect();
    let text = |column: &arrow::array::ArrayRef, row: usize| {
        let column = column.as_string::<i32>();
        if column.is_null(row) { "-".to_owned() } else { column.value(row).to_owned() }
    };
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| text(column, row)).collect()).collect()
}
