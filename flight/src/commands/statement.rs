//! `CommandStatementQuery`: SQL in, a signed question out as the ticket; the question's rows on `DoGet`.

use arrow_flight::sql::{Any, CommandStatementQuery, ProstMessageExt, TicketStatementQuery};
use bytes::Bytes;
use engine::Error;
use prost::Message;

use super::Flight;
use crate::Door;
use crate::answer::{self, Messages};
use crate::call::Call;
use crate::status::malformed;
use crate::ticket::Question;

pub(super) async fn describe(door: &Door, call: &Call, command: CommandStatementQuery) -> Result<Flight, Error> {
    let question = Question::new(command.query, call, door.options.ticket_life);
    flight(door, call, question).await
}

/// The flight of a question: its schema as the engine describes it, without rows.
pub(super) async fn flight(door: &Door, call: &Call, question: Question) -> Result<Flight, Error> {
    let expires_at = Some(question.expires_at);
    let query = question.first_query(call.client.as_deref())?;
    let description = door.engine.describe(&call.principal, &query).await?;
    let ticket = TicketStatementQuery { statement_handle: door.seal.close(&question) };
    Ok(Flight { schema: description.schema, ticket: ticket.as_any().encode_to_vec().into(), expires_at })
}

pub(super) async fn answer(door: &Door, call: &Call, ticket: &TicketStatementQuery) -> Result<Messages, Error> {
    let handle = &ticket.statement_handle;
    let question = door.open(call, handle)?;
    answer::run(door, call, handle, &question).await
}

/// The signed question inside a ticket; None where the ticket is that of a listing.
///
/// # Errors
/// `invalid_argument` where the bytes are no Flight SQL ticket.
pub(crate) fn handle_of_ticket(ticket: &[u8]) -> Result<Option<Bytes>, Error> {
    let any = Any::decode(ticket).map_err(malformed)?;
    let ticket = any.unpack::<TicketStatementQuery>()?;
    Ok(ticket.map(|ticket| ticket.statement_handle))
}
