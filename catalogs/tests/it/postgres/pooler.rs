//! A server behind PgBouncer in transaction mode, with fewer connections than there are readers.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use super::server::Server;
use super::{lines, query, runtime, source};

/// A running PgBouncer.
struct Pooler {
    process: Child,
    port: u16,
}

impl Pooler {
    /// One with so many connections to the server. None where it is not installed.
    fn start(server: &Server, connections: u32) -> Option<Self> {
        let places = ["/usr/sbin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];
        let Some(program) = places.into_iter().find(|place| Path::new(place).is_file()) else {
            assert!(std::env::var_os("CI").is_none(), "PgBouncer is not installed");
            println!("skipped: PgBouncer is not installed");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let password = super::server::PASSWORD.replace('\'', "''");
        let (behind, folder) = (server.port, server.path("").display().to_string());
        server.write(
            "pgbouncer.ini",
            &format!(
                "[databases]\npostgres = host=localhost port={behind} user=postgres password='{password}'\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nauth_file =\nunix_socket_dir =\n\
                 pool_mode = transaction\ndefault_pool_size = {connections}\nlogfile = {folder}/pgbouncer.log\n"
            ),
        );
        let mut command = server.command_of(Path::new(program));
        let process = command.arg(server.path("pgbouncer.ini")).spawn().expect("it runs");
        let pooler = Self { process, port };
        for _ in 0..250 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(pooler);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("PgBouncer does not start: {:?}", std::fs::read_to_string(server.path("pgbouncer.log")));
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("it ends");
    }
}

#[test]
fn readers_behind_a_pooler_never_wait_for_each_other() {
    let Some(server) = Server::start() else { return };
    let Some(pooler) = Pooler::start(&server, 2) else { return };
    server.sql(
        "CREATE TABLE large AS SELECT n AS id, repeat('x', 60) AS pad FROM generate_series(1, 300000) n; ANALYZE large",
    );
    for driver in ["copy", "connectorx"] {
        let options = json!({"port": pooler.port, "driver": driver, "parallel_reads": 3, "max_pool_size": 8});
        let (source, runtime) = (source(&server, options), runtime());
        // Each reads in parts, with others that wait for a connection which the first reader of another has.
        let all = (0..8).map(|_| query(&source, &["large"], "SELECT count(pad), sum(id) FROM large"));
        let all = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(100), join_all(all)).await });
        for rows in all.expect("nobody waits for ever") {
            assert_eq!(lines(&rows.unwrap()), ["300000|45000150000"]);
        }
        for n in 1..10 {
            let sql = format!("SELECT id FROM large WHERE id = {n}");
            assert_eq!(lines(&runtime.block_on(query(&source, &["large"], &sql)).unwrap()), [n.to_string()]);
        }
    }
    // Nothing is left that the next one behind the pooler would find.
    server.wait_until_none(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weft%' AND state LIKE '%transaction%'",
    );
}
