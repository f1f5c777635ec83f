//! `POST /v1/sql`: ask a question.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum::response::Response;
use engine::{Error, Query};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use utoipa::ToSchema;

use super::Rest;
use super::answer::{SqlAnswer, respond};
use super::client::Client;
use super::input::Body;
use super::params::{Scalar, batch};
use super::problem::Problem;
use crate::encode;

/// A question.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"sql": "SELECT count(*) AS people FROM panel.people WHERE age >= ?", "params": [18]}))]
pub(super) struct SqlRequest {
    /// One statement that reads. `?` and `$1` are parameters.
    #[schema(example = "SELECT count(*) AS people FROM panel.people WHERE age >= ?")]
    sql: String,
    /// Values of the parameters, by position: null, true, false, numbers or text.
    #[serde(default)]
    #[schema(value_type = Vec<Value>, example = json!([18]))]
    params: Vec<Scalar>,
    /// The dataset in which table names without a dataset are looked up first.
    dataset: Option<String>,
    /// Whether a plain COUNT, SUM or AVG over a weighted dataset becomes its weighted form. Absent = as the dataset declares.
    apply_weights: Option<bool>,
    /// Cut the answer after so many rows, and say that it was cut.
    max_rows: Option<u64>,
    /// Give up after so long: seconds, or text such as "30s" or "500ms".
    #[schema(value_type = Option<Value>, example = "30s")]
    timeout: Option<Timeout>,
}

impl SqlRequest {
    fn into_query(self) -> Result<Query, Error> {
        Ok(Query::new(self.sql)
            .params(batch(self.params)?)
            .dataset(self.dataset)
            .apply_weights(self.apply_weights)
            .max_rows(self.max_rows)
            .timeout(self.timeout.map(|timeout| timeout.0)))
    }
}

/// Ask a question in SQL; the answer comes in the format that `Accept` asks for.
#[utoipa::path(
    post,
    path = "/v1/sql",
    tag = "sql",
    request_body = SqlRequest,
    responses(
        (status = 200, description = "The answer", content(
            (SqlAnswer = "application/json"),
            (String = "application/vnd.apache.arrow.stream"),
            (String = "application/vnd.apache.parquet"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (String = "text/markdown"),
        ), headers(("weft-query-id" = String, description = "The query, for /v1/queries/{id}"))),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run(
    rest: Rest,
    client: Client,
    headers: HeaderMap,
    Body(request): Body<SqlRequest>,
) -> Result<Response, Problem> {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = encode::negotiate(Some(&accept.join(",")))?;
    let query = client.sends(request.into_query()?);
    respond(format, rest.engine.query(&rest.principal, query).await?).await
}

/// A time that a query may take, in seconds or as text.
#[derive(Debug, PartialEq, Eq)]
struct Timeout(Duration);

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TimeoutVisitor)
    }
}

struct TimeoutVisitor;

impl Visitor<'_> for TimeoutVisitor {
    type Value = Timeout;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a timeout in seconds, or text such as \"30s\" or \"500ms\"")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Timeout, E> {
        Ok(Timeout(Duration::from_secs(seconds)))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Timeout, E> {
        let time = Duration::try_from_secs_f64(seconds);
        time.map(Timeout).map_err(|_| E::invalid_value(de::Unexpected::Float(seconds), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timeout, E> {
        let time = catalogs::timespan(text);
        time.map(Timeout).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_seconds_or_text() {
        let read = |text| serde_json::from_str::<Timeout>(text).ok().map(|timeout| timeout.0);
        assert_eq!(read("30"), Some(Duration::from_secs(30)));
        assert_eq!(read("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(read("\"250ms\""), Some(Duration::from_millis(250)));
        assert_eq!(read("\"1m30s\""), Some(Duration::from_secs(90)));
        for refused in ["-1", "-0.5", "\"soon\"", "\"\"", "null", "[1]", "1e300"] {
            assert_eq!(read(refused), None, "{refused}");
        }
    }
}
