//! Tables that change in the database: seen at once by a refresh and after a reload, whose source keeps its connections.

use catalogs::{Connections, Home, Registry};
use engine::{Catalog, Code, Engine, Error, Principal, Query, TableDrift};
use futures::TryStreamExt;

use super::server::{PASSWORD, Server};
use super::{lines, runtime};
use crate::folder::{Folder, no_env};

fn home(server: &Server) -> Folder {
    Folder::new().file(
        "datasets/bank.yaml",
        format!(
            "dataset: {{id: bank}}\ndatabase:\n  type: postgres\n  connection:\n    host: localhost\n    port: {}\n    \
             database: postgres\n    user: postgres\n    sslmode: disable\n    password: \"{PASSWORD}\"\n",
            server.port
        ),
    )
}

async fn ask(engine: &Engine, sql: &str) -> Result<Vec<String>, Error> {
    let stream = engine.query(&Principal::local(), Query::new(sql)).await?;
    Ok(lines(&stream.try_collect::<Vec<_>>().await?))
}

#[test]
fn a_changed_table_is_refused_or_read_as_it_is_and_a_refresh_tells_what_changed() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE TABLE t AS SELECT 1 AS id, 'x' AS fax; CREATE TABLE old AS SELECT 1 AS id");
    let folder = home(&server);
    let registry = Registry::new(&Home::load(folder.path(), &no_env).expect("the home loads"));
    let engine = Engine::builder(registry.clone()).build().expect("an engine");
    runtime().block_on(async {
        let refreshed = || async { engine.refresh(&Principal::local(), "bank").await.expect("it answers") };
        assert_eq!((refreshed().await.tables, refreshed().await.changed), (2, vec![]));

        server.sql(
            "ALTER TABLE t ALTER id TYPE text, DROP fax, ADD email text; DROP TABLE old; CREATE TABLE new (id int)",
        );
        let stale = ask(&engine, "SELECT id + 1 AS more, fax FROM bank.t").await.expect_err("it was planned as it was");
        assert_eq!(stale.code(), Code::SchemaChanged, "{stale}");
        let drift = refreshed().await;
        assert_eq!((drift.added, drift.removed), (vec!["new".to_owned()], vec!["old".to_owned()]));
        let [TableDrift { table, added, dropped, retyped }] = drift.changed.as_slice() else {
            panic!("{:?}", drift.changed)
        };
        let (added, dropped, retyped) = (&added[0], &dropped[0], &retyped[0]);
        assert_eq!(
            (table.as_str(), added.column.as_str(), dropped.column.as_str(), retyped.to.as_str()),
            ("t", "email", "fax", "VARCHAR")
        );
        assert_eq!(ask(&engine, "SELECT id, email FROM bank.t").await.expect("it is read"), ["1|~"]);

        // Without a refresh a new column would stay unseen for a while.
        server.sql("ALTER TABLE t ADD phone text");
        assert_eq!(
            ask(&engine, "SELECT phone FROM bank.t").await.expect_err("it is unseen").code(),
            Code::ColumnNotFound
        );
        refreshed().await;
        assert_eq!(ask(&engine, "SELECT phone FROM bank.t").await.expect("it is read"), ["~"]);
    });
}

#[test]
fn a_reload_sees_new_columns_on_the_connections_that_are_open() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE TABLE t AS SELECT 1 AS id");
    let (folder, connections) = (home(&server), Connections::default());
    let load = || Home::load_again(folder.path(), &no_env, &connections).expect("the home loads");
    let registry = Registry::new(&load());
    let engine = Engine::builder(registry.clone()).build().expect("an engine");
    runtime().block_on(async {
        assert_eq!(ask(&engine, "SELECT * FROM bank.t").await.expect("it is read"), ["1"]);
        let open = registry.sources()[0].pool;
        let backends = server.rows("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'weft%' ORDER BY 1");
        server.sql("ALTER TABLE t ADD more int");
        let renewed = registry.renewed(&load());
        assert_eq!(renewed.sources()[0].pool, open);
        engine.reload(renewed, Default::default(), None);
        assert_eq!(ask(&engine, "SELECT * FROM bank.t").await.expect("it is read"), ["1|~"]);
        let still = server.rows("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'weft%' ORDER BY 1");
        let pids = |rows: &[::postgres::Row]| rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>();
        assert_eq!(pids(&still), pids(&backends));
    });
}
