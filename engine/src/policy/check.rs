//! Holds policies against the tables that they name, before somebody asks.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, Result as DfResult, TableReference, plan_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::{Disclosure, Grant, Place, Policies, Rule};
use crate::names::nearest;
use crate::{Catalog, Dataset, Engine, TableProviderRef, codes};

/// A rule that does not fit its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The name of the rule.
    pub rule: String,
    /// Where the rule stands, where it came from a file.
    pub place: Option<Place>,
    /// The part of it that does not fit, such as `rows` or `masks.phone`.
    pub part: String,
    /// What is wrong.
    pub message: String,
    /// Whether the table could not be looked at, so that nothing is known.
    pub is_unknown: bool,
}

impl Engine {
    /// The rules of `policies` that do not fit the tables of `catalog`. A table under such a rule stays closed to everybody
    /// whom the rule binds.
    pub async fn misfits(&self, catalog: &dyn Catalog, policies: &Policies) -> Vec<Misfit> {
        let state = self.present().inner.sessions.open();
        let mut found = Vec::new();
        for rule in &policies.rules {
            let misfit = |part: &str, message: String, is_unknown: bool| Misfit {
                rule: rule.name.clone(),
                place: rule.place.clone(),
                part: part.to_owned(),
                message,
                is_unknown,
            };
            match table(catalog, &rule.table).await {
                Ok(Some(table)) => {
                    let wrong = parts(rule, &table, &state);
                    found.extend(wrong.into_iter().map(|(part, message)| misfit(&part, message, false)));
                }
                Ok(None) => found.push(misfit("table", format!("there is no table \"{}\"", rule.table), false)),
                Err(message) => found.push(misfit("table", message, true)),
            }
        }
        for grant in &policies.grants {
            found.extend(columns(catalog, grant).await);
        }
        for rule in &policies.disclosure {
            found.extend(self::people(catalog, rule).await);
        }
        found
    }
}

/// The columns of a grant that its tables do not have.
async fn columns(catalog: &dyn Catalog, grant: &Grant) -> Vec<Misfit> {
    let mut found = Vec::new();
    let names_columns = !grant.columns.is_empty();
    for name in grant.on.iter().filter(|on| names_columns && on.contains('.')) {
        let misfit = |part: &str, message: String, is_unknown: bool| Misfit {
            rule: "grant".to_owned(),
            place: grant.place.clone(),
            part: part.to_owned(),
            message,
            is_unknown,
        };
        match table(catalog, name).await {
            Ok(Some(table)) => {
                let wrong = grant.columns.iter().filter_map(|column| lacks(&table, name, column));
                found.extend(wrong.map(|message| misfit("columns", message, false)));
            }
            Ok(None) => found.push(misfit("on", format!("there is no table \"{name}\""), false)),
            Err(message) => found.push(misfit("on", message, true)),
        }
    }
    found
}

/// That a table has no such column, in words.
fn lacks(table: &TableProviderRef, name: &str, column: &str) -> Option<String> {
    let schema = table.schema();
    if schema.field_with_name(column).is_ok() {
        return None;
    }
    let near = nearest(column, schema.fields().iter().map(|field| field.name().as_str()));
    let near = near.map(|near| format!(" (did you mean \"{near}\"?)")).unwrap_or_default();
    Some(format!("{name} has no column \"{column}\"{near}"))
}

/// What of a rule on answers does not fit the tables that it names. Of whole datasets, tables may lack the column of people.
async fn people(catalog: &dyn Catalog, rule: &Disclosure) -> Vec<Misfit> {
    let mut found = Vec::new();
    for name in rule.on.iter().filter(|on| on.contains('.')) {
        let misfit = |part: &str, message: String, is_unknown: bool| Misfit {
            rule: rule.name.clone(),
            place: rule.place.clone(),
            part: part.to_owned(),
            message,
            is_unknown,
        };
        let table = match table(catalog, name).await {
            Ok(Some(table)) => table,
            Ok(None) => {
                found.push(misfit("on", format!("there is no table \"{name}\""), false));
                continue;
            }
            Err(message) => {
                found.push(misfit("on", message, true));
                continue;
            }
        };
        let columns = rule.people.iter().map(|column| ("people", column));
        let sensitive = rule.sensitive.iter().flatten().map(|column| ("sensitive", column));
        for (part, column) in columns.chain(sensitive) {
            found.extend(lacks(&table, name, column).map(|message| misfit(part, message, false)));
        }
    }
    found
}

/// The table that a rule names, as policies see it: with its codes' meaning.
async fn table(catalog: &dyn Catalog, named: &str) -> Result<Option<TableProviderRef>, String> {
    let Some((id, name)) = named.split_once('.') else { return Ok(None) };
    let Some(dataset) = catalog.dataset(id) else { return Ok(None) };
    let (schema, table) = schema_and_table(&dataset, name);
    let found = catalog.table(&dataset, schema, table).await.map_err(|error| error.message().to_owned())?;
    let listed = dataset.listed_name(schema, table);
    found.map(|found| codes::coded(&dataset, &listed, &found)).transpose().map_err(|error| error.message().to_owned())
}

fn schema_and_table<'a>(dataset: &'a Dataset, name: &'a str) -> (&'a str, &'a str) {
    let default = dataset.schemas.first().map_or("public", String::as_str);
    match name.split_once('.') {
        Some((schema, table)) if schema == default || dataset.schemas.iter().any(|own| own == schema) => {
            (schema, table)
        }
        _ => (default, name),
    }
}

/// What of a rule does not fit a table: the part, and why.
fn parts(rule: &Rule, table: &TableProviderRef, state: &SessionState) -> Vec<(String, String)> {
    let schema = match DFSchema::try_from_qualified_schema(TableReference::bare("t"), &table.schema()) {
        Ok(schema) => Arc::new(schema),
        Err(error) => return vec![("table".to_owned(), error.strip_backtrace())],
    };
    let mut wrong = Vec::new();
    let rows = rule.rows.as_ref().map(|rows| rows.check(&schema, state).and_then(|rows| is_condition(&rows, &schema)));
    if let Some(Err(error)) = rows {
        wrong.push(("rows".to_owned(), error.strip_backtrace()));
    }
    for (name, mask) in &rule.masks {
        let fits = match schema.qualified_field_with_unqualified_name(name) {
            Ok((qualifier, field)) => {
                mask.check(&Expr::Column(Column::new(qualifier.cloned(), field.name())), &schema, state)
            }
            Err(_) => {
                let near = nearest(name, schema.fields().iter().map(|field| field.name().as_str()));
                let near = near.map(|near| format!(" (did you mean \"{near}\"?)")).unwrap_or_default();
                plan_err!("the table has no column \"{name}\"{near}")
            }
        };
        if let Err(error) = fits {
            wrong.push((format!("masks.{name}"), error.strip_backtrace()));
        }
    }
    wrong
}

/// Whether an expression is true or false of each row.
fn is_condition(rows: &Expr, schema: &DFSchema) -> DfResult<()> {
    match rows.get_type(schema)? {
        DataType::Boolean => Ok(()),
        other => plan_err!("a condition is true or false, and this is {}", crate::system::type_name(&other)),
    }
}
