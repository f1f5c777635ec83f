//! The commands of Flight SQL: for each, what its result looks like (`GetFlightInfo`, `GetSchema`) and its rows (`DoGet`).
//!
//! One file per command; the two matches below are the list of them.

mod catalogs;
mod keys;
pub(crate) mod prepared;
mod schemas;
mod sql_info;
mod statement;
mod table_types;
mod tables;
mod xdbc_types;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::{Any, Command, ProstMessageExt};
use bytes::Bytes;
use engine::{Code, Error};
use prost::Message;

use crate::Door;
use crate::answer::{self, Messages};
use crate::call::Call;
use crate::status::{malformed, unsupported};

pub(crate) use statement::handle_of_ticket;

/// What a command's result looks like, and the ticket that fetches it.
pub(crate) struct Flight {
    pub(crate) schema: SchemaRef,
    pub(crate) ticket: Bytes,
    /// Seconds since 1970 after which the ticket is no longer answered.
    pub(crate) expires_at: Option<u64>,
}

impl Flight {
    /// The flight of a listing: its ticket is the command itself.
    fn listing(schema: SchemaRef, command: &impl ProstMessageExt) -> Self {
        Self { schema, ticket: command.as_any().encode_to_vec().into(), expires_at: None }
    }
}

/// Decodes the command of a descriptor or of a ticket.
///
/// # Errors
/// `invalid_argument` where the bytes are no Flight SQL message.
pub(crate) fn decode(bytes: &[u8]) -> Result<Command, Error> {
    let any = Any::decode(bytes).map_err(malformed)?;
    Command::try_from(any)
        .map_err(|error| Error::new(Code::InvalidArgument, "The request is not a Flight SQL message.").cause(error))
}

/// What the result of `command` looks like. Reads no rows.
///
/// # Errors
/// Those of the engine; `unsupported_sql` where the command is none that Weft answers.
pub(crate) async fn describe(door: &Door, call: &Call, command: Command) -> Result<Flight, Error> {
    match command {
        Command::CommandGetCatalogs(command) => Ok(Flight::listing(catalogs::schema(), &command)),
        Command::CommandGetCrossReference(command) => Ok(Flight::listing(keys::foreign_schema(), &command)),
        Command::CommandGetDbSchemas(command) => Ok(Flight::listing(schemas::schema(), &command)),
        Command::CommandGetExportedKeys(command) => Ok(Flight::listing(keys::foreign_schema(), &command)),
        Command::CommandGetImportedKeys(command) => Ok(Flight::listing(keys::foreign_schema(), &command)),
        Command::CommandGetPrimaryKeys(command) => Ok(Flight::listing(keys::primary_schema(), &command)),
        Command::CommandGetSqlInfo(command) => Ok(Flight::listing(sql_info::schema(), &command)),
        Command::CommandGetTableTypes(command) => Ok(Flight::listing(table_types::schema(), &command)),
        Command::CommandGetTables(command) => Ok(Flight::listing(tables::schema(&command), &command)),
        Command::CommandGetXdbcTypeInfo(command) => Ok(Flight::listing(xdbc_types::schema(), &command)),
        Command::CommandPreparedStatementQuery(command) => prepared::describe(door, call, &command).await,
        Command::CommandStatementQuery(command) => statement::describe(door, call, command).await,
        other => Err(unanswered(&other)),
    }
}

/// The rows of `command`, which came as `ticket`.
///
/// # Errors
/// Those of the engine; `unsupported_sql` where the command is none that Weft answers.
pub(crate) async fn answer(door: &Door, call: &Call, command: Command) -> Result<Messages, Error> {
    let batch = match command {
        Command::CommandGetCatalogs(_) => catalogs::rows()?,
        Command::CommandGetCrossReference(_)
        | Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_) => keys::none(keys::foreign_schema()),
        Command::CommandGetDbSchemas(command) => schemas::rows(door, call, command).await?,
        Command::CommandGetPrimaryKeys(_) => keys::none(keys::primary_schema()),
        Command::CommandGetSqlInfo(command) => sql_info::rows(command)?,
        Command::CommandGetTableTypes(_) => table_types::rows()?,
        Command::CommandGetTables(command) => tables::rows(door, call, command).await?,
        Command::CommandGetXdbcTypeInfo(command) => xdbc_types::rows(&command)?,
        Command::CommandPreparedStatementQuery(command) => return prepared::answer(door, call, &command).await,
        Command::TicketStatementQuery(ticket) => return statement::answer(door, call, &ticket).await,
        other => return Err(unanswered(&other)),
    };
    answer::of_batch(batch)
}

fn unanswered(command: &Command) -> Error {
    let name = command.type_url().rsplit('.').next().unwrap_or_default();
    match name {
        "" => Error::new(Code::InvalidArgument, "The request names no Flight SQL command."),
        name => unsupported(name),
    }
}

/// What one of arrow-flight's builders made.
fn built(batch: arrow_flight::error::Result<RecordBatch>) -> Result<RecordBatch, Error> {
    batch.map_err(|error| Error::new(Code::Internal, "The listing cannot be built.").cause(error))
}
