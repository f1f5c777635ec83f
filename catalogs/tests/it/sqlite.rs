//! The kind `sqlite` on real files: types, pushdown, failures, snapshots, cancelling.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod column_types;
mod failures;
mod places;
mod pushdown;
mod running;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use catalogs::{Connect, Scope, Source, sources};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use engine::{Code, Error, TableProviderRef};
use futures::StreamExt;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::asked::lines;
use crate::contract::{Expected, contract};
use crate::folder::Folder;

/// A database file in a folder of its own.
struct Shop {
    folder: Folder,
}

impl Shop {
    fn new(sql: &str) -> Self {
        let shop = Self { folder: Folder::new() };
        shop.sql(sql);
        shop
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    /// A connection that may write, as another program's.
    fn writer(&self) -> Connection {
        let writer = Connection::open(self.path()).unwrap();
        writer.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
        writer
    }

    fn sql(&self, sql: &str) {
        self.writer().execute_batch(sql).unwrap();
    }

    fn source(&self) -> Arc<dyn Source> {
        self.source_with(json!({}))
    }

    fn source_with(&self, more: Value) -> Arc<dyn Source> {
        let mut options = json!({ "path": "shop.db" });
        if let (Value::Object(options), Value::Object(more)) = (&mut options, more) {
            options.extend(more);
        }
        let connect = Connect { id: "shop".to_owned(), options, root: self.folder.path().to_owned() };
        sources::kind("sqlite").unwrap().connect(connect).unwrap()
    }
}

async fn open(source: &Arc<dyn Source>, table: &str) -> Result<TableProviderRef, Error> {
    Ok(source.open(&Scope::default(), "public", table).await?.expect("the table is there"))
}

/// The stream of a query over tables of the file.
#[expect(clippy::disallowed_methods, reason = "a scan is tested by itself, without the path above it")]
async fn stream(source: &Arc<dyn Source>, tables: &[&str], sql: &str) -> Result<SendableRecordBatchStream, Error> {
    let context = SessionContext::new();
    for table in tables {
        context.register_table(format!("\"{}\"", table.replace('"', "\"\"")), open(source, table).await?)?;
    }
    Ok(context.sql(sql).await?.execute_stream().await?)
}

async fn rest(mut stream: SendableRecordBatchStream) -> Result<Vec<RecordBatch>, Error> {
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch?);
    }
    Ok(batches)
}

/// The rows of a query over tables of the file.
async fn query(source: &Arc<dyn Source>, tables: &[&str], sql: &str) -> Result<Vec<String>, Error> {
    Ok(lines(&rest(stream(source, tables, sql).await?).await?))
}

const PEOPLE: &str = "
    CREATE TABLE people (id INTEGER, name TEXT, score REAL);
    INSERT INTO people VALUES (1, 'Ann', 1.5), (2, 'Bob', NULL), (3, NULL, 2.5), (4, 'Dée', 4.5), (5, 'E, \"e\"', NULL);
    CREATE TABLE empty (id INTEGER, name TEXT, score REAL);
    CREATE VIEW broken AS SELECT id FROM nowhere;
    CREATE VIRTUAL TABLE words USING fts5(word);
    CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT);
    ANALYZE;";

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    for more in ["", "PRAGMA journal_mode = WAL;", "PRAGMA encoding = 'UTF-16le';"] {
        let shop = Shop::new(&format!("{more} {PEOPLE}"));
        let path = shop.folder.path().to_str().unwrap().to_owned();
        let expected = Expected {
            scope: Scope::default(),
            schema: "public",
            tables: &["broken", "counted", "empty", "people", "words"],
            broken: Some(("broken", Code::SourceRejected)),
            secrets: &[&path],
        };
        contract(shop.source().as_ref(), &expected).await;
        let main = Expected {
            scope: Scope { schemas: vec!["main".to_owned()], tables: Vec::new() },
            schema: "main",
            ..expected
        };
        contract(shop.source().as_ref(), &main).await;
    }
}

#[tokio::test]
async fn a_source_writes_nothing_and_makes_nothing() {
    let shop = Shop::new(PEOPLE);
    let before = std::fs::read(shop.path()).unwrap();
    let source = shop.source();
    query(&source, &["people"], "SELECT count(*) FROM people WHERE id > 1").await.unwrap();
    source.test().await.unwrap();
    assert_eq!(std::fs::read(shop.path()).unwrap(), before);
    assert_eq!(std::fs::read_dir(shop.folder.path()).unwrap().count(), 1);
}
