//! `/openapi.json`, made from the handlers' own types, and `/docs`, which shows it and fetches nothing from elsewhere.

use axum::Router;
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// What stands above the handlers in the description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weft",
        description = "One SQL statement over every dataset you may see: governed, weighted, and with its work shown.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "sql", description = "Ask a question"),
        (name = "datasets", description = "What there is to ask about"),
        (name = "queries", description = "What was asked, and how it went"),
        (name = "health", description = "Probes and metrics"),
    )
)]
struct Description;

/// The description without any handler yet.
pub(super) fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// The description and the page that shows it.
pub(super) fn page<S: Clone + Send + Sync + 'static>(description: utoipa::openapi::OpenApi) -> Router<S> {
    // Without this the page would send its own address to a validator on the internet.
    let config = Config::default().validator_url("none");
    SwaggerUi::new("/docs").url("/openapi.json", description).config(config).into()
}
