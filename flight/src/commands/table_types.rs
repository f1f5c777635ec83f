//! `CommandGetTableTypes`: the kinds of tables that listings tell apart.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use engine::{Error, TableKind};

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("table_type", DataType::Utf8, false)]))
}

pub(super) fn rows() -> Result<RecordBatch, Error> {
    let kinds = [TableKind::System, TableKind::Table, TableKind::View].map(TableKind::as_str);
    Ok(RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from_iter_values(kinds))])?)
}
