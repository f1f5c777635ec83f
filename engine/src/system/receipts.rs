//! `system.receipts`: how answers came about. An admin sees every receipt, others see their own, without what lies behind a policy.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use arrow::json::ReaderBuilder;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::datasets::text_list;
use super::{Asked, SystemTable};
use crate::Error;
use crate::journal::Record;
use crate::receipt::{Receipt, Settings};

#[derive(Debug)]
pub(super) struct Receipts;

/// A receipt with its query.
#[derive(Serialize)]
struct Row<'a> {
    query_id: String,
    principal: &'a str,
    started_at: DateTime<Utc>,
    sql: &'a str,
    #[serde(flatten)]
    settings: &'a Settings,
    datasets: &'a [String],
    policies: &'a [String],
    rows: u64,
    truncated: bool,
    #[serde(flatten)]
    receipt: Receipt,
}

impl<'a> Row<'a> {
    fn of(record: &'a Record, is_admin: bool) -> Option<Self> {
        let receipt = record.receipt.as_ref()?;
        let is_restricted = !is_admin && (!record.policies.is_empty() || receipt.is_discreet || receipt.by_admin);
        Some(Self {
            query_id: record.id.to_string(),
            principal: &record.principal,
            started_at: record.started_at,
            sql: &record.sql,
            settings: &record.settings,
            datasets: &record.datasets,
            policies: &record.policies,
            rows: record.rows,
            truncated: record.truncated,
            receipt: if is_restricted { receipt.for_restricted() } else { Receipt::clone(receipt) },
        })
    }
}

fn moment() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn list_of(fields: Vec<Field>) -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(Fields::from(fields)), true)))
}

#[async_trait]
impl SystemTable for Receipts {
    fn name(&self) -> &'static str {
        "receipts"
    }

    fn comment(&self) -> &'static str {
        "How answers came about: what each source was asked and gave, versions, weights, policies, and what the answer was."
    }

    fn schema(&self) -> Schema {
        let reads = list_of(vec![
            Field::new("source", DataType::Utf8, false),
            Field::new("table", DataType::Utf8, true),
            Field::new("asked", DataType::Utf8, true),
            Field::new("kept_here", text_list(), true),
            Field::new("grouped", DataType::Boolean, false),
            Field::new("rows", DataType::UInt64, true),
            Field::new("bytes", DataType::UInt64, true),
            Field::new("version", DataType::Utf8, true),
            Field::new("as_of", moment(), true),
        ]);
        let columns = list_of(vec![
            Field::new("name", DataType::Utf8, false),
            Field::new("type", DataType::Utf8, false),
            Field::new("nulls", DataType::UInt64, false),
            Field::new("digest", DataType::Utf8, false),
        ]);
        let answer = Fields::from(vec![
            Field::new("rows", DataType::UInt64, false),
            Field::new("digest", DataType::Utf8, false),
            Field::new("columns", columns, false),
        ]);
        let numbers = DataType::List(Arc::new(Field::new("item", DataType::UInt64, true)));
        Schema::new(vec![
            Field::new("query_id", DataType::Utf8, false),
            Field::new("principal", DataType::Utf8, false),
            Field::new("started_at", moment(), false),
            Field::new("sql", DataType::Utf8, false),
            Field::new("params", text_list(), true),
            Field::new("dataset", DataType::Utf8, true),
            Field::new("apply_weights", DataType::Boolean, true),
            Field::new("max_rows", DataType::UInt64, true),
            Field::new("datasets", text_list(), false),
            Field::new("policies", text_list(), false),
            Field::new("rows", DataType::UInt64, false),
            Field::new("truncated", DataType::Boolean, false),
            Field::new("reads", reads, false),
            Field::new("weights", text_list(), true),
            Field::new("bases", numbers, true),
            Field::new("cache_hits", DataType::UInt64, false),
            Field::new("cache_misses", DataType::UInt64, false),
            Field::new("notices", text_list(), true),
            Field::new("answer", DataType::Struct(answer), true),
        ])
    }

    async fn rows(&self, asked: &Asked) -> Result<RecordBatch, Error> {
        let records = asked.engine.inner.journal.records(&asked.principal);
        let is_admin = asked.principal.is_admin();
        let wanted = records.iter().filter(|record| asked.wants("query_id", &record.id.to_string()));
        let rows: Vec<Row<'_>> = wanted.filter_map(|record| Row::of(record, is_admin)).collect();
        let schema = Arc::new(self.schema());
        let mut decoder = ReaderBuilder::new(Arc::clone(&schema))
            .with_batch_size(rows.len().max(1))
            .with_coerce_primitive(true)
            .build_decoder()?;
        decoder.serialize(&rows)?;
        Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(schema)))
    }
}
