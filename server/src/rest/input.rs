//! What comes in: JSON bodies and query strings, of which every key must be known.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use engine::{Code, Error};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::MAX_BODY_BYTES;
use super::problem::Problem;

/// A JSON object in the body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !says_json(request.headers()) {
            let error = Error::new(Code::InvalidArgument, "The body must be JSON, and Content-Type must say so.")
                .hint("Send the header Content-Type: application/json.");
            return Err(Problem::from(error).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let message = format!("The body is larger than {} KiB.", MAX_BODY_BYTES >> 10);
                return Error::new(Code::PayloadTooLarge, message)
                    .hint("A body holds SQL and parameters; make data a dataset and join it.");
            }
            Error::new(Code::InvalidArgument, "The body broke off before its end.").cause(rejection)
        })?;
        Ok(Self(read(&body)?))
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Reads a JSON object. A list is refused, though a struct could be read from one by position.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice::<IgnoredAny>(body).map_err(|error| {
        Error::new(Code::InvalidArgument, format!("The body is not JSON: {error}."))
            .hint("Send an object such as {\"sql\": \"SELECT 1\"}.")
    })?;
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::new(Code::InvalidArgument, "The body must be a JSON object.")
            .hint("Send an object such as {\"sql\": \"SELECT 1\"}."));
    }
    serde_json::from_slice(body).map_err(|error| {
        Error::new(Code::InvalidArgument, format!("The body does not fit: {error}."))
            .hint("GET /openapi.json describes it, and /docs shows it.")
    })
}

/// A query string, such as `?limit=10`.
pub(super) struct Filter<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Filter<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(filter)) => Ok(Self(filter)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Error::new(Code::InvalidArgument, format!("The query string does not fit: {text}.")).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::read;

    fn refusal(body: &str) -> String {
        read::<BTreeMap<String, u8>>(body.as_bytes()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_body_that_is_no_json_is_told_apart_from_one_that_does_not_fit() {
        assert_eq!(refusal("select 1"), "The body is not JSON: expected value at line 1 column 1.");
        assert_eq!(refusal(""), "The body is not JSON: EOF while parsing a value at line 1 column 0.");
        assert_eq!(refusal("[1]"), "The body must be a JSON object.");
        assert_eq!(
            refusal("{\"a\": \"b\"}"),
            "The body does not fit: invalid type: string \"b\", expected u8 at line 1 column 9."
        );
        assert_eq!(refusal(" {\"a\": 1}"), "");
    }
}
