//! What the whole engine asks of PostgreSQL: the keys of joins, aggregates, and large tables in parts.

use std::fs;
use std::sync::Arc;

use engine::{Code, Limits, Principal, Query};
use futures::TryStreamExt;
use serde_json::json;

use super::server::{PASSWORD, Server};
use super::{lines, query, runtime, source};
use crate::asked::Asked;

/// An engine over the server's database as dataset `bank`, and over `small.csv` as dataset `files`.
pub(super) fn asked(server: &Server, options: &str, small: &str) -> Asked {
    limited(server, options, small, Limits::default())
}

fn limited(server: &Server, options: &str, small: &str, limits: Limits) -> Asked {
    let port = server.port;
    let connection = format!(
        "  type: postgres\n  connection:\n    host: localhost\n    port: {port}\n    database: postgres\n    user: postgres\n    \
         sslmode: disable\n    password: \"{PASSWORD}\"\n{options}"
    );
    Asked::new(&connection, small, limits)
}

const LOGGED: &str = "log_statement = 'all'";

/// The COPY statements of reads of `table`, as the server logged them.
fn copies(server: &Server, table: &str) -> Vec<String> {
    let log = fs::read_to_string(server.path("log")).unwrap();
    log.lines().filter(|line| line.contains("COPY (SELECT") && line.contains(table)).map(str::to_owned).collect()
}

#[test]
fn the_keys_of_a_join_go_to_the_server() {
    let Some(server) = Server::start_with(LOGGED) else { return };
    server.sql(
        "CREATE TABLE large AS SELECT n AS id, n % 7 AS part, 'name ' || n AS name FROM generate_series(1, 50000) n;
         ALTER TABLE large ADD PRIMARY KEY (id); ANALYZE large",
    );
    let small = "id,part\n7,0\n49999,5\n123,4\n999999,1\n";
    for driver in ["copy", "connectorx"] {
        let asked = asked(&server, &format!("    driver: {driver}\n"), small);
        let joined = asked.ask("SELECT l.id, l.name FROM bank.large l JOIN files.small s ON l.id = s.id ORDER BY l.id");
        assert_eq!(joined, ["7|name 7", "123|name 123", "49999|name 49999"], "{driver}");
        let last = copies(&server, "large").pop().unwrap();
        assert!(last.contains("= ANY('{\"7\",\"123\",\"49999\",\"999999\"}'::int4[])"), "{last}");
        assert!(
            fs::read_to_string(server.path("log")).unwrap().contains("set_config('random_page_cost', '1.1', true)")
        );

        // Two keys: each column among its own.
        let joined = asked
            .ask("SELECT l.id FROM bank.large l JOIN files.small s ON l.id = s.id AND l.part = s.part ORDER BY l.id");
        assert_eq!(joined, ["7", "123", "49999"], "{driver}");
        // A semi-join, and an anti-join, which needs the rows that match nothing.
        let kept = asked.ask("SELECT count(*) FROM bank.large WHERE id IN (SELECT id FROM files.small)");
        assert_eq!(kept, ["3"]);
        let kept = asked.ask("SELECT count(*) FROM bank.large WHERE id NOT IN (SELECT id FROM files.small)");
        assert_eq!(kept, ["49997"]);
        let all = asked.ask("SELECT count(*) FROM files.small s LEFT JOIN bank.large l ON l.id = s.id");
        assert_eq!(all, ["4"]);
        // No keys at all.
        let none = asked.ask("SELECT count(*) FROM bank.large l JOIN files.small s ON l.id = s.id WHERE s.part = 99");
        assert_eq!(none, ["0"]);
    }
}

#[test]
fn more_keys_than_a_list_is_worth_go_to_the_server_as_their_range() {
    let Some(server) = Server::start_with(LOGGED) else { return };
    server.sql("CREATE TABLE large AS SELECT n AS id FROM generate_series(1, 90000) n; ANALYZE large");
    let small: String = (40_000..61_000).map(|id| format!("{id}\n")).collect();
    let asked = asked(&server, "", &format!("id\n{small}"));
    assert_eq!(asked.ask("SELECT count(l.id) FROM bank.large l JOIN files.small s ON l.id = s.id"), ["21000"]);
    let last = copies(&server, "large").pop().unwrap();
    assert!(last.contains(">= ") && last.contains("<= ") && !last.contains("ANY("), "{last}");
}

#[test]
fn the_first_rows_of_an_order_are_asked_for() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE TABLE large AS SELECT n AS id, nullif(n % 7, 0) AS part, chr(97 + n % 26) AS letter, n * 0.5::float8 AS f,
             (n % 3)::text COLLATE \"en-x-icu\" AS folded FROM generate_series(1, 50000) n;
         ANALYZE large",
    );
    let asked = asked(&server, "", "id\n1\n");
    let pushed = |sql: &str| asked.sent(sql).concat().contains(") AS top");
    for (sql, expected) in [
        ("SELECT id FROM bank.large ORDER BY id DESC LIMIT 3", "50000, 49999, 49998"),
        ("SELECT id FROM bank.large WHERE part = 2 ORDER BY id LIMIT 2 OFFSET 1", "9, 16"),
        ("SELECT id, part FROM bank.large ORDER BY part NULLS FIRST, id LIMIT 2", "7|~, 14|~"),
        ("SELECT id, part FROM bank.large ORDER BY part DESC NULLS LAST, id LIMIT 2", "6|6, 13|6"),
        ("SELECT id * 2 AS twice FROM bank.large ORDER BY letter, id DESC LIMIT 2", "99996, 99944"),
        ("SELECT max(id) FROM (SELECT id FROM bank.large ORDER BY folded DESC, id LIMIT 2) t", "5"),
        ("SELECT t.id FROM (SELECT id, part AS p FROM bank.large) t ORDER BY t.p, t.id LIMIT 1", "1"),
    ] {
        assert_eq!(asked.ask(sql).join(", "), expected, "{sql}");
        assert!(pushed(sql), "{sql}: {:?}", asked.sent(sql));
    }
    for sql in [
        // The two zeros and NaN stand elsewhere there.
        "SELECT id FROM bank.large ORDER BY f LIMIT 3",
        "SELECT id FROM bank.large ORDER BY id % 5 LIMIT 3",
        // A filter that stays here drops rows after the limit.
        "SELECT id FROM bank.large WHERE id % 5 = 0 ORDER BY id LIMIT 3",
        // Nearly all of it.
        "SELECT id FROM bank.large ORDER BY id LIMIT 40000",
    ] {
        assert!(!pushed(sql), "{sql}: {:?}", asked.sent(sql));
        assert!(asked.ask(sql).len() >= 3, "{sql}");
    }
}

#[test]
fn what_a_query_fetches_is_counted_and_bounded() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE TABLE large AS SELECT n AS id, n % 7 AS part FROM generate_series(1, 50000) n; ANALYZE large");
    let limits = Limits { max_source_rows: Some(10_000), ..Limits::default() };
    let asked = limited(&server, "", "id\n7\n49999\n", limits);
    let refusal = |sql: &str| {
        let error = asked.try_ask(sql).unwrap_err();
        assert_eq!(error.code(), Code::BudgetExceeded, "{error}");
        error.message().to_owned()
    };
    // Before it runs, where the whole table would come; while it runs, where a condition might have left less.
    let whole = refusal("SELECT id, part FROM bank.large");
    assert!(whole.contains("would fetch about 50000 rows, most from source \"bank"), "{whole}");
    let counted = refusal("SELECT id FROM bank.large WHERE id > 5 AND part IN (1, 2, 3, 4)");
    assert!(counted.contains("has fetched") && counted.contains("max_source_rows is 10000"), "{counted}");
    // What the server does itself, or is told to leave, costs nothing.
    assert_eq!(asked.ask("SELECT count(*) FROM bank.large"), ["50000"]);
    assert_eq!(asked.ask("SELECT count(*) FROM (SELECT id FROM bank.large LIMIT 20)"), ["20"]);
    assert_eq!(asked.ask("SELECT l.id FROM bank.large l JOIN files.small s ON l.id = s.id ORDER BY 1"), ["7", "49999"]);
    assert_eq!(asked.ask("SELECT part, count(*) FROM bank.large GROUP BY part ORDER BY part LIMIT 1"), ["0|7142"]);

    let journal = "SELECT source_rows, source_bytes > 0 FROM system.queries WHERE sql LIKE ";
    assert_eq!(asked.ask(&format!("{journal} '%JOIN files.small%' AND sql NOT LIKE '%system%'")), ["2|true"]);
    assert_eq!(asked.ask(&format!("{journal} 'SELECT id, part%'")), ["0|false"]);
    let facts = "SELECT transfers[1]['estimated_rows'], transfers[1]['rows'], joins[1]['keys'], joins[1]['rows'] \
                 FROM system.queries WHERE sql LIKE '%JOIN files.small%' AND sql NOT LIKE '%system%'";
    assert_eq!(asked.ask(facts), ["50000|2|id = CAST(l.id AS Int64)|2"]);
    let plan = asked.ask("EXPLAIN ANALYZE SELECT id FROM bank.large WHERE id < 100").join("\n");
    assert!(
        plan.contains("output_rows=99") && plan.contains("bytes_fetched=") && plan.contains("estimated_rows="),
        "{plan}"
    );
}

#[test]
fn aggregates_of_one_table_are_made_in_the_server() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE TABLE sales AS SELECT n % 11 AS shop, (ARRAY['a', 'B', 'é', NULL])[1 + n % 4] AS kind,
           (n % 100)::numeric(8,2) / 8 AS price8, (n * 1.5)::numeric(12,2) AS price, n::int8 AS quantity,
           n::float8 / 3 AS ratio, DATE '2024-01-01' + n % 400 AS day, n % 3 = 0 AS flag
         FROM generate_series(1, 5000) n;
         ALTER TABLE sales ALTER COLUMN price8 TYPE numeric(10,3); ANALYZE sales",
    );
    let asked = asked(&server, "", "id\n1\n");
    let from = "FROM \"public\".\"sales\"";
    for (sql, wanted) in [
        (
            "SELECT shop, count(*), sum(price), min(day), max(kind) FROM bank.sales GROUP BY shop",
            "count(*) AS \"c1\", sum(\"price\")::numeric(22,2) AS \"c2\"",
        ),
        (
            "SELECT kind, sum(quantity), avg(quantity) FROM bank.sales WHERE flag GROUP BY kind",
            "WHERE \"flag\" GROUP BY",
        ),
        ("SELECT count(DISTINCT shop), count(kind) FROM bank.sales", "count("),
        ("SELECT DISTINCT kind, flag FROM bank.sales", "GROUP BY \"kind\", \"flag\""),
        ("SELECT day, count(*) AS n FROM bank.sales GROUP BY day HAVING count(*) > 12", "GROUP BY \"day\""),
        ("SELECT min(quantity), max(price8), avg(ratio) FROM bank.sales WHERE shop IN (1, 2)", "max(\"price8\")"),
    ] {
        let sent = asked.sent(sql);
        assert_eq!(sent.len(), 1, "{sql}: {sent:?}");
        assert!(sent[0].contains(wanted) && sent[0].contains(from), "{sql}: {}", sent[0]);
        // The same over rows that are all fetched first.
        let here = sql.replace("bank.sales", "(SELECT * FROM bank.sales ORDER BY quantity LIMIT 100000)");
        assert!(asked.sent(&here).iter().all(|sent| !sent.contains("GROUP BY")));
        let (mut there, mut here) = (asked.ask(sql), asked.ask(&here));
        there.sort();
        here.sort();
        assert_eq!(there, here, "{sql}");
    }
    // What does not mean the same, or is no column, stays.
    for sql in [
        "SELECT shop % 2, count(*) FROM bank.sales GROUP BY 1",
        "SELECT avg(price) FROM bank.sales",
        "SELECT ratio, count(*) FROM bank.sales GROUP BY ratio",
        "SELECT count(*) FILTER (WHERE flag) FROM bank.sales",
        "SELECT stddev(ratio) FROM bank.sales",
        "SELECT sum(quantity) FROM bank.sales WHERE length(kind) = 1",
    ] {
        assert!(asked.sent(sql).iter().all(|sent| !sent.contains("AS grouped")), "{sql}");
        asked.ask(sql);
    }
}

#[test]
fn groups_and_first_rows_of_joins_inside_one_database_are_made_there() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'happy');
         CREATE TABLE people AS SELECT n AS id, nullif(n % 5, 0) AS region, 'p' || n % 50 AS name, n / 3.0::float8 AS f,
             CASE n % 2 WHEN 0 THEN 'sad' ELSE 'happy' END::mood AS mood FROM generate_series(1, 300) n;
         CREATE TABLE sales AS SELECT n AS id, nullif(n % 400, 0) AS person, (n % 90 * 1.25)::numeric(12,2) AS total,
             'p' || n % 70 AS name, n / 3.0::float8 AS f, n % 7 AS region, 'sad'::mood AS mood
             FROM generate_series(1, 3000) n;
         CREATE TABLE regions AS SELECT n AS id, 'Région ' || n AS title FROM generate_series(1, 4) n;
         ANALYZE people; ANALYZE sales; ANALYZE regions",
    );
    let asked = asked(&server, "", "id\n1\n2\n");
    let joined = |sql: &str| asked.sent(sql).concat().contains(" AS r ON ");
    let both = "FROM bank.sales s JOIN bank.people p ON s.person = p.id";
    for sql in [
        format!("SELECT p.region, count(*), sum(s.total), max(s.id) {both} GROUP BY p.region"),
        format!("SELECT count(*), min(p.name) {both} WHERE s.total > 20 AND p.region IN (1, 2)"),
        format!("SELECT r.title, sum(s.id) {both} JOIN bank.regions r ON r.id = p.region GROUP BY r.title"),
        "SELECT p.region, count(s.id) FROM bank.people p LEFT JOIN bank.sales s ON s.person = p.id AND s.total > 100 \
         GROUP BY p.region"
            .to_owned(),
        "SELECT p.region, s.region, count(*) FROM bank.people p RIGHT JOIN bank.sales s ON s.person = p.id \
         GROUP BY p.region, s.region"
            .to_owned(),
        "SELECT p.name, count(*) FROM bank.people p JOIN bank.sales s ON s.name = p.name AND s.region = p.region \
         GROUP BY p.name"
            .to_owned(),
        "SELECT one.region, count(*) FROM bank.people one JOIN bank.people other ON one.id = other.region GROUP BY 1"
            .to_owned(),
        format!("SELECT s.id, p.mood, s.mood, p.f, p.name {both} ORDER BY s.total DESC, s.id LIMIT 3"),
        format!("SELECT p.region, sum(s.total) AS total {both} GROUP BY p.region ORDER BY total DESC LIMIT 2"),
    ] {
        assert!(joined(&sql), "{sql}: {:?}", asked.sent(&sql));
        assert_eq!(asked.sent(&sql).len(), 1, "{sql}");
        assert!(!asked.same_here(&sql, &["people", "sales", "regions"]).is_empty(), "{sql}");
    }
    for sql in [
        // More rows may come out of a join than go into it.
        format!("SELECT s.id, p.name {both}"),
        // What compares otherwise there, or not by equality.
        "SELECT count(*) FROM bank.people p JOIN bank.sales s ON s.f = p.f".to_owned(),
        "SELECT count(*) FROM bank.people p JOIN bank.sales s ON s.mood = p.mood AND s.id = p.id".to_owned(),
        "SELECT count(*) FROM bank.people p JOIN bank.sales s ON s.person = p.id AND s.region < p.region".to_owned(),
        format!("SELECT p.region, count(*) {both} WHERE s.id % 2 = 0 GROUP BY p.region"),
        // Another source.
        "SELECT p.region, count(*) FROM bank.people p JOIN files.small s ON s.id = p.id GROUP BY p.region".to_owned(),
    ] {
        assert!(!joined(&sql), "{sql}: {:?}", asked.sent(&sql));
        assert!(!asked.ask(&sql).is_empty(), "{sql}");
    }
    // First rows of groups.
    let sql =
        "SELECT person, count(*) AS n FROM bank.sales GROUP BY person ORDER BY n DESC, person NULLS FIRST LIMIT 2";
    let sent = asked.sent(sql).concat();
    assert!(sent.contains("AS grouped") && sent.contains("AS top"), "{sent}");
    assert_eq!(asked.ask(sql), ["1|8", "2|8"]);
}

#[test]
fn a_plan_says_what_stays_here_and_why() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE TABLE sales AS SELECT n AS id, n % 9 AS shop, 'n' || n AS name, n / 3.0::float8 AS ratio, n::numeric(12,2) AS price
             FROM generate_series(1, 900) n; ANALYZE sales",
    );
    let asked = asked(&server, "", "id\n1\n");
    let plan = |sql: &str| asked.ask(&format!("EXPLAIN {sql}")).join("\n");
    for (sql, reason) in [
        ("SELECT id FROM bank.sales WHERE length(name) > 2 AND id < 5", "which calls character_length]"),
        ("SELECT id FROM bank.sales WHERE id % 2 = 0", "which calculates]"),
        (
            "SELECT shop, avg(price) FROM bank.sales GROUP BY shop",
            "groups, since avg(bank.sales.price) may differ there]",
        ),
        (
            "SELECT ratio, count(*) FROM bank.sales GROUP BY ratio",
            "groups, since those of bank.sales.ratio may differ there]",
        ),
        ("SELECT id FROM bank.sales ORDER BY ratio LIMIT 3", "since the order of bank.sales.ratio may differ there]"),
        ("SELECT id FROM bank.sales ORDER BY id LIMIT 800", "first 800 rows, which may be most of them]"),
        ("SELECT a.id FROM bank.sales a JOIN bank.sales b ON a.shop = b.shop", "join, of which more rows can come out"),
    ] {
        let plan = plan(sql);
        assert!(plan.contains("here=[") && plan.contains(reason), "{sql}: {plan}");
    }
    for sql in [
        "SELECT shop, count(*), sum(price) FROM bank.sales WHERE name LIKE 'n1%' GROUP BY shop ORDER BY 2 DESC LIMIT 3",
        "SELECT s.id FROM bank.sales s JOIN files.small f ON s.id = f.id",
    ] {
        assert!(!plan(sql).contains("here="), "{sql}: {}", plan(sql));
    }
}

#[test]
fn a_large_table_is_read_in_parts_of_one_snapshot() {
    let Some(server) = Server::start_with(LOGGED) else { return };
    server.sql(
        "CREATE TABLE large AS SELECT n AS id, repeat('x', 60) AS pad FROM generate_series(1, 300000) n; ANALYZE large",
    );
    for driver in ["copy", "connectorx"] {
        let options = json!({"driver": driver, "parallel_reads": 3});
        let (source, runtime) = (source(&server, options), runtime());
        let before = copies(&server, "large").len();
        let ask = |sql: &str| lines(&runtime.block_on(query(&source, &["large"], sql)).unwrap());
        assert_eq!(ask("SELECT count(id), sum(id), min(id), max(id) FROM large"), ["300000|45000150000|1|300000"]);
        let parts = copies(&server, "large").split_off(before);
        assert!(parts.len() > 2 && parts.iter().all(|sql| sql.contains("ctid")), "{parts:?}");
        // A condition goes to each part, unless an index serves it.
        assert_eq!(ask("SELECT count(id), max(id) FROM large WHERE id > 1000"), ["299000|300000"]);
        assert!(copies(&server, "large").pop().unwrap().contains("ctid"));
        server.sql("CREATE INDEX ON large (id); ANALYZE large");
        assert_eq!(ask("SELECT count(pad) FROM large WHERE id IN (7, 9)"), ["2"]);
        assert!(!copies(&server, "large").pop().unwrap().contains("ctid"));
        server.sql("DROP INDEX large_id_idx");
        // One reader suffices where there is a limit, or little to read.
        assert_eq!(ask("SELECT count(id) FROM (SELECT id FROM large LIMIT 10)"), ["10"]);
        assert!(!copies(&server, "large").pop().unwrap().contains("ctid"));
    }
    // With one connection there is nobody to share with, and nothing is missed.
    let source = source(&server, json!({"max_pool_size": 1, "parallel_reads": 4}));
    let rows = runtime().block_on(query(&source, &["large"], "SELECT count(id), sum(id) FROM large")).unwrap();
    assert_eq!(lines(&rows), ["300000|45000150000"]);
}

#[test]
fn a_partitioned_table_is_read_in_parts_of_its_partitions() {
    let Some(server) = Server::start_with(LOGGED) else { return };
    server.sql(
        "CREATE TABLE split (id int, pad text) PARTITION BY RANGE (id);
         CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM (1) TO (50001);
         CREATE TABLE split_2 PARTITION OF split FOR VALUES FROM (50001) TO (300001);
         INSERT INTO split SELECT n, repeat('x', 60) FROM generate_series(1, 300000) n;
         ANALYZE split",
    );
    let (source, runtime) = (source(&server, json!({"parallel_reads": 3})), runtime());
    let ask = |sql: &str| lines(&runtime.block_on(query(&source, &["split"], sql)).unwrap());
    assert_eq!(ask("SELECT count(id), sum(id), max(id) FROM split"), ["300000|45000150000|300000"]);
    let parts = copies(&server, "split");
    assert!(parts.len() > 2 && parts.iter().all(|sql| sql.contains("ctid")), "{parts:?}");
    assert_eq!(ask("SELECT count(id), max(id) FROM split WHERE pad LIKE 'x%'"), ["300000|300000"]);
    assert!(copies(&server, "split").pop().unwrap().contains("ctid"));
    // What lies elsewhere has no pages here, and no part of the snapshot.
    server.sql(
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE split_3 PARTITION OF split FOR VALUES FROM (300001) TO (300003)
         SERVER files OPTIONS (program 'printf \"300001,a\\n300002,b\\n\"', format 'csv')",
    );
    assert_eq!(ask("SELECT count(id), max(id) FROM split"), ["300002|300002"]);
    assert!(!copies(&server, "split").pop().unwrap().contains("ctid"));
}

#[test]
fn a_view_is_read_in_ranges_of_a_key_that_it_shows() {
    let Some(server) = Server::start_with(LOGGED) else { return };
    server.sql(
        "CREATE TABLE people (id int PRIMARY KEY, town int); CREATE TABLE towns (town int, name text);
         INSERT INTO people SELECT n, n % 10 FROM generate_series(1, 300000) n;
         INSERT INTO towns SELECT n, 'town, ' || n FROM generate_series(0, 9) n; ANALYZE;
         CREATE VIEW shown AS SELECT coalesce(t.name, 'none, at all') AS name, p.id * 2 AS twice, p.id AS person
             FROM people p LEFT JOIN towns t ON t.town = p.town;
         CREATE VIEW counted AS SELECT id, count(*) AS n FROM people GROUP BY id;
         CREATE VIEW cut AS SELECT id FROM people LIMIT 200000",
    );
    for driver in ["copy", "connectorx"] {
        let (source, runtime) = (source(&server, json!({"driver": driver, "parallel_reads": 3})), runtime());
        let ask = |view: &str, sql: &str| lines(&runtime.block_on(query(&source, &[view], sql)).unwrap());
        let before = copies(&server, "shown").len();
        assert_eq!(
            ask("shown", "SELECT count(name), sum(twice), min(twice), max(twice) FROM shown"),
            ["300000|90000300000|2|600000"]
        );
        let parts = copies(&server, "shown").split_off(before);
        assert!(parts.len() == 3 && parts.iter().all(|sql| sql.contains("\"person\" ")), "{parts:?}");
        // Groups and first rows are no parts of the whole.
        assert_eq!(ask("counted", "SELECT max(id), count(n) FROM counted"), ["300000|300000"]);
        assert_eq!(ask("cut", "SELECT count(id) FROM cut"), ["200000"]);
        for view in ["counted", "cut"] {
            assert!(!copies(&server, view).pop().unwrap().contains(">="), "{view}");
        }
    }
}

#[test]
fn parts_are_read_as_of_one_moment() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE TABLE moving AS SELECT n AS id, 1 AS v, repeat('x', 60) AS pad FROM generate_series(1, 200000) n;
         ANALYZE moving",
    );
    let (source, runtime) = (source(&server, json!({"parallel_reads": 4})), runtime());
    let server = Arc::new(server);
    let writer = {
        let server = Arc::clone(&server);
        std::thread::spawn(move || {
            // Rows move to the table's end, and their sum stays.
            for round in 0..5 {
                server.sql(&format!("UPDATE moving SET v = v WHERE id % 5 = {round}"));
            }
        })
    };
    for _ in 0..5 {
        let rows = runtime.block_on(query(&source, &["moving"], "SELECT count(id), sum(v) FROM moving")).unwrap();
        assert_eq!(lines(&rows), ["200000|200000"]);
    }
    writer.join().unwrap();
}

#[test]
fn the_sums_of_a_survey_design_are_made_by_the_server() {
    let Some(server) = Server::start() else { return };
    for statement in crate::survey::statements('"', "text", "double precision") {
        server.sql(&statement);
    }
    let asked = asked(&server, "", "id\n1\n");
    let figures = crate::survey::figures(&asked, |_| true);
    assert!(figures > 2500, "{figures}");

    // One row of each PSU comes, and what was left out is told.
    server.sql(
        "CREATE TABLE odd AS SELECT n AS id, n % 10 AS psu, CASE WHEN n = 3 THEN NULL ELSE 1.5 END::float8 AS w,
           CASE WHEN n = 5 THEN 'NaN'::float8 WHEN n = 6 THEN NULL ELSE 7 * n END AS x, 1e200::float8 * n AS huge
         FROM generate_series(1, 1000) n;
         CREATE TABLE misweighted AS SELECT id, psu, x, CASE WHEN id = 9 THEN -1 ELSE w END AS w FROM odd",
    );
    let asked_of = |table: &str, call: &str| {
        format!(
            "SELECT s['n'], round(s['estimate'], 6), round(s['se'], 6), round(s['deff'], 6) \
             FROM (SELECT {call}, weight => w, psu => psu) AS s FROM {table})"
        )
    };
    let mean = |table: &str, x: &str| asked_of(table, &format!("svy_mean({x}"));
    let (there, here) = ("bank.odd", "(SELECT * FROM bank.odd ORDER BY id LIMIT 100000)");
    for call in ["svy_mean(x", "svy_total(w", "svy_mean(id", "svy_share(x > 40", "svy_count(*", "svy_ratio(w, id"] {
        assert!(asked.sent(&asked_of(there, call)).iter().any(|sent| sent.contains("weft_groups")), "{call}");
        assert_eq!(asked.answer(&asked_of(there, call)), asked.answer(&asked_of(here, call)), "{call}");
    }
    // What is refused here is refused of sums as well, and no error of the server's.
    let refused = |table: &str, x: &str| asked.try_ask(&mean(table, x)).unwrap_err().message().to_owned();
    assert_eq!(refused(there, "huge"), refused(here, "huge"));
    assert_eq!(refused("bank.misweighted", "x"), refused(&here.replace("odd", "misweighted"), "x"));

    // Values that are the same, far apart, out of the domain, of no weight or tiny; names that are ours; and few grants.
    server.sql(
        "CREATE TABLE hard AS SELECT i AS id, i % 20 AS psu, (1 + i % 3) * 1.1::float8 AS w, i % 7 AS k,
           CASE WHEN i % 10 = 0 THEN 0 ELSE 1 END::float8 AS some,
           CASE WHEN i % 10 = 0 THEN 1e30 ELSE (i * 7919 % 1000) / 288.7 END::float8 AS poison,
           (i * 7919 % 1000) / 288.7::float8 + CASE WHEN i % 2 = 0 THEN 1e8 ELSE 0 END AS apart, i % 2 AS half,
           i * 1e-100::float8 AS tiny, i AS v, i AS weft_0, 'x' AS secret
         FROM generate_series(1, 2000) i",
    );
    let asked = self::asked(&server, "", "id\n1\n");
    for sql in [
        "SELECT k AS g, svy_ratio(v, k, weight => w, psu => psu) AS s FROM bank.hard GROUP BY k",
        "SELECT k AS g, svy_mean(k, weight => w, psu => psu) AS s FROM bank.hard GROUP BY k",
        "SELECT k AS g, svy_total(k, weight => w, psu => psu) AS s FROM bank.hard GROUP BY k",
        "SELECT half AS g, svy_mean(apart, weight => w, psu => psu) AS s FROM bank.hard GROUP BY half",
        "SELECT 1 AS g, svy_mean(poison, weight => some, psu => psu) AS s FROM bank.hard",
        "SELECT 1 AS g, svy_mean(poison, weight => w, psu => psu) FILTER (WHERE some > 0) AS s FROM bank.hard",
        "SELECT v % 1 AS g, svy_mean(tiny * 1, weight => w, psu => psu) AS s FROM bank.hard GROUP BY v % 1",
        "SELECT 1 AS g, svy_mean(tiny, weight => w, psu => psu) AS s FROM bank.hard",
        "SELECT max(v) AS g, svy_mean(weft_0, weight => w, psu => psu) AS s FROM bank.hard",
    ] {
        let shown = format!("SELECT g, s['n'], s['estimate'], s['se'], s['deff'] FROM ({sql}) ORDER BY g");
        let (there, here) = (asked.ask(&shown), asked.ask(&shown.replace("bank.hard", &here.replace("odd", "hard"))));
        assert_eq!(there.len(), here.len(), "{sql}");
        for (there, here) in there.iter().zip(&here) {
            let figures = |line: &str| line.split('|').map(|value| value.parse().ok()).collect::<Vec<Option<f64>>>();
            let (found, wanted) = (figures(there), figures(here));
            let estimate = wanted[2].unwrap_or_default().abs();
            // Where there is no spread, the error or that of a simple sample is of rounding, and the design effect of nothing.
            let has_spread = wanted[4].is_some_and(|deff| (1e-6..1e6).contains(&deff));
            let is_close = |at: usize| match (found[at], wanted[at]) {
                (Some(found), Some(wanted)) => (found - wanted).abs() <= (1e-9 * wanted.abs()).max(1e-12 * estimate),
                (found, wanted) => found == wanted,
            };
            assert!((0..if has_spread { 5 } else { 4 }).all(is_close), "{sql}:\n{there}\n{here}");
        }
    }
    // A role that may read the columns which are named can be asked.
    let sent = asked.sent("SELECT svy_mean(k, weight => w, psu => psu) FROM bank.hard");
    assert!(sent.iter().all(|sent| !sent.contains("SELECT *") && !sent.contains("secret")), "{sent:?}");

    // The receipt has what was sent, and does not take groups for the people that they are of.
    let receipt = |sql: &str| {
        asked.runtime.block_on(async {
            let stream = asked.engine.query(&Principal::local(), Query::new(sql)).await.unwrap();
            let id = stream.id();
            let _: Vec<_> = stream.try_collect().await.unwrap();
            asked.engine.record(&Principal::local(), id).unwrap().receipt.unwrap()
        })
    };
    let of_groups = receipt("SELECT svy_mean(k, weight => w, psu => psu) FROM bank.hard");
    assert!(of_groups.bases.is_empty() && of_groups.reads.iter().any(|read| read.grouped && read.rows == Some(20)));
    let of_rows = receipt("SELECT max(length(secret)) FROM bank.hard WHERE k = 3 AND v % 2 = 0");
    let read = &of_rows.reads[0];
    assert_eq!((of_rows.bases.as_slice(), read.rows, read.grouped), (&[143_u64][..], Some(286), false));
    assert!(read.asked.as_deref().is_some_and(|sql| sql.contains("\"k\" = '3'")), "{read:?}");
    assert_eq!(read.kept_here.len(), 1, "{read:?}");

    // Where each row is nearly a PSU of its own, the rows are the lesser evil.
    server.sql("ANALYZE odd");
    let asked = self::asked(&server, "", "id\n1\n");
    let of_rows = "SELECT svy_mean(x, weight => w, psu => id) FROM bank.odd";
    assert!(asked.sent(of_rows).iter().all(|sent| !sent.contains("weft_groups")));
    let plan = asked.ask(&format!("EXPLAIN {of_rows}")).join("\n");
    assert!(plan.contains("groups, which are not much fewer than the rows"), "{plan}");
}
