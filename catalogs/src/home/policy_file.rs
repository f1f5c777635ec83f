//! The shape of `policies/*.yaml`, for the check and the reference page; `engine::policy::Policies` reads the file.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;

/// A policy file.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct PolicyFile {
    /// Principals by name, for `--as NAME` and for local use.
    principals: Vec<PrincipalSection>,
    /// Rules on tables.
    rules: Vec<RuleSection>,
}

/// A principal: who asks.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
struct PrincipalSection {
    /// Its name.
    name: String,
    /// Its roles. The role `admin` sees everything.
    #[serde(default)]
    roles: BTreeSet<String>,
    /// Its projects.
    #[serde(default)]
    projects: BTreeSet<String>,
    /// Its attributes.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// What the holders of some roles see of a table.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
struct RuleSection {
    /// The rule's name, as receipts and EXPLAIN show it.
    name: String,
    /// The table, as `dataset.table` or `dataset.schema.table`.
    table: String,
    /// Roles it binds. Empty = everyone but admins.
    #[serde(default)]
    roles: BTreeSet<String>,
    /// A condition that each visible row meets, in SQL.
    #[serde(default)]
    rows: Option<String>,
    /// What stands in place of a column's value, in SQL, by column.
    #[serde(default)]
    masks: BTreeMap<String, String>,
}
