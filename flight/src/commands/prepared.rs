//! Prepared statements. A handle is the signed question itself, so any server with the same key answers it, and closing
//! one frees nothing.
//!
//! Binding parameters returns a new handle that holds them. flightsql-dbapi ignores it and runs the old one: for such
//! clients the latest parameters of a handle are also kept here for a while, within bounds.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, CommandPreparedStatementQuery,
};
use bytes::Bytes;
use engine::Error;

use super::{Flight, statement};
use crate::Door;
use crate::answer::{self, Messages};
use crate::call::Call;
use crate::encode::schema_bytes;
use crate::params;
use crate::recent::{Key, Recent};
use crate::ticket::Question;

/// How long a handle can be run, at least: connection pools keep statements for hours.
const LIFE: Duration = Duration::from_secs(24 * 3600);
const BOUND_BYTES: usize = 64 << 20;
const BOUND_IDLE: Duration = Duration::from_secs(3600);

/// Parameters that were bound lately, by the handle that they were bound to.
pub(crate) struct Bindings {
    params: Recent<Bytes>,
}

impl Bindings {
    pub(crate) fn new() -> Self {
        Self { params: Recent::new(BOUND_BYTES, BOUND_IDLE) }
    }
}

/// Prepares a statement: its handle, and the schemas of its result and of its parameters.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn create(
    door: &Door,
    call: &Call,
    request: ActionCreatePreparedStatementRequest,
) -> Result<ActionCreatePreparedStatementResult, Error> {
    let life = LIFE.max(door.options.ticket_life);
    let question = Question::new(request.query, call, life);
    let query = question.first_query(call.client.as_deref())?;
    let description = door.engine.describe(&call.principal, &query).await?;
    Ok(ActionCreatePreparedStatementResult {
        prepared_statement_handle: door.seal.close(&question),
        dataset_schema: schema_bytes(&description.schema)?,
        parameter_schema: schema_bytes(&description.parameters)?,
    })
}

/// Binds rows of parameters: a handle that holds them. The old handle runs with them as well.
///
/// # Errors
/// `invalid_argument` where the handle or the parameters are not acceptable, `query_not_found` where it has expired.
pub(crate) fn bind(door: &Door, call: &Call, handle: &Bytes, batches: &[RecordBatch]) -> Result<Bytes, Error> {
    let question = door.open(call, handle)?;
    let Some(rows) = params::plain(batches)? else {
        close(door, handle);
        return Ok(door.seal.close(&Question { params: Bytes::new(), ..question }));
    };
    let bytes = params::write(&rows)?;
    door.bindings.params.put(key(handle), bytes.clone(), handle.len() + bytes.len());
    Ok(door.seal.close(&Question { params: bytes, ..question }))
}

/// Forgets what is kept for a handle.
pub(crate) fn close(door: &Door, handle: &[u8]) {
    door.bindings.params.remove(&key(handle));
}

/// The question that a handle stands for, with the parameters bound to it.
///
/// # Errors
/// `invalid_argument` where the handle is not from this server, `query_not_found` where it has expired.
pub(crate) fn question(door: &Door, call: &Call, handle: &[u8]) -> Result<Question, Error> {
    let question = door.open(call, handle)?;
    if !question.params.is_empty() {
        return Ok(question);
    }
    Ok(Question { params: door.bindings.params.get(&key(handle)).unwrap_or_default(), ..question })
}

pub(super) async fn describe(
    door: &Door,
    call: &Call,
    command: &CommandPreparedStatementQuery,
) -> Result<Flight, Error> {
    let question = question(door, call, &command.prepared_statement_handle)?;
    statement::flight(door, call, question.renewed(door.options.ticket_life)).await
}

pub(super) async fn answer(
    door: &Door,
    call: &Call,
    command: &CommandPreparedStatementQuery,
) -> Result<Messages, Error> {
    let handle = &command.prepared_statement_handle;
    answer::run(door, call, handle, &question(door, call, handle)?).await
}

fn key(handle: &[u8]) -> Key {
    *blake3::hash(handle).as_bytes()
}
