//! `/health/live`, `/health/ready`, `/metrics`: for whatever watches the process.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::client::Client;
use super::problem::Problem;
use super::{Rest, Shared};

const SOURCES: &str =
    "SELECT source_id, kind, datasets, status, message, checked_at FROM system.sources ORDER BY source_id";

/// Whether the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Live {
    /// Always `live`.
    status: &'static str,
}

/// Whether the server takes queries, and how its sources fare.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    /// `ready`, or `stopping`.
    status: &'static str,
    /// The sources, for who has signed in. One that is unavailable takes its own datasets away and nothing else.
    sources: Vec<SourceHealth>,
}

/// How a source fares.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct SourceHealth {
    /// Its id.
    source_id: String,
    /// Its kind, such as `postgres`.
    kind: String,
    /// The datasets that come from it.
    datasets: Vec<String>,
    /// disabled, unused, ready or unavailable.
    status: String,
    /// Why it is unavailable.
    message: Option<String>,
    /// When that was found.
    checked_at: Option<String>,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, description = "It lives", body = Live)))]
pub(super) async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

/// Whether the server takes queries, and how each source fares.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "health",
    responses(
        (status = 200, description = "It takes queries; a dead source is listed and makes no difference", body = Ready),
        (status = 503, description = "It is stopping", body = Ready),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ready(
    State(shared): State<Shared>,
    rest: Result<Rest, Problem>,
    client: Client,
) -> Result<(StatusCode, Json<Ready>), Problem> {
    // What watches the process need not sign in, and then learns nothing of the sources.
    let sources = match rest {
        Ok(rest) => rest.list(&client, SOURCES, []).await?,
        Err(_) => Vec::new(),
    };
    Ok(if shared.health.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Ready { status: "stopping", sources }))
    } else {
        (StatusCode::OK, Json(Ready { status: "ready", sources }))
    })
}

/// Metrics in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((status = 200, description = "Metrics of queries", body = String, content_type = "text/plain; version=0.0.4"))
)]
pub(super) async fn metrics(rest: Rest) -> impl IntoResponse {
    let text = rest.health.metrics.render(rest.engine.running());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
