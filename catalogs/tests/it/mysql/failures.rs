//! What goes wrong gets its code and one sentence that tells no secret, and the source goes on.

use std::sync::Arc;

use catalogs::{Scope, Source};
use engine::{Code, Error};
use futures::StreamExt;
use serde_json::{Value, json};

use super::server::{PASSWORD, Server};
use super::{count, lines, query, runtime, source, stream};

/// A large table: more than the channel and the socket's buffers hold.
const LARGE: &str = "CREATE TABLE large AS SELECT seq AS n, repeat('x', 100) AS pad FROM seq_1_to_300000";

fn assert_tells_no_secret(error: &Error) {
    let told = format!("{} {:?}", error.message(), error.hint_text());
    assert!(!told.contains("hunter2") && !told.contains("SELECT") && !told.contains('\n'), "{told}");
    assert!(error.hint_text().is_some(), "{told}");
    assert!(!format!("{error:?}").contains(PASSWORD));
}

#[test]
fn connections_that_cannot_be_opened_say_why() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE USER stranger@'%' IDENTIFIED BY 'x'; CREATE USER far@'10.9.8.7' IDENTIFIED BY 'x'");
    let runtime = runtime();
    for (options, code) in [
        (json!({"password": "wrong"}), Code::SourceRejected),
        (json!({"password": ""}), Code::SourceRejected),
        (json!({"user": "nobody_there"}), Code::SourceRejected),
        (json!({"database": "none_such"}), Code::SourceRejected),
        (json!({"user": "stranger", "password": "x"}), Code::SourceRejected),
        (json!({"user": "far", "password": "x"}), Code::SourceRejected),
        (json!({"sslmode": "require"}), Code::SourceRejected),
        (json!({"port": 1}), Code::SourceUnavailable),
        (json!({"host": "no-such-host.invalid"}), Code::SourceUnavailable),
    ] {
        let source = source(&server, options.clone());
        let database = options["database"].as_str().unwrap_or("bank");
        let failures = [
            runtime.block_on(source.test()).unwrap_err(),
            runtime.block_on(source.tables(&Scope::default())).unwrap_err(),
            runtime.block_on(source.open(&Scope::default(), database, "t")).unwrap_err(),
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
        let ids: Vec<u64> = server.rows("SELECT id FROM information_schema.processlist WHERE user = 'weft'");
        ids.iter().for_each(|id| server.sql(&format!("KILL {id}")));
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
    let (source, runtime) = (source(&server, json!({"min_pool_size": 3})), runtime());
    runtime.block_on(query(&source, &["t"], "SELECT n FROM t")).unwrap();
    server.wait("(SELECT count(*) >= 3 FROM information_schema.processlist WHERE user = 'weft')");
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
    for (change, sql) in [
        ("DROP TABLE t", "SELECT n FROM t"),
        ("ALTER TABLE t MODIFY n bigint", "SELECT n FROM t"),
        ("ALTER TABLE t MODIFY n int unsigned", "SELECT n FROM t"),
        ("ALTER TABLE t MODIFY n text", "SELECT n FROM t WHERE n = 1"),
        ("ALTER TABLE t MODIFY p decimal(12,4)", "SELECT p FROM t"),
        ("ALTER TABLE t MODIFY s varbinary(9)", "SELECT s FROM t"),
        ("ALTER TABLE t MODIFY r int NULL; UPDATE t SET r = NULL", "SELECT r FROM t"),
        ("ALTER TABLE t DROP n", "SELECT n FROM t"),
        ("ALTER TABLE t CHANGE n m int", "SELECT n FROM t"),
        ("DROP DATABASE bank; CREATE DATABASE bank", "SELECT n FROM t"),
    ] {
        server.sql(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (n int, p decimal(6,2), s varchar(9), r int NOT NULL);
             INSERT INTO t VALUES (1, 1.5, 'x', 1)",
        );
        runtime.block_on(async {
            let _fresh = query(&source, &["t"], "SELECT * FROM t").await;
            let rows = stream(&source, &["t"], sql).await;
            server.sql(change);
            let error = match rows {
                Ok(mut rows) => Error::from(rows.next().await.unwrap().unwrap_err()),
                Err(error) => error,
            };
            assert_eq!(error.code(), Code::SchemaChanged, "{change}: {error:?}");
            assert_tells_no_secret(&error);
        });
    }
    // What was remembered is forgotten: the table as it is now is read at once.
    server.sql("CREATE TABLE t AS SELECT 'new' AS n");
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
        "CREATE USER reader@'%' IDENTIFIED BY 'reader'; CREATE TABLE secret (n int); CREATE TABLE open (n int);
         CREATE TABLE one (n int); INSERT INTO one VALUES (1);
         GRANT SELECT ON bank.open TO reader@'%';
         CREATE VIEW torn AS SELECT cast((SELECT seq FROM seq_1_to_2) AS int) AS n FROM one;
         CREATE VIEW slow AS SELECT cast(sleep(3600) AS int) AS n FROM one;",
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
    let reader = source(&server, json!({"user": "reader", "password": "reader"}));
    // The server does not even show what its user may not read.
    assert!(runtime.block_on(reader.open(&Scope::default(), "bank", "secret")).unwrap().is_none());
    server.sql("GRANT SELECT ON bank.secret TO reader@'%'");
    runtime.block_on(async {
        server.sql("DO SLEEP(1.1)");
        let mut rows = stream(&reader, &["secret"], "SELECT n FROM secret").await.unwrap();
        server.sql("REVOKE SELECT ON bank.secret FROM reader@'%'");
        let error = Error::from(rows.next().await.unwrap().unwrap_err());
        assert_eq!(error.code(), Code::SourceRejected, "{error:?}");
        assert_tells_no_secret(&error);
    });
    let torn = fails(json!({}), "torn");
    assert_eq!(
        (torn.code(), torn.message()),
        (Code::SourceRejected, "Source \"bank\" rejected the statement (error 1242).")
    );
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
fn a_server_without_a_connection_left_says_so() {
    let Some(server) = Server::start_with("max_connections = 10") else { return };
    server.sql("CREATE USER crowd@'%' IDENTIFIED BY 'x'");
    let connect = || {
        let options = ::mysql::OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(server.port);
        ::mysql::Conn::new(options.user(Some("crowd")).pass(Some("x")).prefer_socket(false))
    };
    let crowd: Vec<_> = std::iter::from_fn(|| connect().ok()).take(20).collect();
    // One more is kept for administrators, whom this user is none of.
    let source = source(&server, json!({"user": "crowd", "password": "x"}));
    let error = runtime().block_on(source.test()).unwrap_err();
    assert_eq!(error.code(), Code::SourceUnavailable, "{error:?}");
    assert!(error.message().ends_with("has no connection left."), "{error}");
    assert_tells_no_secret(&error);
    drop(crowd);
}

#[test]
fn a_table_made_after_the_listing_is_found() {
    let Some(server) = Server::start() else { return };
    let (source, runtime) = (source(&server, json!({})), runtime());
    let found = |source: &Arc<dyn Source>| runtime.block_on(source.open(&Scope::default(), "bank", "late")).unwrap();
    assert!(found(&source).is_none());
    server.sql("CREATE TABLE late (n int)");
    // A name is looked for again after a moment, and not only when the listing has grown old.
    server.sql("DO SLEEP(1.1)");
    assert!(found(&source).is_some());
}
