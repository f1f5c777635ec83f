//! `/v1/queries/{id}/receipt`: how an answer came about.

use axum::Json;
use axum::extract::Path;
use engine::{Code, Error, QueryId};

use super::Rest;
use super::client::Client;
use super::problem::Problem;
use crate::receipt::{RECEIPT, Receipt};

/// Show how an answer came about.
///
/// Who asked may see it, and administrators. Where rules were applied, what sources were asked and gave is for administrators.
#[utoipa::path(
    get,
    path = "/v1/queries/{id}/receipt",
    tag = "queries",
    params(("id" = String, Path, description = "The query's id")),
    responses(
        (status = 200, description = "The receipt", body = Receipt),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(rest: Rest, client: Client, Path(id): Path<String>) -> Result<Json<Receipt>, Problem> {
    let id: QueryId = id.parse()?;
    let found: Vec<Receipt> = rest.list(&client, RECEIPT, [id.to_string().as_str().into()]).await?;
    let receipt = found.into_iter().next().ok_or_else(|| {
        Error::new(Code::QueryNotFound, "No answer has this id, or it was given too long ago.").hint(
            "GET /v1/queries lists the queries that are known; those that read data and ended well have a receipt.",
        )
    })?;
    Ok(Json(receipt))
}
