//! Who may see which datasets, rows and values. Policies are data, read from `policies/*.yaml`; the barrier applies them.
//!
//! Grants say what a principal may see at all; once there are any, nothing else is seen. Rules say which rows and values of a
//! table it sees: conditions and masks over the table's own columns and the attributes of who asks.

mod attributes;
mod barrier;
mod check;
mod condition;
mod enforced;
mod explain;
mod leakproof;
mod mask;
mod physical;
mod shape;
mod table;
mod verify;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{Attributes, Code, Dataset, Error, Principal};

pub use crate::disclosure::{Disclosure, Dominance};

pub(crate) use barrier::PolicyBarrier;
pub use check::Misfit;
pub use condition::{Condition, NotACondition};
pub(crate) use enforced::{Binding, Columns, Enforced};
pub use explain::{AccessReport, TableAccess};
pub(crate) use leakproof::PushLeakproofFilters;
pub use mask::{Constant, Kind as MaskKind, Mask, Period};
pub(crate) use physical::BarrierPlanner;
pub(crate) use shape::Shapes;
pub(crate) use table::{Asker, PolicyTable};
pub(crate) use verify::{Grants, Reads, read_only, verify_logical, verify_physical};

/// A policy file: principals known by name, their roles, what they may see, and rules on tables.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    /// Principals by name, for signing in, for `--as NAME` and for local use.
    #[serde(default)]
    pub principals: Vec<PrincipalEntry>,
    /// Roles that include others.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// What may be seen. Once there are any, what is not granted is not seen.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// Rules on tables.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What answers may say of few people.
    #[serde(default)]
    pub disclosure: Vec<Disclosure>,
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
    /// The tenant whose rows it may see where datasets are shared between tenants.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Its attributes, which rules speak of as `@name`.
    #[serde(default, deserialize_with = "attributes::read")]
    pub attributes: Attributes,
    /// The Argon2id hash of its password; None = it cannot sign in by one.
    #[serde(default)]
    pub password: Option<String>,
    /// A name in the certificate that it signs in by.
    #[serde(default)]
    pub certificate: Option<String>,
}

impl PrincipalEntry {
    /// The principal that is declared.
    pub fn principal(&self) -> Principal {
        Principal::new(&self.name, self.roles.iter().cloned())
            .with_projects(self.projects.iter().cloned())
            .with_tenant(self.tenant.clone())
            .with_attributes(self.attributes.clone())
    }
}

/// A role of this home.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Roles whose rights and rules it has as well.
    #[serde(default)]
    pub includes: BTreeSet<String>,
}

/// What the holders of some roles, in some projects, may see.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Roles, one of which a principal must have; empty = everyone.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// Projects, one of which a principal must be in; empty = whichever.
    #[serde(default)]
    pub projects: BTreeSet<String>,
    /// Datasets, and tables as `dataset.table` or `dataset.schema.table`; `*` = everything.
    pub on: Vec<String>,
    /// The columns of these tables that may be seen; empty = all.
    #[serde(default)]
    pub columns: BTreeSet<String>,
    /// Where it stands.
    #[serde(skip)]
    pub place: Option<Place>,
}

/// What the holders of some roles see of a table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The rule's name, as receipts and EXPLAIN show it.
    pub name: String,
    /// The table, as `dataset.table` or `dataset.schema.table`.
    pub table: String,
    /// Roles it binds; empty = everyone but admins.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// Roles whose holders it does not bind.
    #[serde(default)]
    pub except: BTreeSet<String>,
    /// A condition that each visible row meets, in SQL; `@name` is an attribute of who asks.
    #[serde(default)]
    pub rows: Option<Condition>,
    /// How the condition goes with those of other rules on the table.
    #[serde(default)]
    pub combine: Combine,
    /// What stands in place of a column's value, by column; the type stays the column's.
    #[serde(default)]
    pub masks: BTreeMap<String, Mask>,
    /// Where it stands.
    #[serde(skip)]
    pub place: Option<Place>,
}

/// Where a rule stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as a path from the home folder.
    pub file: String,
    /// The key path in it, such as `rules[0]`.
    pub key: String,
    /// The lines of its parts, such as `masks.phone`; that of the whole is `""`.
    pub lines: BTreeMap<String, usize>,
}

/// How the conditions of several rules go together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// A row must meet this one.
    #[default]
    All,
    /// A row must meet one of those that are combined so.
    Any,
}

impl Policies {
    /// These policies together with `more`.
    pub fn and(mut self, more: Policies) -> Self {
        self.principals.extend(more.principals);
        self.roles.extend(more.roles);
        self.grants.extend(more.grants);
        self.rules.extend(more.rules);
        self.disclosure.extend(more.disclosure);
        self
    }

    /// The principal called `name`; `local` has all rights unless a file says otherwise.
    ///
    /// # Errors
    /// `unauthenticated` where no file declares it.
    pub fn principal(&self, name: &str) -> Result<Principal, Error> {
        if let Some(entry) = Enforced::new(self.clone()).declared(name) {
            return Ok(entry.principal());
        }
        if name == "local" {
            return Ok(Principal::local());
        }
        Err(Error::new(Code::Unauthenticated, format!("No policy file declares a principal \"{name}\"."))
            .hint("Add it under `principals:` in a file of the policies folder."))
    }
}

impl Rule {
    fn names(&self, dataset: &Dataset, schema: &str, table: &str) -> bool {
        let name = self.table.strip_prefix(dataset.id.as_str()).and_then(|rest| rest.strip_prefix('.'));
        name.is_some_and(|name| enforced::names(dataset, name, schema, table))
    }
}
