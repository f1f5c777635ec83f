//! Who may see which rows and which values. Rules are data, read from `policies/*.yaml`; the barrier applies them.
//!
//! A rule names a table and the roles it binds. Its row filter and its masks are SQL expressions over the table's own
//! columns. Several rules on one table: every row filter must hold, and a column masked by any of them is masked.

mod barrier;
mod leakproof;
mod physical;
mod table;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::{Access, Code, Dataset, Error, Principal};

pub(crate) use barrier::PolicyBarrier;
pub(crate) use leakproof::PushLeakproofFilters;
pub(crate) use physical::BarrierPlanner;
pub(crate) use table::PolicyTable;
pub(crate) use verify::{Grants, Reads, read_only, verify_logical, verify_physical};

/// A policy file: principals known by name, and rules on tables.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    /// Principals by name, for `--as NAME` and for local use.
    #[serde(default)]
    pub principals: Vec<PrincipalEntry>,
    /// Rules on tables.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// A principal as a policy file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalEntry {
    /// Its name.
    pub name: String,
    /// Its roles.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// Its projects.
    #[serde(default)]
    pub projects: BTreeSet<String>,
    /// Its attributes.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// What the holders of some roles see of a table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The rule's name, as receipts and EXPLAIN show it.
    pub name: String,
    /// The table, as `dataset.table` or `dataset.schema.table`.
    pub table: String,
    /// Roles it binds; empty = everyone but admins.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// A condition that each visible row meets, in SQL.
    #[serde(default)]
    pub rows: Option<String>,
    /// What stands in place of a column's value, in SQL, by column; the type stays the column's.
    #[serde(default)]
    pub masks: BTreeMap<String, String>,
}

impl Policies {
    /// These policies together with `more`.
    pub fn and(mut self, more: Policies) -> Self {
        self.principals.extend(more.principals);
        self.rules.extend(more.rules);
        self
    }

    /// The principal called `name`; `local` has all rights unless a file says otherwise.
    ///
    /// # Errors
    /// `unauthenticated` where no file declares it.
    pub fn principal(&self, name: &str) -> Result<Principal, Error> {
        if let Some(entry) = self.principals.iter().find(|entry| entry.name == name) {
            return Ok(Principal::new(&entry.name, entry.roles.iter().cloned())
                .with_projects(entry.projects.iter().cloned())
                .with_attributes(entry.attributes.clone()));
        }
        if name == "local" {
            return Ok(Principal::local());
        }
        Err(Error::new(Code::Unauthenticated, format!("No policy file declares a principal \"{name}\"."))
            .hint("Add it under `principals:` in a file of the policies folder."))
    }

    /// The rules that bind `principal` on a table of `dataset`.
    pub(crate) fn on(&self, principal: &Principal, dataset: &Dataset, schema: &str, table: &str) -> Vec<Arc<Rule>> {
        if principal.is_admin() {
            return Vec::new();
        }
        self.rules
            .iter()
            .filter(|rule| rule.names(dataset, schema, table))
            .filter(|rule| rule.roles.is_empty() || !rule.roles.is_disjoint(principal.roles()))
            .map(|rule| Arc::new(rule.clone()))
            .collect()
    }
}

impl Rule {
    fn names(&self, dataset: &Dataset, schema: &str, table: &str) -> bool {
        let Some(rest) = self.table.strip_prefix(dataset.id.as_str()).and_then(|rest| rest.strip_prefix('.')) else {
            return false;
        };
        let is_default = dataset.schemas.first().is_none_or(|first| first == schema);
        (is_default && rest == table)
            || rest.strip_prefix(schema).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| rest == table)
    }
}

/// Whether `principal` may know that a dataset exists.
pub(crate) fn may_see(principal: &Principal, access: &Access) -> bool {
    principal.is_admin()
        || ((access.roles.is_empty() || !access.roles.is_disjoint(principal.roles()))
            && (access.projects.is_empty() || !access.projects.is_disjoint(principal.projects())))
}
