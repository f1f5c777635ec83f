//! `system.sources`: the sources of the datasets that the caller may see, and how they fare. It opens nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::array::{RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use async_trait::async_trait;

use super::datasets::{text_list, text_lists};
use super::{Asked, SystemTable};
use crate::{Error, SourceHealth, SourceStatus};

#[derive(Debug)]
pub(super) struct Sources;

#[async_trait]
impl SystemTable for Sources {
    fn name(&self) -> &'static str {
        "sources"
    }

    fn comment(&self) -> &'static str {
        "Sources of the datasets that you may see, and how they fare."
    }

    fn schema(&self) -> Schema {
        Schema::new(vec![
            Field::new("source_id", DataType::Utf8, false),
            Field::new("kind", DataType::Utf8, false),
            Field::new("description", DataType::Utf8, false),
            Field::new("location", DataType::Utf8, false),
            Field::new("datasets", text_list(), false),
            Field::new("status", DataType::Utf8, false),
            Field::new("message", DataType::Utf8, true),
            Field::new("checked_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("pool_open", DataType::UInt32, true),
            Field::new("pool_idle", DataType::UInt32, true),
            Field::new("pool_max", DataType::UInt32, true),
        ])
    }

    async fn rows(&self, asked: &Asked) -> Result<RecordBatch, Error> {
        let visible: BTreeSet<String> = asked.visible_datasets().iter().map(|dataset| dataset.id.clone()).collect();
        let mut sources = asked.engine.inner.catalog.sources();
        for source in &mut sources {
            source.datasets.retain(|dataset| visible.contains(dataset));
        }
        sources.retain(|source| asked.principal.is_admin() || !source.datasets.is_empty());
        let text = |text: fn(&SourceStatus) -> &str| -> arrow::array::ArrayRef {
            Arc::new(StringArray::from_iter_values(sources.iter().map(text)))
        };
        let checked = sources.iter().map(|source| {
            let since = source.checked_at?.duration_since(UNIX_EPOCH).ok()?;
            i64::try_from(since.as_micros()).ok()
        });
        let pool = |part: fn((u32, u32, u32)) -> u32| -> arrow::array::ArrayRef {
            Arc::new(sources.iter().map(|source| source.pool.map(part)).collect::<UInt32Array>())
        };
        let columns: Vec<arrow::array::ArrayRef> = vec![
            text(|source| &source.id),
            text(|source| &source.kind),
            text(|source| &source.description),
            text(|source| &source.location),
            text_lists(sources.iter().map(|source| source.datasets.as_slice())),
            text(|source| source.health.as_str()),
            Arc::new(sources.iter().map(|source| message(&source.health)).collect::<StringArray>()),
            Arc::new(checked.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            pool(|(open, _, _)| open),
            pool(|(_, idle, _)| idle),
            pool(|(_, _, max)| max),
        ];
        Ok(RecordBatch::try_new(Arc::new(self.schema()), columns)?)
    }
}

fn message(health: &SourceHealth) -> Option<&str> {
    match health {
        SourceHealth::Unavailable(message) => Some(message),
        SourceHealth::Disabled | SourceHealth::Unused | SourceHealth::Ready => None,
    }
}
