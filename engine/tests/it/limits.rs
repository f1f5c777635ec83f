//! Limits, cancellation and the journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use engine::{Code, Door, Engine, Explain, Limits, MemoryCatalog, PerPrincipal, Principal, Query};
use futures::StreamExt;

use super::{catalog, collect, engine, error, rows};

/// A query that would run for hours.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 10000000000) a(x), generate_series(1, 1000000) b(y) \
                       WHERE x * 7 + y > 0";

async fn outcome(engine: &Engine, sql: &str) -> Vec<String> {
    let quoted = sql.replace('\'', "''");
    rows(engine, &Principal::local(), &format!("SELECT outcome, code, rows FROM system.queries WHERE sql = '{quoted}'"))
        .await
}

#[tokio::test]
async fn a_query_past_its_deadline_stops() {
    let engine = engine();
    let query = Query::new(ENDLESS).timeout(Duration::from_millis(50));
    assert_eq!(error(&engine, &Principal::local(), query).await.code(), Code::DeadlineExceeded);
    assert_eq!(outcome(&engine, ENDLESS).await, ["failed|deadline_exceeded|0"]);
}

#[tokio::test]
async fn a_running_query_is_cancelled_by_its_id() {
    let engine = engine();
    let mut stream = engine.query(&Principal::local(), Query::new(ENDLESS)).await.unwrap();
    assert_eq!(outcome(&engine, ENDLESS).await, ["running||0"]);
    let stranger = Principal::new("stranger", []);
    assert_eq!(engine.cancel(&stranger, stream.id()).unwrap_err().code(), Code::QueryNotFound);
    engine.cancel(&Principal::local(), stream.id()).unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap_err().code(), Code::Cancelled);
    assert_eq!(outcome(&engine, ENDLESS).await, ["cancelled|cancelled|0"]);
}

#[tokio::test]
async fn a_dropped_stream_leaves_an_abandoned_record() {
    let engine = engine();
    drop(engine.query(&Principal::local(), Query::new(ENDLESS)).await.unwrap());
    assert_eq!(outcome(&engine, ENDLESS).await, ["abandoned||0"]);
    assert_eq!(engine.running(), 0);
}

#[tokio::test]
async fn max_rows_cuts_and_tells() {
    let engine = engine();
    let query = Query::new("SELECT id FROM panel.people ORDER BY id").max_rows(3);
    let mut stream = engine.query(&Principal::local(), query).await.unwrap();
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.unwrap().num_rows();
    }
    let summary = stream.summary();
    assert_eq!((rows, summary.rows, summary.truncated), (3, 3, true));
    assert_eq!(summary.notices, ["The answer was cut after 3 rows, as max_rows asked; there are more."]);
}

#[tokio::test]
async fn max_rows_of_exactly_the_result_cuts_nothing() {
    let engine = engine();
    for (max, truncated) in [(4, false), (0, true)] {
        let query = Query::new("SELECT id FROM panel.people").max_rows(max);
        let mut stream = engine.query(&Principal::local(), query).await.unwrap();
        while let Some(batch) = stream.next().await {
            batch.unwrap();
        }
        assert_eq!((stream.summary().rows, stream.summary().truncated), (max, truncated));
    }
}

#[tokio::test]
async fn the_servers_bound_refuses_what_the_callers_cut_would_allow() {
    let limits = Limits { max_rows: Some(2), ..Limits::default() };
    let engine = Engine::builder(catalog()).limits(limits).build().unwrap();
    let all = error(&engine, &Principal::local(), Query::new("SELECT * FROM panel.people")).await;
    assert_eq!(all.code(), Code::ResultTooLarge);
    let cut = Query::new("SELECT * FROM panel.people").max_rows(2);
    collect(engine.query(&Principal::local(), cut).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_sort_beyond_its_memory_spills() {
    let spill = tempfile::tempdir().unwrap();
    let limits = Limits { query_memory: 48 << 20, ..Limits::default() };
    let engine = Engine::builder(catalog()).limits(limits).spill_dir(spill.path()).build().unwrap();
    let sql = "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY repeat('x', 100) || x) AS r \
               FROM generate_series(1, 599999) a(x)) q";
    assert_eq!(rows(&engine, &Principal::local(), sql).await, ["599999"]);
}

/// Events of 4001 persons in houses of three, in 53 groups.
fn events() -> RecordBatch {
    let rows = 0..200_000;
    let whole = |of: fn(i64) -> i64| Arc::new(Int64Array::from_iter_values(rows.clone().map(of))) as ArrayRef;
    let houses = rows.clone().map(|row| format!("house {}", row % 4001 / 3));
    let weights = rows.clone().map(|row| 1.0 + (row % 4001 % 7) as f64);
    let columns = [
        ("person", whole(|row| row % 4001)),
        ("k", whole(|row| row % 53)),
        ("x", whole(|row| row % 101)),
        ("house", Arc::new(StringArray::from_iter_values(houses))),
        ("w", Arc::new(Float64Array::from_iter_values(weights))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[tokio::test]
async fn groups_by_unit_beyond_their_memory_go_to_disk_and_say_the_same() {
    let engine = |query_memory| {
        let catalog =
            MemoryCatalog::default().with_batches("big", "events", events().schema(), vec![events()]).unwrap();
        Engine::builder(catalog).limits(Limits { query_memory, ..Limits::default() }).build().unwrap()
    };
    let (roomy, tight) = (engine(1 << 30), engine(12 << 20));
    for sql in [
        "SELECT k, reach(person, w), count(*), max(x) FROM big.events GROUP BY k ORDER BY k",
        "SELECT k, x, reach(house || person, w) FROM big.events GROUP BY k, x ORDER BY k, x LIMIT 9",
        "SELECT k, round(s['estimate'], 9), round(s['se'], 9), s['n'], s['n_people'] FROM (SELECT k, svy_mean(x, \
         weight => w, psu => house, unit => person, lonely => 'remove') AS s FROM big.events GROUP BY k) s ORDER BY k",
    ] {
        let wanted = rows(&roomy, &Principal::local(), sql).await;
        assert_eq!(rows(&tight, &Principal::local(), sql).await, wanted, "{sql}");
        let analyzed = Query::new(sql).explain(Explain::Analyze);
        let plan = collect(tight.query(&Principal::local(), analyzed).await.unwrap()).await.unwrap();
        let step = plan.lines().find(|line| line.contains("ByUnitExec")).unwrap();
        assert!(step.contains("spill_count") && !step.contains("spill_count=0,"), "{step}");
        let mut stream = tight.query(&Principal::local(), Query::new(sql)).await.unwrap();
        while stream.next().await.transpose().unwrap().is_some() {}
        let notices = stream.summary().notices.join(" ");
        assert!(notices.contains("did not fit in memory: it wrote"), "{notices}");
    }
}

#[tokio::test]
async fn few_groups_of_whole_numbers_are_listed_and_many_are_not() {
    let catalog = MemoryCatalog::default().with_batches("big", "events", events().schema(), vec![events()]).unwrap();
    let engine = Engine::builder(catalog).build().unwrap();
    let figures = "count(*) AS n, sum(x) AS s, max(house) AS h, round(weighted_avg(x, w), 9) AS a, \
                   sum(x) FILTER (WHERE x > 50) AS f, min(w) AS l";
    for keys in [
        vec!["k"],
        vec!["k", "x - 50"],
        vec!["nullif(k, 3)", "CAST(x % 2 AS TINYINT UNSIGNED)"],
        // Many, and far from each other.
        vec!["person * 53 + k"],
        vec!["person", "k"],
        vec!["(k - 26) * 300000000000000000", "x"],
        vec!["CASE WHEN person < 4000 THEN k ELSE person * 1000000 END"],
    ] {
        let grouped = |of: fn(&&str) -> String| {
            let keys = keys.iter().map(of).collect::<Vec<_>>().join(", ");
            format!("SELECT * FROM (SELECT {figures} FROM big.events GROUP BY {keys}) ORDER BY n, s, h, a, f, l")
        };
        let (listed, hashed) = (grouped(|key| (*key).to_owned()), grouped(|key| format!("CAST({key} AS VARCHAR)")));
        let wanted = rows(&engine, &Principal::local(), &hashed).await;
        assert!(wanted.len() > 52, "{}", wanted.len());
        assert_eq!(rows(&engine, &Principal::local(), &listed).await, wanted, "{listed}");
        for (sql, is_listed) in [(&listed, true), (&hashed, false)] {
            let plan = engine.query(&Principal::local(), Query::new(sql).explain(Explain::Plan)).await.unwrap();
            assert_eq!(collect(plan).await.unwrap().contains("FewGroupsExec"), is_listed, "{sql}");
        }
    }
    let nobody = format!("SELECT k, {figures} FROM big.events WHERE x > 1000 GROUP BY k");
    assert!(rows(&engine, &Principal::local(), &nobody).await.is_empty());
}

#[tokio::test]
async fn a_join_beyond_its_memory_sorts_its_sides_on_disk_and_says_so() {
    let spill = tempfile::tempdir().unwrap();
    let limits = Limits { query_memory: 96 << 20, ..Limits::default() };
    let engine = Engine::builder(catalog()).limits(limits).spill_dir(spill.path()).build().unwrap();
    let numbers = "SELECT value AS x, repeat('x', 40) || value AS pad FROM generate_series(1, 2000000)";
    for (join, expected) in [("JOIN", "1000000|500000500000"), ("LEFT JOIN", "1000000|2000001000000")] {
        let sql = format!(
            "WITH numbers AS ({numbers}) SELECT count(b.x), sum(a.x) FROM numbers a \
             {join} (SELECT * FROM numbers WHERE x > 1000000) b ON a.x + 1000000 = b.x AND a.pad <> b.pad"
        );
        let mut stream = engine.query(&Principal::local(), Query::new(&sql)).await.unwrap();
        while stream.next().await.transpose().unwrap().is_some() {}
        assert_eq!(stream.summary().notices.len(), 1, "{join}");
        assert_eq!(rows(&engine, &Principal::local(), &sql).await, [expected]);
    }
}

#[tokio::test]
async fn a_join_beyond_its_memory_is_out_of_memory_and_the_engine_goes_on() {
    let limits = Limits { query_memory: 4 << 20, ..Limits::default() };
    let engine = Engine::builder(catalog()).limits(limits).build().unwrap();
    // A join that tells NULL keys apart has no form that spills.
    let sql = "SELECT count(*) FROM generate_series(1, 2000000) a(x) \
               WHERE x NOT IN (SELECT nullif(y, 0) FROM generate_series(1, 2000000) b(y))";
    assert_eq!(error(&engine, &Principal::local(), Query::new(sql)).await.code(), Code::OutOfMemory);
    assert_eq!(rows(&engine, &Principal::local(), "SELECT 1").await, ["1"]);
}

#[tokio::test]
async fn the_journal_knows_who_asked_what_and_how() {
    let engine = engine();
    let query =
        Query::new("SELECT city, count(*) FROM panel.people GROUP BY city").from(Door::Rest, "curl/8".to_owned());
    collect(engine.query(&Principal::local(), query).await.unwrap()).await.unwrap();
    let sql = "SELECT kind, datasets, principal, door, client, rows, outcome, bytes > 0 FROM system.queries \
               WHERE door = 'rest'";
    let expected = ["aggregated|[panel]|local|rest|curl/8|2|completed|true"];
    assert_eq!(rows(&engine, &Principal::local(), sql).await, expected);
}

#[tokio::test]
async fn others_see_only_their_own_queries() {
    let engine = engine();
    rows(&engine, &Principal::local(), "SELECT 42").await;
    let mine = rows(&engine, &super::meera(), "SELECT sql FROM system.queries").await;
    assert_eq!(mine, ["SELECT sql FROM system.queries"]);
}

#[tokio::test]
async fn a_failed_query_is_in_the_journal_with_its_code() {
    let engine = engine();
    let failed = error(&engine, &Principal::local(), Query::new("SELECT nope FROM panel.people")).await;
    assert!(failed.query_id().is_some());
    assert_eq!(outcome(&engine, "SELECT nope FROM panel.people").await, ["failed|column_not_found|0"]);
}

#[tokio::test]
async fn thirty_queries_at_once_wait_their_turn() {
    let limits = Limits { concurrent_queries: 2, ..Limits::default() };
    let engine = Engine::builder(catalog()).limits(limits).build().unwrap();
    let local = Principal::local();
    let answers = (0..30).map(|n| {
        let (engine, local) = (&engine, &local);
        async move { rows(engine, local, &format!("SELECT {n} + count(*) FROM panel.people")).await }
    });
    for (n, answer) in futures::future::join_all(answers).await.into_iter().enumerate() {
        assert_eq!(answer, [(n + 4).to_string()]);
    }
}

#[tokio::test]
async fn a_principal_that_asks_too_often_is_told_when_to_come_again() {
    let per_principal = PerPrincipal { queries_per_minute: Some(2), ..PerPrincipal::default() };
    let engine = Engine::builder(catalog()).limits(Limits { per_principal, ..Limits::default() }).build().unwrap();
    let (greedy, other) = (Principal::new("greedy", []), Principal::new("other", []));
    let sql = "SELECT count(*) FROM panel.people";
    rows(&engine, &greedy, sql).await;
    rows(&engine, &greedy, sql).await;
    let refused = error(&engine, &greedy, Query::new(sql)).await;
    assert_eq!(refused.code(), Code::RateLimited);
    assert!(refused.retry_time().is_some_and(|time| time <= std::time::Duration::from_secs(30)));
    assert_eq!(rows(&engine, &other, sql).await, ["4"]);
    // It is in the journal like any other.
    let sql = "SELECT count(*) FROM system.queries WHERE code = 'rate_limited'";
    assert_eq!(rows(&engine, &Principal::local(), sql).await, ["1"]);
}

#[tokio::test]
async fn the_rows_of_a_day_are_used_up() {
    let per_principal = PerPrincipal { rows_per_day: Some(4), ..PerPrincipal::default() };
    let engine = Engine::builder(catalog()).limits(Limits { per_principal, ..Limits::default() }).build().unwrap();
    let (greedy, other) = (Principal::new("greedy", []), Principal::new("other", []));
    rows(&engine, &greedy, "SELECT id FROM panel.people").await;
    assert_eq!(error(&engine, &greedy, Query::new("SELECT 1")).await.code(), Code::RateLimited);
    assert_eq!(rows(&engine, &other, "SELECT count(*) FROM panel.people").await, ["4"]);
}

#[tokio::test]
async fn a_role_has_bounds_of_its_own() {
    let quick = PerPrincipal { query_timeout: Some(Duration::from_millis(50)), ..PerPrincipal::default() };
    let once = PerPrincipal { queries_per_minute: Some(1), ..PerPrincipal::default() };
    let per_role = BTreeMap::from([("robot".to_owned(), quick), ("guest".to_owned(), once)]);
    let engine = Engine::builder(catalog()).limits(Limits { per_role, ..Limits::default() }).build().unwrap();
    let of = |role: &str| Principal::new(role, [role.to_owned()]);
    assert_eq!(error(&engine, &of("robot"), Query::new(ENDLESS)).await.code(), Code::DeadlineExceeded);
    let sql = "SELECT count(*) FROM panel.people";
    rows(&engine, &of("guest"), sql).await;
    assert_eq!(error(&engine, &of("guest"), Query::new(sql)).await.code(), Code::RateLimited);
    for _ in 0..3 {
        rows(&engine, &of("robot"), sql).await;
    }
}
