//! What is different between two answers to one question.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AnswerDigest, Receipt, SourceRead};

/// One thing that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is.
    pub what: String,
    /// As it was.
    pub before: String,
    /// As it is.
    pub now: String,
}

impl Change {
    /// A change, if the two are not the same.
    pub fn of(what: impl Into<String>, before: impl ToString, now: impl ToString) -> Option<Self> {
        let (before, now) = (before.to_string(), now.to_string());
        (before != now).then(|| Self { what: what.into(), before, now })
    }
}

impl Receipt {
    /// What is different in `now`, the receipt of the same question asked again: first the answer, then what may be the reason.
    pub fn changes(&self, now: &Receipt) -> Vec<Change> {
        let mut changes = answers(self.answer.as_ref(), now.answer.as_ref());
        changes.extend(versions(&self.reads, &now.reads));
        let lists = [("weights", &self.weights, &now.weights), ("notices", &self.notices, &now.notices)];
        changes.extend(lists.into_iter().filter_map(|(what, before, now)| Change::of(what, list(before), list(now))));
        let bases = |receipt: &Receipt| list(&receipt.bases);
        changes.extend(Change::of("unweighted base", bases(self), bases(now)));
        changes
    }
}

fn list(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn answers(before: Option<&AnswerDigest>, now: Option<&AnswerDigest>) -> Vec<Change> {
    let (Some(before), Some(now)) = (before, now) else {
        let said = |answer: Option<&AnswerDigest>| answer.map_or("not looked at", |_| "looked at");
        return Change::of("answer", said(before), said(now)).into_iter().collect();
    };
    let shape = |answer: &AnswerDigest| {
        let columns = answer.columns.iter().map(|column| format!("{} {}", column.name, column.data_type));
        columns.collect::<Vec<_>>().join(", ")
    };
    let mut changes: Vec<Change> = Change::of("columns", shape(before), shape(now)).into_iter().collect();
    let has_same_columns = changes.is_empty();
    changes.extend(Change::of("rows", before.rows, now.rows));
    if has_same_columns {
        let values =
            before.columns.iter().zip(&now.columns).filter_map(|(one, other)| {
                Change::of(format!("values of \"{}\"", one.name), &one.digest, &other.digest)
            });
        changes.extend(values);
    }
    if changes.is_empty() {
        changes.extend(Change::of("which values are in one row", &before.digest, &now.digest));
    }
    changes
}

fn versions(before: &[SourceRead], now: &[SourceRead]) -> Vec<Change> {
    let by_source = |reads: &[SourceRead]| {
        let mut versions: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for read in reads {
            let key = (read.source.clone(), read.table.clone().unwrap_or_default());
            let version = read.version.clone().unwrap_or_else(|| "without versions".to_owned());
            versions.entry(key).or_default().push(version);
        }
        versions
    };
    let (before, now) = (by_source(before), by_source(now));
    let keys = before.keys().chain(now.keys().filter(|key| !before.contains_key(*key)));
    let of = |versions: Option<&Vec<String>>| versions.map_or("not read".to_owned(), |versions| list(versions));
    let change = |key: &(String, String)| {
        let what = format!("version of {} {}", key.0, key.1);
        Change::of(what.trim_end(), of(before.get(key)), of(now.get(key)))
    };
    keys.filter_map(change).collect()
}
