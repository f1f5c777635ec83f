//! `CommandGetDbSchemas`: a schema per dataset, and `system`.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::CommandGetDbSchemas;
use arrow_flight::sql::metadata::GetDbSchemasBuilder;
use engine::Error;

use super::built;
use crate::Door;
use crate::call::Call;
use crate::listing::{self, CATALOG};
use crate::pattern::{Pattern, lets_through};

pub(super) fn schema() -> SchemaRef {
    unfiltered().schema()
}

pub(super) async fn rows(door: &Door, call: &Call, command: CommandGetDbSchemas) -> Result<RecordBatch, Error> {
    let mut builder = unfiltered();
    if is_the_catalog(command.catalog.as_deref()) {
        let pattern = command.db_schema_filter_pattern.map(Pattern::new);
        for dataset in listing::datasets(door, call).await? {
            if lets_through(pattern.as_ref(), &dataset) {
                builder.append(CATALOG, dataset);
            }
        }
    }
    built(builder.build())
}

/// Whether a catalog filter lets the one catalog through; an empty name means "without a catalog", and nothing is.
pub(super) fn is_the_catalog(filter: Option<&str>) -> bool {
    filter.is_none_or(|catalog| catalog == CATALOG)
}

fn unfiltered() -> GetDbSchemasBuilder {
    GetDbSchemasBuilder::new(None::<String>, None::<String>)
}
