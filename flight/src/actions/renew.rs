//! Renewing a ticket: the same question, signed again with a later end.

use arrow_flight::RenewFlightEndpointRequest;
use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use engine::Error;
use prost::Message;

use super::Outcome;
use crate::Door;
use crate::call::Call;
use crate::commands::handle_of_ticket;
use crate::door;
use crate::status::malformed;

pub(super) fn endpoint(door: &Door, call: &Call, body: &[u8]) -> Result<Outcome, Error> {
    let request = RenewFlightEndpointRequest::decode(body).map_err(malformed)?;
    let old = request.endpoint.unwrap_or_default();
    let ticket = old.ticket.clone().unwrap_or_default().ticket;
    let Some(handle) = handle_of_ticket(&ticket)? else {
        // The ticket of a listing does not expire.
        return Ok(Outcome::of(&old));
    };
    let question = door.open(call, &handle)?.renewed(door.options.ticket_life);
    let renewed = TicketStatementQuery { statement_handle: door.seal.close(&question) };
    Ok(Outcome::of(&door::endpoint(renewed.as_any().encode_to_vec().into(), Some(question.expires_at))))
}
