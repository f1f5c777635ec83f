//! MySQL and MariaDB, read through the client under connectorx.
//!
//! connectorx's own parser of MySQL's rows panics on values that MySQL holds every day (zero dates, times beyond 24 hours, wide
//! decimals), so the rows are taken from the client that it sits on; the pool, the builders, the flow control and the cancelling are
//! ours, as for PostgreSQL (`design.md`, section 6). Nothing here writes: every statement runs in a read-only
//! transaction. Nothing connects before it is asked for. What other databases call a schema is a database here.

mod address;
mod cells;
mod columns;
mod dialect;
mod failure;
mod options;
mod pool;
mod quote;
mod reader;
mod relations;
mod session;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_plan::metrics::BaselineMetrics;
use engine::{Deadline, Error};

use crate::sources::remote::thread::Rows;
use crate::sources::remote::{self, Call, Database, Listings, Order, Remote};
use crate::{Connect, Source, SourceKind};
use columns::Column;
use failure::Place;
use options::Settings;
use pool::{Lease, Pool};
use reader::Scan;
use relations::Relation;
use session::Session;

/// The kind `mysql`.
#[derive(Debug)]
pub(crate) struct Mysql;

impl SourceKind for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn title(&self) -> &'static str {
        "MySQL and MariaDB"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["mariadb"]
    }

    fn recognizes(&self) -> &'static [&'static str] {
        &["mariadb", "mysql"]
    }

    fn options_schema(&self) -> schemars::Schema {
        schemars::schema_for!(options::Options)
    }

    fn connect(&self, connect: Connect) -> Result<Arc<dyn Source>, Error> {
        let settings = Settings::parse(&connect.options, &connect.root)?;
        let place = Place { id: connect.id, location: settings.location() };
        Ok(Arc::new(Database::new(Server { pool: Arc::new(Pool::new(settings, place)), listings: Arc::default() })))
    }
}

/// What is read of one database.
type Question = remote::Question<Server>;

/// A server as its tables read it.
#[derive(Debug)]
struct Server {
    pool: Arc<Pool>,
    listings: Arc<Listings<Column>>,
}

impl Remote for Server {
    type Column = Column;

    fn id(&self) -> &str {
        &self.pool.place().id
    }

    fn has_windows(&self) -> bool {
        self.pool.has_windows()
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

    fn ordered(column: &Column, order: Order) -> Option<String> {
        dialect::ordered(column, order)
    }

    fn renamed(column: &Column, field: FieldRef) -> Option<Column> {
        Some(column.renamed(field))
    }

    fn compared(left: &Column, op: Operator, right: &Column) -> Option<String> {
        dialect::compared(left, op, right)
    }

    fn matched(left: &Column, right: &Column) -> Option<String> {
        dialect::matched(left, right)
    }

    fn aggregate(call: &Call, column: Option<&Column>, data_type: &DataType) -> Option<String> {
        dialect::aggregate(call, column, data_type)
    }

    fn as_double(number: &str) -> Option<String> {
        Some(format!("({number} + 0e0)"))
    }

    fn derived(field: &FieldRef, _origin: Option<&Column>) -> Option<Column> {
        Column::derived(field)
    }

    fn read(
        self: &Arc<Self>,
        question: Question,
        context: &Arc<TaskContext>,
        metrics: BaselineMetrics,
    ) -> SendableRecordBatchStream {
        let name = match context.task_id() {
            Some(query) => format!("weft/{query}"),
            None => "weft".to_owned(),
        };
        let session = Session {
            name,
            statement_timeout: self.pool.settings().statement_timeout,
            deadline: Deadline::of(context),
        };
        let scan = Scan {
            question,
            session,
            batch_rows: context.session_config().batch_size().max(1),
            pool: Arc::clone(&self.pool),
            listings: Arc::clone(&self.listings),
        };
        Box::pin(Rows::new(scan, metrics))
    }
}

impl remote::Server for Server {
    fn location(&self) -> &str {
        &self.pool.place().location
    }

    fn named(&self) -> (&str, Option<&str>) {
        let settings = self.pool.settings();
        (&settings.database, settings.table.as_deref())
    }

    fn connect_timeout(&self) -> Duration {
        self.pool.settings().connect_timeout
    }

    fn listings(&self) -> &Listings<Column> {
        &self.listings
    }

    fn relations(&self, schema: &str) -> Result<Vec<Arc<Relation>>, Error> {
        let relations = match relations::read(&self.pool, schema) {
            Err(failure) if failure.is_loss => relations::read(&self.pool, schema),
            result => result,
        };
        relations.map_err(|failure| failure.error)
    }

    fn greet(&self) -> Result<(), Error> {
        let timeout = self.pool.settings().connect_timeout;
        let session = Session { name: "weft".to_owned(), statement_timeout: Some(timeout), deadline: None };
        self.pool.begin(&session).map(Lease::finish).map_err(|failure| failure.error)
    }

    fn unquoted(part: &str) -> &str {
        let between = |quote| part.strip_prefix(quote).and_then(|part| part.strip_suffix(quote));
        between('`').or_else(|| between('"')).unwrap_or(part)
    }

    fn outage(&self) -> Option<String> {
        self.pool.outage()
    }

    fn connections(&self) -> (u32, u32, u32) {
        self.pool.counts()
    }
}
