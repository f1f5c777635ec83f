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

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, FieldRef, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_plan::metrics::BaselineMetrics;
use engine::{Deadline, Error};

use crate::sources::remote::{self, Call, Database, Listings, Order, Remote};
use crate::{Connect, Source, SourceKind};
use columns::Column;
use failure::Place;
use options::{Options, Settings};
use pool::{Lease, Pool, Session};
use relations::Relation;
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

    fn compared(left: &Column, op: Operator, right: &Column) -> Option<String> {
        dialect::compared(left, op, right)
    }

    fn moved(column: &Column, sum: Operator, by: IntervalMonthDayNano) -> Option<String> {
        dialect::moved(column, sum, by)
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

    fn as_double(number: &str) -> Option<String> {
        Some(format!("{number}::float8"))
    }

    fn undefined(double: &str) -> Option<String> {
        Some(format!("({double} = 'NaN'::float8)"))
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
            has_keys: question.has_keys,
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

impl remote::Server for Server {
    fn location(&self) -> &str {
        &self.pool.place().location
    }

    fn named(&self) -> (&str, Option<&str>) {
        let settings = self.pool.settings();
        (&settings.schema, settings.table.as_deref())
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
        let session =
            Session { application_name: "weft".to_owned(), statement_timeout: Some(timeout), ..Session::default() };
        self.pool.begin(&session).map(Lease::finish).map_err(|failure| failure.error)
    }

    fn unquoted(part: &str) -> &str {
        part.strip_prefix('"').and_then(|part| part.strip_suffix('"')).unwrap_or(part)
    }

    fn outage(&self) -> Option<String> {
        self.pool.outage()
    }

    fn connections(&self) -> (u32, u32, u32) {
        self.pool.counts()
    }
}
