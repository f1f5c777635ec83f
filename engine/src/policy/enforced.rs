//! Policies as queries look them up: by dataset, with roles that include others.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Combine, Grant, Mask, MaskKind, Policies, PrincipalEntry, Rule, Shapes};
use crate::disclosure::{Disclosure, Protection};
use crate::{ADMIN, Dataset, Principal};

/// What policies say, indexed.
#[derive(Debug, Default)]
pub(crate) struct Enforced {
    principals: HashMap<String, PrincipalEntry>,
    /// The roles that a role has, itself among them.
    roles: HashMap<String, BTreeSet<String>>,
    /// By the dataset that they name.
    rules: HashMap<String, Vec<Arc<Rule>>>,
    disclosure: HashMap<String, Vec<Arc<Disclosure>>>,
    grants: HashMap<String, Vec<Grant>>,
    /// Grants of everything.
    grants_of_all: Vec<Grant>,
    /// What was made of the rules for those who asked.
    pub(crate) shapes: Shapes,
}

/// What of a table a principal may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Columns {
    All,
    Only(BTreeSet<String>),
}

impl Columns {
    /// Whether `column` is among them.
    pub(crate) fn has(&self, column: &str) -> bool {
        match self {
            Columns::All => true,
            Columns::Only(columns) => columns.contains(column),
        }
    }

    fn and(self, more: &BTreeSet<String>) -> Self {
        match self {
            Columns::Only(columns) if !more.is_empty() => Columns::Only(&columns | more),
            _ => Columns::All,
        }
    }
}

/// The rules that bind a principal on a table.
#[derive(Debug, Default)]
pub(crate) struct Binding {
    pub(crate) rules: Vec<Arc<Rule>>,
    /// Its tenant's rows only: by this column.
    pub(crate) tenant: Option<String>,
    /// None = all of them.
    pub(crate) columns: Option<BTreeSet<String>>,
    /// What answers may say of few people.
    pub(crate) protection: Option<Protection>,
}

impl Binding {
    /// Whether the principal sees the table as it is.
    pub(crate) fn is_free(&self) -> bool {
        self.rules.is_empty() && self.tenant.is_none() && self.columns.is_none() && self.protection.is_none()
    }

    /// What answers may say, with the column by which people can be told apart: one whose mask keeps them apart.
    pub(crate) fn protection(&self) -> Option<Protection> {
        let mut protection = self.protection.clone()?;
        let keeps_apart = |column: &String| {
            let mut masks = self.rules.iter().rev().filter_map(|rule| rule.masks.get(column));
            let is_seen = self.columns.as_ref().is_none_or(|columns| columns.contains(column));
            is_seen && masks.next().is_none_or(|mask| matches!(mask, Mask::Kind(MaskKind::Hash(true))))
        };
        protection.key = protection.key.filter(keeps_apart);
        Some(protection)
    }

    /// The rules of which all hold, and those of which one holds.
    pub(crate) fn rows(&self) -> (Vec<&Rule>, Vec<&Rule>) {
        let with_rows = self.rules.iter().map(Arc::as_ref).filter(|rule| rule.rows.is_some());
        with_rows.partition(|rule| rule.combine == Combine::All)
    }
}

impl Enforced {
    pub(crate) fn new(policies: Policies) -> Self {
        let Policies { principals, roles, grants, rules, disclosure } = policies;
        let mut enforced = Self::default();
        for role in &roles {
            let mut has = BTreeSet::from([role.name.clone()]);
            // Until nothing is added: roles may include each other in a ring.
            loop {
                let before = has.len();
                for other in &roles {
                    if has.contains(&other.name) {
                        has.extend(other.includes.iter().cloned());
                    }
                }
                if has.len() == before {
                    break;
                }
            }
            enforced.roles.insert(role.name.clone(), has);
        }
        enforced.principals = principals.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        for rule in rules {
            enforced.rules.entry(dataset_of(&rule.table).to_owned()).or_default().push(Arc::new(rule));
        }
        for rule in disclosure.into_iter().map(Arc::new) {
            let datasets: BTreeSet<&str> = rule.on.iter().map(|on| dataset_of(on)).collect();
            for dataset in datasets {
                enforced.disclosure.entry(dataset.to_owned()).or_default().push(Arc::clone(&rule));
            }
        }
        for grant in grants {
            if grant.on.iter().any(|on| on == EVERYTHING) {
                enforced.grants_of_all.push(grant.clone());
            }
            let datasets: BTreeSet<&str> =
                grant.on.iter().filter(|on| *on != EVERYTHING).map(|on| dataset_of(on)).collect();
            for dataset in datasets {
                enforced.grants.entry(dataset.to_owned()).or_default().push(grant.clone());
            }
        }
        enforced
    }

    /// The principal called `name`, as a file declares it, with all its roles.
    pub(crate) fn declared(&self, name: &str) -> Option<PrincipalEntry> {
        let mut entry = self.principals.get(name)?.clone();
        entry.roles = self.with_included(entry.roles);
        Some(entry)
    }

    /// The principal whose certificate has one of `names`.
    pub(crate) fn certified(&self, names: &[String]) -> Option<PrincipalEntry> {
        let has_name = |entry: &&PrincipalEntry| entry.certificate.as_ref().is_some_and(|name| names.contains(name));
        self.declared(&self.principals.values().find(has_name)?.name)
    }

    /// `roles`, and those that they include.
    pub(crate) fn with_included(&self, roles: BTreeSet<String>) -> BTreeSet<String> {
        let included = |role: String| self.roles.get(&role).cloned().unwrap_or_else(|| BTreeSet::from([role]));
        roles.into_iter().flat_map(included).collect()
    }

    /// Whether `principal` may know that a dataset exists.
    pub(crate) fn sees(&self, principal: &Principal, dataset: &Dataset) -> bool {
        principal.is_admin()
            || ((is_listed(principal, &dataset.access.roles, principal.roles())
                || has_default_role(principal, dataset))
                && is_listed(principal, &dataset.access.projects, principal.projects())
                && self.is_granted(principal, dataset))
    }

    /// Whether `principal` may see every table and column of a visible dataset.
    pub(crate) fn sees_all(&self, principal: &Principal, dataset: &Dataset) -> bool {
        let is_of_all =
            |grant: &Grant| grant.columns.is_empty() && grant.on.iter().any(|on| on == EVERYTHING || *on == dataset.id);
        principal.is_admin() || !self.has_grants_on(dataset) || self.held(principal, dataset).any(is_of_all)
    }

    /// What of a table of a visible dataset `principal` may see. None = not even that it exists.
    pub(crate) fn sees_table(
        &self,
        principal: &Principal,
        dataset: &Dataset,
        schema: &str,
        table: &str,
    ) -> Option<Columns> {
        if principal.is_admin() || !self.has_grants_on(dataset) {
            return Some(Columns::All);
        }
        let held = self.held(principal, dataset).filter(|grant| grant.has(dataset, schema, table));
        held.fold(None, |seen, grant| {
            Some(match seen {
                None if grant.columns.is_empty() => Columns::All,
                None => Columns::Only(grant.columns.clone()),
                Some(columns) => columns.and(&grant.columns),
            })
        })
    }

    /// What binds `principal` on a table of `dataset` of which it sees `columns`.
    pub(crate) fn on(
        &self,
        principal: &Principal,
        dataset: &Dataset,
        schema: &str,
        table: &str,
        columns: Columns,
    ) -> Binding {
        let is_shared =
            |tenancy: &&crate::Tenancy| tenancy.shared.iter().any(|shared| names(dataset, shared, schema, table));
        let tenancy = dataset.tenancy.as_ref().filter(|tenancy| !is_shared(tenancy));
        // Who has all rights has those of all tenants, unless it is of one.
        let tenant = tenancy.filter(|_| principal.tenant().is_some() || !principal.is_admin());
        let rules = match principal.is_admin() {
            true => Vec::new(),
            false => self.binding(principal, dataset, schema, table),
        };
        let columns = match columns {
            Columns::All => None,
            Columns::Only(columns) => Some(columns),
        };
        let protection = match principal.is_admin() {
            true => None,
            false => self.protection(principal, dataset, schema, table),
        };
        Binding { rules, tenant: tenant.map(|tenancy| tenancy.column.clone()), columns, protection }
    }

    fn binding(&self, principal: &Principal, dataset: &Dataset, schema: &str, table: &str) -> Vec<Arc<Rule>> {
        let rules = self.rules.get(&dataset.id).into_iter().flatten();
        rules
            .filter(|rule| rule.names(dataset, schema, table))
            .filter(|rule| rule.roles.is_empty() || !rule.roles.is_disjoint(principal.roles()))
            .filter(|rule| rule.except.is_disjoint(principal.roles()))
            .cloned()
            .collect()
    }

    fn protection(&self, principal: &Principal, dataset: &Dataset, schema: &str, table: &str) -> Option<Protection> {
        let of_all = self.disclosure.get(EVERYTHING).into_iter().flatten();
        let rules = self.disclosure.get(&dataset.id).into_iter().flatten().chain(of_all);
        let rules: Vec<Arc<Disclosure>> = rules
            .filter(|rule| is_on(&rule.on, dataset, schema, table))
            .filter(|rule| rule.roles.is_empty() || !rule.roles.is_disjoint(principal.roles()))
            .filter(|rule| rule.except.is_disjoint(principal.roles()))
            .cloned()
            .collect();
        Protection::of(&rules, dataset, &dataset.listed_name(schema, table))
    }

    /// What grants say of a dataset and `principal`, for who asks why.
    pub(super) fn grants_said(&self, principal: &Principal, dataset: &Dataset) -> Vec<String> {
        if !self.has_grants_on(dataset) {
            let is_hidden = !self.grants.is_empty() && dataset.access.roles.is_empty();
            return Vec::from_iter(is_hidden.then(|| "No grant names the dataset, and there are grants.".to_owned()));
        }
        let held = self.held(principal, dataset).map(|grant| {
            let columns = match grant.columns.is_empty() {
                true => String::new(),
                false => format!(", columns {}", Vec::from_iter(grant.columns.iter().cloned()).join(", ")),
            };
            format!("It is granted {}{columns}.", grant.on.join(", "))
        });
        let mut said: Vec<String> = held.collect();
        if said.is_empty() {
            said.push("Others are granted the dataset, and it is not.".to_owned());
        }
        said
    }

    fn has_grants_on(&self, dataset: &Dataset) -> bool {
        !self.grants_of_all.is_empty() || self.grants.contains_key(&dataset.id)
    }

    /// Once there are grants, what nobody granted nobody sees, but for datasets that list their own roles.
    fn is_granted(&self, principal: &Principal, dataset: &Dataset) -> bool {
        if !self.has_grants_on(dataset) {
            return self.grants.is_empty() || !dataset.access.roles.is_empty();
        }
        self.held(principal, dataset).next().is_some()
    }

    /// The grants on `dataset`, or on some of its tables, that `principal` holds.
    fn held<'a>(&'a self, principal: &'a Principal, dataset: &Dataset) -> impl Iterator<Item = &'a Grant> {
        let own = self.grants.get(&dataset.id).into_iter().flatten();
        own.chain(&self.grants_of_all).filter(|grant| {
            is_listed(principal, &grant.roles, principal.roles())
                && is_listed(principal, &grant.projects, principal.projects())
        })
    }
}

/// What a grant of everything is on.
pub(super) const EVERYTHING: &str = "*";

/// Whether one of `own` is listed; an empty list is of everybody.
fn is_listed(principal: &Principal, listed: &BTreeSet<String>, own: &BTreeSet<String>) -> bool {
    listed.is_empty() || !listed.is_disjoint(own) || principal.roles().contains(ADMIN)
}

/// Who has no role at all has the one that the dataset gives to such.
fn has_default_role(principal: &Principal, dataset: &Dataset) -> bool {
    let default = dataset.access.default_role.as_ref();
    principal.roles().is_empty() && default.is_some_and(|role| dataset.access.roles.contains(role))
}

fn dataset_of(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// Whether `name`, after the name of the dataset, is that of a table.
pub(super) fn names(dataset: &Dataset, name: &str, schema: &str, table: &str) -> bool {
    let is_default = dataset.schemas.first().is_none_or(|first| first == schema);
    (is_default && name == table)
        || name.strip_prefix(schema).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| rest == table)
}

impl Grant {
    /// Whether it is on this table, or on all of its dataset.
    fn has(&self, dataset: &Dataset, schema: &str, table: &str) -> bool {
        is_on(&self.on, dataset, schema, table)
    }
}

/// Whether a list of datasets and tables has this table.
fn is_on(list: &[String], dataset: &Dataset, schema: &str, table: &str) -> bool {
    list.iter().any(|on| {
        on == EVERYTHING
            || match on.strip_prefix(dataset.id.as_str()) {
                Some("") => true,
                Some(rest) => rest.strip_prefix('.').is_some_and(|name| names(dataset, name, schema, table)),
                None => false,
            }
    })
}
