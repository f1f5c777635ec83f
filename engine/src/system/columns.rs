//! `system.columns`: the columns of tables that the caller may see. It opens the tables it lists.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;

use super::{Asked, DATASET, SystemTable, system_entries, type_name};
use crate::path::listed_name;
use crate::{Dataset, Engine, Error, TableEntry, codes};

#[derive(Debug)]
pub(super) struct Columns;

struct Row {
    dataset: String,
    schema: String,
    table: String,
    ordinal: i32,
    field: Arc<Field>,
}

#[async_trait]
impl SystemTable for Columns {
    fn name(&self) -> &'static str {
        "columns"
    }

    fn comment(&self) -> &'static str {
        "Columns of the tables that you may see, with their type here and in the source, and what their codes mean."
    }

    fn schema(&self) -> Schema {
        Schema::new(vec![
            Field::new("dataset_id", DataType::Utf8, false),
            Field::new("schema_name", DataType::Utf8, false),
            Field::new("table_name", DataType::Utf8, false),
            Field::new("ordinal", DataType::Int32, false),
            Field::new("column_name", DataType::Utf8, false),
            Field::new("data_type", DataType::Utf8, false),
            Field::new("nullable", DataType::Boolean, false),
            Field::new("source_type", DataType::Utf8, true),
            Field::new("comment", DataType::Utf8, true),
            Field::new("question", DataType::Utf8, true),
            Field::new("labels", DataType::Utf8, true),
            Field::new("value_order", DataType::Utf8, true),
        ])
    }

    async fn rows(&self, asked: &Asked) -> Result<RecordBatch, Error> {
        let tables = asked.visible_tables().await?;
        let mut rows: Vec<Row> =
            asked.open_each(tables, |engine, table| open(asked, engine, table)).await?.into_iter().flatten().collect();
        if asked.wants_system() {
            for (table, entry) in system_entries().filter(|(_, entry)| asked.wants_table(&entry.name)) {
                rows.extend(of_table(DATASET, &entry.schema, &entry.name, &table.schema()));
            }
        }
        let metadata = |key: &'static str| {
            rows.iter().map(|row| row.field.metadata().get(key).map(String::as_str)).collect::<StringArray>()
        };
        let said = |at: usize| rows.iter().map(|row| codes::texts(&row.field)[at]).collect::<StringArray>();
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.dataset))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.schema))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.table))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.ordinal))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.field.name()))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| type_name(row.field.data_type())))),
            Arc::new(rows.iter().map(|row| Some(row.field.is_nullable())).collect::<BooleanArray>()),
            Arc::new(metadata("weft.source_type")),
            Arc::new(metadata("weft.comment")),
            Arc::new(said(0)),
            Arc::new(said(1)),
            Arc::new(said(2)),
        ];
        Ok(RecordBatch::try_new(Arc::new(self.schema()), columns)?)
    }
}

async fn open(asked: &Asked, engine: Engine, (dataset, entry): (Arc<Dataset>, TableEntry)) -> Result<Vec<Row>, Error> {
    let Some(table) = engine.inner.catalog.table(&dataset, &entry.schema, &entry.name).await? else {
        return Ok(Vec::new());
    };
    let name = listed_name(&dataset, &entry.schema, &entry.name);
    let table = codes::coded(&dataset, &name, &table)?;
    let columns = asked.columns_of(&dataset, &entry, &table.schema());
    Ok(of_table(&dataset.id, &entry.schema, &name, &columns).collect())
}

fn of_table(dataset: &str, schema: &str, table: &str, columns: &Schema) -> impl Iterator<Item = Row> {
    columns.fields().iter().zip(1..).map(move |(field, ordinal)| Row {
        dataset: dataset.to_owned(),
        schema: schema.to_owned(),
        table: table.to_owned(),
        ordinal,
        field: Arc::clone(field),
    })
}
