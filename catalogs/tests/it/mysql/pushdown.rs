//! What is asked of the server, and that the rows are those of a scan that asks nothing of it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalogs::Source;
use datafusion::catalog::{Session, TableProvider};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use engine::{Code, Error, Limits, TableProviderRef};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use super::server::{PASSWORD, Server};
use super::{lines, open, query, runtime, source};
use crate::asked::Asked;

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
    CREATE TABLE odd (
        i1 tinyint, i2 smallint, i4 int, i8 bigint, u1 tinyint unsigned, u8 bigint unsigned, f4 float, f7 float(7,3), f8 double, n decimal(12,2),
        wide decimal(60,2), bits bit(9), y year, d date, dt datetime, dt6 datetime(6), ts timestamp(3) NULL, tm time, t varchar(20), padded char(4),
        folded varchar(20) COLLATE utf8mb4_unicode_ci, bin varchar(20) COLLATE utf8mb4_bin, nopad varchar(20) COLLATE utf8mb4_nopad_bin,
        narrow varchar(20) CHARACTER SET utf8mb3, latin varchar(20) CHARACTER SET latin1, greek varchar(20) CHARACTER SET greek,
        big text CHARACTER SET utf16, id uuid, ip inet6, m enum('sad','ok','happy'), s set('x','y'), j json, vb varbinary(9), bi binary(3),
        KEY (i4), KEY (u8), KEY (f8), KEY (n), KEY (y), KEY (d), KEY (dt), KEY (ts), KEY (t), KEY (padded), KEY (folded), KEY (bin),
        KEY (nopad), KEY (narrow), KEY (latin), KEY (greek), KEY (id), KEY (m), KEY (vb)
    );
    INSERT INTO odd SELECT
        elt(1 + seq % 6, -128, -1, 0, 1, 7, NULL), elt(1 + seq % 6, -32768, -1, 0, 1, 7, NULL), elt(1 + seq % 5, -5, 0, 3, 2147483647, NULL),
        elt(1 + seq % 4, -9223372036854775808, 0, 12, NULL), elt(1 + seq % 3, 0, 255, NULL),
        elt(1 + seq % 4, 0, 18446744073709551615, 9223372036854775808, NULL),
        elt(1 + seq % 5, -0e0, 0, 1.5, 0.1, NULL), elt(1 + seq % 4, 0.1, 1.235, -3, NULL), elt(1 + seq % 6, -0e0, 0, 0.1, -3, 1e308, NULL),
        elt(1 + seq % 5, -1.05, 0, 99.99, 1234567890.12, NULL), elt(1 + seq % 3, 1.5, 2, NULL), nullif(seq % 7, 6),
        elt(1 + seq % 4, 1999, 2024, 0, NULL), elt(1 + seq % 3, '2024-02-29', '1969-12-31', NULL),
        elt(1 + seq % 4, '2024-02-29 12:00', '1969-12-31 23:59:59', '2024-02-29', NULL),
        elt(1 + seq % 4, '2024-02-29 12:00', '1969-12-31 23:59:59.999999', '2024-02-29', NULL),
        elt(1 + seq % 3, '2024-02-29 12:00', '2024-02-29 10:00:00.5', NULL), elt(1 + seq % 3, '00:00', '-25:00:01', NULL),
        elt(1 + seq % 10, '', 'a', 'A', 'b ', 'b', 'é', 'it''s', concat('back', char(92), 'slash'), '字🦀', NULL), elt(1 + seq % 5, 'a', 'A', 'ab', '', NULL),
        elt(1 + seq % 6, 'a', 'A', 'á', 'b', 'a ', NULL), elt(1 + seq % 5, 'a', 'A', 'b ', 'b', NULL), elt(1 + seq % 5, 'a', 'A', 'b ', 'b', NULL),
        elt(1 + seq % 5, 'a', 'A', 'é', 'e ', NULL), elt(1 + seq % 6, 'a', 'A', 'é', '€', 'a ', NULL), elt(1 + seq % 5, 'a', 'α', 'Α', 'β ', NULL),
        elt(1 + seq % 4, 'a', '字', '🦀', NULL),
        elt(1 + seq % 3, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '00000000-0000-0000-0000-000000000000', NULL),
        elt(1 + seq % 3, '::1', '::ffff:10.0.0.1', NULL), elt(1 + seq % 3, 'sad', 'happy', NULL), elt(1 + seq % 4, 'x', 'x,y', '', NULL),
        elt(1 + seq % 3, '{\"a\": 1}', '2', NULL), elt(1 + seq % 4, x'00ff', 'a', 'a ', NULL), elt(1 + seq % 3, 'a', 'abc', NULL)
    FROM seq_0_to_1259;";

/// Columns with literals that are worth comparing them with.
const COLUMNS: &[(&str, &[&str])] = &[
    ("i1", &["-128", "0", "7", "300", "1.5"]),
    ("i2", &["-32768", "0", "7", "40000"]),
    ("i4", &["-5", "0", "3", "3000000000", "'3'"]),
    ("i8", &["-9223372036854775807", "12", "0"]),
    ("u1", &["0", "255", "-1", "256"]),
    ("u8", &["0", "18446744073709551615", "9223372036854775807", "-1"]),
    ("f4", &["0.0", "-0.0", "1.5", "0.1", "arrow_cast(0.1, 'Float32')", "arrow_cast(0.0, 'Float32')"]),
    ("f7", &["0.1", "arrow_cast(0.1, 'Float32')", "arrow_cast(1.235, 'Float32')", "arrow_cast(0.1001, 'Float32')"]),
    ("f8", &["0.0", "-0.0", "0.1", "'NaN'::double", "'Infinity'::double", "-3", "1e308", "4e-320"]),
    ("n", &["0", "-1.05", "99.99", "99.995", "1e20", "arrow_cast('99.99', 'Decimal128(12, 2)')"]),
    ("wide", &["'1.50'", "'2.00'"]),
    ("bits", &["0", "5", "511", "arrow_cast(5, 'UInt64')"]),
    (
        "y",
        &["1999", "99", "24", "0", "arrow_cast(99, 'Int16')", "arrow_cast(24, 'Int16')", "arrow_cast(2024, 'Int16')"],
    ),
    ("d", &["'2024-02-29'", "DATE '1969-12-31'", "TIMESTAMP '2024-02-29 00:00:01'", "DATE '0900-01-01'"]),
    (
        "dt",
        &[
            "'2024-02-29 12:00:00'",
            "'2024-02-29 12:00:00.000001'",
            "TIMESTAMP '1969-12-31 23:59:59.5'",
            "DATE '2024-02-29'",
        ],
    ),
    ("dt6", &["'2024-02-29 12:00:00'", "TIMESTAMP '1969-12-31 23:59:59.999999'", "DATE '2024-02-29'"]),
    (
        "ts",
        &[
            "'2024-02-29T12:00:00Z'",
            "'2024-02-29T12:00:00+02:00'",
            "TIMESTAMP '2024-02-29 10:00:00.5'",
            "'1900-01-01T00:00:00Z'",
            "'2200-01-01T00:00:00Z'",
        ],
    ),
    ("tm", &["'00:00:00'", "'-25:00:01'"]),
    ("t", &["''", "'a'", "'A'", "'b '", "'b'", "'é'", "'it''s'", "'back\\slash'", "'字🦀'", "'zz'"]),
    ("padded", &["'a'", "'a   '", "'ab  '", "''"]),
    ("folded", &["'a'", "'A'", "'á'", "'a '"]),
    ("bin", &["'a'", "'b'", "'b '"]),
    ("nopad", &["'a'", "'b'", "'b '"]),
    ("narrow", &["'é'", "'e'", "'e '", "'🦀'"]),
    ("latin", &["'a'", "'é'", "'€'", "'ж'", "'a '"]),
    ("greek", &["'a'", "'α'", "'Α'", "'β'"]),
    ("big", &["'a'", "'字'", "'🦀'"]),
    ("id", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "'none'"]),
    ("ip", &["'::1'", "'0::1'"]),
    ("m", &["'sad'", "'SAD'", "'ok'", "'none'", "'1'"]),
    ("s", &["'x'", "'x,y'", "'y,x'", "''"]),
    ("j", &["'{\"a\": 1}'", "'{\"a\":1}'"]),
    ("vb", &["'a'", "X'00ff'", "X'61'", "arrow_cast(X'6120', 'Binary')"]),
    ("bi", &["arrow_cast(X'61', 'Binary')", "arrow_cast(X'610000', 'Binary')"]),
];

fn comparison() -> impl Strategy<Value = String> {
    let column = proptest::sample::select(COLUMNS);
    let operator = proptest::sample::select(&["=", "<>", "<", "<=", ">", ">="][..]);
    (column, any::<[proptest::sample::Index; 3]>(), operator, 0..7_u8).prop_map(
        |((column, values), at, operator, form)| {
            let [a, b, c] = at.map(|index| index.get(values));
            match form {
                0 => format!("{column} IS NULL"),
                1 => format!("{column} IS NOT NULL"),
                2 => format!("{column} IN ({a}, {b}, {c})"),
                3 => format!("{column} NOT IN ({a}, {b})"),
                4 => format!("{column} BETWEEN {a} AND {b}"),
                5 if a.starts_with('\'') && column != "vb" => {
                    format!("{column} LIKE '%{}'", a.trim_matches('\'').replace('a', "_"))
                }
                _ => format!("{column} {operator} {a}"),
            }
        },
    )
}

fn predicate() -> impl Strategy<Value = String> {
    let truth =
        proptest::sample::select(&["true", "(i4 = 3) IS TRUE", "(t = 'a') IS NOT FALSE", "(u8 > 0) IS UNKNOWN"][..]);
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
    for (condition, asked) in [
        ("i4 = 3", "(`i4` = 3)"),
        ("u8 > 9223372036854775808", "(`u8` > 9223372036854775808)"),
        ("i2 BETWEEN 0 AND 7", "(`i2` >= 0) AND (`i2` <= 7)"),
        ("f8 > 0", "(`f8` > 0e0)"),
        ("n >= 99.99", "(`n` >= 99.99)"),
        ("d < '2024-02-29'", "(`d` < DATE'2024-02-29')"),
        ("dt >= '2024-02-29 12:00:00'", "(`dt` >= TIMESTAMP'2024-02-29 12:00:00.000000')"),
        ("ts = '2024-02-29T12:00:00Z'", "(`ts` = TIMESTAMP'2024-02-29 12:00:00.000000')"),
        ("t = 'it''s'", "(`t` = CAST('it''s' AS BINARY))"),
        ("folded < 'b'", "(`folded` < CAST('b' AS BINARY))"),
        ("t LIKE 'a%'", "(`t` LIKE _utf8mb4 'a%' COLLATE utf8mb4_bin ESCAPE '|')"),
        ("m = 'sad'", "(CONVERT(`m` USING utf8mb4) = CAST('sad' AS BINARY))"),
        ("j IS NULL", "(`j` IS NULL)"),
        ("i4 = i8", "(`i4` = `i8`)"),
        ("NOT (d = '2024-02-29' OR i4 IS NULL)", "(`d` <> DATE'2024-02-29') AND (`i4` IS NOT NULL)"),
    ] {
        let sql = format!("SELECT i4 FROM pushed WHERE {condition}");
        assert_eq!(sent(&sql), format!("SELECT `i4` FROM `bank`.`odd` WHERE {asked}"), "{condition}");
    }
    let unpushed =
        ["tm = '00:00:00'", "ip = '::1'", "f8 = 0", "length(t) = 1", "i4 = f8", "dt = '2024-02-29 12:00:00.5'"];
    for condition in unpushed {
        let sql = sent(&format!("SELECT i4 FROM pushed WHERE {condition}"));
        assert!(!sql.contains("WHERE"), "{condition}: {sql}");
    }
}

#[test]
fn equality_with_text_uses_the_index_of_any_collation() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE TABLE keyed (t varchar(20) COLLATE utf8mb4_general_ci, l varchar(20) CHARACTER SET latin1, KEY (t), KEY (l));
         INSERT INTO keyed SELECT concat('x', seq), concat('x', seq) FROM seq_1_to_5000; ANALYZE TABLE keyed",
    );
    let (source, runtime) = (source(&server, json!({})), runtime());
    let both = runtime.block_on(Both::new(&source, "keyed"));
    for condition in ["t = 'x77'", "t IN ('x77', 'x78')", "l = 'x77'"] {
        let sql = runtime.block_on(both.sent(&format!("SELECT t FROM pushed WHERE {condition}")));
        let plan: Vec<String> = server.rows(&format!("EXPLAIN FORMAT=JSON {sql}"));
        let plan = plan.first().expect("a plan");
        let reads_all = ["ALL", "index"].iter().any(|way| plan.contains(&format!("\"access_type\": \"{way}\"")));
        assert!(!reads_all, "{sql}: {plan}");
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
    assert_eq!(sent("SELECT i4 FROM pushed LIMIT 3"), "SELECT `i4` FROM `bank`.`odd` LIMIT 3");
    assert_eq!(ask("SELECT i4 FROM pushed LIMIT 3").len(), 3);
    assert!(sent("SELECT i4 FROM pushed WHERE i4 = 3 LIMIT 3").ends_with("WHERE (`i4` = 3) LIMIT 3"));
    // Rows that are dropped here must not use up the limit there.
    assert!(!sent("SELECT tm FROM pushed WHERE tm = '00:00:00' AND i4 = 3 LIMIT 3").contains("LIMIT"));
    assert_eq!(ask("SELECT tm FROM pushed WHERE tm = '00:00:00' LIMIT 3").len(), 3);
    assert_eq!(sent("SELECT count(*) FROM pushed"), "SELECT count(*) FROM `bank`.`odd`");
    assert_eq!(ask("SELECT count(*) FROM pushed"), ["1260"]);
    assert_eq!(ask("SELECT count(*) FROM pushed WHERE i4 IS NULL"), ["252"]);
    assert_eq!(ask("SELECT count(*) FROM (SELECT 1 FROM pushed LIMIT 7)"), ["7"]);
    let rows = runtime.block_on(query(&source, &["odd"], "SELECT 1 FROM odd LIMIT 0")).unwrap();
    assert!(lines(&rows).is_empty());
}

#[test]
fn a_plan_shows_its_sql_and_its_rows_and_no_credentials() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE TABLE t AS SELECT seq AS n FROM seq_1_to_5000; ANALYZE TABLE t");
    let (source, runtime) = (source(&server, json!({})), runtime());
    let both = runtime.block_on(Both::new(&source, "t"));
    let plan = runtime.block_on(both.ask("EXPLAIN ANALYZE SELECT n FROM pushed WHERE n > 4990")).unwrap().join("\n");
    assert!(plan.contains("RemoteExec: source=bank, table=bank.t, estimated_rows="), "{plan}");
    assert!(plan.contains(", sql=SELECT `n` FROM `bank`.`t`"), "{plan}");
    assert!(plan.contains("output_rows=10"), "{plan}");
    assert!(!plan.contains("hunter2"));
    let provider = runtime.block_on(open(&source, "t")).unwrap();
    let rows = provider.statistics().unwrap().num_rows;
    assert_eq!(rows, datafusion::common::stats::Precision::Inexact(5000));
    let debug = format!("{source:?} {provider:?}");
    assert!(!debug.contains("hunter2"), "{debug}");
}

#[test]
fn groups_first_rows_and_joins_are_made_in_the_server_where_they_are_the_same() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE TABLE people (id int PRIMARY KEY, region tinyint, name varchar(20), big bigint unsigned, f double);
         INSERT INTO people SELECT seq, nullif(seq % 5, 0), concat('P', seq % 50), 18446744073709551000 + seq, seq / 3
             FROM seq_1_to_300;
         CREATE TABLE sales (id int PRIMARY KEY, person int, total decimal(12,2), small smallint unsigned, wide bigint, day date);
         INSERT INTO sales SELECT seq, nullif(seq % 400, 0), seq % 90 * 1.25, seq % 60000, 9223372036854770000 - seq * 2, '2024-01-01'
             FROM seq_1_to_3000;
         ANALYZE TABLE people, sales",
    );
    let port = server.port;
    let connection = format!(
        "  type: mysql\n  connection:\n    host: localhost\n    port: {port}\n    database: bank\n    user: weft\n    \
         sslmode: disable\n    password: \"{PASSWORD}\"\n"
    );
    let asked = Asked::new(&connection, "id\n1\n", Limits::default());
    let both = "FROM bank.sales s JOIN bank.people p ON s.person = p.id";
    for (sql, wanted) in [
        (
            "SELECT person, count(*), count(total), sum(total), min(id), max(total) FROM bank.sales GROUP BY person"
                .to_owned(),
            "AS grouped",
        ),
        (
            "SELECT sum(id), sum(small), avg(small), avg(wide), avg(id), max(wide), min(small) FROM bank.sales"
                .to_owned(),
            "AS grouped",
        ),
        (
            "SELECT region, avg(big), max(big), count(DISTINCT region) FROM bank.people GROUP BY region".to_owned(),
            "AS grouped",
        ),
        (
            "SELECT total, count(*) FROM bank.sales WHERE id > 100 AND total > 3.5 GROUP BY total".to_owned(),
            "AS grouped",
        ),
        (format!("SELECT p.region, sum(s.total), count(*) {both} GROUP BY p.region"), " AS r ON "),
        (format!("SELECT p.region, s.id, p.name, s.day {both} ORDER BY s.total DESC, s.id LIMIT 4"), " AS r ON "),
        (
            "SELECT p.id, count(s.id) FROM bank.people p LEFT JOIN bank.sales s ON s.person = p.id GROUP BY p.id"
                .to_owned(),
            "LEFT JOIN",
        ),
        ("SELECT id, region FROM bank.people ORDER BY region NULLS LAST, id DESC LIMIT 3".to_owned(), "AS top"),
        ("SELECT id, region FROM bank.people ORDER BY region DESC NULLS FIRST, id LIMIT 3".to_owned(), "AS top"),
        ("SELECT id, region FROM bank.people ORDER BY region NULLS FIRST, id LIMIT 3".to_owned(), "AS top"),
        ("SELECT id, region FROM bank.people ORDER BY region DESC NULLS LAST, id LIMIT 3".to_owned(), "AS top"),
    ] {
        let sent = asked.sent(&sql);
        let plan = asked.ask(&format!("EXPLAIN {sql}")).join("\n");
        assert!(sent.len() == 1 && sent[0].contains(wanted), "{sql}: {plan}");
        assert!(!asked.same_here(&sql, &["people", "sales"]).is_empty(), "{sql}");
    }
    for sql in [
        // Their collations and clocks are their own, sums of 64 bits may be cut off, and zeros have signs.
        "SELECT name, count(*) FROM bank.people GROUP BY name",
        "SELECT day, count(*) FROM bank.sales GROUP BY day",
        "SELECT sum(CAST(wide AS DECIMAL(38,0))) FROM bank.sales",
        "SELECT sum(f) FROM bank.people",
        "SELECT id FROM bank.people ORDER BY name, id LIMIT 2",
    ] {
        assert!(asked.sent(sql).iter().all(|sent| !sent.contains(" AS grouped") && !sent.contains("AS top")), "{sql}");
        assert!(!asked.ask(sql).is_empty(), "{sql}");
    }
    let error = asked.try_ask("SELECT sum(wide) FROM bank.sales").unwrap_err();
    assert_eq!(error.code(), Code::ArithmeticError, "{error}");
}

#[test]
fn the_sums_of_a_survey_design_are_made_by_the_server() {
    let Some(server) = Server::start() else { return };
    for statement in crate::survey::statements('`', "varchar(40)", "double") {
        server.sql(&statement);
    }
    let port = server.port;
    let connection = format!(
        "  type: mysql\n  connection:\n    host: localhost\n    port: {port}\n    database: bank\n    user: weft\n    \
         sslmode: disable\n    password: \"{PASSWORD}\"\n"
    );
    let asked = Asked::new(&connection, "id\n1\n", Limits::default());
    // A boolean is a number there.
    let figures = crate::survey::figures(&asked, |sql| !sql.contains("flag") && !sql.contains("rare"));
    assert!(figures > 500, "{figures}");
}
