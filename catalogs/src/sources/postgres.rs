//! PostgreSQL: binary COPY, decoded straight into Arrow builders, or parsed by connectorx.
//!
//! The pool, the flow control and the cancelling are ours (`design.md`, section 6): connectorx's own stream is unbounded, cannot
//! be cancelled, and panics on errors. Nothing here writes: every statement runs in a read-only transaction. Nothing
//! connects before it is asked for.

mod batch;
mod cells;
mod columns;
mod dialect;
mod failure;
mod link;
mod numeric;
mod options;
mod pool;
mod quote;
mod ranges;
mod reader;
mod relations;
mod stream;
mod tls;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arrow::datatypes::{DataType, FieldRef};
use async_trait::async_trait;
use datafusion::common::ScalarValue;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_plan::metrics::BaselineMetrics;
use engine::{Deadline, Error, TableEntry, TableProviderRef};
use tokio::sync::{Mutex, oneshot};

use crate::source::ScopedTable;
use crate::sources::remote::{self, Call, Order, Remote, RemoteTable};
use crate::{Connect, Scope, Source, SourceKind};
use columns::Column;
use failure::{Failure, Place};
use options::{Options, Settings};
use pool::{Pool, Session};
use relations::{LISTING_TIMEOUT, Listing, Listings, Relation};
use stream::{Job, Rows};

/// The kind `postgres`.
#[derive(Debug)]
pub(crate) struct Postgres;

impl SourceKind for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn title(&self) -> &'static str {
        "PostgreSQL"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["postgresql"]
    }

    fn recognizes(&self) -> &'static [&'static str] {
        &["postgres", "postgresql"]
    }

    fn options_schema(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn connect(&self, connect: Connect) -> Result<Arc<dyn Source>, Error> {
        let settings = Settings::parse(&connect.options, &connect.root)?;
        let place = Place { id: connect.id, location: settings.location() };
        Ok(Arc::new(Database {
            server: Arc::new(Server { pool: Arc::new(Pool::new(settings, place)), listings: Arc::default() }),
            listing: Mutex::new(()),
        }))
    }
}

/// What is read of one database.
type Question = remote::Question<Server>;

/// A server as its tables read it.
#[derive(Debug)]
struct Server {
    pool: Arc<Pool>,
    listings: Arc<Listings>,
}

impl Remote for Server {
    type Column = Column;

    fn id(&self) -> &str {
        &self.pool.place().id
    }

    fn identifier(name: &str) -> String {
        quote::identifier(name)
    }

    fn operand(column: &Column, op: Operator) -> Option<String> {
        dialect::operand(column, op)
    }

    fn literal(column: &Column, op: Operator, value: &ScalarValue) -> Option<String> {
        dialect::literal(column, op, value)
    }

    fn one_of(column: &Column, values: &[&ScalarValue]) -> Option<String> {
        dialect::one_of(column, values)
    }

    fn like(column: &Column, pattern: &str) -> Option<String> {
        dialect::like(column, pattern)
    }

    fn key(column: &Column) -> Option<String> {
        dialect::key(column)
    }

    fn renamed(column: &Column, field: FieldRef) -> Option<Column> {
        Some(column.renamed(field))
    }

    fn matched(left: &Column, right: &Column) -> Option<String> {
        dialect::matched(left, right)
    }

    fn ordered(column: &Column, order: Order) -> Option<String> {
        dialect::ordered(column, order)
    }

    fn aggregate(call: &Call, column: Option<&Column>, data_type: &DataType) -> Option<String> {
        dialect::aggregate(call, column, data_type)
    }

    fn derived(field: &FieldRef, origin: Option<&Column>) -> Option<Column> {
        Column::derived(field, origin)
    }

    fn read(
        self: &Arc<Self>,
        question: Question,
        context: &Arc<TaskContext>,
        metrics: BaselineMetrics,
    ) -> SendableRecordBatchStream {
        let application_name = match context.task_id() {
            Some(query) => format!("weft/{query}"),
            None => "weft".to_owned(),
        };
        let session = Session {
            application_name,
            statement_timeout: self.pool.settings().statement_timeout,
            deadline: Deadline::of(context),
            snapshot: None,
        };
        let job = Job {
            question,
            session,
            batch_rows: context.session_config().batch_size().max(1),
            server: Arc::clone(self),
        };
        Box::pin(Rows::new(job, metrics))
    }
}

/// One database.
#[derive(Debug)]
struct Database {
    server: Arc<Server>,
    /// Held while a schema is read, so that many who ask at once ask once.
    listing: Mutex<()>,
}

#[async_trait]
impl Source for Database {
    fn location(&self) -> String {
        self.server.pool.place().location.clone()
    }

    fn default_schema(&self) -> &str {
        &self.server.pool.settings().schema
    }

    async fn tables(&self, scope: &Scope) -> Result<Vec<TableEntry>, Error> {
        let (schemas, chosen) = self.chosen(scope);
        let mut entries = Vec::new();
        if chosen.is_empty() {
            for schema in &schemas {
                entries.extend(self.listing(schema).await?.relations().iter().map(|relation| relation.entry()));
            }
            return Ok(entries);
        }
        for table in &chosen {
            if let Some(relation) = self.find(&schemas, table).await? {
                let schema = self.shown_schema(&schemas, &relation);
                entries.push(TableEntry { schema, name: table.name.clone(), ..relation.entry() });
            }
        }
        let rank = |entry: &TableEntry| schemas.iter().position(|schema| *schema == entry.schema);
        entries.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
        Ok(entries)
    }

    async fn open(&self, scope: &Scope, schema: &str, table: &str) -> Result<Option<TableProviderRef>, Error> {
        let (schemas, chosen) = self.chosen(scope);
        let relation = if chosen.is_empty() {
            if !schemas.iter().any(|known| known == schema) {
                return Ok(None);
            }
            self.relation(schema, table).await?
        } else {
            let Some(named) = chosen.iter().find(|named| named.name == table) else { return Ok(None) };
            let found = self.find(&schemas, named).await?;
            found.filter(|relation| relation.schema == schema || self.shown_schema(&schemas, relation) == schema)
        };
        Ok(relation
            .map(|relation| -> TableProviderRef { Arc::new(RemoteTable::new(relation, Arc::clone(&self.server))) }))
    }

    async fn test(&self) -> Result<(), Error> {
        let pool = Arc::clone(&self.server.pool);
        let patience = pool.settings().connect_timeout;
        self.on_thread(patience, move || {
            let session = Session {
                application_name: "weft".to_owned(),
                statement_timeout: Some(patience),
                ..Session::default()
            };
            pool.begin(&session)?.finish();
            Ok(())
        })
        .await
    }

    fn forget(&self) {
        self.server.listings.forget();
    }

    fn outage(&self) -> Option<String> {
        self.server.pool.outage()
    }

    fn pool(&self) -> Option<(u32, u32, u32)> {
        Some(self.server.pool.counts())
    }
}

impl Database {
    /// The schemas and tables that `scope` means, with what the source's own options say where it is silent.
    fn chosen(&self, scope: &Scope) -> (Vec<String>, Vec<ScopedTable>) {
        let settings = self.server.pool.settings();
        let schemas = if scope.schemas.is_empty() { vec![settings.schema.clone()] } else { scope.schemas.clone() };
        let tables = match &settings.table {
            Some(table) if scope.tables.is_empty() => vec![ScopedTable { name: table.clone(), at: None }],
            _ => scope.tables.clone(),
        };
        (schemas, tables)
    }

    /// The schema under which a chosen table is listed: its own if the scope has it, else the default one.
    fn shown_schema(&self, schemas: &[String], relation: &Relation) -> String {
        let own = schemas.iter().find(|schema| **schema == relation.schema);
        own.or(schemas.first()).unwrap_or(&relation.schema).clone()
    }

    /// A chosen table: by its name in one of the schemas, else as `schema.table`.
    async fn find(&self, schemas: &[String], chosen: &ScopedTable) -> Result<Option<Arc<Relation>>, Error> {
        let at = chosen.at.as_ref().unwrap_or(&chosen.name);
        for schema in schemas {
            if let Some(relation) = self.relation(schema, at).await? {
                return Ok(Some(relation));
            }
        }
        match at.split_once('.') {
            Some((schema, table)) => self.relation(unquoted(schema), unquoted(table)).await,
            None => Ok(None),
        }
    }

    async fn relation(&self, schema: &str, table: &str) -> Result<Option<Arc<Relation>>, Error> {
        let listing = self.listing(schema).await?;
        match listing.relation(table) {
            None if listing.may_lack() => {
                let listing = self.read_listing(schema, |known| !known.may_lack()).await?;
                Ok(listing.relation(table).cloned())
            }
            found => Ok(found.cloned()),
        }
    }

    async fn listing(&self, schema: &str) -> Result<Listing, Error> {
        match self.server.listings.get(schema) {
            Some(listing) => Ok(listing),
            None => self.read_listing(schema, |_| true).await,
        }
    }

    /// Reads a schema, unless somebody else just did and it `serves`.
    async fn read_listing(&self, schema: &str, serves: impl Fn(&Listing) -> bool + Send) -> Result<Listing, Error> {
        let _one_at_a_time = self.listing.lock().await;
        if let Some(listing) = self.server.listings.get(schema).filter(serves) {
            return Ok(listing);
        }
        let (pool, listings, schema) =
            (Arc::clone(&self.server.pool), Arc::clone(&self.server.listings), schema.to_owned());
        let patience = self.server.pool.settings().connect_timeout * 2 + LISTING_TIMEOUT;
        self.on_thread(patience, move || match listings.read(&pool, &schema) {
            Err(failure) if failure.is_loss => listings.read(&pool, &schema),
            result => result,
        })
        .await
    }

    /// Runs `ask` on a thread of its own, since the driver blocks, and waits for it no longer than `patience`.
    async fn on_thread<T: Send + 'static>(
        &self,
        patience: Duration,
        ask: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.server.pool.place();
        let (sender, answer) = oneshot::channel();
        let run = move || drop(sender.send(catch_unwind(AssertUnwindSafe(ask))));
        let spawned = thread::Builder::new().name("weft-postgres-ask".to_owned()).spawn(run);
        spawned.map_err(|cause| place.without_thread(cause))?;
        match tokio::time::timeout(patience, answer).await {
            Err(_) => Err(place.unreachable()),
            Ok(Ok(Ok(result))) => result.map_err(|failure| failure.error),
            Ok(Ok(Err(_)) | Err(_)) => Err(place.panicked()),
        }
    }
}

/// A part of a qualified name, which may be quoted as in SQL.
fn unquoted(part: &str) -> &str {
    part.strip_prefix('"').and_then(|part| part.strip_suffix('"')).unwrap_or(part)
}
