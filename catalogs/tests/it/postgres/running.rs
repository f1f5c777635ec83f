//! Reads that run: cancelling, flow control, concurrency, sessions, the life of connections.

use catalogs::Source;
use engine::{Code, Principal, Query, QueryId};
use futures::future::join_all;
use futures::{FutureExt, StreamExt, TryStreamExt};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use crate::frozen::{Frozen, left_open};

use super::federation::asked;
use super::server::Server;
use super::{count, lines, query, runtime, source, stream};

const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weft%' AND state = 'active'";

#[test]
fn a_dropped_stream_stops_the_query_in_the_server() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE VIEW endless AS SELECT n, repeat('x', 100) AS pad FROM (SELECT generate_series(1, 1000000000000) AS n) q;
         CREATE VIEW silent AS SELECT pg_sleep(3600)::text AS n;
         CREATE VIEW counted AS SELECT 1 AS n FROM (SELECT generate_series(1, 1000000000000) AS n) q;",
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
fn a_server_that_freezes_keeps_no_connection_and_no_place_in_the_pool() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE VIEW endless AS SELECT n, repeat('x', 100) AS pad FROM (SELECT generate_series(1, 1000000000000) AS n) q");
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
fn a_query_that_is_late_or_cancelled_leaves_nothing_running() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE VIEW who AS SELECT application_name AS name FROM pg_stat_activity WHERE pid = pg_backend_pid();
         CREATE VIEW silent AS SELECT pg_sleep(3600)::text AS n",
    );
    let asked = asked(&server, "", "id\n1\n");
    let name = asked.ask("SELECT name FROM bank.who").concat();
    assert!(name.strip_prefix("weft/").is_some_and(|id| id.parse::<QueryId>().is_ok()), "{name}");

    let (engine, local) = (&asked.engine, Principal::local());
    asked.runtime.block_on(async {
        let query = Query::new("SELECT n FROM bank.silent");
        let late = engine.query(&local, query.clone().timeout(Duration::from_secs(1))).await.unwrap();
        let late = late.try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded);
        server.wait_until_none(RUNNING);

        let running = engine.query(&local, query).await.unwrap();
        let id = running.id();
        let cancel = async {
            server.wait(&format!("({RUNNING}) = 1"));
            engine.cancel(&local, id).unwrap();
        };
        let (cancelled, ()) = futures::join!(running.try_collect::<Vec<_>>(), cancel);
        assert_eq!(cancelled.unwrap_err().code(), Code::Cancelled);
        server.wait_until_none(RUNNING);
    });
}

#[test]
fn a_reader_that_does_not_read_stops_the_server_from_sending() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE VIEW endless AS SELECT n, repeat('x', 1000) AS pad FROM (SELECT generate_series(1, 1000000000000) AS n) q");
    let (source, runtime) = (source(&server, json!({})), runtime());
    runtime.block_on(async {
        let mut rows = stream(&source, &["endless"], "SELECT * FROM endless").await.unwrap();
        let first = rows.next().await.unwrap().unwrap();
        assert!(first.get_array_memory_size() < 4 << 20, "{}", first.get_array_memory_size());
        server.wait("(SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name LIKE 'weft%' AND wait_event = 'ClientWrite')");
        let second = rows.next().await.unwrap().unwrap();
        assert!(second.num_rows() > 0);
    });
}

#[test]
fn thirty_reads_share_four_connections() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE TABLE t AS SELECT n, 'name ' || n AS name FROM generate_series(1, 20000) n");
    let (source, runtime) = (source(&server, json!({"max_pool_size": 4, "connect_timeout": "60s"})), runtime());
    let reads = (0..30).map(|_| query(&source, &["t"], "SELECT n, name FROM t"));
    for rows in runtime.block_on(join_all(reads)) {
        assert_eq!(count(&rows.unwrap()), 20_000);
    }
    let (open, idle, max) = source.pool().unwrap();
    assert!(open <= 4 && max == 4, "{open} {max}");
    server.wait("(SELECT count(*) <= 4 FROM pg_stat_activity WHERE application_name LIKE 'weft%')");
    assert_eq!(open, idle);
}

#[test]
fn nothing_connects_before_it_is_asked_for_and_the_rest_follows_the_first() {
    let Some(server) = Server::start() else { return };
    let connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weft%'";
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
    server.wait_until_none("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weft%'");
}

#[test]
fn a_read_runs_in_a_session_of_its_own_making() {
    let Some(server) = Server::start_with(
        "timezone = 'Asia/Kolkata'\ndatestyle = 'SQL, DMY'\nintervalstyle = 'iso_8601'\nstandard_conforming_strings = off",
    ) else {
        return;
    };
    server.sql(
        "CREATE FUNCTION public.setting(text) RETURNS text LANGUAGE sql AS 'SELECT pg_catalog.current_setting($1)';
         CREATE VIEW settings AS SELECT name, public.setting(name) AS value FROM (VALUES
           ('TimeZone'), ('application_name'), ('client_encoding'), ('default_transaction_read_only'), ('search_path'),
           ('statement_timeout'), ('transaction_read_only')) AS named (name);
         CREATE TABLE t AS SELECT '1 day 02:00'::interval AS i, '2024-02-01'::date AS d, ARRAY['2024-02-01'::date]::date[][] AS g,
             'a\\\\b' AS s;
         ALTER TABLE t ALTER g TYPE text[] USING g::text[];",
    );
    let (source, runtime) = (source(&server, json!({"statement_timeout": 30})), runtime());
    let rows = runtime.block_on(query(&source, &["settings"], "SELECT * FROM settings ORDER BY name")).unwrap();
    assert_eq!(
        lines(&rows),
        [
            "TimeZone|UTC",
            "application_name|weft",
            "client_encoding|UTF8",
            "default_transaction_read_only|on",
            "search_path|pg_catalog, pg_temp",
            "statement_timeout|30s",
            "transaction_read_only|on",
        ]
    );
    let rows = runtime.block_on(query(&source, &["t"], "SELECT i, d, s FROM t WHERE s = 'a\\b'")).unwrap();
    assert_eq!(lines(&rows), ["1 day 02:00:00|2024-02-01|a\\b"]);
}
