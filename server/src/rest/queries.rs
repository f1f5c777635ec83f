//! `/v1/queries`: what was asked, how it went, and how to stop it.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use engine::{Code, Error, Query, QueryId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Rest;
use super::client::Client;
use super::input::Filter;
use super::params::batch;
use super::problem::Problem;

/// A filter that is NULL does not filter.
const QUERIES: &str = "SELECT query_id, sql, kind, datasets, principal, door, client, tool, credential, peer, policies, started_at, planning_ms, \
    execution_ms, rows, bytes, truncated, outcome, code, error FROM system.queries \
    WHERE ($1 IS NULL OR outcome = $1) AND ($2 IS NULL OR array_has(datasets, $2)) AND ($3 IS NULL OR door = $3) \
    AND ($4 IS NULL OR tool = $4) AND ($5 IS NULL OR principal = $5) \
    AND ($6 IS NULL OR started_at >= $6::timestamp) AND ($7 IS NULL OR started_at < $7::timestamp) \
    ORDER BY started_at DESC, query_id DESC";
const QUERY: &str = "SELECT query_id, sql, kind, datasets, principal, door, client, tool, credential, peer, policies, started_at, planning_ms, \
    execution_ms, rows, bytes, truncated, outcome, code, error FROM system.queries WHERE query_id = $1";

const DEFAULT_LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 10_000;

/// Which queries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct QueryFilter {
    /// At most so many, the newest first. Default 100, at most 10000.
    limit: Option<u64>,
    /// Only those that ended so: running, completed, failed, cancelled or abandoned.
    outcome: Option<String>,
    /// Only those that read this dataset.
    dataset: Option<String>,
    /// Only those that came through this door: cli, flight, library, mcp or rest.
    door: Option<String>,
    /// Only those of this tool: claude, chatgpt, cursor, manus, api, cli, ..
    tool: Option<String>,
    /// Only those of this principal.
    principal: Option<String>,
    /// Only those that came at this time or later, such as 2026-11-01T00:00:00Z.
    since: Option<String>,
    /// Only those that came before this time.
    until: Option<String>,
}

/// Queries, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Queries {
    queries: Vec<QueryRecord>,
    /// Whether there are more than `limit`.
    truncated: bool,
}

/// What the journal keeps about a query.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct QueryRecord {
    /// Its id.
    query_id: String,
    /// Its text.
    sql: String,
    /// What it wanted: raw, aggregated, weighted, metadata, explain, or unknown.
    kind: String,
    /// The datasets it read.
    datasets: Vec<String>,
    /// Who asked.
    principal: String,
    /// The door it came through.
    door: String,
    /// What the client called itself.
    client: Option<String>,
    /// Which of the known tools the client is of: claude, chatgpt, cursor, manus, api, cli, ..
    tool: String,
    /// The credential that it came by, such as `key 3f9a0c21d4b7`; never a secret.
    credential: Option<String>,
    /// The address that it came from.
    peer: Option<String>,
    /// The rules that were applied.
    policies: Vec<String>,
    /// When it came.
    started_at: String,
    /// Time until it had a plan.
    planning_ms: f64,
    /// Time from its plan to its end, or to now.
    execution_ms: f64,
    /// Rows that left.
    rows: u64,
    /// Bytes of Arrow memory that left.
    bytes: u64,
    /// Whether `max_rows` cut it.
    truncated: bool,
    /// How it ended: running, completed, failed, cancelled or abandoned.
    outcome: String,
    /// Why it failed.
    code: Option<String>,
    /// The sentence that the caller got.
    error: Option<String>,
}

/// List queries that run or have ended.
#[utoipa::path(
    get,
    path = "/v1/queries",
    tag = "queries",
    params(QueryFilter),
    responses(
        (status = 200, description = "Queries, the newest first", body = Queries),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    rest: Rest,
    client: Client,
    Filter(filter): Filter<QueryFilter>,
) -> Result<Json<Queries>, Problem> {
    let params = batch(vec![
        filter.outcome.into(),
        filter.dataset.into(),
        filter.door.into(),
        filter.tool.into(),
        filter.principal.into(),
        filter.since.into(),
        filter.until.into(),
    ])?;
    let limit = filter.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let listing = rest.read(client.sends(Query::new(QUERIES).params(params).max_rows(limit))).await?;
    Ok(Json(Queries { queries: listing.rows, truncated: listing.is_cut }))
}

/// Show one query.
#[utoipa::path(
    get,
    path = "/v1/queries/{id}",
    tag = "queries",
    params(("id" = String, Path, description = "The query's id")),
    responses(
        (status = 200, description = "The query", body = QueryRecord),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(rest: Rest, client: Client, Path(id): Path<String>) -> Result<Json<QueryRecord>, Problem> {
    let id: QueryId = id.parse()?;
    let found: Vec<QueryRecord> = rest.list(&client, QUERY, [id.to_string().as_str().into()]).await?;
    let record = found.into_iter().next().ok_or_else(|| {
        Error::new(Code::QueryNotFound, "No query has this id, or it ended too long ago.")
            .hint("GET /v1/queries lists those that are known.")
    })?;
    Ok(Json(record))
}

/// Cancel a running query.
#[utoipa::path(
    delete,
    path = "/v1/queries/{id}",
    tag = "queries",
    params(("id" = String, Path, description = "The query's id")),
    responses(
        (status = 204, description = "The query has been told to stop"),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(rest: Rest, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    rest.engine.cancel(&rest.principal, id.parse()?)?;
    Ok(StatusCode::NO_CONTENT)
}
