//! `DoAction`: prepared statements, cancellation, renewal and session options. One file per group; the list below is
//! what `ListActions` shows.

mod cancel;
mod renew;
mod session_options;

use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, Any, ProstMessageExt,
};
use arrow_flight::{Action, ActionType};
use bytes::Bytes;
use engine::{Code, Error};
use prost::Message;
use tonic::metadata::MetadataMap;

use crate::Door;
use crate::call::Call;
use crate::commands::prepared;
use crate::status::{malformed, unsupported};

/// The actions that Weft answers, and what for; sorted.
const ACTIONS: &[(&str, &str)] = &[
    ("CancelFlightInfo", "Cancels the query of a FlightInfo. Request: CancelFlightInfoRequest."),
    ("CancelQuery", "Cancels the query of a FlightInfo. Request: ActionCancelQueryRequest."),
    ("ClosePreparedStatement", "Closes a prepared statement. Request: ActionClosePreparedStatementRequest."),
    ("CloseSession", "Forgets the options of the session, and ends its token. Request: CloseSessionRequest."),
    ("CreatePreparedStatement", "Prepares a statement. Request: ActionCreatePreparedStatementRequest."),
    ("GetSessionOptions", "Shows the options of the session: catalog, schema. Request: GetSessionOptionsRequest."),
    ("RenewFlightEndpoint", "Makes a ticket live longer. Request: RenewFlightEndpointRequest."),
    ("SetSessionOptions", "Sets options of the session: catalog, schema. Request: SetSessionOptionsRequest."),
];

/// Actions of the protocol that a server which only reads has no use for.
const REFUSED: &[(&str, &str)] = &[
    ("BeginSavepoint", "savepoints"),
    ("BeginTransaction", "transactions"),
    ("CreatePreparedSubstraitPlan", "Substrait plans"),
    ("EndSavepoint", "savepoints"),
    ("EndTransaction", "transactions"),
];

/// What an action answers: one message or none, and headers.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) body: Option<Bytes>,
    pub(crate) headers: MetadataMap,
}

impl Outcome {
    fn of(message: &impl Message) -> Self {
        Self { body: Some(message.encode_to_vec().into()), headers: MetadataMap::new() }
    }
}

/// The actions for `ListActions`.
pub(crate) fn all() -> impl Iterator<Item = ActionType> {
    ACTIONS
        .iter()
        .map(|&(name, description)| ActionType { r#type: name.to_owned(), description: description.to_owned() })
}

/// Does what a client asks.
///
/// # Errors
/// Those of the engine; `unsupported_sql` for actions of writers, `invalid_argument` for unknown ones.
pub(crate) async fn act(door: &Door, call: &Call, action: Action) -> Result<Outcome, Error> {
    let body = &action.body[..];
    match action.r#type.as_str() {
        "CancelFlightInfo" => cancel::flight_info(door, call, body),
        "CancelQuery" => cancel::query(door, call, body),
        "ClosePreparedStatement" => {
            let request: ActionClosePreparedStatementRequest = unpack(body)?;
            prepared::close(door, &request.prepared_statement_handle);
            Ok(Outcome::default())
        }
        "CloseSession" => Ok(session_options::close(door, call)),
        "CreatePreparedStatement" => {
            let request: ActionCreatePreparedStatementRequest = unpack(body)?;
            Ok(Outcome::of(&prepared::create(door, call, request).await?.as_any()))
        }
        "GetSessionOptions" => Ok(session_options::get(call)),
        "RenewFlightEndpoint" => renew::endpoint(door, call, body),
        "SetSessionOptions" => session_options::set(door, call, body).await,
        other => match REFUSED.iter().find(|(name, _)| *name == other) {
            Some((_, what)) => Err(unsupported(what)),
            None => Err(Error::new(Code::InvalidArgument, "This action does not exist.")
                .hint(format!("Actions: {}.", engine::names::listing(ACTIONS.iter().map(|(name, _)| *name))))),
        },
    }
}

/// The message of a Flight SQL action. Those of Flight itself come bare.
fn unpack<M: ProstMessageExt>(body: &[u8]) -> Result<M, Error> {
    let any = Any::decode(body).map_err(malformed)?;
    let message = any.unpack()?;
    message.ok_or_else(|| Error::new(Code::InvalidArgument, "The action carries the message of another action."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted() {
        assert!(ACTIONS.is_sorted());
        assert!(REFUSED.is_sorted());
    }
}
