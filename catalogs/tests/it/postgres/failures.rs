//! What goes wrong gets its code and one sentence that tells no secret, and the source goes on.

use std::sync::Arc;

use catalogs::{Scope, Source};
use engine::{Code, Error};
use futures::StreamExt;
use serde_json::{Value, json};

use super::server::{PASSWORD, Server};
use super::{count, lines, query, runtime, source, stream};

/// A large table: more than the channel and the socket's buffers hold.
const LARGE: &str = "CREATE TABLE large AS SELECT n, repeat('x', 100) AS pad FROM generate_series(1, 300000) n";

fn assert_tells_no_secret(error: &Error) {
    let told = format!("{} {:?}", error.message(), error.hint_text());
    assert!(!told.contains("hunter2") && !told.contains("SELECT") && !told.contains('\n'), "{told}");
    assert!(error.hint_text().is_some(), "{told}");
    assert!(!format!("{error:?}").contains(PASSWORD));
}

#[test]
fn connections_that_cannot_be_opened_say_why() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE ROLE stranger LOGIN PASSWORD 'x'; REVOKE CONNECT ON DATABASE postgres FROM PUBLIC");
    let runtime = runtime();
    for (options, code) in [
        (json!({"password": "wrong"}), Code::SourceRejected),
        (json!({"password": ""}), Code::SourceRejected),
        (json!({"user": "nobody_there"}), Code::SourceRejected),
        (json!({"database": "none_such"}), Code::SourceRejected),
        (json!({"user": "stranger", "password": "x"}), Code::SourceRejected),
        (json!({"port": 1}), Code::SourceUnavailable),
        (json!({"host": "no-such-host.invalid"}), Code::SourceUnavailable),
    ] {
        let source = source(&server, options.clone());
        let failures = [
            runtime.block_on(source.test()).unwrap_err(),
            runtime.block_on(source.tables(&Scope::default())).unwrap_err(),
            runtime.block_on(source.open(&Scope::default(), "public", "t")).unwrap_err(),
        ];
        for error in failures {
            assert_eq!(error.code(), code, "{options}: {error}");
            assert!(error.message().contains("\"bank\""), "{error}");
            assert_tells_no_secret(&error);
        }
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let Some(server) = Server::start() else { return };
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let source = source(&server, json!({"host": "127.0.0.1", "port": port, "connect_timeout": "200ms"}));
    let error = runtime().block_on(source.test()).unwrap_err();
    assert_eq!(error.code(), Code::SourceUnavailable);
}

#[test]
fn a_server_killed_in_mid_result_is_an_error_and_not_an_end() {
    let Some(server) = Server::start() else { return };
    server.sql(LARGE);
    // Commits are asynchronous here, and this one is to outlive a crash.
    server.sql("CHECKPOINT");
    let (source, runtime) = (source(&server, json!({})), runtime());
    let killed = |kill: &dyn Fn()| -> Error {
        runtime.block_on(async {
            let mut rows = stream(&source, &["large"], "SELECT * FROM large").await.unwrap();
            rows.next().await.unwrap().unwrap();
            kill();
            loop {
                match rows.next().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Error::from(error),
                    None => panic!("the result ended as if it were whole"),
                }
            }
        })
    };
    let terminated = killed(&|| {
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'weft%'");
    });
    assert_eq!(terminated.code(), Code::SourceUnavailable, "{terminated:?}");
    assert_tells_no_secret(&terminated);
    // The broken connection has left the pool.
    let rows = runtime.block_on(query(&source, &["large"], "SELECT count(*) FROM large")).unwrap();
    assert_eq!(lines(&rows), ["300000"]);

    let crashed = killed(&|| server.crash());
    assert_eq!(crashed.code(), Code::SourceUnavailable, "{crashed:?}");
    let down = runtime.block_on(query(&source, &["large"], "SELECT n FROM large")).unwrap_err();
    assert_eq!(down.code(), Code::SourceUnavailable);
    server.boot();
    let rows = runtime.block_on(query(&source, &["large"], "SELECT n FROM large WHERE n = 7")).unwrap();
    assert_eq!(lines(&rows), ["7"]);
}

#[test]
fn connections_that_died_while_idle_are_not_noticed_by_a_reader() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE TABLE t AS SELECT 1 AS n");
    server.sql("CHECKPOINT");
    let (source, runtime) = (source(&server, json!({"min_pool_size": 3})), runtime());
    runtime.block_on(query(&source, &["t"], "SELECT n FROM t")).unwrap();
    server.wait("(SELECT count(*) = 3 FROM pg_stat_activity WHERE application_name = 'weft')");
    server.crash();
    server.boot();
    for _ in 0..4 {
        let rows = runtime.block_on(query(&source, &["t"], "SELECT n FROM t")).unwrap();
        assert_eq!(lines(&rows), ["1"]);
    }
}

#[test]
fn a_changed_table_asks_to_be_planned_again() {
    let Some(server) = Server::start() else { return };
    let (source, runtime) = (source(&server, json!({})), runtime());
    for (change, sql, code) in [
        ("DROP TABLE t", "SELECT n FROM t", Code::SchemaChanged),
        ("ALTER TABLE t ALTER n TYPE bigint", "SELECT n FROM t", Code::SchemaChanged),
        ("ALTER TABLE t ALTER n TYPE text", "SELECT n FROM t WHERE n = 1", Code::SchemaChanged),
        ("ALTER TABLE t ALTER p TYPE numeric(12,4)", "SELECT p FROM t", Code::SchemaChanged),
        ("ALTER TABLE t ALTER p TYPE numeric", "SELECT p FROM t", Code::SchemaChanged),
        ("ALTER TABLE t ALTER l TYPE text[]", "SELECT l FROM t", Code::SchemaChanged),
        ("ALTER TABLE t DROP n", "SELECT n FROM t", Code::SchemaChanged),
        ("ALTER TABLE t RENAME n TO m", "SELECT n FROM t", Code::SchemaChanged),
        ("ALTER SCHEMA public RENAME TO private", "SELECT n FROM t", Code::SchemaChanged),
    ] {
        server.sql(
            "DROP SCHEMA IF EXISTS private CASCADE; CREATE SCHEMA IF NOT EXISTS public; DROP TABLE IF EXISTS t;
                    CREATE TABLE t AS SELECT 1 AS n, 1.5::numeric(6,2) AS p, '{1}'::int[] AS l",
        );
        runtime.block_on(async {
            let _fresh = query(&source, &["t"], "SELECT * FROM t").await;
            let rows = stream(&source, &["t"], sql).await;
            server.sql(change);
            let error = match rows {
                Ok(mut rows) => Error::from(rows.next().await.unwrap().unwrap_err()),
                Err(error) => error,
            };
            assert_eq!(error.code(), code, "{change}: {error:?}");
            assert_tells_no_secret(&error);
        });
    }
    // What was remembered is forgotten: the table as it is now is read at once.
    server.sql("DROP SCHEMA private CASCADE; CREATE SCHEMA public; CREATE TABLE t AS SELECT 'new' AS n");
    let rows = runtime.block_on(query(&source, &["t"], "SELECT n FROM t")).unwrap();
    assert_eq!(lines(&rows), ["new"]);
    server.sql("ALTER TABLE t ADD more int DEFAULT 5");
    let rows = runtime.block_on(query(&source, &["t"], "SELECT n FROM t")).unwrap();
    assert_eq!(lines(&rows), ["new"]);
}

#[test]
fn what_the_server_refuses_has_a_code() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE ROLE reader LOGIN PASSWORD 'reader'; CREATE TABLE secret (n int); CREATE TABLE open (n int);
         GRANT SELECT ON open TO reader;
         CREATE VIEW torn AS SELECT 1 / (random() * 0)::int AS n;
         CREATE VIEW slow AS SELECT pg_sleep(3600)::text AS n;
         CREATE FUNCTION scribble() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.open VALUES (1); RETURN 1; END $$;
         CREATE VIEW writes AS SELECT public.scribble() AS n;",
    );
    let runtime = runtime();
    let fails = |options: Value, table: &str| -> Error {
        let source = source(&server, options);
        let error = runtime.block_on(query(&source, &[table], &format!("SELECT n FROM {table}"))).unwrap_err();
        assert_tells_no_secret(&error);
        // The connection is as good as before.
        let rows = runtime.block_on(query(&source, &["open"], "SELECT n FROM open")).unwrap();
        assert_eq!(count(&rows), 0);
        assert_eq!(source.pool().map(|(open, idle, _)| (open, idle)), Some((1, 1)));
        error
    };
    let reader = json!({"user": "reader", "password": "reader"});
    assert_eq!(fails(reader, "secret").code(), Code::SourceRejected);
    let torn = fails(json!({}), "torn");
    assert_eq!(
        (torn.code(), torn.message()),
        (Code::SourceRejected, "Source \"bank\" rejected the statement (SQLSTATE 22012).")
    );
    assert_eq!(fails(json!({}), "writes").code(), Code::SourceRejected);
    let slow = fails(json!({"statement_timeout": "100ms"}), "slow");
    assert_eq!(
        (slow.code(), slow.message()),
        (Code::DeadlineExceeded, "Source \"bank\" took longer than its limit of 0.1 s.")
    );
}

#[test]
fn a_pool_that_stays_full_is_overloaded() {
    let Some(server) = Server::start() else { return };
    server.sql(LARGE);
    let (source, runtime) = (source(&server, json!({"max_pool_size": 1, "connect_timeout": "300ms"})), runtime());
    runtime.block_on(async {
        let mut first = stream(&source, &["large"], "SELECT * FROM large").await.unwrap();
        first.next().await.unwrap().unwrap();
        let mut second = stream(&source, &["large"], "SELECT n FROM large").await;
        let error = match &mut second {
            Ok(second) => Error::from(second.next().await.unwrap().unwrap_err()),
            Err(error) => Error::new(error.code(), error.message()).hint("listing"),
        };
        assert_eq!(error.code(), Code::Overloaded, "{error:?}");
        assert_tells_no_secret(&error);
        while let Some(batch) = first.next().await {
            batch.unwrap();
        }
        let rows = query(&source, &["large"], "SELECT n FROM large LIMIT 1").await.unwrap();
        assert_eq!(count(&rows), 1);
    });
}

#[test]
fn a_table_made_after_the_listing_is_found() {
    let Some(server) = Server::start() else { return };
    let (source, runtime) = (source(&server, json!({})), runtime());
    let found = |source: &Arc<dyn Source>| runtime.block_on(source.open(&Scope::default(), "public", "late")).unwrap();
    assert!(found(&source).is_none());
    server.sql("CREATE TABLE late (n int)");
    // A name is looked for again after a moment, and not only when the listing has grown old.
    server.sql("SELECT pg_sleep(1.1)");
    assert!(found(&source).is_some());
}
