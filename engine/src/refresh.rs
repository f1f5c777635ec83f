//! Refreshing datasets: what is remembered of their tables is read again, and what has changed is told.
//!
//! Whoever may see all tables of a dataset may refresh it: the answer holds no more than `system.columns` shows. Administrators
//! are told of the dataset's design as well, which is checked against the rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use futures::stream::{self, StreamExt};

use crate::names::nearest;
use crate::system::type_name;
use crate::{Code, Dataset, DesignReport, Engine, Error, Principal};

/// How the tables of a dataset differ from what was last seen of them.
#[derive(Debug, Default)]
pub struct Drift {
    /// How many tables there are now.
    pub tables: usize,
    /// Whether they were listed for the first time: new ones could not be told from old ones.
    pub is_first: bool,
    /// Tables that are new, sorted.
    pub added: Vec<String>,
    /// Tables that are gone, sorted.
    pub removed: Vec<String>,
    /// Tables with other columns, sorted. A table whose columns nobody had seen yet is not compared.
    pub changed: Vec<TableDrift>,
    /// Tables whose columns cannot be read now.
    pub unreadable: Vec<Unreadable>,
    /// What the declared design turned out to be, where there is one and an administrator asks.
    pub design: Option<DesignReport>,
}

/// How the columns of a table differ from what was last seen of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDrift {
    /// The table's name after `dataset.`.
    pub table: String,
    /// Columns that are new, in order.
    pub added: Vec<Typed>,
    /// Columns that are gone, in order.
    pub dropped: Vec<Typed>,
    /// Columns that have another type, in order.
    pub retyped: Vec<Retyped>,
}

/// A column and its type in the words of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// The column's name.
    pub column: String,
    /// Its type.
    pub data_type: String,
}

/// A column that has another type than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retyped {
    /// The column's name.
    pub column: String,
    /// Its type before.
    pub from: String,
    /// Its type now.
    pub to: String,
}

/// A table whose columns cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The table's name after `dataset.`.
    pub table: String,
    /// Why not.
    pub error: Error,
}

impl TableDrift {
    /// What differs between the columns of `table`; None where nothing does.
    pub fn between(table: impl Into<String>, before: &Schema, now: &Schema) -> Option<Self> {
        let missing_from = |other: &Schema, schema: &Schema| -> Vec<Typed> {
            let missing = schema.fields().iter().filter(|field| other.column_with_name(field.name()).is_none());
            missing
                .map(|field| Typed { column: field.name().clone(), data_type: type_name(field.data_type()) })
                .collect()
        };
        let retyped = now.fields().iter().filter_map(|field| {
            let (_, earlier) = before.column_with_name(field.name())?;
            (earlier.data_type() != field.data_type())
                .then(|| Retyped::of(field.name(), earlier.data_type(), field.data_type()))
        });
        let drift = Self {
            table: table.into(),
            added: missing_from(before, now),
            dropped: missing_from(now, before),
            retyped: retyped.collect(),
        };
        let is_same = drift.added.is_empty() && drift.dropped.is_empty() && drift.retyped.is_empty();
        (!is_same).then_some(drift)
    }
}

impl Retyped {
    fn of(column: &str, from: &DataType, to: &DataType) -> Self {
        Self { column: column.to_owned(), from: type_name(from), to: type_name(to) }
    }
}

impl Engine {
    /// Reads the tables of a dataset again, so that the next query sees them as they are, and says what has changed.
    ///
    /// # Errors
    /// `dataset_not_found` where `principal` sees no such dataset, `permission_denied` where it sees a part of it; what its source says; `deadline_exceeded`.
    pub async fn refresh(&self, principal: &Principal, dataset: &str) -> Result<Drift, Error> {
        let engine = self.present();
        let datasets = engine.visible(principal);
        match datasets.iter().find(|known| known.id == dataset) {
            Some(dataset) => engine.refreshed(principal, dataset).await,
            None => {
                let error = Error::new(Code::DatasetNotFound, format!("Dataset \"{dataset}\" does not exist."));
                Err(match nearest(dataset, datasets.iter().map(|known| known.id.as_str())) {
                    Some(near) => error.hint(format!("Did you mean \"{near}\"?")),
                    None => error,
                })
            }
        }
    }

    /// As [`Engine::refresh`], for each dataset that `principal` sees, sorted by id. One that fails hurts no other.
    pub async fn refresh_all(&self, principal: &Principal) -> Vec<(String, Result<Drift, Error>)> {
        // A source is asked for its tables as a whole, so more at once would only wait for each other.
        const AT_ONCE: usize = 8;
        let engine = &self.present();
        stream::iter(engine.visible(principal))
            .map(|dataset| async move { (dataset.id.clone(), engine.refreshed(principal, &dataset).await) })
            .buffered(AT_ONCE)
            .collect()
            .await
    }

    fn visible(&self, principal: &Principal) -> Vec<Arc<Dataset>> {
        let datasets = self.inner.catalog.datasets();
        datasets.iter().filter(|dataset| self.inner.policies.sees(principal, dataset)).cloned().collect()
    }

    async fn refreshed(&self, principal: &Principal, dataset: &Dataset) -> Result<Drift, Error> {
        if !self.inner.policies.sees_all(principal, dataset) {
            let text = format!("Refreshing dataset \"{}\" is for who may see all of its tables.", dataset.id);
            return Err(Error::new(Code::PermissionDenied, text));
        }
        let mut drift = self.read_again(dataset).await?;
        if principal.is_admin() {
            let checked = self.check_design(principal, &dataset.id).await;
            drift.design = checked.unwrap_or_else(|error| Some(DesignReport::unknown(&error)));
        }
        Ok(drift)
    }

    async fn read_again(&self, dataset: &Dataset) -> Result<Drift, Error> {
        let timeout = self.inner.limits.query_timeout;
        tokio::time::timeout(timeout, self.inner.catalog.refresh(dataset)).await.unwrap_or_else(|_elapsed| {
            let text = format!(
                "The tables of dataset \"{}\" could not be read within {} s.",
                dataset.id,
                timeout.as_secs_f64()
            );
            Err(Error::new(Code::DeadlineExceeded, text).hint("Retry, or raise limits.query_timeout."))
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> Schema {
        Schema::new(fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>())
    }

    #[test]
    fn columns_are_compared_by_name_and_type() {
        let before = schema(&[("id", DataType::Int32), ("fax", DataType::Utf8), ("city", DataType::Utf8)]);
        let now = schema(&[("city", DataType::Utf8), ("id", DataType::Int64), ("email", DataType::Utf8)]);
        let drift = TableDrift::between("customers", &before, &now).unwrap();
        let typed = |column: &str| Typed { column: column.to_owned(), data_type: "VARCHAR".to_owned() };
        assert_eq!((drift.added, drift.dropped), (vec![typed("email")], vec![typed("fax")]));
        let retyped = Retyped { column: "id".to_owned(), from: "INTEGER".to_owned(), to: "BIGINT".to_owned() };
        assert_eq!(drift.retyped, [retyped]);
        assert_eq!(TableDrift::between("customers", &now, &now), None);
    }
}
