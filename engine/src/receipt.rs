//! How an answer came about: what each source was asked and gave, which versions it was of, by which weights and policies, and what
//! the answer was, so that asking again tells what is different.
//!
//! A receipt says nothing that its reader may not ask for: what lies behind a policy is told to administrators only.

mod bases;
mod changes;
mod digest;

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, Utc};
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use changes::Change;
pub use digest::{AnswerDigest, ColumnDigest};

pub(crate) use digest::Digesting;

use crate::Query;
use crate::survey::Notices;

/// What a query came with besides its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The values of its parameters: numbers and truth values as such, others as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Value>,
    /// The dataset in which bare names were looked up first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Whether it said that plain aggregates are to be weighted, or are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply_weights: Option<bool>,
    /// The most rows that it wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
}

/// One read of a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceRead {
    /// The source's id.
    pub source: String,
    /// The table there, or the names of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What it was asked: a database its SQL, files the condition that their reader had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// What it was not asked for, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_here: Vec<String>,
    /// Whether it gave groups, so that how many rows they are of is not known.
    #[serde(default)]
    pub grouped: bool,
    /// Rows that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes that came: of Arrow memory from a database, of storage from files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What the rows are known by: other files have another one. None of a source that has no versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When its data was last changed; of a source that does not say, when it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<DateTime<Utc>>,
}

/// How an answer came about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// What was read, in the order of the plan.
    pub reads: Vec<SourceRead>,
    /// The columns that weighed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<String>,
    /// The unweighted base: rows that went into each of the innermost aggregates. Empty where a source aggregates itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<u64>,
    /// Parts of the plan whose rows were known already, and parts that were kept for the next query.
    #[serde(default)]
    pub cache_hits: u64,
    #[serde(default)]
    #[expect(missing_docs, reason = "with the one above")]
    pub cache_misses: u64,
    /// What a reader of the answer was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Whether it is of few people, so that how many rows there are is not told.
    #[serde(default)]
    pub is_discreet: bool,
    /// Whether an administrator asked, from whom nothing is hidden.
    #[serde(default)]
    pub by_admin: bool,
    /// What the answer was. None where it has more rows than are looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerDigest>,
}

impl Settings {
    pub(crate) fn of(query: &Query) -> Self {
        Self {
            params: query.params.as_ref().map(values).unwrap_or_default(),
            dataset: query.dataset.clone(),
            apply_weights: query.apply_weights,
            max_rows: query.max_rows,
        }
    }
}

fn values(params: &RecordBatch) -> Vec<Value> {
    let value = |column: &Arc<dyn Array>| {
        if column.is_empty() || column.is_null(0) {
            return Value::Null;
        }
        let text = array_value_to_string(column, 0).unwrap_or_default();
        match column.data_type() {
            data_type if data_type.is_numeric() || *data_type == DataType::Boolean => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            _ => Value::String(text),
        }
    };
    params.columns().iter().map(value).collect()
}

impl Receipt {
    /// The receipt of a plan that has run.
    pub(crate) fn of(
        plan: &Arc<dyn ExecutionPlan>,
        reads: Vec<SourceRead>,
        notices: &Notices,
        by_admin: bool,
        answer: Option<AnswerDigest>,
    ) -> Self {
        let (cache_hits, cache_misses) = bases::cache(plan);
        let is_counted = !reads.iter().any(|read| read.grouped);
        Self {
            reads,
            weights: notices.weights(),
            bases: if is_counted { bases::bases(plan) } else { Vec::new() },
            cache_hits,
            cache_misses,
            notices: notices.sentences(),
            is_discreet: notices.is_discreet(),
            by_admin,
            answer,
        }
    }

    /// The receipt without what somebody from whom rows are hidden could learn of them.
    pub(crate) fn for_restricted(&self) -> Self {
        let bases = if self.is_discreet { Vec::new() } else { self.bases.clone() };
        Self { reads: Vec::new(), bases, ..self.clone() }
    }

    /// The receipt without what a log may not hold whose texts are redacted: values that are people's.
    pub(crate) fn redacted(&self) -> Self {
        let read = |read: &SourceRead| SourceRead { table: None, asked: None, kept_here: Vec::new(), ..read.clone() };
        Self { reads: self.reads.iter().map(read).collect(), answer: None, ..self.clone() }
    }
}
