//! What a principal may do with a dataset, and why: for administrators who wonder.

use super::Condition;
use super::enforced::{Columns, Enforced};
use crate::{Code, Dataset, Engine, Error, Principal};

/// What a principal may do with a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessReport {
    /// Whether it may know that the dataset exists.
    pub is_visible: bool,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// The tables that it may see, with what binds it there.
    pub tables: Vec<TableAccess>,
}

/// What a principal may see of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableAccess {
    /// The table's name after `dataset.`.
    pub table: String,
    /// The columns that it may see; None = all.
    pub columns: Option<Vec<String>>,
    /// What else binds it, one sentence each.
    pub bounds: Vec<String>,
}

impl Engine {
    /// What `principal` may do with the dataset called `id`, and why.
    ///
    /// # Errors
    /// `dataset_not_found`, and what the source says when it is asked for its tables.
    pub async fn access(&self, principal: &Principal, id: &str) -> Result<AccessReport, Error> {
        let inner = &self.present().inner;
        let missing = || Error::new(Code::DatasetNotFound, format!("Dataset \"{id}\" does not exist."));
        let dataset = inner.catalog.dataset(id).ok_or_else(missing)?;
        let policies = &inner.policies;
        let mut report = AccessReport {
            is_visible: policies.sees(principal, &dataset),
            reasons: reasons(policies, principal, &dataset),
            tables: Vec::new(),
        };
        if !report.is_visible {
            return Ok(report);
        }
        for entry in inner.catalog.tables(&dataset).await?.iter() {
            let Some(columns) = policies.sees_table(principal, &dataset, &entry.schema, &entry.name) else { continue };
            let listed = match &columns {
                Columns::All => None,
                Columns::Only(columns) => Some(columns.iter().cloned().collect()),
            };
            report.tables.push(TableAccess {
                table: dataset.listed_name(&entry.schema, &entry.name).into_owned(),
                columns: listed,
                bounds: bounds(policies, principal, &dataset, &entry.schema, &entry.name),
            });
        }
        Ok(report)
    }
}

fn reasons(policies: &Enforced, principal: &Principal, dataset: &Dataset) -> Vec<String> {
    if principal.is_admin() {
        return vec!["It has the role admin, which sees everything.".to_owned()];
    }
    let list = |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut reasons = Vec::new();
    let mut said =
        |what: &str, wanted: &std::collections::BTreeSet<String>, own: &std::collections::BTreeSet<String>| {
            if !wanted.is_empty() {
                let held = list(&(wanted & own));
                reasons.push(match held.is_empty() {
                    true => format!("The dataset is for the {what} {}, and it has none of them.", list(wanted)),
                    false => format!("The dataset is for the {what} {}, and it has {held}.", list(wanted)),
                });
            }
        };
    said("roles", &dataset.access.roles, principal.roles());
    said("projects", &dataset.access.projects, principal.projects());
    reasons.extend(policies.grants_said(principal, dataset));
    if reasons.is_empty() {
        reasons.push("Nothing limits who may see the dataset.".to_owned());
    }
    reasons
}

fn bounds(policies: &Enforced, principal: &Principal, dataset: &Dataset, schema: &str, table: &str) -> Vec<String> {
    let binding = policies.on(principal, dataset, schema, table, Columns::All);
    let mut bounds = Vec::new();
    if let Some(column) = &binding.tenant {
        bounds.push(match principal.tenant() {
            Some(tenant) => format!("rows of its tenant only: {column} = '{tenant}'"),
            None => "no rows: the table is divided by tenant, and it has none".to_owned(),
        });
    }
    for rule in &binding.rules {
        if let Some(rows) = &rule.rows {
            let lacks = lacking(rows, principal);
            let why =
                if lacks.is_empty() { String::new() } else { format!(" (no rows: it lacks @{})", lacks.join(", @")) };
            bounds.push(format!("{}: rows where {}{why}", rule.name, rows.text()));
        }
        for (column, mask) in &rule.masks {
            bounds.push(format!("{}: {column} is {}", rule.name, mask.words()));
        }
    }
    bounds.extend(binding.protection().map(|protection| protection.words()));
    bounds
}

/// The attributes of a condition that a principal lacks.
fn lacking(condition: &Condition, principal: &Principal) -> Vec<String> {
    let names = condition.attributes().into_iter();
    names.filter(|name| super::condition::values_of(principal, name).is_none()).collect()
}
