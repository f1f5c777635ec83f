//! What is declared, what is stored, and what arrives. Nothing arrives as anything else.

use arrow::datatypes::{DataType, TimeUnit};
use catalogs::Scope;
use engine::{Code, TableKind};
use serde_json::json;

use super::{Shop, open, query};

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

#[tokio::test]
async fn declared_types_decide_and_values_arrive_exactly() {
    let shop = Shop::new(
        "CREATE TABLE t (
            i INTEGER PRIMARY KEY, big BIGINT NOT NULL, r DOUBLE, d DECIMAL(10,2), t VARCHAR(9), b BLOB, f BOOLEAN, dt DATE,
            ts TIMESTAMP, j JSON, any ANY, untyped
         );
         INSERT INTO t VALUES
            (1, 9223372036854775807, 1, 1.5, 'é' || char(0) || 'x', x'00ff', 1, '2024-02-29', '2024-02-29 12:34:56.789', '{}', 5, 5),
            (2, -9223372036854775808, 1e308, 7, '', x'', 0, '0001-01-01', '1969-12-31T23:59:59Z', 12, 'x', 1.5),
            (3, 0, 9e999, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2.0, NULL),
            (4, 0, NULL, 9007199254740992, 5, zeroblob(3), FALSE, '9999-12-31', '2024-02-29', 'x', NULL, 2)",
    );
    let source = shop.source();
    let provider = open(&source, "t").await.unwrap();
    let schema = provider.schema();
    let found: Vec<(&str, &DataType, &str)> = schema
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field.data_type(), field.metadata()["weft.source_type"].as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("i", &DataType::Int64, "INTEGER"),
            ("big", &DataType::Int64, "BIGINT"),
            ("r", &DataType::Float64, "DOUBLE"),
            ("d", &DataType::Float64, "DECIMAL(10,2)"),
            ("t", &DataType::Utf8, "VARCHAR(9)"),
            ("b", &DataType::Binary, "BLOB"),
            ("f", &DataType::Boolean, "BOOLEAN"),
            ("dt", &DataType::Date32, "DATE"),
            ("ts", &MICROS, "TIMESTAMP"),
            ("j", &DataType::Utf8, "JSON"),
            ("any", &DataType::Utf8, "ANY"),
            ("untyped", &DataType::Float64, "ANY"),
        ]
    );
    assert!(!schema.field(1).is_nullable() && schema.field(2).is_nullable());
    assert_eq!(
        query(&source, &["t"], "SELECT * FROM t ORDER BY i").await.unwrap(),
        [
            "1|9223372036854775807|1.0|1.5|é\0x|00ff|true|2024-02-29|2024-02-29T12:34:56.789|{}|5|5.0",
            "2|-9223372036854775808|1e308|7.0|||false|0001-01-01|1969-12-31T23:59:59|12|x|1.5",
            "3|0|inf|~|~|~|~|~|~|~|2|~",
            "4|0|~|9007199254740992.0|5|000000|false|9999-12-31|2024-02-29T00:00:00|x|~|2.0",
        ]
    );
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_an_error_that_names_its_column() {
    for (declared, value, what) in [
        ("INTEGER", "1.5", "a fraction instead of integers"),
        ("INTEGER", "'abc'", "text instead of integers"),
        ("REAL", "x'00'", "a BLOB instead of numbers"),
        ("NUMERIC", "9007199254740993", "an integer beyond 2^53, which a floating point number does not hold"),
        ("TEXT", "x'00'", "a BLOB instead of text"),
        ("TEXT", "CAST(x'ff' AS TEXT)", "text that is not UTF-8"),
        ("BLOB", "'abc'", "text instead of bytes"),
        ("BOOLEAN", "2", "an integer other than 0 and 1"),
        ("DATE", "1700000000", "an integer instead of text"),
        ("DATE", "'29.02.2024'", "text that is no date such as 2024-02-29"),
        ("DATETIME", "'2024-02-29 12:00:00+05:30'", "text that is no timestamp such as 2024-02-29 12:34:56.789"),
        ("JSON", "x'00'", "a BLOB instead of text"),
    ] {
        let shop = Shop::new(&format!("CREATE TABLE t (id INT, c {declared}); INSERT INTO t VALUES (1, {value})"));
        let source = shop.source();
        let error = query(&source, &["t"], "SELECT c FROM t").await.unwrap_err();
        assert_eq!(error.code(), Code::DataInvalid, "{declared} {value}");
        assert_eq!(error.message(), format!("Column \"c\" of source \"shop\" holds {what}."));
        assert!(error.hint_text().is_some());
        assert_eq!(query(&source, &["t"], "SELECT id FROM t").await.unwrap(), ["1"]);
    }
}

#[tokio::test]
async fn options_say_what_a_declaration_does_not() {
    let shop = Shop::new(
        "CREATE TABLE t (a DATETIME, b TEXT, c TEXT, d DATE);
         INSERT INTO t VALUES (1700000000000, '2024-02-29', '2024-02-29 12:00', 5)",
    );
    let columns =
        json!({ "a": "integer", "t.b": "date", "c": "date", "t.c": "timestamp", "d": "text", "other.d": "date" });
    let source = shop.source_with(json!({ "columns": columns }));
    let rows = query(&source, &["t"], "SELECT * FROM t WHERE b >= '2024-02-29' AND a > 5").await.unwrap();
    assert_eq!(rows, ["1700000000000|2024-02-29|2024-02-29T12:00:00|5"]);
}

#[tokio::test]
async fn views_and_columns_without_a_type_are_typed_by_their_rows() {
    let shop = Shop::new(
        "CREATE TABLE t (n INTEGER, r REAL, name TEXT, b BLOB, day DATE);
         INSERT INTO t VALUES (1, 1.5, 'a', x'00', '2024-01-01'), (2, 2.5, 'b', x'01', '2024-01-02');
         CREATE VIEW v AS SELECT n, day, n + 1 AS more, sum(r) AS total, count(*) AS rows, name || '!' AS text, b, max(b) AS most,
             NULL AS none, CAST(r AS INTEGER) AS whole, CASE n WHEN 1 THEN 'a' ELSE 2 END AS mixed FROM t GROUP BY n;
         CREATE TABLE copy AS SELECT * FROM v;
         CREATE VIEW both AS SELECT n AS c FROM t UNION ALL SELECT name FROM t",
    );
    let source = shop.source();
    for table in ["v", "copy"] {
        let schema = open(&source, table).await.unwrap().schema();
        let types: Vec<String> =
            schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
        assert_eq!(types[0], "n Int64");
        assert_eq!(
            types[2..],
            [
                "more Int64",
                "total Float64",
                "rows Int64",
                "text Utf8",
                "b Binary",
                "most Binary",
                "none Utf8",
                "whole Int64",
                "mixed Utf8",
            ],
            "{table}"
        );
        let sql = format!("SELECT more, total, rows, text, mixed, whole, none FROM {table} WHERE rows = 1 ORDER BY n");
        assert_eq!(query(&source, &[table], &sql).await.unwrap(), ["2|1.5|1|a!|a|1|~", "3|2.5|1|b!|2|2|~"], "{table}");
    }
    assert_eq!(open(&source, "v").await.unwrap().schema().field(1).data_type(), &DataType::Date32);
    // Whatever type the two halves get, no value changes.
    match query(&source, &["both"], "SELECT c FROM both").await {
        Ok(rows) => assert_eq!(rows, ["1", "2", "a", "b"]),
        Err(error) => assert_eq!(error.code(), Code::DataInvalid),
    }
}

#[tokio::test]
async fn a_type_that_the_first_rows_suggest_is_taken_back() {
    let shop = Shop::new(
        "CREATE TABLE t (c); WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k LIMIT 1000) INSERT INTO t SELECT n FROM k;
         INSERT INTO t VALUES (1.5)",
    );
    let source = shop.source();
    let error = query(&source, &["t"], "SELECT c FROM t").await.unwrap_err();
    assert_eq!(error.code(), Code::DataInvalid);
    shop.sql("UPDATE t SET c = 0.5 WHERE rowid = 1");
    assert_eq!(query(&source, &["t"], "SELECT count(c) FROM t WHERE c > 0.7").await.unwrap(), ["1000"]);
}

#[tokio::test]
async fn tables_of_every_kind_are_listed_and_read() {
    let shop = Shop::new(
        "CREATE TABLE plain (a INT, b INT GENERATED ALWAYS AS (a * 2) VIRTUAL, c TEXT AS (a || '!') STORED);
         INSERT INTO plain (a) VALUES (1);
         CREATE TABLE keyed (k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO keyed VALUES ('x', 1);
         CREATE TABLE strict (a INT, b ANY) STRICT; INSERT INTO strict VALUES (1, 'b');
         CREATE VIRTUAL TABLE words USING fts5(word, note); INSERT INTO words VALUES ('hello world', 'n');
         CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1); INSERT INTO boxes VALUES (1, 0.5, 1.5);
         CREATE VIEW seen AS SELECT a FROM plain;
         CREATE TABLE \"we\"\"ird `t\" (\"select \"\"\"\" from\" INT, \"a`b\" TEXT, [c\"d] INT);
         INSERT INTO \"we\"\"ird `t\" VALUES (5, 'x', 6)",
    );
    let source = shop.source();
    let entries = source.tables(&Scope::default()).await.unwrap();
    let found: Vec<(&str, TableKind, Option<u64>)> =
        entries.iter().map(|entry| (entry.name.as_str(), entry.kind, entry.row_estimate)).collect();
    assert_eq!(
        found,
        [
            ("boxes", TableKind::Table, None),
            ("keyed", TableKind::Table, None),
            ("plain", TableKind::Table, Some(1)),
            ("seen", TableKind::View, None),
            ("strict", TableKind::Table, Some(1)),
            ("we\"ird `t", TableKind::Table, Some(1)),
            ("words", TableKind::Table, None),
        ]
    );
    for (table, sql, row) in [
        ("plain", "SELECT * FROM plain WHERE b = 2", "1|2|1!"),
        ("keyed", "SELECT * FROM keyed WHERE k = 'x'", "x|1"),
        ("strict", "SELECT * FROM strict WHERE a = 1", "1|b"),
        ("words", "SELECT * FROM words WHERE word = 'hello world'", "hello world|n"),
        ("boxes", "SELECT id FROM boxes WHERE x0 < 1", "1"),
        ("seen", "SELECT * FROM seen WHERE a = 1", "1"),
        (
            "we\"ird `t",
            "SELECT * FROM \"we\"\"ird `t\" WHERE \"select \"\"\"\" from\" = 5 AND \"a`b\" = 'x' AND \"c\"\"d\" = 6",
            "5|x|6",
        ),
    ] {
        assert_eq!(query(&source, &[table], sql).await.unwrap(), [row], "{table}");
    }
}

#[tokio::test]
async fn a_table_of_1600_columns_is_read() {
    let columns: Vec<String> = (0..1600).map(|at| format!("c{at} INTEGER")).collect();
    let values: Vec<String> = (0..1600).map(|at| at.to_string()).collect();
    let shop = Shop::new(&format!(
        "CREATE TABLE wide ({}); INSERT INTO wide VALUES ({})",
        columns.join(", "),
        values.join(", ")
    ));
    let source = shop.source();
    assert_eq!(query(&source, &["wide"], "SELECT * FROM wide WHERE c1599 = 1599").await.unwrap(), [values.join("|")]);
}

#[tokio::test]
async fn large_values_arrive_whole() {
    let shop = Shop::new(
        "CREATE TABLE t (n INT, b BLOB); INSERT INTO t VALUES (1, zeroblob(5000000)), (2, x'01'), (3, zeroblob(3000000))",
    );
    let rows = query(&shop.source(), &["t"], "SELECT n, b FROM t").await.unwrap();
    let lengths: Vec<usize> = rows.iter().map(|row| row.len() - 2).collect();
    assert_eq!(lengths, [10_000_000, 2, 6_000_000]);
}

#[tokio::test]
async fn estimates_are_of_the_last_analyze_or_of_the_last_row() {
    let shop = Shop::new(
        "CREATE TABLE t (n INT); CREATE INDEX tn ON t (n);
         WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k LIMIT 500) INSERT INTO t SELECT n FROM k;
         CREATE TABLE huge (id INTEGER PRIMARY KEY); INSERT INTO huge VALUES (9223372036854775807)",
    );
    let source = shop.source();
    let rows = |table: &'static str| {
        let source = source.clone();
        async move {
            let entries = source.tables(&Scope::default()).await.unwrap();
            entries.iter().find(|entry| entry.name == table).unwrap().row_estimate.unwrap()
        }
    };
    assert_eq!(rows("t").await, 500);
    // A number chosen by hand says nothing: the file's size bounds what is believed of it.
    assert!(rows("huge").await < 10_000);
    shop.sql("DELETE FROM t WHERE n <= 400; ANALYZE");
    let fresh = shop.source();
    let provider = open(&fresh, "t").await.unwrap();
    assert_eq!(provider.statistics().unwrap().num_rows, datafusion::common::stats::Precision::Inexact(100));
}
