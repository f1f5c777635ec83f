//! Statements: what may be asked, parameters, and that a description equals its answer.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use engine::{Code, Principal, Query};

use super::{code, collect, engine, error, rows};

#[tokio::test]
async fn what_writes_or_sets_is_read_only() {
    let engine = engine();
    for sql in [
        "INSERT INTO panel.people VALUES (1)",
        "UPDATE panel.people SET id = 1",
        "DELETE FROM panel.people",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "DROP TABLE panel.people",
        "COPY panel.people TO '/tmp/out.csv'",
        "COPY (SELECT 1) TO 'out.csv'",
        "SET datafusion.execution.batch_size = 1",
        "RESET ALL",
        "SELECT * INTO t FROM panel.people",
        "PREPARE p AS SELECT 1",
        "EXPLAIN INSERT INTO panel.people VALUES (1)",
        "BEGIN",
        "TRUNCATE TABLE panel.people",
        "GRANT SELECT ON panel.people TO x",
    ] {
        assert_eq!(code(&engine, sql).await, Code::ReadOnly, "{sql}");
    }
}

#[tokio::test]
async fn a_plan_is_shown_before_and_after_it_is_optimized() {
    let plan = rows(&engine(), &Principal::local(), "EXPLAIN SELECT max(id) FROM panel.people").await.concat();
    assert!(plan.contains("logical_plan") && plan.contains("physical_plan"), "{plan}");
}

#[tokio::test]
async fn one_statement_at_a_time() {
    let engine = engine();
    assert_eq!(code(&engine, "SELECT 1; SELECT 2").await, Code::UnsupportedSql);
    assert_eq!(code(&engine, "SELECT 1; DROP TABLE panel.people").await, Code::UnsupportedSql);
    assert_eq!(rows(&engine, &Principal::local(), "SELECT 1;").await, ["1"]);
    assert_eq!(code(&engine, "").await, Code::InvalidSql);
    assert_eq!(code(&engine, "-- nothing").await, Code::InvalidSql);
    assert_eq!(code(&engine, "SELEC 1").await, Code::InvalidSql);
}

#[tokio::test]
async fn no_function_tells_where_a_file_lies() {
    assert_eq!(code(&engine(), "SELECT input_file_name() FROM panel.people").await, Code::FunctionNotFound);
}

#[tokio::test]
async fn no_file_can_be_named_as_a_table() {
    let engine = engine();
    for sql in ["SELECT * FROM '/etc/passwd'", "SELECT * FROM \"/etc/passwd\"", "SELECT * FROM read_csv('/etc/passwd')"]
    {
        let code = code(&engine, sql).await;
        assert!(matches!(code, Code::TableNotFound | Code::FunctionNotFound | Code::InvalidSql), "{sql}: {code}");
    }
}

#[tokio::test]
async fn mistakes_get_their_code() {
    let engine = engine();
    for (sql, expected) in [
        ("SELECT nope(1)", Code::FunctionNotFound),
        ("SELECT 1/0", Code::ArithmeticError),
        ("SELECT CAST('x' AS INT)", Code::InvalidArgument),
        ("SELECT id FROM panel.people p, hr.staff s", Code::AmbiguousName),
        ("SELECT * FROM panel.people WHERE", Code::InvalidSql),
    ] {
        assert_eq!(code(&engine, sql).await, expected, "{sql}");
    }
}

fn params(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

#[tokio::test]
async fn parameters_are_bound_by_position_in_either_writing() {
    let engine = engine();
    let two =
        || params(vec![("0", Arc::new(Int64Array::from(vec![2]))), ("1", Arc::new(StringArray::from(vec!["Pune"])))]);
    for sql in [
        "SELECT id FROM panel.people WHERE id > ? AND city = ?",
        "SELECT id FROM panel.people WHERE city = $2 AND id > $1",
        "SELECT id FROM panel.people WHERE id > ? AND city = ? AND '?' = '?' -- ?",
    ] {
        let query = Query::new(sql).params(two());
        let table = collect(engine.query(&Principal::local(), query).await.unwrap()).await.unwrap();
        assert!(table.contains("| 3  |") && !table.contains("| 1  |"), "{sql}\n{table}");
    }
}

#[tokio::test]
async fn a_parameter_takes_the_type_of_its_place() {
    let engine = engine();
    for value in [Arc::new(Int32Array::from(vec![3])) as ArrayRef, Arc::new(StringArray::from(vec!["3"]))] {
        let query = Query::new("SELECT name FROM panel.people WHERE id = ?").params(params(vec![("0", value)]));
        let table = collect(engine.query(&Principal::local(), query).await.unwrap()).await.unwrap();
        assert!(table.contains("Chitra"), "{table}");
    }
}

#[tokio::test]
async fn too_few_or_mixed_parameters_are_refused() {
    let engine = engine();
    let one = params(vec![("0", Arc::new(Int64Array::from(vec![2])))]);
    for (sql, given) in [
        ("SELECT ?", None),
        ("SELECT ?, ?", Some(one.clone())),
        ("SELECT 1", Some(one.clone())),
        ("SELECT $2", Some(one.clone())),
        ("SELECT ?, $1", Some(one)),
    ] {
        let query = Query::new(sql).params(given);
        assert_eq!(error(&engine, &Principal::local(), query).await.code(), Code::InvalidArgument, "{sql}");
    }
}

#[tokio::test]
async fn a_description_equals_its_answer() {
    let engine = engine();
    for sql in [
        "SELECT * FROM panel.people",
        "SELECT min(id), max(name), count(*), avg(weight) FROM panel.people",
        "SELECT arrow_cast(name, 'Utf8View') AS v, arrow_cast(city, 'Dictionary(Int32, Utf8)') AS d FROM panel.people",
        "SELECT 1 AS x UNION ALL SELECT 2.5",
        "SELECT make_array(name) AS l, struct(id, name) AS s FROM panel.people",
        "SELECT CASE WHEN id > 1 THEN 1 END AS c, NULL AS n FROM panel.people",
        "SELECT * FROM system.datasets",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
    ] {
        let described = engine.describe(&Principal::local(), &Query::new(sql)).await.unwrap();
        let mut stream = engine.query(&Principal::local(), Query::new(sql)).await.unwrap();
        assert_eq!(described.schema, stream.schema(), "{sql}");
        while let Some(batch) = futures::StreamExt::next(&mut stream).await {
            assert_eq!(batch.unwrap().schema(), described.schema, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_description_knows_the_parameters() {
    let engine = engine();
    let query = Query::new("SELECT name FROM panel.people WHERE id = ? AND city = ?");
    let description = engine.describe(&Principal::local(), &query).await.unwrap();
    let parameters: Vec<String> =
        description.parameters.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    assert_eq!(parameters, ["1 Int64", "2 Utf8"]);
}

#[tokio::test]
async fn views_and_dictionaries_never_leave() {
    let engine = engine();
    let sql = "SELECT arrow_cast(name, 'Utf8View') AS v, arrow_cast(name, 'LargeUtf8') AS l, \
               arrow_cast(city, 'Dictionary(Int32, Utf8)') AS d FROM panel.people";
    let schema = engine.describe(&Principal::local(), &Query::new(sql)).await.unwrap().schema;
    for field in schema.fields() {
        assert_eq!(field.data_type(), &arrow::datatypes::DataType::Utf8, "{}", field.name());
    }
}
