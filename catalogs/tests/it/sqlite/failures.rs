//! What goes wrong gets its code and one sentence that tells no path, and the source goes on.

use std::sync::Arc;

use catalogs::{Scope, Source};
use engine::{Code, Error};
use serde_json::json;

use super::{Shop, lines, open, query, rest, stream};

fn assert_tells_no_path(shop: &Shop, error: &Error) {
    let told = format!("{} {:?}", error.message(), error.hint_text());
    assert!(!told.contains(shop.folder.path().to_str().unwrap()) && !told.contains("shop.db"), "{told}");
    assert!(!told.contains("SELECT") && !told.contains('\n'), "{told}");
    assert!(error.message().contains("\"shop\""), "{told}");
    assert!(error.hint_text().is_some(), "{told}");
}

/// What every way to the file answers.
async fn failures(source: &Arc<dyn Source>) -> [Error; 3] {
    [
        source.test().await.unwrap_err(),
        source.tables(&Scope::default()).await.unwrap_err(),
        source.open(&Scope::default(), "public", "t").await.map(|_| ()).unwrap_err(),
    ]
}

#[tokio::test]
async fn files_that_cannot_be_read_say_why() {
    let shop = Shop::new("CREATE TABLE t (n INT)");
    shop.folder.write("text.db", "id,name\n1,Ann\n".repeat(100));
    let noise: Vec<u8> = (0..4096_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    shop.folder.write("encrypted.db", &noise);
    shop.folder.write("folder/t.csv", "x");
    let whole = std::fs::read(shop.path()).unwrap();
    shop.folder.write("torn.db", &whole[..whole.len() / 2]);
    let mut scribbled = whole.clone();
    scribbled[100..160].fill(0xff);
    shop.folder.write("scribbled.db", &scribbled);
    for (path, code, message) in [
        ("missing.db", Code::SourceUnavailable, "The database file of source \"shop\" does not exist."),
        ("folder", Code::SourceRejected, "The path of source \"shop\" is not that of a file."),
        ("text.db", Code::DataInvalid, "The file of source \"shop\" is no SQLite database, or is encrypted."),
        ("encrypted.db", Code::DataInvalid, "The file of source \"shop\" is no SQLite database, or is encrypted."),
        ("torn.db", Code::DataInvalid, "The database file of source \"shop\" is damaged."),
        ("scribbled.db", Code::DataInvalid, "The database file of source \"shop\" is damaged."),
    ] {
        for error in failures(&shop.source_with(json!({ "path": path }))).await {
            assert_eq!((error.code(), error.message()), (code, message), "{path}: {error:?}");
            assert_tells_no_path(&shop, &error);
        }
    }
    assert!(!shop.folder.path().join("missing.db").exists());
    // A file without a byte is a database without a table, for SQLite too.
    shop.folder.write("empty.db", "");
    assert!(shop.source_with(json!({ "path": "empty.db" })).tables(&Scope::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_page_that_is_damaged_fails_only_who_reads_it() {
    let shop = Shop::new(
        "CREATE TABLE t (n INT, pad TEXT);
         WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k LIMIT 20000) INSERT INTO t SELECT n, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM k;
         CREATE TABLE whole (n INT); INSERT INTO whole VALUES (1)",
    );
    let mut bytes = std::fs::read(shop.path()).unwrap();
    for page in (20..100).map(|page| page * 4096) {
        bytes[page..page + 64].fill(0xff);
    }
    std::fs::write(shop.path(), bytes).unwrap();
    let source = shop.source();
    let error = query(&source, &["t"], "SELECT * FROM t").await.unwrap_err();
    assert_eq!(error.code(), Code::DataInvalid, "{error:?}");
    assert_tells_no_path(&shop, &error);
    assert_eq!(query(&source, &["whole"], "SELECT * FROM whole").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn a_locked_database_is_waited_for_and_then_given_up() {
    let shop = Shop::new("CREATE TABLE t (n INT); INSERT INTO t VALUES (1)");
    let writer = shop.writer();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let source = shop.source_with(json!({ "busy_timeout": "50ms" }));
    for error in failures(&source).await {
        assert_eq!(
            (error.code(), error.message()),
            (Code::SourceUnavailable, "Source \"shop\" is locked by another program.")
        );
        assert_tells_no_path(&shop, &error);
    }
    let patient = shop.source();
    let (rows, ()) = tokio::join!(query(&patient, &["t"], "SELECT n FROM t"), async {
        tokio::task::yield_now().await;
        writer.execute_batch("COMMIT").unwrap();
    });
    assert_eq!(rows.unwrap(), ["1"]);
    query(&source, &["t"], "SELECT n FROM t").await.unwrap();
}

#[tokio::test]
async fn one_bad_view_hurts_no_other() {
    let shop = Shop::new(
        "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1);
         CREATE VIEW of_nothing AS SELECT * FROM nowhere;
         CREATE VIEW of_a_function AS SELECT regexp_of_my_program(n) AS n FROM t;
         CREATE VIEW of_an_overflow AS SELECT CAST(abs(-9223372036854775807 - n) AS INTEGER) AS n FROM t;
         CREATE VIEW fine AS SELECT n FROM t",
    );
    let source = shop.source();
    let entries = source.tables(&Scope::default()).await.unwrap();
    assert_eq!(entries.len(), 5);
    for view in ["of_nothing", "of_a_function", "of_an_overflow"] {
        let error = match open(&source, view).await {
            Ok(_) => query(&source, &[view], &format!("SELECT n FROM {view}")).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(
            (error.code(), error.message()),
            (Code::SourceRejected, "Source \"shop\" cannot run the statement."),
            "{view}"
        );
        assert_tells_no_path(&shop, &error);
    }
    assert_eq!(query(&source, &["fine"], "SELECT n FROM fine").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn a_changed_table_asks_to_be_planned_again() {
    for (change, sql) in [
        ("DROP TABLE t", "SELECT n FROM t"),
        ("DROP TABLE t", "SELECT count(*) FROM t"),
        ("ALTER TABLE t RENAME n TO m", "SELECT n FROM t"),
        ("ALTER TABLE t DROP n", "SELECT n FROM t"),
        ("ALTER TABLE t DROP n", "SELECT s FROM t"),
        ("DROP TABLE t; CREATE TABLE t (n TEXT, s TEXT)", "SELECT n FROM t WHERE n = 5"),
        ("DROP TABLE t; CREATE TABLE t (n TEXT, s TEXT)", "SELECT s FROM t WHERE n = 5"),
        ("DROP TABLE t; CREATE TABLE t (n INTEGER NOT NULL, s TEXT)", "SELECT n FROM t"),
        ("DROP TABLE t; CREATE VIEW t AS SELECT 1 AS n, 'x' AS s", "SELECT n FROM t"),
        ("DROP TABLE of_view", "SELECT n FROM v"),
        ("DROP VIEW v; CREATE VIEW v AS SELECT CAST('x' AS TEXT) AS n", "SELECT n FROM v"),
    ] {
        let shop = Shop::new(
            "CREATE TABLE t (n INTEGER, s TEXT); INSERT INTO t VALUES (5, 'x');
             CREATE TABLE of_view (n INTEGER); CREATE VIEW v AS SELECT n FROM of_view",
        );
        let source = shop.source();
        let rows = stream(&source, &["t", "v"], sql).await.unwrap();
        shop.sql(change);
        let error = rest(rows).await.unwrap_err();
        assert_eq!(error.code(), Code::SchemaChanged, "{change}; {sql}: {error:?}");
        assert_tells_no_path(&shop, &error);
        // What was remembered is forgotten: what is there now is read at once.
        if let Ok(Some(_)) = source.open(&Scope::default(), "public", "t").await {
            query(&source, &["t"], "SELECT * FROM t").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_new_column_and_a_new_file_are_no_harm() {
    let shop = Shop::new("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (5)");
    let source = shop.source();
    let rows = stream(&source, &["t"], "SELECT n FROM t").await.unwrap();
    shop.sql("ALTER TABLE t ADD more TEXT");
    assert_eq!(lines(&rest(rows).await.unwrap()), ["5"]);
    let rows = stream(&source, &["t"], "SELECT n FROM t").await.unwrap();
    let other = Shop::new("CREATE TABLE t (n INTEGER, more TEXT); INSERT INTO t VALUES (6, 'x')");
    std::fs::rename(other.path(), shop.path()).unwrap();
    assert_eq!(lines(&rest(rows).await.unwrap()), ["6"]);
}
