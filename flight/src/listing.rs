//! What there is to see, read from the system tables through the engine, so that the caller's rights hold.
//!
//! One catalog `weft` holds a schema per dataset, and `system`. Names reach the engine as parameters, never as SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::IpcMessage;
use engine::{Code, Error, Query};
use futures::TryStreamExt;

use crate::Door;
use crate::call::Call;

/// The one catalog.
pub(crate) const CATALOG: &str = "weft";

/// The schema of the system tables, which belongs to no dataset.
const SYSTEM: &str = "system";

/// More names than this are not spelled out as a condition; the rows are then sorted out here.
const NAMES: usize = 500;

/// A table by dataset and name.
pub(crate) type TableName = (String, String);

/// The datasets that the caller may see, and `system`, sorted.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn datasets(door: &Door, call: &Call) -> Result<Vec<String>, Error> {
    let batches = rows(door, call, "SELECT dataset_id FROM system.datasets".to_owned(), None).await?;
    let mut ids = BTreeSet::from([SYSTEM.to_owned()]);
    for batch in &batches {
        ids.extend(texts(batch, 0)?.iter().flatten().map(str::to_owned));
    }
    Ok(ids.into_iter().collect())
}

/// Whether `name` is a dataset that the caller may see, or `system`.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn is_dataset(door: &Door, call: &Call, name: &str) -> Result<bool, Error> {
    Ok(datasets(door, call).await?.iter().any(|dataset| dataset == name))
}

/// Tables of `datasets`, and of `system`, each with its type.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn tables(door: &Door, call: &Call, datasets: &[String]) -> Result<Vec<(TableName, String)>, Error> {
    let condition = Condition::of_datasets(datasets.iter());
    let (sql, params) = condition.finish("SELECT dataset_id, table_name, table_type FROM system.tables")?;
    let mut tables = Vec::new();
    for batch in rows(door, call, sql, params).await? {
        let (ids, names, types) = (texts(&batch, 0)?, texts(&batch, 1)?, texts(&batch, 2)?);
        for row in 0..batch.num_rows() {
            tables.push(((ids.value(row).to_owned(), names.value(row).to_owned()), types.value(row).to_owned()));
        }
    }
    Ok(tables)
}

/// The Arrow schemas of `tables`. A table whose source does not answer is left out.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn schemas(
    door: &Door,
    call: &Call,
    tables: &BTreeSet<TableName>,
) -> Result<BTreeMap<TableName, Schema>, Error> {
    let condition = Condition::of_tables(tables);
    let (sql, params) = condition.finish("SELECT dataset_id, table_name, arrow_schema FROM system.tables")?;
    let mut schemas = BTreeMap::new();
    for batch in rows(door, call, sql, params).await? {
        let (ids, names) = (texts(&batch, 0)?, texts(&batch, 1)?);
        let messages = cast(batch.column(2), &DataType::Binary)?;
        let messages = messages.as_binary::<i32>();
        for row in (0..batch.num_rows()).filter(|&row| messages.is_valid(row)) {
            let name = (ids.value(row).to_owned(), names.value(row).to_owned());
            if tables.contains(&name) {
                let message = IpcMessage(messages.value(row).to_vec().into());
                schemas.insert(name, Schema::try_from(message)?);
            }
        }
    }
    Ok(schemas)
}

/// `WHERE column IN (..)`, with the names as parameters.
#[derive(Default)]
struct Condition {
    terms: Vec<String>,
    values: Vec<String>,
}

impl Condition {
    /// `system` is always among them: of a single dataset the engine answers with its source's error instead of leaving
    /// it out, and a driver that browses must not fail because of one torn file.
    fn of_datasets<'a>(datasets: impl Iterator<Item = &'a String>) -> Self {
        let mut names: BTreeSet<String> = datasets.cloned().collect();
        names.insert(SYSTEM.to_owned());
        Self::default().and("dataset_id", names.iter())
    }

    fn of_tables(tables: &BTreeSet<TableName>) -> Self {
        let names: BTreeSet<&String> = tables.iter().map(|(_, name)| name).collect();
        Self::of_datasets(tables.iter().map(|(dataset, _)| dataset)).and("table_name", names.into_iter())
    }

    fn and<'a>(mut self, column: &str, names: impl ExactSizeIterator<Item = &'a String>) -> Self {
        if names.len() > NAMES {
            return self;
        }
        let from = self.values.len() + 1;
        self.values.extend(names.cloned());
        let places: Vec<String> = (from..=self.values.len()).map(|place| format!("${place}")).collect();
        self.terms.push(match places.is_empty() {
            true => "false".to_owned(),
            false => format!("{column} IN ({})", places.join(", ")),
        });
        self
    }

    fn finish(self, select: &str) -> Result<(String, Option<RecordBatch>), Error> {
        if self.terms.is_empty() {
            return Ok((select.to_owned(), None));
        }
        let sql = format!("{select} WHERE {}", self.terms.join(" AND "));
        if self.values.is_empty() {
            return Ok((sql, None));
        }
        let fields: Vec<Field> =
            (1..=self.values.len()).map(|place| Field::new(place.to_string(), DataType::Utf8, true)).collect();
        let columns = self.values.into_iter().map(|value| Arc::new(StringArray::from(vec![value])) as _).collect();
        Ok((sql, Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)))
    }
}

async fn rows(door: &Door, call: &Call, sql: String, params: Option<RecordBatch>) -> Result<Vec<RecordBatch>, Error> {
    let query = Query::new(sql).params(params).from(engine::Door::Flight, call.client.clone());
    door.engine.query(&call.principal, query).await?.try_collect().await
}

fn texts(batch: &RecordBatch, column: usize) -> Result<&StringArray, Error> {
    batch
        .columns()
        .get(column)
        .and_then(|column| column.as_string_opt())
        .ok_or_else(|| Error::new(Code::Internal, "A system table has a column of another type than text."))
}
