//! The REST door: SQL over HTTP, listings, health, metrics, and the API's own description.
//!
//! A resource is one file and one line in [`router`]. A handler decodes, asks the engine, encodes; it never reads data
//! by itself: listings are SQL on the system tables, with bound parameters.

mod answer;
mod client;
mod datasets;
mod design;
mod docs;
mod health;
mod input;
mod listing;
pub(crate) mod params;
mod problem;
mod queries;
mod receipts;
mod refresh;
mod sql;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::request::Parts;
use axum::routing::get;
use engine::{Engine, Principal};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::encode::Format;
use crate::identify;
use crate::telemetry::Metrics;

pub use answer::{Column, SqlAnswer};
pub(crate) use design::{CheckedDesign, CheckedTable, DesignFinding};
pub use problem::Problem;
pub(crate) use refresh::{ChangedTable, RefreshedDataset, RefreshedDatasets};

/// The largest body of a request: SQL and parameters, never data.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Bodies below this size go as they are: compressing them gains nothing.
const MIN_COMPRESSED_BYTES: u16 = 1024;

/// What the server knows about itself, for probes and scrapers.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// What `/metrics` shows.
    pub metrics: Metrics,
    stopping: Arc<AtomicBool>,
}

impl Health {
    /// Health of a server that shows `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, stopping: Arc::default() }
    }

    /// From now on the server is not ready: it finishes what it has begun.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// What every handler needs.
#[derive(Debug, Clone)]
struct Shared {
    engine: Engine,
    health: Health,
}

/// What the handler of one request needs.
#[derive(Debug)]
struct Rest {
    engine: Engine,
    /// Who asks.
    principal: Principal,
    health: Health,
}

impl FromRequestParts<Shared> for Rest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let principal = identify::caller(&parts.extensions)?;
        Ok(Self { engine: shared.engine.clone(), principal, health: shared.health.clone() })
    }
}

/// The REST door. It must stand behind [`identify::by`], which tells who asks.
pub fn router(engine: Engine, health: Health) -> Router {
    let (routes, description) = OpenApiRouter::with_openapi(docs::description())
        .routes(routes!(sql::run))
        .routes(routes!(datasets::list))
        .routes(routes!(datasets::show))
        .routes(routes!(refresh::all))
        .routes(routes!(refresh::one))
        // A dataset may be called as the word that stands in its place for all of them.
        .route("/v1/datasets/refresh", get(datasets::show_refresh))
        .routes(routes!(queries::list))
        .routes(routes!(queries::show, queries::cancel))
        .routes(routes!(receipts::show))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .split_for_parts();
    routes
        .merge(docs::page(description))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(CompressionLayer::new().compress_when(is_worth_compressing()))
        .with_state(Shared { engine, health })
}

fn is_worth_compressing() -> impl Predicate {
    SizeAbove::new(MIN_COMPRESSED_BYTES)
        .and(NotForContentType::SSE)
        .and(NotForContentType::const_new(Format::Parquet.media_type()))
}
