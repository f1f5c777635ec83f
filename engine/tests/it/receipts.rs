//! Receipts: how an answer came about, and who may see it.

use std::sync::Arc;

use engine::journal::Record;
use engine::receipt::Receipt;
use engine::{Engine, Principal, Query};

use super::{catalog, collect, engine, meera, rows};

async fn asked(engine: &Engine, principal: &Principal, query: Query) -> Record {
    let stream = engine.query(principal, query).await.unwrap();
    let id = stream.id();
    collect(stream).await.unwrap();
    engine.record(principal, id).unwrap()
}

async fn receipt(engine: &Engine, sql: &str) -> Arc<Receipt> {
    asked(engine, &Principal::local(), Query::new(sql)).await.receipt.unwrap()
}

#[tokio::test]
async fn a_receipt_has_the_weight_the_base_and_the_answer() {
    let engine = engine();
    let of_weights =
        receipt(&engine, "SELECT city, weighted_avg(salary, weight) FROM panel.people WHERE id > 0 GROUP BY city")
            .await;
    assert_eq!(of_weights.weights, ["panel.people.weight"]);
    assert_eq!(of_weights.bases, [4]);
    assert_eq!(of_weights.answer.as_ref().map(|answer| (answer.rows, answer.columns.len())), Some((2, 2)));
    let plain = receipt(&engine, "SELECT avg(salary) FROM panel.people WHERE city = 'Pune'").await;
    assert_eq!((plain.weights.is_empty(), plain.bases.as_slice()), (true, &[2_u64][..]));
    let joined = "SELECT count(*) FROM (SELECT city, sum(salary) FROM panel.people WHERE id < 4 GROUP BY city)";
    assert_eq!(receipt(&engine, joined).await.bases, [3]);
    // What is about Weft and not about data has none.
    let metadata = asked(&engine, &Principal::local(), Query::new("SELECT * FROM system.tables")).await;
    assert!(metadata.receipt.is_none());
}

#[tokio::test]
async fn two_receipts_say_what_is_different() {
    let ordered = "SELECT city, weighted_avg(salary, weight) AS pay FROM panel.people WHERE id > 0 GROUP BY city ORDER BY city DESC";
    let engine = engine();
    let before = receipt(&engine, ordered).await;
    assert_eq!(before.changes(&*receipt(&engine, &ordered.replace(" DESC", "")).await), []);
    let other = receipt(&engine, &ordered.replace("id > 0", "id <> 2")).await;
    let what: Vec<String> = before.changes(&other).into_iter().map(|change| change.what).collect();
    assert_eq!(what, ["values of \"pay\"", "unweighted base"]);
    let fewer = receipt(&engine, &ordered.replace("id > 0", "city = 'Pune'")).await;
    let change = before.changes(&fewer).into_iter().next().unwrap();
    assert_eq!((change.what.as_str(), change.before.as_str(), change.now.as_str()), ("rows", "2", "1"));
    let typed = receipt(&engine, &ordered.replace("city,", "city, 1 AS one,")).await;
    assert_eq!(before.changes(&typed)[0].what, "columns");
}

#[tokio::test]
async fn a_receipt_is_for_who_asked_and_for_administrators() {
    let engine = engine();
    let own = asked(&engine, &meera(), Query::new("SELECT count(*) FROM panel.people")).await;
    asked(&engine, &Principal::local(), Query::new("SELECT count(*) FROM hr.staff WHERE id > 0")).await;
    let listed = "SELECT principal, array_to_string(policies, ';'), array_to_string(bases, ';') FROM system.receipts";
    assert_eq!(rows(&engine, &meera(), listed).await, ["meera|pune on weft.panel.people|2"]);
    assert_eq!(rows(&engine, &Principal::local(), listed).await, ["local||4", "meera|pune on weft.panel.people|2"]);
    assert!(engine.record(&Principal::new("stranger", []), own.id).is_none());
}

#[tokio::test]
async fn a_query_with_its_values_can_be_asked_again() {
    let engine = Engine::builder(catalog()).build().unwrap();
    let values = engine_params();
    let query = Query::new("SELECT count(*) FROM people WHERE city = $1 AND salary > $2")
        .params(values)
        .dataset("panel".to_owned())
        .max_rows(9);
    let record = asked(&engine, &Principal::local(), query).await;
    assert_eq!(record.settings.params, [serde_json::json!("Pune"), serde_json::Value::Null]);
    assert_eq!((record.settings.dataset.as_deref(), record.settings.max_rows), (Some("panel"), Some(9)));
}

fn engine_params() -> arrow::array::RecordBatch {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    let text: ArrayRef = Arc::new(StringArray::from(vec!["Pune"]));
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    RecordBatch::try_from_iter_with_nullable([("1", text, true), ("2", null, true)]).unwrap()
}
