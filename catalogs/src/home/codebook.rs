//! What the codes of a dataset's columns mean, from its file and from a CSV file that it names.
//!
//! What contradicts itself is a problem of the home. Whether columns and codes are there is known when a table is opened.

mod file;
mod stata;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use engine::names::nearest;
use engine::{Codebook, Coding};

use super::dataset_file::{ColumnSection, DatasetFile};
use super::folder::Reader;
use super::interpolate::join;
use super::problem::Fault;
use super::resolve::listed_tables;

/// A table and a column of it.
type Name = (String, String);

/// What is said of a column, and where.
struct Said {
    file: String,
    key: String,
    coding: Coding,
}

/// The codebook of a dataset, with what is wrong in it reported.
pub(super) fn codebook(reader: &mut Reader<'_>, file: &str, typed: &DatasetFile) -> Codebook {
    let tables = listed_tables(typed);
    let mut said: BTreeMap<Name, Said> = BTreeMap::new();
    if let Some(path) = &typed.codebook {
        for (name, coding) in in_file(reader, path, &tables) {
            let key = format!("{}.{}", name.0, name.1);
            said.insert(name, Said { file: path.clone(), key, coding });
        }
    }
    let mut declared = BTreeSet::new();
    for (name, key, section) in sections(reader, file, typed, &tables) {
        if !declared.insert(name.clone()) {
            let text = format!("this file has a section on column \"{}\" of table \"{}\" already", name.1, name.0);
            reader.problems.add(file, key, Fault::Rejected(text));
            continue;
        }
        let known = said.remove(&name).map(|said| said.coding).unwrap_or_default();
        said.insert(name, Said { file: file.to_owned(), key, coding: section.coding(known) });
    }
    let mut codebook = Codebook::new();
    for ((table, column), Said { file, key, coding }) in said {
        if let Some(fault) = unknown_table(&table, &tables) {
            reader.problems.add(&file, key.as_str(), fault);
        }
        for (part, fault) in faults(&coding) {
            reader.problems.add(&file, join(&key, &part), Fault::Rejected(fault));
        }
        codebook.entry(table).or_default().insert(column, coding);
    }
    codebook
}

/// What the file at `path` says, by its kind.
fn in_file(reader: &mut Reader<'_>, path: &str, tables: &[&str]) -> BTreeMap<Name, Coding> {
    let is_stata = Path::new(path).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("dta"));
    if !is_stata {
        return file::read(reader, path, tables);
    }
    let [table] = tables else {
        let text = "a Stata file is of one table: name that in `tables`, or write a codebook as CSV".to_owned();
        reader.problems.add(path, "", Fault::Rejected(text));
        return BTreeMap::new();
    };
    match stata::read(&reader.root.join(path)) {
        Ok(columns) => columns.into_iter().map(|(column, coding)| (((*table).to_owned(), column), coding)).collect(),
        Err(error) => {
            reader.problems.add(path, "", Fault::Unreadable(error.to_string()));
            BTreeMap::new()
        }
    }
}

/// The sections of a dataset file, with their key paths.
fn sections(
    reader: &mut Reader<'_>,
    file: &str,
    typed: &DatasetFile,
    tables: &[&str],
) -> Vec<(Name, String, ColumnSection)> {
    let mut found = Vec::new();
    for (place, section) in &typed.columns {
        let key = join("columns", place);
        let name = place.rsplit_once('.').or(match tables {
            [only] => Some((*only, place.as_str())),
            _ => None,
        });
        match name {
            Some((table, column)) => found.push(((table.to_owned(), column.to_owned()), key, section.clone())),
            None => {
                let text = format!("this does not say of which table: write table.{place}");
                reader.problems.add(file, key, Fault::Rejected(text));
            }
        }
    }
    for (at, table) in typed.tables.iter().enumerate() {
        for (column, section) in &table.columns {
            let key = join(&format!("tables[{at}].columns"), column);
            found.push(((table.name.clone(), column.clone()), key, section.clone()));
        }
    }
    found
}

fn unknown_table(table: &str, tables: &[&str]) -> Option<Fault> {
    if tables.is_empty() || tables.contains(&table) {
        return None;
    }
    let near = nearest(table, tables.iter().copied()).map(str::to_owned);
    Some(Fault::Unknown { what: "table", name: table.to_owned(), near })
}

/// What a column's codes cannot mean at once, with the part that says it.
fn faults(coding: &Coding) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, codes) in &coding.merge {
        if codes.is_empty() {
            faults.push((join("merge", name), "no code becomes this category: name at least one".to_owned()));
        }
        for code in codes {
            match places.insert(code, name) {
                Some(other) if other == name => faults.push((join("merge", name), twice(code))),
                Some(other) => {
                    let text = format!("code \"{code}\" is merged into \"{other}\" too: keep one");
                    faults.push((join("merge", name), text));
                }
                None => {}
            }
        }
    }
    for code in repeated(&coding.missing) {
        faults.push(("missing".to_owned(), twice(code)));
    }
    for code in coding.missing.iter().filter(|code| places.contains_key(code.as_str())) {
        let text = format!("code \"{code}\" is merged into \"{}\" too: keep one", places[code.as_str()]);
        faults.push(("missing".to_owned(), text));
    }
    for value in repeated(&coding.order) {
        faults.push(("order".to_owned(), twice(value)));
    }
    for value in coding.order.iter().filter(|value| coding.is_gone(value)) {
        let text = match places.get(value.as_str()) {
            Some(name) => format!("no row has \"{value}\", which is merged into \"{name}\": write \"{name}\""),
            None => format!("no row has \"{value}\", which stands for no answer: leave it out"),
        };
        faults.push(("order".to_owned(), text));
    }
    faults
}

fn twice(value: &str) -> String {
    format!("\"{value}\" stands here twice")
}

fn repeated(values: &[String]) -> impl Iterator<Item = &String> {
    values.iter().enumerate().filter(|(at, value)| values[..*at].contains(value)).map(|(_, value)| value)
}
