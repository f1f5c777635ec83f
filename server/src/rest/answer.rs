//! The answer to a query as an HTTP response: bytes as they come, what is known at the end in trailers.
//!
//! An error before the first rows is a problem with its own status. One in the middle ends JSON with an `error` member
//! and breaks the connection for every other format, so that nobody takes a part for the whole.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use engine::{Error, QueryStream};
use futures::Stream;
use http_body::Frame;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::{Problem, QUERY_ID};
use crate::encode::json::milliseconds;
use crate::encode::{self, Encoded, Format};
use crate::telemetry;

const ROW_COUNT: HeaderName = HeaderName::from_static("weft-row-count");
const TRUNCATED: HeaderName = HeaderName::from_static("weft-truncated");
const ELAPSED_MS: HeaderName = HeaderName::from_static("weft-elapsed-ms");
const TRAILERS: &str = "weft-elapsed-ms, weft-row-count, weft-truncated";

/// An answer as `application/json` has it. A client can read one into this type; the server streams it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SqlAnswer {
    /// The query, for `/v1/queries/{id}`.
    pub query_id: String,
    /// The columns, in the order of each row's values.
    pub columns: Vec<Column>,
    /// The rows. Decimals, integers beyond 2^53, NaN and infinities are text; dates and times are ISO 8601; binary is
    /// hex; structs are objects.
    #[schema(value_type = Vec<Vec<Value>>)]
    pub rows: Vec<Vec<Value>>,
    /// How many rows there are. Absent where the answer broke off.
    pub row_count: Option<u64>,
    /// Whether `max_rows` cut the answer.
    #[serde(default)]
    pub truncated: bool,
    /// What there is to know about the numbers.
    #[serde(default)]
    pub notices: Vec<String>,
    /// Time from the query's arrival to its end.
    pub elapsed_ms: Option<f64>,
    /// Why the answer broke off after its status was sent: `code`, `title`, `detail`, `hint`.
    #[schema(value_type = Option<Object>)]
    pub error: Option<Value>,
}

/// One column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in the words of SQL, such as `DECIMAL(12,2)`.
    #[serde(rename = "type")]
    pub data_type: String,
    /// What was asked, where the dataset's codebook says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Labels by value, where the codebook has some.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The values in their order, where the codebook has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
}

/// The response that sends `answer` in `format`, once its first rows are there.
pub(super) async fn respond(format: Format, answer: QueryStream) -> Result<Response, Problem> {
    let encoded = encode::begin(format, answer).await?;
    let id = encoded.id().to_string();
    let headers = [
        (header::CONTENT_TYPE, content_type(format)),
        (header::VARY, HeaderValue::from_static("accept")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::TRAILER, HeaderValue::from_static(TRAILERS)),
        (HeaderName::from_static(QUERY_ID), HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static(""))),
    ];
    Ok((headers, Body::new(AnswerBody { encoded, is_open: true })).into_response())
}

fn content_type(format: Format) -> HeaderValue {
    HeaderValue::from_static(match format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        Format::Markdown => "text/markdown; charset=utf-8",
        other => other.media_type(),
    })
}

/// The bytes of an answer, then its trailers.
struct AnswerBody {
    encoded: Encoded,
    is_open: bool,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if !self.is_open {
            return Poll::Ready(None);
        }
        let piece = ready!(Pin::new(&mut self.encoded).poll_next(cx));
        self.is_open = matches!(piece, Some(Ok(_)));
        Poll::Ready(Some(match piece {
            Some(Ok(bytes)) => Ok(Frame::data(bytes)),
            Some(Err(error)) => {
                telemetry::log_cause(&error);
                Err(error)
            }
            None => Ok(Frame::trailers(self.trailers())),
        }))
    }
}

impl AnswerBody {
    /// What is known at the end. Sent to clients that say `TE: trailers`; `/v1/queries/{id}` tells everybody.
    fn trailers(&self) -> HeaderMap {
        let summary = self.encoded.summary();
        let elapsed = milliseconds(summary.elapsed).to_string();
        HeaderMap::from_iter([
            (ELAPSED_MS, HeaderValue::try_from(elapsed).unwrap_or(HeaderValue::from_static(""))),
            (ROW_COUNT, HeaderValue::from(summary.rows)),
            (TRUNCATED, HeaderValue::from_static(if summary.truncated { "true" } else { "false" })),
        ])
    }
}
