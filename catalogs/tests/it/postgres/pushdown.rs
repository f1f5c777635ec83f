//! What is asked of the server, and that the rows are those of a scan that asks nothing of it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalogs::Source;
use datafusion::catalog::{Session, TableProvider};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use engine::{Error, TableProviderRef};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use super::server::Server;
use super::{lines, open, query, runtime, source};

/// The same table, with nothing pushed but the projection.
#[derive(Debug)]
struct Unpushed(TableProviderRef);

#[async_trait]
impl TableProvider for Unpushed {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        self.0.scan(session, projection, &[], None).await
    }
}

/// The rows of a query over `pushed.NAME` and over `unpushed.NAME`, and the plan of the former.
struct Both {
    context: SessionContext,
}

impl Both {
    #[expect(clippy::disallowed_methods, reason = "a scan is tested by itself, without the path above it")]
    async fn new(source: &Arc<dyn Source>, table: &str) -> Self {
        let context = SessionContext::new();
        let provider = open(source, table).await.unwrap();
        context.register_table("pushed", Arc::clone(&provider)).unwrap();
        context.register_table("unpushed", Arc::new(Unpushed(provider))).unwrap();
        Self { context }
    }

    #[expect(clippy::disallowed_methods, reason = "a scan is tested by itself, without the path above it")]
    async fn ask(&self, sql: &str) -> Result<Vec<String>, Error> {
        Ok(lines(&self.context.sql(sql).await?.collect().await?))
    }

    /// The SQL that goes to the server for `SELECT .. FROM pushed ..`.
    async fn sent(&self, sql: &str) -> String {
        let plan = self.ask(&format!("EXPLAIN {sql}")).await.unwrap().join("\n");
        let sent = plan.lines().find_map(|line| Some(line.split_once(", sql=")?.1.to_owned()));
        sent.unwrap_or_else(|| panic!("no scan in {plan}"))
    }
}

const TABLE: &str = "
    CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE EXTENSION citext;
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TABLE odd (
        i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, b bool, n numeric(12,2), n_free numeric, d date, late date, ts timestamp,
        tz timestamptz, tm time, t text, vc varchar(20), bp char(4), folded text COLLATE folding, ci citext, id uuid,
        m mood, j jsonb, l int4[], pair pg_catalog.pg_class
    );
    INSERT INTO odd SELECT
        (ARRAY[-32768, -1, 0, 1, 7, NULL])[1 + n % 6]::int2, (ARRAY[-5, 0, 3, 2147483647, NULL])[1 + n % 5],
        (ARRAY[-9223372036854775808, 0, 12, NULL])[1 + n % 4],
        (ARRAY['NaN', '-0', '0', '1.5', '-Infinity', NULL])[1 + n % 6]::float4,
        (ARRAY['NaN', '-0', '0', '0.1', 'Infinity', '-3', NULL])[1 + n % 7]::float8,
        (ARRAY[true, false, NULL])[1 + n % 3], (ARRAY[-1.05, 0, 99.99, 1234567890.12, NULL])[1 + n % 5],
        (ARRAY[1.5, 2, NULL])[1 + n % 3],
        (ARRAY['2024-02-29', '1969-12-31', '0044-03-15 BC', NULL])[1 + n % 4]::date,
        (ARRAY['2024-02-29', '1969-12-31', NULL])[1 + n % 3]::date,
        (ARRAY['2024-02-29 12:00', '1969-12-31 23:59:59.999999', NULL])[1 + n % 3]::timestamp,
        (ARRAY['2024-02-29 12:00+00', '2024-02-29 12:00+02', NULL])[1 + n % 3]::timestamptz,
        (ARRAY['00:00', '23:59:59.999999', NULL])[1 + n % 3]::time,
        (ARRAY['', 'a', 'A', 'b ', 'é', 'it''s', E'back\\\\slash', '字', NULL])[1 + n % 9],
        (ARRAY['a', 'B', 'Zürich', NULL])[1 + n % 4], (ARRAY['a', 'ab', '', NULL])[1 + n % 4],
        (ARRAY['a', 'A', 'b', NULL])[1 + n % 4], (ARRAY['a', 'A', 'b', NULL])[1 + n % 4],
        (ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '00000000-0000-0000-0000-000000000000', NULL])[1 + n % 3]::uuid,
        (ARRAY['sad', 'happy', NULL])[1 + n % 3]::mood, (ARRAY['{\"a\": 1}', NULL])[1 + n % 2]::jsonb,
        (ARRAY['{1,2}', NULL])[1 + n % 2]::int4[], NULL
    FROM generate_series(0, 1259) n;";

/// Columns with literals that are worth comparing them with. None fails on a row: the date before Christ meets no TIMESTAMP, whose
/// nanoseconds do not reach so far.
const COLUMNS: &[(&str, &[&str])] = &[
    ("i2", &["-32768", "0", "7", "40000", "1.5"]),
    ("i4", &["-5", "0", "3", "3000000000", "'3'"]),
    ("i8", &["-9223372036854775807", "12", "0"]),
    ("f4", &["0.0", "-0.0", "1.5", "'NaN'::float", "arrow_cast(1.5, 'Float32')", "arrow_cast(0.0, 'Float32')"]),
    ("f8", &["0.0", "-0.0", "0.1", "'NaN'::double", "'Infinity'::double", "-3", "1e308"]),
    ("n", &["0", "-1.05", "99.99", "99.995", "1e20", "arrow_cast('99.99', 'Decimal128(12, 2)')"]),
    ("n_free", &["'1.5'", "'2'"]),
    ("d", &["'2024-02-29'", "DATE '1969-12-31'"]),
    ("late", &["'2024-02-29'", "TIMESTAMP '2024-02-29 00:00:00'", "TIMESTAMP '2024-02-29 00:00:01'"]),
    ("ts", &["'2024-02-29 12:00:00'", "TIMESTAMP '1969-12-31 23:59:59.999999'", "DATE '2024-02-29'"]),
    ("tz", &["'2024-02-29T12:00:00Z'", "'2024-02-29T12:00:00+02:00'", "TIMESTAMP '2024-02-29 12:00:00'"]),
    ("tm", &["'00:00:00'", "TIME '23:59:59.999999'"]),
    ("t", &["''", "'a'", "'A'", "'b '", "'é'", "'it''s'", "'back\\slash'", "'字'", "'zz'"]),
    ("vc", &["'a'", "'B'", "'Zürich'"]),
    ("bp", &["'a'", "'a   '", "'ab  '"]),
    ("folded", &["'a'", "'A'", "'b'"]),
    ("ci", &["'a'", "'A'"]),
    ("id", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "'none'"]),
    ("m", &["'sad'", "'ok'", "'none'"]),
    ("j", &["'{\"a\": 1}'"]),
];

fn comparison() -> impl Strategy<Value = String> {
    let column = proptest::sample::select(COLUMNS);
    let operator = proptest::sample::select(&["=", "<>", "<", "<=", ">", ">="][..]);
    (column, any::<[proptest::sample::Index; 3]>(), operator, 0..6_u8).prop_map(
        |((column, values), at, operator, form)| {
            let [a, b, c] = at.map(|index| index.get(values));
            match form {
                0 => format!("{column} IS NULL"),
                1 => format!("{column} IS NOT NULL"),
                2 => format!("{column} IN ({a}, {b}, {c})"),
                3 => format!("{column} NOT IN ({a}, {b})"),
                4 => format!("{column} BETWEEN {a} AND {b}"),
                _ => format!("{column} {operator} {a}"),
            }
        },
    )
}

fn predicate() -> impl Strategy<Value = String> {
    let truth =
        proptest::sample::select(&["b", "NOT b", "b IS TRUE", "b IS NOT FALSE", "b = false", "b IS UNKNOWN"][..]);
    let leaf = prop_oneof![4 => comparison(), 1 => truth.prop_map(str::to_owned)];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) AND ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) OR ({b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

#[test]
fn pushed_rows_are_the_unpushed_rows() {
    let Some(server) = Server::start() else { return };
    server.sql(TABLE);
    let (source, runtime) = (source(&server, json!({})), runtime());
    let both = runtime.block_on(Both::new(&source, "odd"));
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 300, failure_persistence: None, ..Config::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let compared = std::cell::Cell::new(0);
    let result = runner.run(&predicate(), |predicate| {
        let answer = |table: &str| {
            let sql = format!("SELECT * FROM {table} WHERE {predicate}");
            runtime.block_on(both.ask(&sql)).map(|mut rows| {
                rows.sort();
                rows
            })
        };
        match (answer("pushed"), answer("unpushed")) {
            (Ok(pushed), Ok(unpushed)) => {
                compared.set(compared.get() + 1);
                prop_assert_eq!(pushed, unpushed);
            }
            (Err(pushed), Err(unpushed)) => prop_assert_eq!(pushed.code(), unpushed.code()),
            (pushed, unpushed) => prop_assert!(false, "{pushed:?} but {unpushed:?}"),
        }
        Ok(())
    });
    result.unwrap();
    assert!(compared.get() > 150, "too few predicates were valid: {}", compared.get());
}

#[test]
fn simple_predicates_go_to_the_server() {
    let Some(server) = Server::start() else { return };
    server.sql(TABLE);
    let (source, runtime) = (source(&server, json!({})), runtime());
    let both = runtime.block_on(Both::new(&source, "odd"));
    let sent = |sql: &str| runtime.block_on(both.sent(sql));
    let from = "FROM \"public\".\"odd\"";
    for (condition, asked) in [
        ("i4 = 3", "(\"i4\" = '3'::int4)"),
        ("i8 > 12", "(\"i8\" > '12'::int8)"),
        ("i2 BETWEEN 0 AND 7", "(\"i2\" >= '0'::int2) AND (\"i2\" <= '7'::int2)"),
        ("f8 > 0", "(\"f8\" > '0'::float8)"),
        ("n >= 99.99", "(\"n\" >= '99.99'::numeric)"),
        ("d < '2024-02-29'", "(\"d\" < '2024-02-29'::date)"),
        ("ts >= '2024-02-29 12:00:00'", "(\"ts\" >= '2024-02-29 12:00:00.000000'::timestamp)"),
        ("tz = '2024-02-29T12:00:00Z'", "(\"tz\" = '2024-02-29 12:00:00.000000+00'::timestamptz)"),
        ("t = 'it''s'", "(\"t\" = 'it''s'::text)"),
        ("vc < 'b'", "(\"vc\" COLLATE \"C\" < 'b'::text)"),
        ("t IN ('a', 'b', 'c', 'd')", "(\"t\" IN ('a'::text, 'b'::text, 'c'::text, 'd'::text))"),
        ("m = 'sad'", "(\"m\"::text = 'sad'::text)"),
        ("j IS NULL", "(\"j\"::text IS NULL)"),
        ("b", "\"b\""),
        ("NOT b OR i4 IS NULL", "((NOT \"b\") OR (\"i4\" IS NULL))"),
    ] {
        let sql = format!("SELECT i4 FROM pushed WHERE {condition}");
        assert_eq!(sent(&sql), format!("SELECT \"i4\" {from} WHERE {asked}"), "{condition}");
    }
    for condition in ["bp = 'a'", "folded = 'a'", "ci = 'a'", "j = '{}'", "f8 = 0", "length(t) = 1", "i4 = f8"] {
        let sql = sent(&format!("SELECT i4 FROM pushed WHERE {condition}"));
        assert!(!sql.contains("WHERE"), "{condition}: {sql}");
    }
}

#[test]
fn limits_and_counts_go_to_the_server() {
    let Some(server) = Server::start() else { return };
    server.sql(TABLE);
    let (source, runtime) = (source(&server, json!({})), runtime());
    let both = runtime.block_on(Both::new(&source, "odd"));
    let sent = |sql: &str| runtime.block_on(both.sent(sql));
    let ask = |sql: &str| runtime.block_on(both.ask(sql)).unwrap();
    assert_eq!(sent("SELECT i4 FROM pushed LIMIT 3"), "SELECT \"i4\" FROM \"public\".\"odd\" LIMIT 3");
    assert_eq!(ask("SELECT i4 FROM pushed LIMIT 3").len(), 3);
    assert!(sent("SELECT i4 FROM pushed WHERE i4 = 3 LIMIT 3").ends_with("WHERE (\"i4\" = '3'::int4) LIMIT 3"));
    // Rows that are dropped here must not use up the limit there.
    assert!(!sent("SELECT bp FROM pushed WHERE bp = 'ab  ' AND i4 = 3 LIMIT 3").contains("LIMIT"));
    assert_eq!(ask("SELECT bp FROM pushed WHERE bp = 'ab  ' LIMIT 3").len(), 3);
    assert_eq!(sent("SELECT count(*) FROM pushed"), "SELECT count(*) FROM \"public\".\"odd\"");
    assert_eq!(ask("SELECT count(*) FROM pushed"), ["1260"]);
    assert_eq!(ask("SELECT count(*) FROM pushed WHERE i4 IS NULL"), ["252"]);
    assert_eq!(ask("SELECT count(*) FROM (SELECT 1 FROM pushed LIMIT 7)"), ["7"]);
    let rows = runtime.block_on(query(&source, &["odd"], "SELECT 1 FROM odd LIMIT 0")).unwrap();
    assert!(lines(&rows).is_empty());
}

#[test]
fn a_plan_shows_its_sql_and_its_rows_and_no_credentials() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE TABLE t AS SELECT n FROM generate_series(1, 5000) n; ANALYZE t");
    let (source, runtime) = (source(&server, json!({})), runtime());
    let both = runtime.block_on(Both::new(&source, "t"));
    let plan = runtime.block_on(both.ask("EXPLAIN ANALYZE SELECT n FROM pushed WHERE n > 4990")).unwrap().join("\n");
    assert!(plan.contains("RemoteExec: source=bank, table=public.t, estimated_rows="), "{plan}");
    assert!(plan.contains(", sql=SELECT \"n\" FROM \"public\".\"t\""), "{plan}");
    assert!(plan.contains("output_rows=10"), "{plan}");
    assert!(!plan.contains("hunter2"));
    let provider = runtime.block_on(open(&source, "t")).unwrap();
    let rows = provider.statistics().unwrap().num_rows;
    assert_eq!(rows, datafusion::common::stats::Precision::Inexact(5000));
    let debug = format!("{source:?} {provider:?}");
    assert!(!debug.contains("hunter2"), "{debug}");
}
