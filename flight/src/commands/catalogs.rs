//! `CommandGetCatalogs`: the one catalog.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::metadata::GetCatalogsBuilder;
use engine::Error;

use super::built;
use crate::listing::CATALOG;

pub(super) fn schema() -> SchemaRef {
    GetCatalogsBuilder::new().schema()
}

pub(super) fn rows() -> Result<RecordBatch, Error> {
    let mut builder = GetCatalogsBuilder::new();
    builder.append(CATALOG);
    built(builder.build())
}
