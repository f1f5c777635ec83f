//! `datasources.yaml` and `summary.yaml`: sources by id, and which dataset comes from which source. Each entry is read on
//! its own, so that one with problems hurts no other; the files as a whole are schemas only.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Sources: connections to data.
#[derive(JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DatasourcesFile {
    /// Sources by id.
    pub(crate) datasources: BTreeMap<String, DatasourceEntry>,
}

/// One source.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatasourceEntry {
    /// The kind of source; the chapters on kinds list them.
    #[serde(rename = "type")]
    #[expect(
        dead_code,
        reason = "read from the tree, also where the entry has problems; here it is for the reference page"
    )]
    pub(crate) kind: String,
    /// What it is, for people.
    #[serde(default)]
    pub(crate) description: String,
    /// Whether it is used. The datasets of a source that is switched off stay listed and answer with an error.
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    /// How to reach it; each kind has its own keys.
    #[serde(default)]
    #[expect(dead_code, reason = "read from the tree, with the kind's own schema; here it is for the reference page")]
    pub(crate) connection: Map<String, Value>,
    /// Datasets that it holds. They exist even if no other file names them.
    #[serde(default)]
    pub(crate) databases: Vec<String>,
}

fn yes() -> bool {
    true
}

/// Which dataset comes from which source.
#[derive(JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SummaryFile {
    /// Datasets, each with its source.
    pub(crate) data_sources: Vec<SummaryEntry>,
}

/// One dataset and its source.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SummaryEntry {
    /// The dataset's id: its name in SQL.
    pub(crate) id: String,
    /// Its name for people. Default: the id.
    pub(crate) name: Option<String>,
    /// What it holds.
    pub(crate) description: Option<String>,
    /// The subject it belongs to.
    pub(crate) domain: Option<String>,
    /// The id of its source in `datasources.yaml`.
    pub(crate) datasource: String,
}
