//! `system.queries`: the journal. An admin sees every query, others see their own.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use async_trait::async_trait;

use super::datasets::{text_list, text_lists};
use super::{Asked, SystemTable};
use crate::journal::Record;
use crate::{Code, Error, JoinFacts, Transfer};

#[derive(Debug)]
pub(super) struct Queries;

#[async_trait]
impl SystemTable for Queries {
    fn name(&self) -> &'static str {
        "queries"
    }

    fn comment(&self) -> &'static str {
        "Queries that run, and the latest that ended, the newest first."
    }

    fn schema(&self) -> Schema {
        Schema::new(vec![
            Field::new("query_id", DataType::Utf8, false),
            Field::new("sql", DataType::Utf8, false),
            Field::new("kind", DataType::Utf8, false),
            Field::new("datasets", text_list(), false),
            Field::new("principal", DataType::Utf8, false),
            Field::new("door", DataType::Utf8, false),
            Field::new("client", DataType::Utf8, true),
            Field::new("tool", DataType::Utf8, false),
            Field::new("credential", DataType::Utf8, true),
            Field::new("peer", DataType::Utf8, true),
            Field::new("policies", text_list(), false),
            Field::new("started_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            Field::new("planning_ms", DataType::Float64, false),
            Field::new("execution_ms", DataType::Float64, false),
            Field::new("rows", DataType::UInt64, false),
            Field::new("bytes", DataType::UInt64, false),
            Field::new("source_rows", DataType::UInt64, true),
            Field::new("source_bytes", DataType::UInt64, true),
            Field::new("transfers", list_of(transfer_fields()), true),
            Field::new("joins", list_of(join_fields()), true),
            Field::new("truncated", DataType::Boolean, false),
            Field::new("outcome", DataType::Utf8, false),
            Field::new("code", DataType::Utf8, true),
            Field::new("error", DataType::Utf8, true),
        ])
    }

    async fn rows(&self, asked: &Asked) -> Result<RecordBatch, Error> {
        let records = asked.engine.inner.journal.records(&asked.principal);
        let text = |text: fn(&Record) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(records.iter().map(text)))
        };
        let number = |number: fn(&Record) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(records.iter().map(number)))
        };
        let optional = |text: fn(&Record) -> Option<&str>| -> ArrayRef {
            Arc::new(records.iter().map(text).collect::<StringArray>())
        };
        // How much lies behind a policy's rows is for administrators.
        let is_admin = asked.principal.is_admin();
        let fetched = |number: fn(&Record) -> u64| -> ArrayRef {
            Arc::new(records.iter().map(|record| is_admin.then(|| number(record))).collect::<UInt64Array>())
        };
        let millis = |span: fn(&Record) -> Duration| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(records.iter().map(|record| span(record).as_secs_f64() * 1e3)))
        };
        let started = records.iter().map(|record| record.started_at.timestamp_micros());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(records.iter().map(|record| record.id.to_string()))),
            text(|record| &record.sql),
            text(|record| record.kind.as_str()),
            text_lists(records.iter().map(|record| record.datasets.as_slice())),
            text(|record| &record.principal),
            text(|record| record.door.as_str()),
            optional(|record| record.client.as_deref()),
            text(|record| record.tool),
            optional(|record| record.credential.as_deref()),
            Arc::new(records.iter().map(|record| record.peer.map(|peer| peer.to_string())).collect::<StringArray>()),
            text_lists(records.iter().map(|record| record.policies.as_slice())),
            Arc::new(TimestampMicrosecondArray::from_iter_values(started).with_timezone("UTC")),
            millis(|record| record.planning),
            millis(|record| record.execution),
            number(|record| record.rows),
            number(|record| record.bytes),
            fetched(Record::source_rows),
            fetched(Record::source_bytes),
            transfers(&records, is_admin)?,
            joins(&records, is_admin)?,
            Arc::new(records.iter().map(|record| Some(record.truncated)).collect::<BooleanArray>()),
            text(|record| record.outcome.as_str()),
            optional(|record| record.code.map(Code::as_str)),
            optional(|record| record.error.as_deref()),
        ];
        Ok(RecordBatch::try_new(Arc::new(self.schema()), columns)?)
    }
}

fn list_of(fields: Fields) -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(fields), false)))
}

/// A column of lists of `fields`, whose values stand one behind the other in `columns`. NULL where nobody may see them.
fn lists(
    fields: Fields,
    lengths: impl Iterator<Item = usize>,
    columns: Vec<ArrayRef>,
    is_shown: bool,
) -> Result<ArrayRef, Error> {
    let lengths: Vec<usize> = lengths.collect();
    let shown = (!is_shown).then(|| NullBuffer::new_null(lengths.len()));
    let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), false));
    let values = Arc::new(StructArray::try_new(fields, columns, None)?);
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), values, shown)?))
}

fn transfer_fields() -> Fields {
    Fields::from(vec![
        Field::new("source", DataType::Utf8, false),
        Field::new("estimated_rows", DataType::UInt64, true),
        Field::new("estimated_bytes", DataType::UInt64, true),
        Field::new("rows", DataType::UInt64, false),
        Field::new("bytes", DataType::UInt64, false),
    ])
}

fn transfers(records: &[Record], is_shown: bool) -> Result<ArrayRef, Error> {
    let all = || records.iter().flat_map(|record| &record.transfers);
    let optional =
        |number: fn(&Transfer) -> Option<u64>| -> ArrayRef { Arc::new(all().map(number).collect::<UInt64Array>()) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(all().map(|transfer| Some(&transfer.source)).collect::<StringArray>()),
        optional(|transfer| transfer.estimated_rows),
        optional(|transfer| transfer.estimated_bytes),
        optional(|transfer| Some(transfer.rows)),
        optional(|transfer| Some(transfer.bytes)),
    ];
    lists(transfer_fields(), records.iter().map(|record| record.transfers.len()), columns, is_shown)
}

fn join_fields() -> Fields {
    Fields::from(vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("left_rows", DataType::UInt64, false),
        Field::new("right_rows", DataType::UInt64, false),
        Field::new("rows", DataType::UInt64, false),
    ])
}

fn joins(records: &[Record], is_shown: bool) -> Result<ArrayRef, Error> {
    let all = || records.iter().flat_map(|record| &record.joins);
    let number = |number: fn(&JoinFacts) -> u64| -> ArrayRef {
        Arc::new(all().map(|join| Some(number(join))).collect::<UInt64Array>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(all().map(|join| Some(&join.keys)).collect::<StringArray>()),
        number(|join| join.left_rows),
        number(|join| join.right_rows),
        number(|join| join.rows),
    ];
    lists(join_fields(), records.iter().map(|record| record.joins.len()), columns, is_shown)
}
