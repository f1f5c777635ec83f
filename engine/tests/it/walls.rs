//! Random policies and random queries: no value that its principal may not see comes out, in an answer, an error or a record.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use engine::policy::Policies;
use engine::{Engine, MemoryCatalog, Principal, Query};
use futures::TryStreamExt;
use proptest::prelude::*;
use serde_json::{Value, json};

const ROWS: i64 = 12;
const COLUMNS: [&str; 3] = ["word", "code", "other"];

/// What stands in a cell, and in no other.
fn token(column: &str, id: i64) -> String {
    match column {
        "code" => (73_451_289 + id * 111).to_string(),
        column => format!("{column}zq{id:03}"),
    }
}

fn catalog() -> MemoryCatalog {
    let ids: Vec<i64> = (0..ROWS).collect();
    let words = |column: &str| StringArray::from_iter_values(ids.iter().map(|id| token(column, *id)));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(ids.clone())) as _, true),
        ("part", Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| id % 4))) as _, true),
        ("word", Arc::new(words("word")) as _, true),
        ("code", Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| 73_451_289 + id * 111))) as _, true),
        ("other", Arc::new(words("other")) as _, true),
    ])
    .unwrap();
    MemoryCatalog::default().with_batches("d", "t", batch.schema(), vec![batch]).unwrap()
}

/// A rule, with the rows and columns that it leaves.
#[derive(Debug, Clone)]
struct Wall {
    rule: Value,
    seen: Vec<i64>,
    masked: Vec<&'static str>,
    granted: Vec<&'static str>,
}

fn wall() -> impl Strategy<Value = Wall> {
    let rows = prop_oneof![
        Just(None),
        (0..4_i64).prop_map(|part| Some((format!("part = {part}"), Some(part), None))),
        (0..4_i64).prop_map(|part| Some((format!("part <> {part}"), None, Some(part)))),
        Just(Some(("part IN (@parts)".to_owned(), Some(1), None))),
        Just(Some(("part = @nothing".to_owned(), Some(99), None))),
    ];
    let columns = || proptest::sample::subsequence(COLUMNS.to_vec(), 0..=3);
    (rows, columns(), columns(), any::<bool>()).prop_map(|(rows, masked, hidden, hashes)| {
        let seen = |id: &i64| match &rows {
            Some((_, Some(part), _)) => id % 4 == *part,
            Some((_, _, Some(part))) => id % 4 != *part,
            _ => true,
        };
        let mask = |column: &&str| match (*column, hashes) {
            (_, true) => json!({"hash": true}),
            ("code", false) => json!("NULL"),
            _ => json!("'x'"),
        };
        let masks: serde_json::Map<String, Value> =
            masked.iter().map(|column| ((*column).to_owned(), mask(column))).collect();
        let mut rule = json!({"name": "r", "table": "d.t", "masks": masks});
        if let Some((text, ..)) = &rows {
            rule["rows"] = json!(text);
        }
        let granted = COLUMNS.into_iter().filter(|column| !hidden.contains(column)).collect();
        Wall { rule, seen: (0..ROWS).filter(seen).collect(), masked, granted }
    })
}

fn column() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["id", "part", "word", "code", "other"]).prop_map(str::to_owned)
}

fn value(table: &'static str) -> impl Strategy<Value = String> {
    let call = proptest::sample::select(vec![
        "{c}",
        "CAST({c} AS VARCHAR)",
        "upper(CAST({c} AS VARCHAR))",
        "concat({c}, '')",
        "coalesce({c}, {c})",
        "CASE WHEN {c} IS NOT NULL THEN {c} END",
        "nullif({c}, NULL)",
        "CAST({c} AS BIGINT)",
        "{c} || ''",
        "(SELECT max({b}) FROM d.t)",
        "CAST({c} AS DATE)",
        "named_struct('v', {c})",
        "make_array({c})",
    ]);
    (call, column())
        .prop_map(move |(call, column)| call.replace("{c}", &format!("{table}.{column}")).replace("{b}", &column))
}

fn condition(table: &'static str) -> impl Strategy<Value = String> {
    let shapes = proptest::sample::select(vec![
        "true",
        "{v} IS NOT NULL",
        "CAST({v} AS VARCHAR) LIKE '%0%'",
        "{t}.part > 0 OR {v} IS NOT NULL",
        "{t}.id IN (SELECT id FROM d.t)",
        "EXISTS (SELECT 1 FROM d.t u WHERE u.id = {t}.id)",
        "1 / ({t}.id - 3) < 9",
        "{t}.part <> 1",
        "NOT ({t}.part = 2)",
        "{v} = {v}",
    ]);
    (shapes, value(table)).prop_map(move |(shape, value)| shape.replace("{v}", &value).replace("{t}", table))
}

fn query() -> impl Strategy<Value = String> {
    let aggregate = proptest::sample::select(vec![
        "min({v})",
        "max({v})",
        "array_agg({v})",
        "string_agg(CAST({v} AS VARCHAR), ',')",
        "first_value({v})",
        "count({v})",
        "approx_distinct({v})",
        "array_agg(DISTINCT {v})",
        "median(a.code)",
        "sum(a.code)",
    ]);
    let parts = (value("a"), value("a"), condition("a"), aggregate, column(), 1..9_u8);
    let shape = proptest::sample::select(vec![
        "SELECT {v}, {w} FROM d.t a WHERE {p}",
        "SELECT * FROM d.t a WHERE {p} ORDER BY a.{c} DESC LIMIT {n}",
        "SELECT a.{c}, {g} FROM d.t a WHERE {p} GROUP BY a.{c}",
        "SELECT {g} FROM d.t a WHERE {p}",
        "SELECT {g} FROM d.t a GROUP BY GROUPING SETS ((a.part), ())",
        "SELECT {v}, b.* FROM d.t a JOIN d.t b ON a.{c} = b.{c} WHERE {p}",
        "SELECT {v} FROM d.t a LEFT JOIN d.t b ON a.id = b.id + 1 WHERE {p}",
        "SELECT {v} FROM d.t a UNION ALL SELECT {w} FROM d.t a WHERE {p}",
        "SELECT CAST({v} AS VARCHAR) FROM d.t a UNION SELECT CAST({w} AS VARCHAR) FROM d.t a",
        "SELECT a.{c} FROM d.t a EXCEPT SELECT a.{c} FROM d.t a WHERE {p}",
        "WITH a AS (SELECT * FROM d.t a WHERE {p}) SELECT {v}, {w} FROM a",
        "SELECT {v}, lag(a.{c}) OVER (ORDER BY a.id), max(a.{c}) OVER (PARTITION BY a.part) FROM d.t a WHERE {p}",
        "SELECT DISTINCT {v} FROM d.t a WHERE {p}",
        "SELECT x.v FROM (SELECT {v} AS v, a.part FROM d.t a) x WHERE x.part < {n}",
        "SELECT {v} FROM generate_series(0, {n}) g JOIN d.t a ON a.id = g.value",
        "SELECT unnest(array_agg(a.{c})) FROM d.t a WHERE {p}",
        "EXPLAIN ANALYZE SELECT {v} FROM d.t a WHERE {p}",
        "SELECT {v} FROM d.t a, LATERAL (SELECT b.{c} FROM d.t b WHERE b.id = a.id) l",
    ]);
    (shape, parts).prop_map(|(shape, (v, w, p, g, c, n))| {
        let g = g.replace("{v}", &v);
        shape
            .replace("{g}", &g)
            .replace("{v}", &v)
            .replace("{w}", &w)
            .replace("{p}", &p)
            .replace("{c}", &c)
            .replace("{n}", &n.to_string())
    })
}

/// All that the principal reads: the answer or the error, and the record of it.
async fn read(engine: &Engine, principal: &Principal, sql: &str) -> String {
    let answer = match engine.query(principal, Query::new(sql)).await {
        Ok(stream) => match stream.try_collect::<Vec<_>>().await {
            Ok(batches) => pretty_format_batches(&batches).unwrap().to_string(),
            Err(error) => format!("{error} {:?}", error.hint_text()),
        },
        Err(error) => format!("{error} {:?}", error.hint_text()),
    };
    let records = engine.query(principal, Query::new("SELECT * FROM system.queries")).await.unwrap();
    let records: Vec<RecordBatch> = records.try_collect().await.unwrap();
    format!("{answer}\n{}", pretty_format_batches(&records).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_value_behind_a_wall_comes_out(wall in wall(), sql in query()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let columns: Vec<&str> = ["id", "part"].into_iter().chain(wall.granted.iter().copied()).collect();
        // A mask of a column that is not granted has nothing to stand on.
        let mut rule = wall.rule.clone();
        if let Some(masks) = rule["masks"].as_object_mut() {
            masks.retain(|column, _| columns.contains(&column.as_str()));
        }
        let policies: Policies = serde_json::from_value(json!({
            "principals": [{"name": "meera", "roles": ["analyst"], "attributes": {"parts": [1]}}],
            "grants": [{"roles": ["analyst"], "on": ["d"], "columns": columns}],
            "rules": [rule],
        }))
        .unwrap();
        let meera = policies.principal("meera").unwrap();
        let engine = Engine::builder(catalog()).policies(policies).build().unwrap();
        let text = runtime.block_on(read(&engine, &meera, &sql)).to_lowercase();
        for column in COLUMNS {
            for id in 0..ROWS {
                let is_open = wall.seen.contains(&id)
                    && wall.granted.contains(&column)
                    && !wall.masked.contains(&column);
                prop_assert!(
                    is_open || !text.contains(&token(column, id)),
                    "{column} of row {id} behind {wall:?}: {sql}\n{text}"
                );
            }
        }
    }
}

/// That the test above can fail: without a wall the tokens come out.
#[tokio::test]
async fn an_open_table_shows_its_tokens() {
    let engine = Engine::builder(catalog()).build().unwrap();
    let text = read(&engine, &Principal::local(), "SELECT * FROM d.t").await;
    assert!(COLUMNS.iter().all(|column| text.contains(&token(column, 3))), "{text}");
}
