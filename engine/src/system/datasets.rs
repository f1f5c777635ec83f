//! `system.datasets`: the datasets that the caller may see. It opens nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;

use super::{Asked, SystemTable};
use crate::{Error, Weights, WeightsMode};

#[derive(Debug)]
pub(super) struct Datasets;

#[async_trait]
impl SystemTable for Datasets {
    fn name(&self) -> &'static str {
        "datasets"
    }

    fn comment(&self) -> &'static str {
        "Datasets that you may see, with their weights."
    }

    fn schema(&self) -> Schema {
        Schema::new(vec![
            Field::new("dataset_id", DataType::Utf8, false),
            Field::new("name", DataType::Utf8, false),
            Field::new("description", DataType::Utf8, false),
            Field::new("domain", DataType::Utf8, true),
            Field::new("version", DataType::Utf8, true),
            Field::new("source_id", DataType::Utf8, false),
            Field::new("kind", DataType::Utf8, false),
            Field::new("schemas", text_list(), false),
            Field::new("weight_table", DataType::Utf8, true),
            Field::new("weight_unit", DataType::Utf8, true),
            Field::new("weight_column", DataType::Utf8, true),
            Field::new("weights_mode", DataType::Utf8, true),
        ])
    }

    async fn rows(&self, asked: &Asked) -> Result<RecordBatch, Error> {
        let datasets = asked.visible_datasets();
        let required = |text: fn(&crate::Dataset) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(datasets.iter().map(|dataset| text(dataset))))
        };
        let optional = |text: fn(&crate::Dataset) -> Option<&str>| -> ArrayRef {
            Arc::new(datasets.iter().map(|dataset| text(dataset)).collect::<StringArray>())
        };
        let columns = vec![
            required(|dataset| &dataset.id),
            required(|dataset| &dataset.name),
            required(|dataset| &dataset.description),
            optional(|dataset| dataset.domain.as_deref()),
            optional(|dataset| dataset.version.as_deref()),
            required(|dataset| &dataset.source),
            required(|dataset| &dataset.kind),
            text_lists(datasets.iter().map(|dataset| dataset.schemas.as_slice())),
            optional(|dataset| dataset.weights.as_ref().and_then(|weights| weights.table.as_deref())),
            optional(|dataset| dataset.weights.as_ref().and_then(|weights| weights.unit.as_deref())),
            optional(|dataset| dataset.weights.as_ref().map(|weights| weights.weight.as_str())),
            optional(|dataset| dataset.weights.as_ref().map(mode)),
        ];
        Ok(RecordBatch::try_new(Arc::new(self.schema()), columns)?)
    }
}

fn mode(weights: &Weights) -> &'static str {
    WeightsMode::as_str(weights.mode)
}

/// The type of a list of texts.
pub(super) fn text_list() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

/// A column of lists of texts.
pub(super) fn text_lists<'a>(rows: impl Iterator<Item = &'a [String]>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in rows {
        builder.append_value(row.iter().map(Some));
    }
    Arc::new(builder.finish())
}
