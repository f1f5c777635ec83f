//! The tables of each dataset as listings and queries last met them, so that a refresh can tell what has changed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use engine::TableEntry;

/// A schema and a table in it.
pub(super) type Name = (String, String);

/// What was last seen of all datasets, by id.
#[derive(Debug, Default)]
pub(super) struct Seen {
    datasets: Mutex<HashMap<String, Tables>>,
}

/// What was last seen of one dataset.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    /// Every table; None = nobody has listed them.
    pub(super) listed: Option<BTreeSet<Name>>,
    /// Columns of the tables that somebody has opened.
    pub(super) columns: HashMap<Name, SchemaRef>,
}

impl Tables {
    /// The tables that `now` has no more. Of a table that was opened and never listed only the name counts: it may answer to
    /// another schema than the one that it is listed under.
    pub(super) fn missing_from<'a>(&'a self, now: &'a Tables) -> impl Iterator<Item = &'a Name> {
        let names: HashSet<&str> = now.listed.iter().flatten().map(|(_, table)| table.as_str()).collect();
        let opened = self.columns.keys().filter(|_| self.listed.is_none());
        let opened = opened.filter(move |(_, table)| !names.contains(table.as_str()));
        let listed = self.listed.iter().flatten();
        listed.filter(|name| now.listed.as_ref().is_none_or(|now| !now.contains(*name))).chain(opened)
    }
}

impl Seen {
    pub(super) fn of(&self, dataset: &str) -> Tables {
        self.datasets().get(dataset).cloned().unwrap_or_default()
    }

    pub(super) fn put(&self, dataset: &str, tables: Tables) {
        self.datasets().insert(dataset.to_owned(), tables);
    }

    pub(super) fn listed(&self, dataset: &str, entries: &[TableEntry]) {
        let names = entries.iter().map(|entry| (entry.schema.clone(), entry.name.clone())).collect();
        self.datasets().entry(dataset.to_owned()).or_default().listed = Some(names);
    }

    pub(super) fn opened(&self, dataset: &str, schema: &str, table: &str, columns: SchemaRef) {
        let mut datasets = self.datasets();
        let tables = datasets.entry(dataset.to_owned()).or_default();
        tables.columns.insert((schema.to_owned(), table.to_owned()), columns);
    }

    fn datasets(&self) -> MutexGuard<'_, HashMap<String, Tables>> {
        self.datasets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
