//! Cancelling by what a client holds: the `FlightInfo` of a query that it fetches.

use arrow_flight::sql::{ActionCancelQueryRequest, ActionCancelQueryResult, ProstMessageExt};
use arrow_flight::{CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo};
use engine::Error;
use prost::Message;

use super::{Outcome, unpack};
use crate::Door;
use crate::call::Call;
use crate::commands::handle_of_ticket;
use crate::status::malformed;

pub(super) fn flight_info(door: &Door, call: &Call, body: &[u8]) -> Result<Outcome, Error> {
    let request = CancelFlightInfoRequest::decode(body).map_err(malformed)?;
    let status = cancel(door, call, &request.info.unwrap_or_default())?;
    Ok(Outcome::of(&CancelFlightInfoResult { status: status.into() }))
}

pub(super) fn query(door: &Door, call: &Call, body: &[u8]) -> Result<Outcome, Error> {
    let request: ActionCancelQueryRequest = unpack(body)?;
    let info = FlightInfo::decode(request.info).map_err(malformed)?;
    // The older message has the same numbers for its results.
    let result = ActionCancelQueryResult { result: cancel(door, call, &info)?.into() };
    Ok(Outcome::of(&result.as_any()))
}

/// Cancels the queries that answer the tickets of `info`. What is not being fetched cannot be cancelled: it does not run.
fn cancel(door: &Door, call: &Call, info: &FlightInfo) -> Result<CancelStatus, Error> {
    let mut status = CancelStatus::NotCancellable;
    for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
        let Some(handle) = handle_of_ticket(&ticket.ticket)? else { continue };
        door.open(call, &handle)?;
        for id in door.running.of(&handle) {
            // One that has just ended is as good as cancelled.
            let _ = door.engine.cancel(&call.principal, id);
            status = CancelStatus::Cancelled;
        }
    }
    Ok(status)
}
