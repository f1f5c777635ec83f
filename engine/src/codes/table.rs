//! A table as its codebook has it: a projection over its scan, so that what is asked of other columns still goes to the source.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection};
use serde_json::{Map, Value};

use super::recode::Recode;
use super::{Coding, Meaning};
use crate::names::{listing, nearest};
use crate::path::CATALOG;
use crate::system::type_name;
use crate::{Code, Dataset, Error, TableProviderRef};

/// `provider`, which is called `table` after `dataset.`, as the dataset's codebook has it.
///
/// # Errors
/// `schema_changed` where the codebook names a column or a code that the table cannot have.
pub(crate) fn coded(dataset: &Dataset, table: &str, provider: &TableProviderRef) -> Result<TableProviderRef, Error> {
    let Some(codings) = dataset.codebook.get(table) else { return Ok(Arc::clone(provider)) };
    let name = TableReference::full(CATALOG, dataset.id.as_str(), table);
    let builder = LogicalPlanBuilder::scan(name, provider_as_source(Arc::clone(provider)), None)?;
    let schema = Arc::clone(builder.schema());
    if let Some(stray) = codings.keys().find(|column| !schema.has_column_with_unqualified_name(column)) {
        return Err(no_column(dataset, table, stray, &schema));
    }
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match codings.get(field.name()) {
            None => Ok(column.alias(field.name())),
            Some(coding) => recoded(column, field, coding).map_err(|code| no_code(dataset, table, field, code)),
        }
    });
    let columns = columns.collect::<Result<Vec<Expr>, Error>>()?;
    Ok(Arc::new(ViewTable::new(builder.project(columns)?.build()?, None)))
}

/// Whether a plan is a table whose columns are recoded, and nothing that a query makes of it.
pub(crate) fn is_coded(projection: &Projection) -> bool {
    matches!(projection.input.as_ref(), LogicalPlan::TableScan(_))
        && projection.expr.iter().any(|column| Recode::in_call(column).is_some())
}

/// The column as `coding` has it.
///
/// # Errors
/// The code that no value of the column is.
fn recoded<'a>(column: Expr, field: &Field, coding: &'a Coding) -> Result<Expr, &'a str> {
    let metadata = FieldMetadata::from(meaning(coding, field.data_type()).metadata());
    let column = match Recode::of(coding, field.data_type())? {
        Some(recode) => recode.call(column),
        None => column,
    };
    Ok(column.alias_with_metadata(field.name(), Some(metadata)))
}

fn no_column(dataset: &Dataset, table: &str, column: &str, schema: &DFSchema) -> Error {
    let id = &dataset.id;
    let message =
        format!("The codebook of dataset \"{id}\" names column \"{column}\", which table \"{table}\" does not have.");
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    Error::new(Code::SchemaChanged, message).hint(match nearest(column, names()) {
        Some(near) => format!("Did you mean \"{near}\"?"),
        None => format!("Its columns: {}.", listing(names())),
    })
}

fn no_code(dataset: &Dataset, table: &str, field: &Field, code: &str) -> Error {
    let (id, column, data_type) = (&dataset.id, field.name(), type_name(field.data_type()));
    let message = format!(
        "The codebook of dataset \"{id}\" has code \"{code}\" for column \"{column}\" of table \"{table}\", whose type is \
         {data_type}."
    );
    Error::new(Code::SchemaChanged, message).hint("Write codes as the column has them.")
}

/// What the field of a recoded column says: labels and order are those of values that it still has.
fn meaning(coding: &Coding, from: &DataType) -> Meaning {
    let written = |value: &str| Recode::written(coding, from, value);
    let left = coding.labels.iter().filter(|(value, _)| !coding.is_gone(value));
    let labels: Map<String, Value> = left.map(|(value, label)| (written(value), Value::from(label.as_str()))).collect();
    Meaning { question: coding.question.clone(), labels, order: coding.ordered().into_iter().map(written).collect() }
}
