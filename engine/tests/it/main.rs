//! The engine through its public face: names, policies, limits, the journal.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod codes;
mod designs;
mod disclosure;
mod join_health;
mod join_order;
mod limits;
mod names;
mod numbers;
mod periods;
mod policies;
mod quality;
mod raking;
mod receipts;
mod reload;
mod rights;
mod share;
mod statements;
mod survey;
mod walls;
mod weights;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use engine::policy::Policies;
use engine::{Code, Engine, Error, MemoryCatalog, Principal, Query, QueryStream, TableProviderRef};
use futures::TryStreamExt;

fn people() -> TableProviderRef {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("city", DataType::Utf8, true),
        Field::new("salary", DataType::Int64, true),
        Field::new("weight", DataType::Float64, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
        Arc::new(StringArray::from(vec!["Asha", "Bala", "Chitra", "Dev"])),
        Arc::new(StringArray::from(vec!["Pune", "Delhi", "Pune", "Delhi"])),
        Arc::new(Int64Array::from(vec![1000, 2000, 4000, 3000])),
        Arc::new(Float64Array::from(vec![1.5, 2.0, 0.5, 1.0])),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap())
}

fn catalog() -> MemoryCatalog {
    MemoryCatalog::default().with_table("panel", "people", people()).with_table("hr", "staff", people())
}

fn policies() -> Policies {
    let rule = serde_json::json!({
        "principals": [{"name": "meera", "roles": ["analyst"]}],
        "rules": [{
            "name": "pune", "table": "panel.people", "roles": ["analyst"],
            "rows": "city = 'Pune'", "masks": {"name": "'*'", "salary": "NULL"}
        }]
    });
    serde_json::from_value(rule).unwrap()
}

fn engine() -> Engine {
    Engine::builder(catalog()).policies(policies()).build().unwrap()
}

fn meera() -> Principal {
    policies().principal("meera").unwrap()
}

async fn collect(stream: QueryStream) -> Result<String, Error> {
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    Ok(pretty_format_batches(&batches).unwrap().to_string())
}

/// The rows of `sql` without the frame of the table, one line per row.
async fn rows(engine: &Engine, principal: &Principal, sql: &str) -> Vec<String> {
    let table = collect(engine.query(principal, Query::new(sql)).await.unwrap()).await.unwrap();
    let lines = table.lines().filter(|line| line.starts_with('|')).skip(1);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect()
}

async fn error(engine: &Engine, principal: &Principal, query: Query) -> Error {
    match engine.query(principal, query).await {
        Err(error) => error,
        Ok(stream) => collect(stream).await.expect_err("the query must fail"),
    }
}

async fn code(engine: &Engine, sql: &str) -> Code {
    error(engine, &Principal::local(), Query::new(sql)).await.code()
}
