//! How an answer came about, as doors show it: the same values in REST, MCP and the command line, and the same text.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What reads a receipt by its query's id.
pub(crate) const RECEIPT: &str = "SELECT * FROM system.receipts WHERE query_id = $1";

/// How an answer came about.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, JsonSchema)]
pub(crate) struct Receipt {
    /// The query's id
    pub(crate) query_id: String,
    /// Who asked
    pub(crate) principal: String,
    /// When it came
    pub(crate) started_at: String,
    /// Its text
    pub(crate) sql: String,
    /// The values of its parameters, as text
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    #[schema(value_type = Vec<String>)]
    pub(crate) params: Option<Vec<Value>>,
    /// The dataset in which bare names were looked up first
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dataset: Option<String>,
    /// Whether it said that plain aggregates are to be weighted, or are not
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) apply_weights: Option<bool>,
    /// The most rows that it wanted
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_rows: Option<u64>,
    /// The datasets that it read
    pub(crate) datasets: Vec<String>,
    /// The rules that were applied, by table
    pub(crate) policies: Vec<String>,
    /// Rows that left
    pub(crate) rows: u64,
    /// Whether max_rows cut it
    pub(crate) truncated: bool,
    /// What was read of each source. Where rules were applied, that is for administrators
    pub(crate) reads: Vec<SourceRead>,
    /// The columns that weighed
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weights: Option<Vec<String>>,
    /// The unweighted base: rows that went into each of the innermost aggregates. Absent where a source aggregates itself
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bases: Option<Vec<u64>>,
    /// Parts of the plan whose rows were known already
    pub(crate) cache_hits: u64,
    /// Parts of the plan that were read, to be known by the next query
    pub(crate) cache_misses: u64,
    /// What a reader of the answer was told
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notices: Option<Vec<String>>,
    /// What the answer was: equal answers have equal digests, in any order of rows, floats to nine digits. Absent above 100,000 rows
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<AnswerDigest>,
}

/// One read of a source.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, JsonSchema)]
pub(crate) struct SourceRead {
    /// The source's id
    source: String,
    /// The table there, or the names of files
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    /// What it was asked: a database its SQL, files the condition that their reader had
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<String>,
    /// What it was not asked for, and why
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept_here: Option<Vec<String>>,
    /// Whether it gave groups, so that how many rows they are of is not known
    #[serde(default)]
    grouped: bool,
    /// Rows that came
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// Bytes that came: of Arrow memory from a database, of storage from files
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// What its files are known by: others have another one. Absent of a source without versions
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// When its data was last changed; of a source that does not say, when it was read
    #[serde(default, skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
}

/// What an answer was.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, JsonSchema)]
pub(crate) struct AnswerDigest {
    /// Rows
    rows: u64,
    /// Of all rows, each as a whole
    digest: String,
    /// Its columns
    columns: Vec<ColumnDigest>,
}

/// What a column of an answer was.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, JsonSchema)]
pub(crate) struct ColumnDigest {
    /// Its name
    name: String,
    /// Its type
    #[serde(rename = "type")]
    data_type: String,
    /// Rows without a value
    nulls: u64,
    /// Of its values
    digest: String,
}

impl Receipt {
    /// The receipt for people: each thing that it may say has its line, also where there is nothing to say.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let or_none = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join("; ") };
        let list = |items: &Option<Vec<String>>| or_none(items.as_deref().unwrap_or_default());
        let mut line = |what: &str, said: &str| {
            // A String takes everything.
            let _ = writeln!(text, "{:<17}{said}", format!("{what}:"));
        };
        line("query", &self.query_id);
        line("asked by", &format!("{}, {}", self.principal, self.started_at));
        line("SQL", &self.sql);
        let params = self.params.iter().flatten().map(|param| match param {
            Value::Null => "NULL".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        line("parameters", &or_none(&params.collect::<Vec<_>>()));
        line("datasets", &or_none(&self.datasets));
        let cut = if self.truncated { ", cut by max_rows" } else { ", all of them" };
        line("rows", &format!("{}{cut}", self.rows));
        line("weights", &list(&self.weights));
        let bases: Vec<String> = self.bases.iter().flatten().map(|base| format!("{base} rows")).collect();
        line("unweighted base", &if bases.is_empty() { "not counted".to_owned() } else { bases.join("; ") });
        line("policies", &or_none(&self.policies));
        let cache = match (self.cache_hits, self.cache_misses) {
            (0, 0) => "not used".to_owned(),
            (hits, misses) => format!("{hits} parts were known, {misses} were read"),
        };
        line("cache", &cache);
        if self.reads.is_empty() {
            let why = match self.policies.is_empty() {
                true => "none was read",
                false => "for administrators, since rules were applied",
            };
            line("sources", why);
        }
        for read in &self.reads {
            line("source", &read.text());
            if let Some(asked) = &read.asked {
                line("  asked", asked);
            }
            for kept in read.kept_here.iter().flatten() {
                line("  kept here", kept);
            }
        }
        for notice in self.notices.iter().flatten() {
            line("notice", notice);
        }
        let answer = self.answer.as_ref().map_or("not looked at", |answer| answer.digest.as_str());
        line("answer's digest", answer);
        text
    }
}

impl SourceRead {
    fn text(&self) -> String {
        let counted = self.rows.map(|rows| format!("{rows} {}", if self.grouped { "groups" } else { "rows" }));
        let bytes = self.bytes.map(|bytes| format!("{bytes} bytes"));
        let version = self.version.as_ref().map(|version| format!("version {version}"));
        let as_of = self.as_of.as_ref().map(|moment| format!("as of {moment}"));
        let known = [self.table.clone(), counted, bytes, version, as_of].into_iter().flatten();
        std::iter::once(self.source.clone()).chain(known).collect::<Vec<_>>().join(", ")
    }
}
