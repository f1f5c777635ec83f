//! Reads that run: cancelling, deadlines, and what other programs write meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use catalogs::Source;
use datafusion::prelude::{SessionConfig, SessionContext};
use engine::{Code, Deadline, Error};
use futures::future::join_all;
use futures::{FutureExt, StreamExt};

use super::{Shop, lines, open, query, rest, stream};

/// Views without an end: one that brings rows, one that never brings one, one that is counted.
const ENDLESS: &str = "
    CREATE TABLE t (n INTEGER);
    CREATE VIEW endless AS WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k) SELECT CAST(n AS INTEGER) AS n FROM k;
    CREATE VIEW silent AS SELECT n FROM endless WHERE n < 0";

/// Waits until nobody reads the file: only then another program gets it for itself alone.
fn wait_until_unread(shop: &Shop) {
    shop.writer().execute_batch("BEGIN EXCLUSIVE; COMMIT").expect("the read ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_stops_the_query() {
    let shop = Shop::new(ENDLESS);
    let source = shop.source();
    // In the middle of its rows, and while the reader waits for room.
    let mut rows = stream(&source, &["endless"], "SELECT n FROM endless").await.unwrap();
    rows.next().await.unwrap().unwrap();
    drop(rows);
    wait_until_unread(&shop);
    // Before the first row, at once and a little later, and while it counts.
    for (table, sql) in [("silent", "SELECT n FROM silent"), ("endless", "SELECT count(*) FROM endless")] {
        for pause in [0, 1, 50] {
            let mut rows = stream(&source, &[table], sql).await.unwrap();
            assert!(tokio::time::timeout(Duration::from_millis(pause), rows.next()).await.is_err());
            drop(rows);
            wait_until_unread(&shop);
        }
    }
    // While rows are looked at for a type.
    shop.sql("CREATE VIEW untyped AS SELECT n + 0 AS n FROM silent");
    assert!(tokio::time::timeout(Duration::from_millis(50), open(&source, "untyped")).await.is_err());
    wait_until_unread(&shop);
    // A limit that SQLite does not know.
    let rows = query(&source, &["endless"], "SELECT n FROM endless WHERE n % 2 = 0 LIMIT 3").await.unwrap();
    assert_eq!(rows, ["2", "4", "6"]);
    wait_until_unread(&shop);
}

#[expect(clippy::disallowed_methods, reason = "a scan is tested by itself, without the path above it")]
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_read() {
    let shop = Shop::new(ENDLESS);
    let source = shop.source();
    let deadline = Deadline(Instant::now() + Duration::from_millis(300));
    let context = SessionContext::new_with_config(SessionConfig::new().with_extension(Arc::new(deadline)));
    context.register_table("silent", open(&source, "silent").await.unwrap()).unwrap();
    let rows = context.sql("SELECT n FROM silent").await.unwrap().execute_stream().await.unwrap();
    let error: Error = rest(rows).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");
    wait_until_unread(&shop);
}

const LARGE: &str = "
    CREATE TABLE large (n INTEGER, pad TEXT);
    WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k LIMIT 100000) INSERT INTO large SELECT n, 'xxxxxxxxxxxxxxxxxxxx' FROM k;";

#[tokio::test(flavor = "multi_thread")]
async fn a_read_sees_one_state_while_others_write_ahead_of_it() {
    let shop = Shop::new(&format!("PRAGMA journal_mode = WAL; {LARGE}"));
    let source = shop.source();
    let mut rows = stream(&source, &["large"], "SELECT n, pad FROM large").await.unwrap();
    let first = rows.next().await.unwrap().unwrap();
    shop.sql("UPDATE large SET n = -n; DELETE FROM large WHERE n < -50000; CREATE TABLE more (n INT)");
    let mut batches = vec![first];
    batches.extend(rest(rows).await.unwrap());
    let lines = lines(&batches);
    assert_eq!(lines.len(), 100_000);
    assert!(lines.iter().all(|line| !line.starts_with('-')));
    assert_eq!(query(&source, &["large"], "SELECT count(*), max(n) FROM large").await.unwrap(), ["50000|-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_without_a_log_waits_for_the_read() {
    let shop = Shop::new(LARGE);
    let source = shop.source();
    let mut rows = stream(&source, &["large"], "SELECT n, pad FROM large").await.unwrap();
    let first = rows.next().await.unwrap().unwrap();
    let writer = shop.writer();
    writer.busy_timeout(Duration::ZERO).unwrap();
    let refused = writer.execute_batch("DELETE FROM large").unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
    let mut batches = vec![first];
    batches.extend(rest(rows).await.unwrap());
    assert_eq!(lines(&batches).len(), 100_000);
    shop.sql("DELETE FROM large");
    assert_eq!(query(&source, &["large"], "SELECT count(*) FROM large").await.unwrap(), ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_read_at_once_while_one_writes() {
    let shop = Shop::new(&format!("PRAGMA journal_mode = WAL; {LARGE}"));
    let source = shop.source();
    let writer = shop.writer();
    let writes = tokio::task::spawn_blocking(move || {
        for _ in 0..5 {
            // Always the same sum, in every state that is committed.
            writer.execute_batch("BEGIN; UPDATE large SET n = n + 1 WHERE n % 2 = 0; UPDATE large SET n = n - 1 WHERE rowid % 2 = 0; COMMIT").unwrap();
        }
    });
    let reads = (0..8).map(|_| query(&source, &["large"], "SELECT sum(n), count(*) FROM large"));
    for rows in join_all(reads).await {
        assert_eq!(rows.unwrap(), ["5000050000|100000"]);
    }
    writes.await.unwrap();
}

#[tokio::test]
async fn nothing_is_opened_before_it_is_asked_for() {
    let shop = Shop::new("CREATE TABLE t (n INT)");
    let source: Arc<dyn Source> = shop.source();
    assert_eq!(source.pool(), None);
    let rows = stream(&source, &["t"], "SELECT n FROM t").await.unwrap();
    // A plan that is never polled holds nothing.
    shop.sql("BEGIN EXCLUSIVE; COMMIT");
    drop(rows);
    let mut rows = stream(&source, &["t"], "SELECT n FROM t").await.unwrap();
    let _ = rows.next().now_or_never();
}
