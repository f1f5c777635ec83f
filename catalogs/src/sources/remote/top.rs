//! The first rows of an order in the database: ORDER BY with LIMIT over one table, where its order is the one that Arrow has.
//!
//! The rows are put in order here once more, which few rows cost nothing. A policy's barrier is no scan: what lies above one
//! stays here.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan};

use super::question::Question;
use super::table::RemoteTable;
use super::{Order, Remote, RemoteColumn, predicate};

/// The first rows of one table, by the names of its columns.
#[derive(Debug)]
pub(super) struct Top<'a> {
    filters: &'a [Expr],
    columns: Vec<&'a str>,
    keys: Vec<(String, Order)>,
    pub(super) rows: usize,
}

/// Moves orders of which only the first rows are wanted into the databases that have the same order.
pub(crate) fn push_top(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Sort(sort) = &node else { return Ok(Transformed::no(node)) };
        let Some(rows) = sort.fetch else { return Ok(Transformed::no(node)) };
        let keys = sort.expr.iter().map(|key| match &key.expr {
            Expr::Column(column) => {
                Some((column.clone(), Order { is_descending: !key.asc, has_nulls_first: key.nulls_first }))
            }
            _ => None,
        });
        let Some(keys) = keys.collect::<Option<Vec<_>>>() else { return Ok(Transformed::no(node)) };
        match below(&sort.input, keys, rows)? {
            Some(input) => Ok(Transformed::yes(node.with_new_exprs(node.expressions(), vec![input])?)),
            None => Ok(Transformed::no(node)),
        }
    })
    .data()
}

/// The plan with the scan below it asking for the first rows only, if nothing between changes which rows those are.
fn below(plan: &LogicalPlan, keys: Vec<(Column, Order)>, rows: usize) -> Result<Option<LogicalPlan>> {
    let (input, keys) = match plan {
        LogicalPlan::TableScan(scan) => return scanned(scan, keys, rows),
        LogicalPlan::Projection(projection) => {
            let origin = |column: &Column| match projection.expr[projection.schema.maybe_index_of_column(column)?]
                .clone()
                .unalias()
            {
                Expr::Column(column) => Some(column),
                _ => None,
            };
            (&projection.input, renamed(keys, origin))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let columns = alias.input.schema().columns();
            let origin = |column: &Column| columns.get(alias.schema.maybe_index_of_column(column)?).cloned();
            (&alias.input, renamed(keys, origin))
        }
        _ => return Ok(None),
    };
    let Some(keys) = keys else { return Ok(None) };
    match below(input, keys, rows)? {
        Some(input) => Ok(Some(plan.with_new_exprs(plan.expressions(), vec![input])?)),
        None => Ok(None),
    }
}

fn renamed(keys: Vec<(Column, Order)>, origin: impl Fn(&Column) -> Option<Column>) -> Option<Vec<(Column, Order)>> {
    keys.into_iter().map(|(column, order)| Some((origin(&column)?, order))).collect()
}

fn scanned(scan: &TableScan, keys: Vec<(Column, Order)>, rows: usize) -> Result<Option<LogicalPlan>> {
    let Ok(provider) = source_as_provider(&scan.source) else { return Ok(None) };
    let Some(table) = provider.downcast_ref::<RemoteTable>() else { return Ok(None) };
    if scan.fetch.is_some() {
        return Ok(None);
    }
    let top = Top {
        filters: &scan.filters,
        columns: scan.projected_schema.fields().iter().map(|field| field.name().as_str()).collect(),
        keys: keys.into_iter().map(|(column, order)| (column.name, order)).collect(),
        rows,
    };
    let Some(first) = table.top(&top) else { return Ok(None) };
    Ok(Some(LogicalPlanBuilder::scan(scan.table_name.clone(), provider_as_source(Arc::new(first)), None)?.build()?))
}

/// The question for the first rows.
pub(super) fn question<R: Remote>(table: &Question<R>, top: &Top<'_>) -> Option<Question<R>> {
    let find = |name: &str| table.columns.iter().find(|column| column.field().name() == name);
    let columns = top.columns.iter().map(|name| find(name).cloned()).collect::<Option<Arc<[_]>>>()?;
    let keys = top.keys.iter().map(|(name, order)| R::ordered(find(name)?, *order)).collect::<Option<Vec<_>>>()?;
    let conditions: Option<Vec<String>> =
        top.filters.iter().map(|filter| predicate::<R>(filter, &table.columns)).collect();
    // No column at all would count the rows.
    if columns.is_empty() || !table.columns.iter().all(RemoteColumn::is_certain) {
        return None;
    }
    let rows = table.clone().with_conditions(conditions?);
    let from = format!("(SELECT * {} ORDER BY {} LIMIT {}) AS top", rows.tail(), keys.join(", "), top.rows);
    Some(Question::of_select(from, columns))
}
