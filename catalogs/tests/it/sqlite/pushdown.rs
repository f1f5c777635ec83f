//! What is asked of SQLite, and that the rows are those of a scan that asks nothing of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalogs::Source;
use datafusion::catalog::{Session, TableProvider};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use engine::{Code, Error, TableProviderRef};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::{Shop, lines, open, query};

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

/// The rows of queries over `NAME` and over `unpushed_NAME`, and the plan of the former.
struct Both {
    context: SessionContext,
}

impl Both {
    #[expect(clippy::disallowed_methods, reason = "a scan is tested by itself, without the path above it")]
    async fn new(source: &Arc<dyn Source>, tables: &[&str]) -> Self {
        let context = SessionContext::new();
        for table in tables {
            let provider = open(source, table).await.unwrap();
            context.register_table(*table, Arc::clone(&provider)).unwrap();
            context.register_table(format!("unpushed_{table}"), Arc::new(Unpushed(provider))).unwrap();
        }
        Self { context }
    }

    #[expect(clippy::disallowed_methods, reason = "a scan is tested by itself, without the path above it")]
    async fn ask(&self, sql: &str) -> Result<Vec<String>, Error> {
        let mut rows = lines(&self.context.sql(sql).await?.collect().await?);
        rows.sort();
        Ok(rows)
    }

    /// The SQL that goes to SQLite.
    #[expect(clippy::disallowed_methods, reason = "a scan is tested by itself, without the path above it")]
    async fn sent(&self, sql: &str) -> String {
        let plan =
            lines(&self.context.sql(&format!("EXPLAIN {sql}")).await.unwrap().collect().await.unwrap()).join("\n");
        let sent = plan.lines().find_map(|line| Some(line.split_once(", sql=")?.1.to_owned()));
        sent.expect("a scan is in the plan")
    }
}

/// A column: its name, its type, values in SQL that fit it, and values that do not.
type Case = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

/// Numbers of values are without common factors, so that the columns meet each other in many ways.
const CASES: &[Case] = &[
    (
        "i",
        "INTEGER",
        &["-5", "0", "3", "9223372036854775807", "-9223372036854775808", "NULL", "9007199254740993"],
        &["1.5", "'abc'", "x'00'", "-1e300", "9e999", "''"],
    ),
    (
        "r",
        "REAL",
        &["1.5", "0.0", "-1 * 0.0", "9e999", "-9e999", "0.1", "NULL", "3", "1e22", "5e-324", "-7"],
        &["'abc'", "x'01'"],
    ),
    ("d", "DECIMAL(10,2)", &["0.10", "7", "-3.5", "9007199254740992", "NULL"], &["'7,5'", "x'07'", "9007199254740993"]),
    ("b", "BOOLEAN", &["0", "1", "NULL"], &["2", "'t'", "0.5", "'1x'", "x'01'"]),
    (
        "t",
        "TEXT",
        &[
            "''",
            "'a'",
            "'A'",
            "'b '",
            "'é'",
            "'it''s'",
            "'a' || char(0) || 'b'",
            "'字'",
            "NULL",
            "'10'",
            "'9'",
            "'%a_'",
            "' 1'",
        ],
        &["x'61'", "CAST(x'ff' AS TEXT)"],
    ),
    ("nc", "TEXT COLLATE NOCASE", &["'a'", "'A'", "'b'", "NULL"], &["x'61'"]),
    ("rt", "VARCHAR(9) COLLATE RTRIM", &["'a'", "'a  '", "'ab'", "NULL", "' a'"], &["x'20'"]),
    (
        "dt",
        "DATE",
        &["'2024-02-29'", "'1969-12-31'", "'0000-01-01'", "'9999-12-31'", "NULL", "'2024-01-10'"],
        &["5", "'2024-1-5'", "'now'", "x'00'"],
    ),
    ("ts", "DATETIME", &["'2024-02-29 12:00'", "'2024-02-29T12:00:00Z'", "NULL", "'1969-12-31'"], &["5", "'x'"]),
    ("u", "UUID", &["'a0ee-11'", "'12ab'", "5", "1.5", "'inf'", "9e999", "NULL", "'1e5x'"], &["x'00'"]),
    ("x", "", &["1", "'1'", "1.0", "'a'", "NULL", "'A'"], &["x'00'"]),
    ("bl", "BLOB", &["x''", "x'00'", "NULL"], &["'a'", "1"]),
];

const ROWS: usize = 700;

/// Values of column `of` in row `row`: one that may not fit, and one that does or is NULL instead. Every fourth row may have misfits.
fn values(of: usize, row: usize) -> (&'static str, &'static str) {
    let (_, _, fits, misfits) = CASES[of];
    if row.is_multiple_of(4) && (row / 4 + of).is_multiple_of(5) {
        (misfits[row / 20 % misfits.len()], "NULL")
    } else {
        (fits[row % fits.len()], fits[row % fits.len()])
    }
}

/// `neat` holds only what fits, `odd` has something else where `neat` has NULL; and neat seen through views.
fn tables() -> String {
    let declared: Vec<String> = CASES.iter().map(|(name, of, ..)| format!("{name} {of}")).collect();
    let mut sql = String::from("BEGIN;");
    for table in ["odd", "neat"] {
        sql.push_str(&format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, {});", declared.join(", ")));
        for row in 0..ROWS {
            let values: Vec<&str> =
                (0..CASES.len()).map(|of| if table == "odd" { values(of, row).0 } else { values(of, row).1 }).collect();
            sql.push_str(&format!("INSERT INTO {table} VALUES ({row}, {});", values.join(", ")));
        }
    }
    sql + "CREATE INDEX odd_i ON odd (i); CREATE INDEX neat_t ON neat (t); CREATE INDEX neat_nc ON neat (nc);
           CREATE VIEW seen AS SELECT * FROM neat;
           CREATE VIEW twice AS SELECT * FROM neat UNION ALL SELECT * FROM neat;
           CREATE VIEW derived AS SELECT id, i | 0 AS i, r + 0 AS r, d * 1.0 AS d, b, t || '' AS t, lower(nc) AS nc, rt, max(dt) AS dt, ts,
               u, CASE WHEN x THEN x ELSE x END AS x, bl FROM neat GROUP BY id;
           COMMIT;"
}

/// Literals that are worth comparing a column with.
const LITERALS: &[(&str, &[&str])] = &[
    ("i", &["-5", "0", "3", "9223372036854775807", "1.5", "'3'", "9007199254740992", "-9223372036854775808"]),
    ("r", &["0.0", "-0.0", "1.5", "0.1", "'Infinity'::double", "'NaN'::double", "3", "1e22", "5e-324"]),
    ("d", &["0.1", "7", "-3.5", "9007199254740992.0", "0.10"]),
    ("b", &["true", "false"]),
    ("t", &["''", "'a'", "'A'", "'b '", "'é'", "'it''s'", "'zz'", "'10'", "'9'", "' 1'", "'1'", "'5e1'"]),
    ("nc", &["'a'", "'A'", "'B'"]),
    ("rt", &["'a'", "'a  '", "'ab'"]),
    ("dt", &["'2024-02-29'", "DATE '1969-12-31'", "'2024-01-09'"]),
    ("ts", &["'2024-02-29 12:00:00'", "TIMESTAMP '1969-12-31 00:00:00'"]),
    ("u", &["'a0ee-11'", "'12ab'", "'5'", "'1.5'", "'inf'", "'1e5x'", "'5.0'"]),
    ("x", &["'1'", "'1.0'", "'a'", "'A'", "''"]),
];

fn comparison() -> impl Strategy<Value = String> {
    let column = proptest::sample::select(LITERALS);
    let operator = proptest::sample::select(&["=", "<>", "<", "<=", ">", ">="][..]);
    (column, any::<[proptest::sample::Index; 4]>(), operator, 0..8_u8).prop_map(
        |((column, values), at, operator, form)| {
            let [a, b, c, d] = at.map(|index| index.get(values));
            match form {
                0 => format!("{column} IS NULL"),
                1 => format!("{column} IS NOT NULL"),
                2 => format!("{column} IN ({a}, {b}, {c}, {d})"),
                3 => format!("{column} NOT IN ({a}, {b}, {c}, {d})"),
                4 => format!("{column} BETWEEN {a} AND {b}"),
                5 if matches!(column, "t" | "nc" | "rt") => format!("{column} LIKE {a}"),
                _ => format!("{column} {operator} {a}"),
            }
        },
    )
}

fn predicate() -> impl Strategy<Value = String> {
    let truth = proptest::sample::select(
        &["b", "NOT b", "b IS TRUE", "b IS NOT FALSE", "b = false", "b IS UNKNOWN", "bl IS NULL", "bl IS NOT NULL"][..],
    );
    let leaf = prop_oneof![5 => comparison(), 1 => truth.prop_map(str::to_owned)];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) AND ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) OR ({b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn pushed_rows_are_the_unpushed_rows() {
    for pragma in ["", "PRAGMA encoding = 'UTF-16le';"] {
        let shop = Shop::new(&format!("{pragma}{}", tables()));
        let (source, runtime) = (shop.source(), runtime());
        const VIEWS: [&str; 4] = ["neat", "seen", "twice", "derived"];
        let both = runtime.block_on(Both::new(&source, &VIEWS));
        let mut runner = TestRunner::new_with_rng(
            Config { cases: 100, failure_persistence: None, ..Config::default() },
            TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        );
        let compared = std::cell::Cell::new(0);
        let result = runner.run(&(predicate(), proptest::sample::select(&VIEWS[..])), |(predicate, table)| {
            for selected in ["*", "id", "count(*)"] {
                let answer = |table: &str| {
                    runtime.block_on(both.ask(&format!("SELECT {selected} FROM {table} WHERE {predicate}")))
                };
                match (answer(table), answer(&format!("unpushed_{table}"))) {
                    (Ok(pushed), Ok(unpushed)) => {
                        compared.set(compared.get() + 1);
                        prop_assert_eq!(pushed, unpushed);
                    }
                    (Err(pushed), Err(unpushed)) => prop_assert_eq!(pushed.code(), unpushed.code()),
                    (pushed, unpushed) => prop_assert!(false, "{pushed:?} but {unpushed:?}"),
                }
            }
            Ok(())
        });
        result.unwrap();
        assert!(compared.get() > 150, "too few predicates were valid: {}", compared.get());
    }
}

/// The rows whose value of one of `columns` does not fit.
fn misfits(columns: &[usize]) -> BTreeSet<String> {
    let is_misfit = |row: &usize| columns.iter().any(|of| values(*of, *row).0 != values(*of, *row).1);
    (0..ROWS).filter(is_misfit).map(|row| row.to_string()).collect()
}

#[test]
fn no_value_that_does_not_fit_decides_over_a_row_unseen() {
    let shop = Shop::new(&tables());
    let (source, runtime) = (shop.source(), runtime());
    let both = runtime.block_on(Both::new(&source, &["odd", "neat"]));
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 300, failure_persistence: None, ..Config::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let (answered, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let result = runner.run(&predicate(), |predicate| {
        let answer = |table: &str| runtime.block_on(both.ask(&format!("SELECT id FROM {table} WHERE {predicate}")));
        // Every second part is a literal, which may look like a column's name.
        let bare = predicate.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
        let words: Vec<&str> = bare.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let columns: Vec<usize> = (0..CASES.len()).filter(|of| words.contains(&CASES[*of].0)).collect();
        match (answer("odd"), answer("unpushed_odd")) {
            (Ok(pushed), unpushed) => {
                // What is answered is what the rows without misfits answer; without pushing, a misfit fails sooner.
                let misfits = misfits(&columns);
                let mut expected = answer("unpushed_neat").unwrap();
                expected.retain(|id| !misfits.contains(id));
                prop_assert_eq!(&pushed, &expected);
                match unpushed {
                    Ok(unpushed) => prop_assert_eq!(pushed, unpushed),
                    Err(unpushed) => prop_assert_eq!(unpushed.code(), Code::DataInvalid),
                }
                answered.set(answered.get() + 1);
            }
            (Err(pushed), Err(unpushed)) => {
                prop_assert_eq!(pushed.code(), unpushed.code());
                refused.set(refused.get() + 1);
            }
            (pushed, unpushed) => prop_assert!(false, "{pushed:?} but {unpushed:?}"),
        }
        Ok(())
    });
    result.unwrap();
    assert!(answered.get() > 40 && refused.get() > 40, "{} {}", answered.get(), refused.get());
}

#[tokio::test]
async fn simple_predicates_go_to_sqlite() {
    let shop = Shop::new(&tables());
    let both = Both::new(&shop.source(), &["odd", "derived"]).await;
    for (condition, asked) in [
        ("i = 3", "(`i` = 3)"),
        ("i BETWEEN 0 AND 7", "(`i` >= 0) AND (`i` <= 7)"),
        ("r > 0", "(`r` > 0.0)"),
        ("d >= 99.5", "(`d` >= 99.5)"),
        ("t = 'it''s'", "(`t` COLLATE BINARY = 'it''s')"),
        ("t < 'b'", "(`t` COLLATE BINARY < 'b')"),
        ("nc IN ('a', 'b', 'c', 'd')", "(`nc` COLLATE BINARY IN ('a', 'b', 'c', 'd'))"),
        ("dt < '2024-02-29'", "(`dt` COLLATE BINARY < '2024-02-29')"),
        ("u = 'a0ee-11'", "(`u` COLLATE BINARY = 'a0ee-11')"),
        ("ts IS NULL", "(`ts` IS NULL)"),
        ("b", "`b`"),
        ("NOT b OR i IS NULL", "((NOT `b`) OR (`i` IS NULL))"),
    ] {
        let sql = format!("SELECT * FROM odd WHERE {condition}");
        let sent = both.sent(&sql).await;
        assert!(sent.ends_with(&format!(" FROM `main`.`odd` WHERE {asked}")), "{condition}: {sent}");
    }
    for condition in [
        "u = '5'",
        "u < 'b'",
        "t LIKE 'a%'",
        "r = 0",
        "ts = '2024-02-29 12:00:00'",
        "length(t) = 1",
        "i = id",
        "x = '1'",
    ] {
        let sent = both.sent(&format!("SELECT * FROM odd WHERE {condition}")).await;
        assert!(!sent.contains("WHERE"), "{condition}: {sent}");
    }
    // What an expression of a view makes of a number in quotes is not known.
    assert!(!both.sent("SELECT * FROM derived WHERE t = '10'").await.contains("WHERE"));
    // A column that is compared and not asked for is read, unless SQLite vouches for it.
    assert_eq!(both.sent("SELECT id FROM odd WHERE i > 3").await, "SELECT `id`, `i` FROM `main`.`odd` WHERE (`i` > 3)");
    assert_eq!(both.sent("SELECT count(*) FROM odd WHERE i > 3").await, "SELECT `i` FROM `main`.`odd` WHERE (`i` > 3)");
    assert_eq!(both.sent("SELECT count(*) FROM odd").await, "SELECT count(*) FROM `main`.`odd`");
    shop.sql("CREATE TABLE strict (id INTEGER PRIMARY KEY, i INTEGER) STRICT; INSERT INTO strict VALUES (1, 5)");
    let both = Both::new(&shop.source(), &["strict"]).await;
    let sql = "SELECT count(*) FROM strict WHERE i > 3";
    assert_eq!(both.sent(sql).await, "SELECT count(*) FROM `main`.`strict` WHERE (`i` > 3)");
    assert_eq!(both.ask(sql).await.unwrap(), ["1"]);
}

#[tokio::test]
async fn limits_go_to_sqlite_where_they_count_the_right_rows() {
    let shop = Shop::new(&tables());
    let both = Both::new(&shop.source(), &["neat"]).await;
    assert_eq!(both.sent("SELECT id FROM neat LIMIT 3").await, "SELECT `id` FROM `main`.`neat` LIMIT 3");
    assert_eq!(both.ask("SELECT id FROM neat LIMIT 3").await.unwrap().len(), 3);
    assert!(both.sent("SELECT i FROM neat WHERE i = 3 LIMIT 3").await.ends_with("WHERE (`i` = 3) LIMIT 3"));
    assert!(!both.sent("SELECT t FROM neat WHERE t LIKE 'a%' AND i = 3 LIMIT 3").await.contains("LIMIT"));
    assert_eq!(both.ask("SELECT t FROM neat WHERE t LIKE 'A%' LIMIT 3").await.unwrap(), ["A", "A", "A"]);
    assert_eq!(both.ask("SELECT count(*) FROM (SELECT 1 FROM neat LIMIT 7)").await.unwrap(), ["7"]);
    assert_eq!(both.ask("SELECT count(*) FROM neat").await.unwrap(), [ROWS.to_string()]);
}

#[tokio::test]
async fn the_keys_of_a_join_go_to_sqlite_and_use_its_index() {
    let shop = Shop::new(
        "CREATE TABLE many (k INTEGER, name TEXT); CREATE INDEX many_k ON many (k);
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 200000) INSERT INTO many SELECT n, 'name ' || n FROM n;
         CREATE TABLE few (k INTEGER); INSERT INTO few VALUES (5), (199999), (NULL); ANALYZE",
    );
    let source = shop.source();
    let sql = "SELECT m.name FROM few f JOIN many m ON f.k = m.k ORDER BY 1";
    assert_eq!(query(&source, &["few", "many"], sql).await.unwrap(), ["name 199999", "name 5"]);
    let plan = query(&source, &["few", "many"], &format!("EXPLAIN ANALYZE {sql}")).await.unwrap().join("\n");
    let scans: Vec<&str> = plan.lines().filter(|line| line.contains("table=main.many")).collect();
    assert!(matches!(scans.as_slice(), [scan] if scan.contains("output_rows=2")), "{plan}");
    let used = shop.writer().query_row(
        "EXPLAIN QUERY PLAN SELECT `k`, `name` FROM `main`.`many` WHERE (`k` IN (5, 199999))",
        [],
        |row| row.get(3),
    );
    assert!(used.is_ok_and(|step: String| step.contains("USING INDEX many_k")));
}

#[tokio::test]
async fn text_comparisons_use_an_index() {
    let shop = Shop::new("CREATE TABLE t (name TEXT); CREATE INDEX tn ON t (name); INSERT INTO t VALUES ('a')");
    let both = Both::new(&shop.source(), &["t"]).await;
    for condition in ["name = 'a'", "name IN ('a', 'b', 'c', 'd')", "name > 'a'"] {
        let sent = both.sent(&format!("SELECT name FROM t WHERE {condition}")).await;
        let step: String =
            shop.writer().query_row(&format!("EXPLAIN QUERY PLAN {sent}"), [], |row| row.get(3)).unwrap();
        assert!(step.contains("USING COVERING INDEX tn (name"), "{step}");
    }
}
