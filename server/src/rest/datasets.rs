//! `/v1/datasets`: what there is to ask about.

use std::collections::HashMap;

use axum::Json;
use axum::extract::Path;
use engine::{Code, Error};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Rest;
use super::client::Client;
use super::problem::Problem;

const DATASETS: &str = "SELECT dataset_id, name, description, domain, version, source_id, kind, schemas, weight_table, \
    weight_unit, weight_column, weights_mode FROM system.datasets ORDER BY dataset_id";
const DATASET: &str = "SELECT dataset_id, name, description, domain, version, source_id, kind, schemas, weight_table, \
    weight_unit, weight_column, weights_mode FROM system.datasets WHERE dataset_id = $1";
const SOURCE: &str = "SELECT status, message FROM system.sources WHERE source_id = $1";
const TABLES: &str = "SELECT schema_name, table_name, table_type, comment, row_estimate FROM system.tables \
    WHERE dataset_id = $1 ORDER BY schema_name, table_name";
const COLUMNS: &str = "SELECT schema_name, table_name, column_name AS name, data_type AS type, nullable, source_type, \
    comment, question, labels, value_order AS \"order\" FROM system.columns WHERE dataset_id = $1 \
    ORDER BY schema_name, table_name, ordinal";

/// Datasets that the caller may see.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Datasets {
    datasets: Vec<Dataset>,
}

/// A dataset.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Dataset {
    /// The name in SQL.
    dataset_id: String,
    /// The name for people.
    name: Option<String>,
    /// What it holds.
    description: Option<String>,
    /// The subject it belongs to.
    domain: Option<String>,
    /// The version that its file declares.
    version: Option<String>,
    /// The source that holds it.
    source_id: String,
    /// The kind of that source, such as `postgres`.
    kind: String,
    /// Its schemas in the source; tables of the first one need no schema in their name.
    schemas: Vec<String>,
    /// Where its weights are, if it is a sample.
    weight_table: Option<String>,
    /// The column that names a person.
    weight_unit: Option<String>,
    /// The column that holds the weight.
    weight_column: Option<String>,
    /// Whether weights apply when a query does not say: required, default or offered.
    weights_mode: Option<String>,
}

/// A dataset with its tables.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DatasetDetail {
    #[serde(flatten)]
    dataset: Dataset,
    /// How its source fares: disabled, unused, ready or unavailable.
    source_status: Option<String>,
    /// Why the source is unavailable; then no tables are listed.
    source_message: Option<String>,
    /// Its tables.
    tables: Vec<Table>,
}

#[derive(Debug, Deserialize)]
struct Source {
    status: String,
    message: Option<String>,
}

/// A table.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Table {
    /// The schema in the source.
    schema_name: String,
    /// The name to write after `dataset.`.
    table_name: String,
    /// TABLE or VIEW.
    table_type: String,
    /// What the source says about it.
    comment: Option<String>,
    /// Rows, as the source estimates them.
    row_estimate: Option<u64>,
    /// Its columns, in order.
    #[serde(default)]
    columns: Vec<Column>,
}

/// A column of a table.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = TableColumn)]
pub(super) struct Column {
    /// Its name.
    name: String,
    /// Its type in the words of SQL.
    #[serde(rename = "type")]
    data_type: String,
    /// Whether it can be NULL.
    nullable: bool,
    /// Its type in the source.
    source_type: Option<String>,
    /// What the source says about it.
    comment: Option<String>,
    /// What was asked, where the dataset's codebook says it.
    question: Option<String>,
    /// Labels by value, where the codebook has some.
    #[serde(deserialize_with = "of_text", skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = HashMap<String, String>)]
    labels: Map<String, Value>,
    /// The values in their order, where the codebook has one.
    #[serde(deserialize_with = "of_text", skip_serializing_if = "Vec::is_empty")]
    order: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct PlacedColumn {
    schema_name: String,
    table_name: String,
    #[serde(flatten)]
    column: Column,
}

/// List the datasets.
#[utoipa::path(
    get,
    path = "/v1/datasets",
    tag = "datasets",
    responses(
        (status = 200, description = "The datasets that you may see", body = Datasets),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(rest: Rest, client: Client) -> Result<Json<Datasets>, Problem> {
    Ok(Json(Datasets { datasets: rest.list(&client, DATASETS, []).await? }))
}

/// Show one dataset with its tables and columns.
#[utoipa::path(
    get,
    path = "/v1/datasets/{id}",
    tag = "datasets",
    params(("id" = String, Path, description = "The dataset's name in SQL")),
    responses(
        (status = 200, description = "The dataset, its tables and their columns", body = DatasetDetail),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(rest: Rest, client: Client, Path(id): Path<String>) -> Result<Json<DatasetDetail>, Problem> {
    let found: Vec<Dataset> = rest.list(&client, DATASET, [id.as_str().into()]).await?;
    let dataset = found.into_iter().next().ok_or_else(|| {
        Error::new(Code::DatasetNotFound, format!("Dataset \"{id}\" does not exist."))
            .hint("GET /v1/datasets lists the datasets that you may see.")
    })?;
    let (source, tables, columns) = tokio::try_join!(
        rest.list::<Source>(&client, SOURCE, [dataset.source_id.as_str().into()]),
        rest.list(&client, TABLES, [id.as_str().into()]),
        rest.list(&client, COLUMNS, [id.as_str().into()]),
    )?;
    let (source_status, source_message) = source.into_iter().next().map(|it| (it.status, it.message)).unzip();
    let source_message = source_message.flatten();
    Ok(Json(DatasetDetail { dataset, source_status, source_message, tables: with_columns(tables, columns) }))
}

/// Shows the dataset that is called `refresh`.
pub(super) async fn show_refresh(rest: Rest, client: Client) -> Result<Json<DatasetDetail>, Problem> {
    show(rest, client, Path("refresh".to_owned())).await
}

/// JSON in a text; what is NULL is empty.
fn of_text<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(text: D) -> Result<T, D::Error> {
    let text = Option::<String>::deserialize(text)?;
    text.map_or_else(|| Ok(T::default()), |text| serde_json::from_str(&text).map_err(D::Error::custom))
}

/// Puts each column into its table.
fn with_columns(mut tables: Vec<Table>, columns: Vec<PlacedColumn>) -> Vec<Table> {
    let mut by_table: HashMap<(String, String), Vec<Column>> = HashMap::new();
    for PlacedColumn { schema_name, table_name, column } in columns {
        by_table.entry((schema_name, table_name)).or_default().push(column);
    }
    for table in &mut tables {
        let place = (table.schema_name.clone(), table.table_name.clone());
        table.columns = by_table.remove(&place).unwrap_or_default();
    }
    tables
}
