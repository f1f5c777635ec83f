//! The tables on each side: those that the query names, or all tables of the datasets that it names.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::common::utils::quote_identifier;
use tokio::sync::OnceCell;

use super::figures;
use crate::names::{self, nearest};
use crate::path::{CATALOG, listed_name, visible_dataset};
use crate::system::Asked;
use crate::{Code, Dataset, Error, Query, TableEntry, system};

/// A table of one side.
#[derive(Debug)]
pub(super) struct Table {
    /// The name for people.
    pub(super) name: String,
    /// The name for SQL.
    pub(super) sql: String,
    pub(super) dataset: String,
    /// What one row is, as the table's own name says it.
    pub(super) entity: String,
    pub(super) schema: SchemaRef,
    /// The query names it, and not only its dataset.
    pub(super) is_named: bool,
    rows: OnceCell<u64>,
}

impl Table {
    /// The rows that the caller may see. It asks once.
    pub(super) async fn rows(&self, asked: &Asked) -> Result<u64, Error> {
        self.rows.get_or_try_init(|| figures::rows(asked, &self.sql)).await.copied()
    }
}

/// The tables that the query wants on the left.
///
/// # Errors
/// `invalid_argument` where it names none; `dataset_not_found`, `table_not_found`, and what the source says.
pub(super) async fn left(asked: &Asked) -> Result<Vec<Arc<Table>>, Error> {
    side(asked, "left_table", "left_dataset").await
}

/// The tables that the query wants on the right.
///
/// # Errors
/// As [`left`].
pub(super) async fn right(asked: &Asked) -> Result<Vec<Arc<Table>>, Error> {
    side(asked, "right_table", "right_dataset").await
}

async fn side(asked: &Asked, table: &str, dataset: &str) -> Result<Vec<Arc<Table>>, Error> {
    let mut tables = Vec::new();
    if let Some(names) = asked.wanted(table) {
        for name in names {
            tables.push(Arc::new(named(asked, name).await?));
        }
    } else if let Some(ids) = asked.wanted(dataset) {
        for id in ids {
            tables.extend(of_dataset(asked, id).await?);
        }
    } else {
        let message = "system.join_health measures two tables or datasets; the query must say which.";
        return Err(Error::new(Code::InvalidArgument, message).hint(
            "Add WHERE left_table = 'a.b' AND right_table = 'c.d', or left_dataset = 'a' AND right_dataset = 'c'.",
        ));
    }
    Ok(tables)
}

/// A table by a name that SQL would take. Its row keeps the name, so that the query's own predicate holds on it.
async fn named(asked: &Asked, name: &str) -> Result<Table, Error> {
    let reference = TableReference::parse_str(name);
    let query = of_table(&quoted(&reference)).dataset(asked.query.dataset.clone());
    let description = match asked.engine.describe(&asked.principal, &query).await {
        Ok(description) => description,
        Err(error) => return Err(meant_dataset(asked, &reference, error)),
    };
    Ok(Table {
        name: name.to_owned(),
        sql: quoted(&reference),
        dataset: description.datasets.first().cloned().unwrap_or_else(|| system::DATASET.to_owned()),
        entity: reference.table().rsplit('.').next().unwrap_or_default().to_owned(),
        schema: description.schema,
        is_named: true,
        rows: OnceCell::new(),
    })
}

/// A name of one part may have been meant for a dataset.
fn meant_dataset(asked: &Asked, name: &TableReference, error: Error) -> Error {
    let TableReference::Bare { table } = name else { return error };
    if error.code() != Code::TableNotFound {
        return error;
    }
    let datasets = asked.engine.inner.catalog.datasets();
    let visible = datasets.iter().filter(|dataset| asked.engine.inner.policies.sees(&asked.principal, dataset));
    match nearest(table, visible.map(|dataset| dataset.id.as_str())) {
        Some(near) => Error::new(Code::TableNotFound, format!("No table or dataset is called \"{table}\"."))
            .hint(format!("Did you mean the dataset \"{near}\"?")),
        None => error,
    }
}

/// The tables of a dataset. One that cannot be opened drops out, as it does from listings.
async fn of_dataset(asked: &Asked, id: &str) -> Result<Vec<Arc<Table>>, Error> {
    let dataset = visible_dataset(&asked.engine, &asked.principal, id)?;
    let entries = asked.engine.inner.catalog.tables(&dataset).await?;
    let items = entries.iter().map(|entry| (Arc::clone(&dataset), entry.clone())).collect();
    let opened = asked.ask_each(items, false, |engine, (dataset, entry): (Arc<Dataset>, TableEntry)| {
        let principal = asked.principal.clone();
        async move {
            let listed = listed_name(&dataset, &entry.schema, &entry.name);
            let reference = TableReference::full(CATALOG, dataset.id.as_str(), listed.as_ref());
            let description = engine.describe(&principal, &of_table(&quoted(&reference))).await?;
            Ok(Arc::new(Table {
                name: format!("{}.{}", quote_identifier(&dataset.id), quote_identifier(&listed)),
                sql: quoted(&reference),
                dataset: dataset.id.clone(),
                entity: entry.name.clone(),
                schema: description.schema,
                is_named: false,
                rows: OnceCell::new(),
            }))
        }
    });
    opened.await
}

fn of_table(sql: &str) -> Query {
    Query::new(format!("SELECT * FROM {sql}"))
}

fn quoted(name: &TableReference) -> String {
    let parts: Vec<&str> = [name.catalog(), name.schema(), Some(name.table())].into_iter().flatten().collect();
    parts.iter().map(|part| names::quoted(part)).collect::<Vec<_>>().join(".")
}
