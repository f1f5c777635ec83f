//! Errors as RFC 9457 problem details. The cause is logged here, once, and never sent.

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use engine::{Code, Error};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::encode::json::title;
use crate::telemetry;

/// What a problem's media type is.
const MEDIA_TYPE: &str = "application/problem+json";

/// The header that names the query.
pub(super) const QUERY_ID: &str = "weft-query-id";

/// What went wrong, as RFC 9457 writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The code as a URI: `urn:weft:problem:table_not_found`.
    #[serde(rename = "type")]
    pub uri: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, in one sentence.
    pub detail: String,
    /// The code, such as `table_not_found`: what a program should look at.
    pub code: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The query that failed; the server's log has the cause under this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_id: Option<String>,
    /// Seconds after which to ask again; the header `Retry-After` says so too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// The same problem under another status: HTTP has some for which the contract of codes has no word of its own.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        telemetry::log_cause(&error);
        let code = error.code();
        Self {
            uri: format!("urn:weft:problem:{code}"),
            title: title(code),
            status: code.http_status(),
            detail: error.message().to_owned(),
            code: code.to_string(),
            hint: error.hint_text().map(str::to_owned),
            query_id: error.query_id().map(|id| id.to_string()),
            retry_after: error.retry_time().map(|time| time.as_secs_f64().ceil() as u64),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        let headers = response.headers_mut();
        if let Some(id) = self.query_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
            headers.insert(QUERY_ID, id);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.unwrap_or(1)));
        }
        response
    }
}

/// The answer to a path that is no resource.
pub(super) async fn no_such_route(uri: Uri) -> Problem {
    let error = Error::new(Code::InvalidArgument, format!("There is nothing at {}.", uri.path()));
    Problem::from(error.hint("GET /openapi.json lists every path, and /docs shows them."))
        .with_status(StatusCode::NOT_FOUND)
}

/// The answer to a method that the resource does not have; `Allow` lists those it has.
pub(super) async fn no_such_method(uri: Uri) -> Problem {
    let error = Error::new(Code::InvalidArgument, format!("{} does not take this method.", uri.path()));
    Problem::from(error.hint("The Allow header lists the methods it takes."))
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}
