//! Parts that a query names twice are computed once; the answer is the same.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::datasource::MemTable;
use engine::{Engine, MemoryCatalog, Principal};

use crate::rows;

/// `d.t` and `d.u`, alike.
fn engine() -> Engine {
    let column = |modulo: i64| Arc::new((0..1000).map(|row| Some(row % modulo)).collect::<Int64Array>()) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("g", column(7)), ("v", column(13))]).unwrap();
    let table = || Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch.clone()]]).unwrap());
    Engine::builder(MemoryCatalog::default().with_table("d", "t", table()).with_table("d", "u", table()))
        .build()
        .unwrap()
}

async fn ask(engine: &Engine, sql: &str) -> Vec<String> {
    rows(engine, &Principal::local(), sql).await
}

async fn shared_places(engine: &Engine, sql: &str) -> usize {
    ask(engine, &format!("EXPLAIN {sql}")).await.join("\n").matches("SharedExec: part").count()
}

#[tokio::test]
async fn equal_aggregates_are_computed_once() {
    let engine = engine();
    let sums = "WITH s AS (SELECT g, sum(v) AS v FROM d.t GROUP BY g)";
    for (sql, places) in [
        (format!("{sums} SELECT g, v FROM s WHERE v = (SELECT max(v) FROM s)"), 2),
        (format!("{sums} SELECT count(*) FROM s a JOIN s b ON a.v < b.v JOIN s c ON c.v = a.v + c.g"), 3),
        (format!("{sums} SELECT g, v FROM s"), 0),
        ("SELECT (SELECT sum(v) FROM d.t WHERE g = 1) AS a, (SELECT sum(v) FROM d.t WHERE g = 2) AS b".to_owned(), 0),
        ("SELECT (SELECT sum(v) FROM d.t) AS a, (SELECT sum(v) FROM d.u) AS b".to_owned(), 0),
        // Two tables of one name.
        (
            "SELECT (SELECT sum(value) FROM generate_series(1, 9)) AS a, (SELECT sum(value) FROM generate_series(1, 8)) AS b"
                .to_owned(),
            0,
        ),
        (format!("{} SELECT sum(a.v + b.v) FROM s a JOIN s b USING (g)", sums.replace("sum(v)", "sum(v * random())")), 0),
    ] {
        assert_eq!(shared_places(&engine, &sql).await, places, "{sql}");
    }
}

#[tokio::test]
async fn what_is_shared_is_what_each_place_would_have_made() {
    let engine = engine();
    for rest in [
        "SELECT a.g, a.v, b.v FROM s a JOIN r b ON a.g = b.g + 1 ORDER BY 1",
        "SELECT g, v, v * 100.0 / (SELECT sum(v) FROM r) FROM s ORDER BY v DESC, g LIMIT 3",
        "SELECT g FROM s WHERE v > (SELECT avg(v) FROM r) UNION ALL SELECT n FROM r ORDER BY 1",
        "SELECT count(*) FROM s FULL JOIN r ON s.v = r.v AND s.g > 3",
    ] {
        let sums = |table: &str| format!("SELECT g, sum(v) AS v, count(DISTINCT v) AS n FROM d.{table} GROUP BY g");
        let sql = |other: &str| format!("WITH s AS ({}), r AS ({}) {rest}", sums("t"), sums(other));
        assert!(shared_places(&engine, &sql("t")).await > 1, "{rest}");
        assert_eq!(shared_places(&engine, &sql("u")).await, 0, "{rest}");
        assert_eq!(ask(&engine, &sql("t")).await, ask(&engine, &sql("u")).await, "{rest}");
    }
}
