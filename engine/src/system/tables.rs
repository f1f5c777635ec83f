//! `system.tables`: the tables of the datasets that the caller may see. A table is opened only for `arrow_schema`.

use std::sync::Arc;

use arrow::array::{BinaryArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::writer::StreamWriter;
use async_trait::async_trait;

use super::{Asked, DATASET, SystemTable, system_entries};
use crate::path::listed_name;
use crate::stream::plain_table_schema;
use crate::{Dataset, Engine, Error, TableEntry, codes};

#[derive(Debug)]
pub(super) struct Tables;

/// A row: its dataset, schema, listed name, entry, and columns where they were asked for.
struct Row {
    dataset: String,
    name: String,
    entry: TableEntry,
    schema: Option<Vec<u8>>,
}

#[async_trait]
impl SystemTable for Tables {
    fn name(&self) -> &'static str {
        "tables"
    }

    fn comment(&self) -> &'static str {
        "Tables of the datasets that you may see; write dataset_id.table_name."
    }

    fn schema(&self) -> Schema {
        Schema::new(vec![
            Field::new("dataset_id", DataType::Utf8, false),
            Field::new("schema_name", DataType::Utf8, false),
            Field::new("table_name", DataType::Utf8, false),
            Field::new("table_type", DataType::Utf8, false),
            Field::new("comment", DataType::Utf8, true),
            Field::new("row_estimate", DataType::UInt64, true),
            Field::new("arrow_schema", DataType::Binary, true),
        ])
    }

    async fn rows(&self, asked: &Asked) -> Result<RecordBatch, Error> {
        let mut rows = Vec::new();
        let is_opened = asked.wants_column("arrow_schema");
        let tables = asked.visible_tables().await?;
        if is_opened {
            let opened = asked.open_each(tables, |engine, table| open(asked, engine, table));
            rows.extend(opened.await?.into_iter().flatten());
        } else {
            rows.extend(tables.into_iter().map(|(dataset, entry)| Row {
                name: listed_name(&dataset, &entry.schema, &entry.name).into_owned(),
                dataset: dataset.id.clone(),
                entry,
                schema: None,
            }));
        }
        if asked.wants_system() {
            for (table, entry) in system_entries().filter(|(_, entry)| asked.wants_table(&entry.name)) {
                let schema = is_opened.then(|| encoded(&table.schema())).transpose()?;
                rows.push(Row { dataset: DATASET.to_owned(), name: entry.name.clone(), entry, schema });
            }
        }
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.dataset))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.entry.schema))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.name))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.entry.kind.as_str()))),
            Arc::new(rows.iter().map(|row| row.entry.comment.as_deref()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.entry.row_estimate).collect::<UInt64Array>()),
            Arc::new(rows.iter().map(|row| row.schema.as_deref()).collect::<BinaryArray>()),
        ];
        Ok(RecordBatch::try_new(Arc::new(self.schema()), columns)?)
    }
}

async fn open(
    asked: &Asked,
    engine: Engine,
    (dataset, entry): (Arc<Dataset>, TableEntry),
) -> Result<Option<Row>, Error> {
    let Some(table) = engine.inner.catalog.table(&dataset, &entry.schema, &entry.name).await? else {
        return Ok(None);
    };
    let name = listed_name(&dataset, &entry.schema, &entry.name).into_owned();
    let table = codes::coded(&dataset, &name, &table)?;
    let columns = asked.columns_of(&dataset, &entry, &table.schema());
    let schema = Some(encoded(&plain_table_schema(&columns))?);
    Ok(Some(Row { dataset: dataset.id.clone(), name, entry, schema }))
}

/// The schema as an encapsulated IPC message, as Flight SQL wants it.
fn encoded(schema: &Schema) -> Result<Vec<u8>, Error> {
    let writer = StreamWriter::try_new(Vec::new(), schema)?;
    Ok(writer.get_ref().clone())
}
