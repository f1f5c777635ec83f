//! The columns that a design names, in the tables that have them.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};

use super::{Finding, Severity};
use crate::names::{listing, nearest, quoted};
use crate::path::{CATALOG, listed_name};
use crate::weighted::Parameter;
use crate::{Code, Dataset, Engine, Error, Weights};

/// A table that has all columns of a design.
#[derive(Debug)]
pub(super) struct Columns {
    /// Its name after `dataset.`.
    pub(super) table: String,
    /// Its name for SQL.
    pub(super) sql: String,
    /// The columns of replicate weights.
    pub(super) replicates: Vec<String>,
}

/// Where a design was looked for.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tables: Vec<Columns>,
    /// What cannot be found, or cannot be a weight.
    pub(super) findings: Vec<Finding>,
}

/// A table of the dataset.
struct Candidate {
    table: String,
    schema: SchemaRef,
}

/// Looks for the tables of a design: the one that it names, else all that have its columns.
///
/// # Errors
/// What the source says.
pub(super) async fn find(engine: &Engine, dataset: &Arc<Dataset>, weights: &Weights) -> Result<Found, Error> {
    let entries = engine.inner.catalog.tables(dataset).await?;
    let names: Vec<_> = entries.iter().map(|entry| listed_name(dataset, &entry.schema, &entry.name)).collect();
    let mut found = Found::default();
    if let Some(table) = weights.table.as_ref().filter(|table| !names.iter().any(|name| name == *table)) {
        let message = format!("weights.table: dataset \"{}\" has no table \"{table}\".", dataset.id);
        let finding = Finding::new(Severity::Error, "table_missing", message);
        found.findings.push(near(finding, table, names.iter().map(AsRef::as_ref), "tables"));
        return Ok(found);
    }
    let mut candidates = Vec::new();
    for (entry, name) in entries.iter().zip(&names) {
        if weights.table.as_ref().is_some_and(|table| table != name) {
            continue;
        }
        match engine.inner.catalog.table(dataset, &entry.schema, &entry.name).await {
            Ok(Some(table)) => candidates.push(Candidate { table: name.to_string(), schema: table.schema() }),
            Ok(None) => {}
            Err(error) if weights.table.is_some() => return Err(error),
            Err(error) => {
                let message = format!("The table cannot be read: {error}");
                found.findings.push(Finding::new(Severity::Warning, "table_unreadable", message).of(name));
            }
        }
    }
    choose(dataset, weights, candidates, &mut found)?;
    Ok(found)
}

/// Keeps the candidates that have all columns; where none has, says what the best of them lacks.
fn choose(dataset: &Dataset, weights: &Weights, candidates: Vec<Candidate>, found: &mut Found) -> Result<(), Error> {
    let judged: Vec<_> = candidates.into_iter().map(|table| (faults(weights, &table), table)).collect();
    let has_weight = |table: &Candidate| table.schema.index_of(&weights.weight).is_ok();
    if judged.iter().any(|(faults, _)| faults.is_empty()) {
        for (_, table) in judged.into_iter().filter(|(faults, _)| faults.is_empty()) {
            found.tables.push(table.columns(dataset, weights));
        }
        return Ok(());
    }
    let worst = |(faults, table): &(Vec<Finding>, Candidate)| (!has_weight(table), faults.len());
    match judged.into_iter().min_by_key(worst) {
        Some((faults, table)) => {
            let name = table.table;
            found.findings.extend(faults.into_iter().map(|finding| finding.of(&name)));
            Ok(())
        }
        None if found.findings.is_empty() => {
            Err(Error::new(Code::TableNotFound, format!("Dataset \"{}\" has no tables to weigh.", dataset.id)))
        }
        None => Ok(()),
    }
}

/// What a table lacks of the design.
fn faults(weights: &Weights, table: &Candidate) -> Vec<Finding> {
    let mut faults = Vec::new();
    let known = || table.schema.fields().iter().map(|field| field.name().as_str());
    let mut find = |what: &str, name: &str, is_number: bool| {
        let Ok(field) = table.schema.field_with_name(name) else {
            let message = format!("weights.{what}: the table has no column \"{name}\".");
            let finding = Finding::new(Severity::Error, "column_missing", message);
            faults.push(near(finding, name, known(), "columns"));
            return;
        };
        if is_number && !is_numeric(field.data_type()) {
            let data_type = crate::system::type_name(field.data_type());
            let message = format!("weights.{what}: \"{name}\" must be a number, and is {data_type}.");
            let hint = format!("Cast it in a view of the source, as in CAST({name} AS DOUBLE PRECISION).");
            faults.push(Finding::new(Severity::Error, "column_not_numeric", message).hint(hint));
        }
    };
    find("weight", &weights.weight, true);
    let optional = [
        ("unit", &weights.unit, false),
        ("period", &weights.period, false),
        ("psu", &weights.psu, false),
        ("fpc", &weights.fpc, true),
    ];
    for (what, name, is_number) in optional {
        name.iter().for_each(|name| find(what, name, is_number));
    }
    weights.strata.iter().for_each(|name| find("strata", name, false));
    let names = table.replicates(weights);
    names.iter().for_each(|name| find("replicates", name, true));
    if let Some(declared) = &weights.replicates
        && let Err(error) = declared.scales(names.len())
    {
        faults.push(Finding::new(Severity::Error, "replicates_incomplete", error.message()));
    }
    faults
}

fn is_numeric(data_type: &DataType) -> bool {
    Parameter::WEIGHT.coerce(data_type).is_some()
}

fn near<'a>(finding: Finding, name: &str, known: impl Iterator<Item = &'a str> + Clone, what: &'static str) -> Finding {
    match nearest(name, known.clone()) {
        Some(near) => finding.hint(format!("Did you mean \"{near}\"?")),
        None => finding.hint(format!("Its {what}: {}.", listing(known))),
    }
}

impl Candidate {
    fn replicates(&self, weights: &Weights) -> Vec<String> {
        let names = self.schema.fields().iter().map(|field| field.name().as_str());
        let others = names.filter(|name| *name != weights.weight);
        weights.replicates.as_ref().map(|declared| declared.names(others)).unwrap_or_default()
    }

    fn columns(self, dataset: &Dataset, weights: &Weights) -> Columns {
        let parts = [CATALOG, dataset.id.as_str(), self.table.as_str()];
        let replicates = self.replicates(weights);
        Columns { sql: parts.map(quoted).join("."), table: self.table, replicates }
    }
}
