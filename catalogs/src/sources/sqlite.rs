//! SQLite files, read through the library inside this program.
//!
//! A file is opened for reading only and never made. Each read has a connection, a thread and a snapshot of its own; what
//! other programs write meanwhile is not seen. SQLite lets any value stand in any column: `columns.rs` says what becomes
//! of that.

mod cells;
mod columns;
mod connection;
mod dialect;
mod failure;
mod options;
mod reader;
mod tables;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use datafusion::common::ScalarValue;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_plan::metrics::BaselineMetrics;
use engine::{Deadline, Error, TableEntry, TableProviderRef};

use crate::source::ScopedTable;
use crate::sources::files;
use crate::sources::remote::thread::{self, Audience};
use crate::sources::remote::{self, Remote, RemoteTable};
use crate::{Connect, Scope, Source, SourceKind};
use columns::Column;
use failure::Place;
use options::{Options, Settings};
use reader::Job;
use tables::{LISTING_TIMEOUT, Relation, Tables};

/// The schemas that a file's tables answer to: the one of every file, and SQLite's own word.
const SCHEMAS: [&str; 2] = [files::SCHEMA, "main"];

/// The kind `sqlite`.
#[derive(Debug)]
pub(crate) struct Sqlite;

impl SourceKind for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn title(&self) -> &'static str {
        "SQLite"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["sqlite3"]
    }

    fn recognizes(&self) -> &'static [&'static str] {
        &["sqlite", "sqlite3", "db"]
    }

    fn is_one_file(&self) -> bool {
        true
    }

    fn options_schema(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn connect(&self, connect: Connect) -> Result<Arc<dyn Source>, Error> {
        let settings = Settings::parse(connect.options, &connect.root)?;
        let tables = Tables::new(settings, Place { id: connect.id });
        Ok(Arc::new(Database { tables: Arc::new(tables), turns: Mutex::default() }))
    }
}

/// What is read of one table.
type Question = remote::Question<Planned>;

/// A table as a query was planned with it.
#[derive(Debug)]
struct Planned {
    relation: Arc<Relation>,
    tables: Arc<Tables>,
}

impl Remote for Planned {
    type Column = Column;

    fn id(&self) -> &str {
        &self.tables.place.id
    }

    fn identifier(name: &str) -> String {
        dialect::identifier(name)
    }

    fn operand(column: &Column, _: Operator) -> Option<String> {
        dialect::operand(column)
    }

    fn literal(column: &Column, op: Operator, value: &ScalarValue) -> Option<String> {
        dialect::literal(column, op, value)
    }

    fn read(
        self: &Arc<Self>,
        question: Question,
        context: &Arc<TaskContext>,
        metrics: BaselineMetrics,
    ) -> SendableRecordBatchStream {
        let job = Job {
            question,
            relation: Arc::clone(&self.relation),
            tables: Arc::clone(&self.tables),
            batch_rows: context.session_config().batch_size().max(1),
            deadline: Deadline::of(context),
        };
        Box::pin(thread::Rows::new(job, metrics))
    }
}

type Turn = tokio::sync::Mutex<()>;

/// One database file.
#[derive(Debug)]
struct Database {
    tables: Arc<Tables>,
    /// What is being read, by name: many who ask for it at once ask once, and wait for nothing else.
    turns: Mutex<HashMap<String, Weak<Turn>>>,
}

#[async_trait]
impl Source for Database {
    fn location(&self) -> String {
        self.tables.settings.location()
    }

    async fn tables(&self, scope: &Scope) -> Result<Vec<TableEntry>, Error> {
        let (schemas, chosen) = (schemas(scope), self.chosen(scope));
        let all = self.entries().await?;
        let mut entries = Vec::new();
        for schema in schemas {
            let within = |entry: &TableEntry| TableEntry { schema: schema.to_owned(), ..entry.clone() };
            if chosen.is_empty() {
                entries.extend(all.iter().map(within));
                continue;
            }
            let mut named: Vec<TableEntry> = chosen
                .iter()
                .filter_map(|table| {
                    let at = self.place_of(table);
                    let found = all.iter().find(|entry| entry.name == at)?;
                    Some(TableEntry { name: table.name.clone(), ..within(found) })
                })
                .collect();
            named.sort_by(|a, b| a.name.cmp(&b.name));
            entries.extend(named);
        }
        Ok(entries)
    }

    async fn open(&self, scope: &Scope, schema: &str, table: &str) -> Result<Option<TableProviderRef>, Error> {
        if !schemas(scope).contains(&schema) {
            return Ok(None);
        }
        let chosen = self.chosen(scope);
        let name = match chosen.iter().find(|named| named.name == table) {
            Some(named) => self.place_of(named),
            None if chosen.is_empty() => table,
            None => return Ok(None),
        };
        let Some(relation) = self.relation(name).await? else { return Ok(None) };
        let planned = Planned { relation: Arc::clone(&relation), tables: Arc::clone(&self.tables) };
        Ok(Some(Arc::new(RemoteTable::new(relation, Arc::new(planned)))))
    }

    async fn test(&self) -> Result<(), Error> {
        self.ask(|tables, audience| tables.test(audience)).await
    }

    fn forget(&self) {
        self.tables.forget();
    }
}

impl Database {
    /// The tables that `scope` names, with what the source's own options say where it is silent. None of them = every one.
    fn chosen(&self, scope: &Scope) -> Vec<ScopedTable> {
        match &self.tables.settings.table {
            Some(table) if scope.tables.is_empty() => vec![ScopedTable { name: table.clone(), at: None }],
            _ => scope.tables.clone(),
        }
    }

    /// The name that a chosen table has in the file.
    fn place_of<'a>(&'a self, chosen: &'a ScopedTable) -> &'a str {
        let at = chosen.at.as_ref().or(self.tables.settings.table.as_ref()).unwrap_or(&chosen.name);
        SCHEMAS.iter().find_map(|schema| at.strip_prefix(schema)?.strip_prefix('.')).unwrap_or(at)
    }

    async fn entries(&self) -> Result<Arc<[TableEntry]>, Error> {
        let turn = self.turn("");
        let _one_at_a_time = turn.lock().await;
        match self.tables.known_entries() {
            Some(entries) => Ok(entries),
            None => self.ask(|tables, audience| tables.read_entries(audience)).await,
        }
    }

    async fn relation(&self, name: &str) -> Result<Option<Arc<Relation>>, Error> {
        let turn = self.turn(name);
        let _one_at_a_time = turn.lock().await;
        match self.tables.known_relation(name) {
            Some(relation) => Ok(Some(relation)),
            None => {
                let name = name.to_owned();
                self.ask(move |tables, audience| tables.read_relation(audience, &name)).await
            }
        }
    }

    fn turn(&self, name: &str) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::default());
        turns.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }

    /// Runs `ask` on a thread of its own, since SQLite blocks.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Tables, &Audience) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let tables = Arc::clone(&self.tables);
        let patience = self.tables.settings.busy_timeout + LISTING_TIMEOUT;
        thread::ask(&self.tables.place.id, patience, move |audience| ask(&tables, audience)).await
    }
}

/// The schemas of `scope` that a file has.
fn schemas(scope: &Scope) -> Vec<&'static str> {
    if scope.schemas.is_empty() {
        return vec![files::SCHEMA];
    }
    scope.schemas.iter().filter_map(|asked| SCHEMAS.into_iter().find(|schema| schema == asked)).collect()
}
