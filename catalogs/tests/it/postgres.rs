//! The kind `postgres` against a real server: types, pushdown, failures, cancelling, pools.

mod codes;
mod column_types;
mod drift;
mod failures;
mod federation;
mod pooler;
mod pushdown;
mod running;
mod server;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use catalogs::{Connect, Scope, Source};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use engine::{Code, Error, TableProviderRef};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub(crate) use server::{PASSWORD, Server};

use crate::asked::lines;
use crate::contract::{Expected, contract};

/// A source on a server's database `postgres`, with further options.
pub(crate) fn source(server: &Server, more: Value) -> Arc<dyn Source> {
    try_source(server, more).expect("the options are valid")
}

fn try_source(server: &Server, more: Value) -> Result<Arc<dyn Source>, Error> {
    let mut options = json!({
        "host": "localhost", "port": server.port, "database": "postgres", "user": "postgres",
        "password": PASSWORD, "sslmode": "disable",
    });
    if let (Value::Object(options), Value::Object(more)) = (&mut options, more) {
        options.extend(more);
    }
    let kind = catalogs::sources::kind("postgresql").expect("the kind is listed");
    kind.connect(Connect { id: "bank".to_owned(), options, root: PathBuf::from("/nowhere") })
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

async fn open(source: &Arc<dyn Source>, table: &str) -> Result<TableProviderRef, Error> {
    let table = source.open(&Scope::default(), "public", table).await?;
    Ok(table.expect("the table is there"))
}

/// The stream of a query over tables of the schema `public`.
#[expect(clippy::disallowed_methods, reason = "a scan is tested by itself, without the path above it")]
async fn stream(source: &Arc<dyn Source>, tables: &[&str], sql: &str) -> Result<SendableRecordBatchStream, Error> {
    let context = SessionContext::new();
    for table in tables {
        context.register_table(format!("\"{}\"", table.replace('"', "\"\"")), open(source, table).await?)?;
    }
    Ok(context.sql(sql).await?.execute_stream().await?)
}

/// The rows of a query over tables of the schema `public`.
async fn query(source: &Arc<dyn Source>, tables: &[&str], sql: &str) -> Result<Vec<RecordBatch>, Error> {
    let mut stream = stream(source, tables, sql).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch?);
    }
    Ok(batches)
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[test]
fn postgres_keeps_the_contract() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE TABLE people (id int, name text, score float8);
         INSERT INTO people VALUES (1, 'Ann', 1.5), (2, 'Bob', NULL), (3, NULL, 2.5), (4, 'Dée', 4.5), (5, 'E, \"e\"', NULL);
         CREATE TABLE empty (LIKE people);
         CREATE VIEW broken AS SELECT id, 1 / (id - id) AS x FROM people",
    );
    let expected = Expected {
        scope: Scope::default(),
        schema: "public",
        tables: &["broken", "empty", "people"],
        broken: Some(("broken", Code::SourceRejected)),
        secrets: &[PASSWORD],
    };
    runtime().block_on(contract(source(&server, json!({})).as_ref(), &expected));
}
