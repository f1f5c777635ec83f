//! Session options `catalog` and `schema`: together they say the default dataset.
//!
//! arrow-flight 59 has no types for these messages of Flight.proto; they are declared here.

use std::collections::HashMap;

use engine::Error;
use prost::{Enumeration, Message, Oneof};

use super::Outcome;
use crate::Door;
use crate::call::Call;
use crate::listing::{self, CATALOG};
use crate::session;
use crate::status::malformed;

/// The schema to which datasets from files answer in names like `dataset.schema.table`.
const DEFAULT_SCHEMA: &str = "public";

#[derive(Clone, PartialEq, Message)]
struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    option_value: Option<OptionValue>,
}

#[derive(Clone, PartialEq, Oneof)]
enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Int64(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Texts(StringListValue),
}

#[derive(Clone, PartialEq, Message)]
struct StringListValue {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionError {
    #[prost(enumeration = "ErrorValue", tag = "1")]
    value: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
enum ErrorValue {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
}

#[derive(Clone, PartialEq, Message)]
struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct CloseSessionResult {
    #[prost(enumeration = "CloseStatus", tag = "1")]
    status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
enum CloseStatus {
    Unspecified = 0,
    Closed = 1,
}

pub(super) fn get(call: &Call) -> Outcome {
    let text = |value: &str| SessionOptionValue { option_value: Some(OptionValue::Text(value.to_owned())) };
    let mut session_options = HashMap::from([("catalog".to_owned(), text(CATALOG))]);
    if let Some(dataset) = &call.defaults.dataset {
        session_options.insert("schema".to_owned(), text(dataset));
    }
    Outcome::of(&GetSessionOptionsResult { session_options })
}

pub(super) async fn set(door: &Door, call: &Call, body: &[u8]) -> Result<Outcome, Error> {
    let request = SetSessionOptionsRequest::decode(body).map_err(malformed)?;
    let mut errors = HashMap::new();
    let mut chosen = None;
    // `catalog` goes before `schema`: a catalog that is a dataset's alias makes the schema one of that dataset's.
    let mut options: Vec<_> = request.session_options.into_iter().collect();
    options.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, value) in options {
        match accept(door, call, &name, value, chosen.as_ref()).await? {
            Ok(Some(dataset)) => chosen = Some(dataset),
            Ok(None) => {}
            Err(value) => {
                errors.insert(name, OptionError { value: value.into() });
            }
        }
    }
    let mut outcome = Outcome::of(&SetSessionOptionsResult { errors });
    if let Some(dataset) = chosen {
        let session = match call.session {
            Some(session) => session,
            None => {
                let token = session::new_token();
                session::announce(&token, &mut outcome.headers)?;
                session::key(&token)
            }
        };
        door.sessions.choose(session, dataset);
    }
    Ok(outcome)
}

/// What one option makes of the session's default dataset: unset (`Some(None)`), a dataset, or nothing.
async fn accept(
    door: &Door,
    call: &Call,
    name: &str,
    value: SessionOptionValue,
    chosen: Option<&Option<String>>,
) -> Result<Result<Option<Option<String>>, ErrorValue>, Error> {
    if name != "catalog" && name != "schema" {
        return Ok(Err(ErrorValue::InvalidName));
    }
    let value = match value.option_value {
        // No value unsets the option.
        None => return Ok(Ok(Some(None))),
        Some(OptionValue::Text(value)) => value,
        Some(_) => return Ok(Err(ErrorValue::InvalidValue)),
    };
    let has_alias = matches!(chosen, Some(Some(_)));
    if value.is_empty() {
        return Ok(Ok(Some(None)));
    }
    if (name == "catalog" && value == CATALOG) || (name == "schema" && has_alias && value == DEFAULT_SCHEMA) {
        return Ok(Ok(None));
    }
    Ok(if listing::is_dataset(door, call, &value).await? {
        Ok(Some(Some(value)))
    } else {
        Err(ErrorValue::InvalidValue)
    })
}

pub(super) fn close(door: &Door, call: &Call) -> Outcome {
    if let Some(session) = &call.session {
        door.sessions.close(session);
    }
    if let Some(token) = &call.token {
        door.authenticator.sign_out(token);
    }
    Outcome::of(&CloseSessionResult { status: CloseStatus::Closed.into() })
}
