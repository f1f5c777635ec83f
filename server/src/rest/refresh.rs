//! `/v1/datasets/refresh`, `/v1/datasets/{id}/refresh`: see the tables of a dataset as they are, and what has changed.

use axum::Json;
use axum::extract::Path;
use engine::{Drift, Error, Scope, TableDrift, Typed};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rest;
use super::design::CheckedDesign;
use super::problem::Problem;

/// What a refresh has found, by dataset.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RefreshedDatasets {
    /// The datasets, sorted by id.
    pub(crate) datasets: Vec<RefreshedDataset>,
}

/// How the tables of a dataset differ from what the server had last seen of them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RefreshedDataset {
    /// The dataset.
    pub(crate) dataset_id: String,
    /// Why its tables cannot be read; then nothing is known of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Problem>,
    /// How many tables it has.
    pub(crate) tables: usize,
    /// Whether its tables were listed for the first time, so that new ones could not be told from old ones.
    pub(crate) is_first: bool,
    /// Tables that are new.
    pub(crate) added: Vec<String>,
    /// Tables that are gone.
    pub(crate) removed: Vec<String>,
    /// Tables with other columns. A table whose columns nobody had asked for yet is not compared.
    pub(crate) changed: Vec<ChangedTable>,
    /// Tables whose columns cannot be read.
    pub(crate) unreadable: Vec<UnreadableTable>,
    /// What the declared design turned out to be, where there is one and an administrator asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) design: Option<CheckedDesign>,
}

/// How the columns of a table differ from what the server had last seen of them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChangedTable {
    /// The table.
    pub(crate) table: String,
    /// Columns that are new.
    pub(crate) added: Vec<TypedColumn>,
    /// Columns that are gone.
    pub(crate) dropped: Vec<TypedColumn>,
    /// Columns that have another type.
    pub(crate) retyped: Vec<RetypedColumn>,
}

/// A column and its type.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct TypedColumn {
    /// Its name.
    pub(crate) name: String,
    /// Its type in the words of SQL.
    #[serde(rename = "type")]
    pub(crate) data_type: String,
}

/// A column that has another type.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RetypedColumn {
    /// Its name.
    pub(crate) name: String,
    /// Its type before.
    pub(crate) from: String,
    /// Its type now.
    pub(crate) to: String,
}

/// A table whose columns cannot be read.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct UnreadableTable {
    /// The table.
    pub(crate) table: String,
    /// Why not.
    pub(crate) problem: Problem,
}

/// Refresh every dataset that you may see.
///
/// What the server remembers of their tables is dropped and read again, so that the next query sees them as they are. An
/// administrator is told of declared designs as well, which are checked against the rows.
#[utoipa::path(
    post,
    path = "/v1/datasets/refresh",
    tag = "datasets",
    responses(
        (status = 200, description = "What has changed; a dataset that fails hurts no other", body = RefreshedDatasets),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn all(rest: Rest) -> Result<Json<RefreshedDatasets>, Problem> {
    rest.principal.demand(Scope::Manage)?;
    let refreshed = rest.engine.refresh_all(&rest.principal).await;
    Ok(Json(RefreshedDatasets {
        datasets: refreshed.into_iter().map(|(id, drift)| RefreshedDataset::of(id, drift)).collect(),
    }))
}

/// Refresh one dataset.
///
/// What the server remembers of its tables is dropped and read again, so that the next query sees them as they are. An
/// administrator is told of the declared design as well, which is checked against the rows.
#[utoipa::path(
    post,
    path = "/v1/datasets/{id}/refresh",
    tag = "datasets",
    params(("id" = String, Path, description = "The dataset's name in SQL")),
    responses(
        (status = 200, description = "What has changed", body = RefreshedDataset),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(rest: Rest, Path(id): Path<String>) -> Result<Json<RefreshedDataset>, Problem> {
    rest.principal.demand(Scope::Manage)?;
    let drift = rest.engine.refresh(&rest.principal, &id).await?;
    Ok(Json(RefreshedDataset::of(id, Ok(drift))))
}

impl RefreshedDataset {
    fn of(dataset_id: String, drift: Result<Drift, Error>) -> Self {
        let (drift, problem) = match drift {
            Ok(drift) => (drift, None),
            Err(error) => (Drift::default(), Some(error.into())),
        };
        let unreadable = drift.unreadable.into_iter();
        Self {
            dataset_id,
            problem,
            tables: drift.tables,
            is_first: drift.is_first,
            added: drift.added,
            removed: drift.removed,
            changed: drift.changed.into_iter().map(ChangedTable::from).collect(),
            unreadable: unreadable
                .map(|table| UnreadableTable { table: table.table, problem: table.error.into() })
                .collect(),
            design: drift.design.map(CheckedDesign::from),
        }
    }

    /// Whether everything could be read.
    pub(crate) fn is_whole(&self) -> bool {
        self.problem.is_none() && self.unreadable.is_empty()
    }
}

impl From<TableDrift> for ChangedTable {
    fn from(drift: TableDrift) -> Self {
        let typed = |columns: Vec<Typed>| {
            let columns = columns.into_iter();
            columns.map(|Typed { column, data_type }| TypedColumn { name: column, data_type }).collect()
        };
        let retyped = drift.retyped.into_iter();
        Self {
            table: drift.table,
            added: typed(drift.added),
            dropped: typed(drift.dropped),
            retyped: retyped.map(|it| RetypedColumn { name: it.column, from: it.from, to: it.to }).collect(),
        }
    }
}
