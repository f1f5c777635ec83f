//! Reads that run: cancelling, flow control, concurrency, sessions, the life of connections.

use catalogs::Source;
use datafusion::prelude::{SessionConfig, SessionContext};
use engine::{Code, Deadline, Error};
use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::frozen::{Frozen, left_open};

use super::server::Server;
use super::{count, lines, open, query, runtime, source, stream};

const RUNNING: &str = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '/* weft%'";

#[test]
fn a_dropped_stream_stops_the_query_in_the_server() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE TABLE one (n int); INSERT INTO one VALUES (1);
         CREATE VIEW endless AS SELECT seq AS n, repeat('x', 100) AS pad FROM seq_1_to_1000000000000;
         CREATE VIEW silent AS SELECT cast(sleep(3600) AS int) AS n FROM one;
         CREATE VIEW counted AS SELECT seq AS n FROM seq_1_to_1000000000000 WHERE seq <> rand();",
    );
    let (source, runtime) = (source(&server, json!({"max_pool_size": 1})), runtime());
    runtime.block_on(async {
        // In the middle of its rows, and while the reader waits for room.
        let mut rows = stream(&source, &["endless"], "SELECT * FROM endless").await.unwrap();
        rows.next().await.unwrap().unwrap();
        drop(rows);
        server.wait_until_none(RUNNING);
        // Before the first row, and while it counts.
        for (table, sql) in [("silent", "SELECT n FROM silent"), ("counted", "SELECT count(*) FROM counted")] {
            let mut rows = stream(&source, &[table], sql).await.unwrap();
            assert!(rows.next().now_or_never().is_none());
            server.wait(&format!("({RUNNING}) = 1"));
            drop(rows);
            server.wait_until_none(RUNNING);
        }
        // A limit that the server does not know.
        let sql = "SELECT n FROM endless WHERE n % 2 = 0 LIMIT 5";
        assert_eq!(count(&query(&source, &["endless"], sql).await.unwrap()), 5);
        server.wait_until_none(RUNNING);
        // The only place in the pool is free again, and no late cancel hits who comes next.
        for _ in 0..20 {
            let rows = query(&source, &["endless"], "SELECT n FROM endless LIMIT 3").await.unwrap();
            assert_eq!(lines(&rows), ["1", "2", "3"]);
        }
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a scan is tested by itself, without the path above it")]
fn a_query_past_its_deadline_leaves_nothing_running() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE TABLE one (n int); INSERT INTO one VALUES (1); CREATE VIEW silent AS SELECT cast(sleep(3600) AS int) AS n FROM one");
    let (source, runtime) = (source(&server, json!({})), runtime());
    runtime.block_on(async {
        let table = open(&source, "silent").await.unwrap();
        let deadline = Deadline(Instant::now() + Duration::from_millis(500));
        let context = SessionContext::new_with_config(SessionConfig::new().with_extension(Arc::new(deadline)));
        context.register_table("silent", table).unwrap();
        let error = context.sql("SELECT n FROM silent").await.unwrap().collect().await.unwrap_err();
        assert_eq!(Error::from(error).code(), Code::DeadlineExceeded);
        server.wait_until_none(RUNNING);
    });
}

#[test]
fn a_server_that_freezes_keeps_no_connection_and_no_place_in_the_pool() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE VIEW endless AS SELECT seq AS n, repeat('x', 100) AS pad FROM seq_1_to_1000000000000");
    let (source, runtime) = (source(&server, json!({"max_pool_size": 1, "connect_timeout": "2s"})), runtime());
    runtime.block_on(async {
        let mut rows = stream(&source, &["endless"], "SELECT * FROM endless").await.unwrap();
        rows.next().await.unwrap().unwrap();
        let frozen = Frozen::new(server.processes());
        drop(rows);
        let left = left_open(&source).await;
        let refused = query(&source, &["endless"], "SELECT n FROM endless LIMIT 3").await;
        drop(frozen);
        assert_eq!(left, 0);
        assert_eq!(refused.unwrap_err().code(), Code::SourceUnavailable);
        server.wait_until_none(RUNNING);
        let rows = query(&source, &["endless"], "SELECT n FROM endless LIMIT 3").await;
        assert!(rows.is_ok_and(|rows| lines(&rows) == ["1", "2", "3"]));
    });
}

#[test]
fn a_reader_that_does_not_read_stops_the_server_from_sending() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE VIEW endless AS SELECT seq AS n, repeat('x', 1000) AS pad FROM seq_1_to_1000000000000");
    let (source, runtime) = (source(&server, json!({})), runtime());
    runtime.block_on(async {
        let mut rows = stream(&source, &["endless"], "SELECT * FROM endless").await.unwrap();
        let first = rows.next().await.unwrap().unwrap();
        assert!(first.get_array_memory_size() < 4 << 20, "{}", first.get_array_memory_size());
        server.wait("(SELECT count(*) = 1 FROM information_schema.processlist WHERE info LIKE '/* weft%' AND state = 'Writing to net')");
        let second = rows.next().await.unwrap().unwrap();
        assert!(second.num_rows() > 0);
    });
}

#[test]
fn thirty_reads_share_four_connections() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE TABLE t AS SELECT seq AS n, concat('name ', seq) AS name FROM seq_1_to_20000");
    let (source, runtime) = (source(&server, json!({"max_pool_size": 4, "connect_timeout": "60s"})), runtime());
    let reads = (0..30).map(|_| query(&source, &["t"], "SELECT n, name FROM t"));
    for rows in runtime.block_on(join_all(reads)) {
        assert_eq!(count(&rows.unwrap()), 20_000);
    }
    let (open, idle, max) = source.pool().unwrap();
    assert!(open <= 4 && max == 4, "{open} {max}");
    server.wait("(SELECT count(*) <= 4 FROM information_schema.processlist WHERE user = 'weft')");
    assert_eq!(open, idle);
}

#[test]
fn nothing_connects_before_it_is_asked_for_and_the_rest_follows_the_first() {
    let Some(server) = Server::start() else { return };
    let connected = "SELECT count(*) FROM information_schema.processlist WHERE user = 'weft'";
    let (source, runtime) = (source(&server, json!({"min_pool_size": 3, "max_pool_size": 5})), runtime());
    assert_eq!(source.pool(), Some((0, 0, 5)));
    assert_eq!(server.count(connected), 0);
    runtime.block_on(source.test()).unwrap();
    server.wait(&format!("({connected}) = 3"));
}

#[test]
fn a_source_that_goes_away_inside_the_runtime_closes_its_connections() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE TABLE t AS SELECT 1 AS n");
    let runtime = runtime();
    runtime.block_on(async {
        let source: Arc<dyn Source> = source(&server, json!({}));
        query(&source, &["t"], "SELECT n FROM t").await.unwrap();
        drop(source);
    });
    server.wait_until_none("SELECT count(*) FROM information_schema.processlist WHERE user = 'weft'");
}

#[test]
fn a_read_runs_in_a_session_of_its_own_making() {
    let Some(server) = Server::start_with(
        "default_time_zone = '+05:30'\nsql_mode = 'ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT'\ncharacter_set_server = latin1\n\
         transaction_isolation = READ-COMMITTED",
    ) else {
        return;
    };
    server.sql(
        "CREATE FUNCTION shown() RETURNS text RETURN concat_ws('|', @@time_zone, @@character_set_results, @@tx_isolation,
             @@tx_read_only, @@max_statement_time, @@in_transaction);
         CREATE VIEW settings AS SELECT shown() AS value;
         CREATE TABLE t (ts timestamp(6), c char(5), s varchar(20));
         SET time_zone = '+00:00'; INSERT INTO t VALUES ('2024-02-01', 'ab', concat('a', char(92), 'b'))",
    );
    let (source, runtime) = (source(&server, json!({"statement_timeout": 30})), runtime());
    let rows = runtime.block_on(query(&source, &["settings"], "SELECT * FROM settings")).unwrap();
    assert_eq!(lines(&rows), ["+00:00|utf8mb4|REPEATABLE-READ|ON|30.000000|1"]);
    let sql = "SELECT ts, c, s FROM t WHERE s = 'a\\b' AND s LIKE 'a\\\\%' AND ts = '2024-02-01T00:00:00Z'";
    let rows = runtime.block_on(query(&source, &["t"], sql)).unwrap();
    assert_eq!(lines(&rows), ["2024-02-01T00:00:00Z|ab|a\\b"]);
}
