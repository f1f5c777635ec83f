//! `CommandGetXdbcTypeInfo`: the types of results, as ODBC's `SQLGetTypeInfo` shows them.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::CommandGetXdbcTypeInfo;
use arrow_flight::sql::metadata::XdbcTypeInfoDataBuilder;
use engine::Error;

use super::built;
use crate::sql_type;

pub(super) fn schema() -> SchemaRef {
    XdbcTypeInfoDataBuilder::new().schema()
}

pub(super) fn rows(command: &CommandGetXdbcTypeInfo) -> Result<RecordBatch, Error> {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    sql_type::all().for_each(|info| builder.append(info));
    built(builder.build().and_then(|types| types.record_batch(command.data_type)))
}
