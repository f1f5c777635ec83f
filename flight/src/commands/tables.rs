//! `CommandGetTables`: the tables of the datasets, with the schemas of their columns when asked.
//!
//! Only sources that a filter leaves are asked, and columns are read only of the tables that are left: drivers send this
//! command with a single name before many a query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::CommandGetTables;
use arrow_flight::sql::metadata::GetTablesBuilder;
use engine::Error;

use super::schemas::is_the_catalog;
use crate::Door;
use crate::call::Call;
use crate::encode::schema_bytes;
use crate::listing::{self, CATALOG, TableName};
use crate::pattern::{Pattern, lets_through};
use crate::sql_type::with_column_metadata;

pub(super) fn schema(command: &CommandGetTables) -> SchemaRef {
    let nothing = None::<String>;
    GetTablesBuilder::new(nothing.clone(), nothing.clone(), nothing, Vec::<String>::new(), command.include_schema)
        .schema()
}

pub(super) async fn rows(door: &Door, call: &Call, command: CommandGetTables) -> Result<RecordBatch, Error> {
    let schema = schema(&command);
    let include_schema = command.include_schema;
    let mut tables = matching(door, call, command).await?;
    let mut columns = Vec::new();
    if include_schema {
        let schemas = schemas(door, call, &tables).await?;
        tables.retain(|(table, _)| schemas.contains_key(table));
        let values = tables.iter().filter_map(|(table, _)| schemas.get(table));
        columns.push(Arc::new(BinaryArray::from_iter_values(values)) as ArrayRef);
    }
    let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    let mut all = vec![
        texts(tables.iter().map(|_| CATALOG).collect()),
        texts(tables.iter().map(|((dataset, _), _)| dataset.as_str()).collect()),
        texts(tables.iter().map(|((_, table), _)| table.as_str()).collect()),
        texts(tables.iter().map(|(_, kind)| kind.as_str()).collect()),
    ];
    all.append(&mut columns);
    Ok(RecordBatch::try_new(schema, all)?)
}

/// The tables that the command's filters leave, with their types, in the order of the answer.
async fn matching(door: &Door, call: &Call, command: CommandGetTables) -> Result<Vec<(TableName, String)>, Error> {
    let dataset_pattern = command.db_schema_filter_pattern.map(Pattern::new);
    let table_pattern = command.table_name_filter_pattern.map(Pattern::new);
    let kinds: Vec<String> = command.table_types.iter().map(|kind| kind_of(kind)).collect();
    if !is_the_catalog(command.catalog.as_deref()) {
        return Ok(Vec::new());
    }
    let datasets = listing::datasets(door, call).await?;
    let datasets: Vec<String> =
        datasets.into_iter().filter(|dataset| lets_through(dataset_pattern.as_ref(), dataset)).collect();
    if datasets.is_empty() {
        return Ok(Vec::new());
    }
    let mut tables = listing::tables(door, call, &datasets).await?;
    tables.retain(|((dataset, table), kind)| {
        datasets.contains(dataset)
            && lets_through(table_pattern.as_ref(), table)
            && (kinds.is_empty() || kinds.contains(kind))
    });
    let default = call.defaults.dataset.as_deref();
    tables.sort_by(|(a, _), (b, _)| {
        rank(a, table_pattern.as_ref(), default).cmp(&rank(b, table_pattern.as_ref(), default)).then_with(|| a.cmp(b))
    });
    Ok(tables)
}

/// Where a table stands when a name was asked for: clients that know no catalog take the first row. The exact name goes
/// before what only matches it as a pattern, and the default dataset before the others.
fn rank((dataset, table): &TableName, pattern: Option<&Pattern>, default: Option<&str>) -> (bool, bool) {
    match pattern {
        Some(pattern) => (!pattern.names(table), default != Some(dataset.as_str())),
        None => (false, false),
    }
}

/// The type that a client means: JDBC and Grafana ask for `BASE TABLE` and `table`.
fn kind_of(asked: &str) -> String {
    let kind = asked.to_ascii_uppercase();
    if kind == "BASE TABLE" { "TABLE".to_owned() } else { kind }
}

/// The schemas of tables as bytes. A table that cannot be read now has none.
async fn schemas(
    door: &Door,
    call: &Call,
    tables: &[(TableName, String)],
) -> Result<BTreeMap<TableName, bytes::Bytes>, Error> {
    let names: BTreeSet<TableName> = tables.iter().map(|(table, _)| table.clone()).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    listing::schemas(door, call, &names)
        .await?
        .into_iter()
        .map(|(table, schema)| {
            let bytes = schema_bytes(&with_column_metadata(&schema, &table))?;
            Ok((table, bytes))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_name_goes_first_and_the_default_dataset_second() {
        let pattern = Pattern::new("my_table");
        let mut names: Vec<TableName> = [("a", "myxtable"), ("a", "my_table"), ("b", "my_table"), ("b", "myxtable")]
            .map(|(dataset, table)| (dataset.to_owned(), table.to_owned()))
            .into();
        names.sort_by_key(|name| rank(name, Some(&pattern), Some("b")));
        let order: Vec<(&str, &str)> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(order, [("b", "my_table"), ("a", "my_table"), ("b", "myxtable"), ("a", "myxtable")]);
    }

    #[test]
    fn base_table_is_a_table_in_any_case() {
        assert_eq!(["BASE TABLE", "base table", "table", "View"].map(kind_of), ["TABLE", "TABLE", "TABLE", "VIEW"]);
    }
}
