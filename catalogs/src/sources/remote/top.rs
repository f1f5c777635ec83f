//! The first rows of an order in the database: ORDER BY with LIMIT over what it can answer, where its order is the one that
//! Arrow has.
//!
//! The rows are put in order here once more, which few rows cost nothing. An order over a policy's barrier stays here.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Sort, SortExpr};

use super::kept::noted;
use super::question::Question;
use super::subplan::Subplan;
use super::{Order, Remote, RemoteColumn};

/// The first rows of one table, by the names of its columns.
#[derive(Debug)]
pub(super) struct Top {
    keys: Vec<(String, Order)>,
    pub(super) rows: usize,
}

/// Moves orders of which only the first rows are wanted into the databases that have the same order.
pub(crate) fn push_top(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Sort(sort) = &node else { return Ok(Transformed::no(node)) };
        match first_rows(sort)? {
            Some(input) => Ok(Transformed::yes(node.with_new_exprs(node.expressions(), vec![input])?)),
            None => {
                let notes = kept(sort).into_iter().collect();
                noted(node, notes)
            }
        }
    })
    .data()
}

/// What is put in order, with no more rows than are wanted.
fn first_rows(sort: &Sort) -> Result<Option<LogicalPlan>> {
    let keys = sort.expr.iter().map(|key| match &key.expr {
        Expr::Column(column) => Some((column.clone(), order(key))),
        _ => None,
    });
    match (sort.fetch, keys.collect::<Option<Vec<_>>>()) {
        (Some(rows), Some(keys)) => below(&sort.input, &keys, rows),
        _ => Ok(None),
    }
}

/// The plan over no more rows than are wanted. What a projection computes of each row may stay here.
fn below(plan: &LogicalPlan, keys: &[(Column, Order)], rows: usize) -> Result<Option<LogicalPlan>> {
    if let Some(input) = Subplan::of(plan).filter(|input| input.names().is_some()) {
        let keys = keys.iter().map(|(column, order)| Some((input.origin(column)?.to_owned(), *order)));
        let first = keys.collect::<Option<_>>().and_then(|keys| input.table.top(&Top { keys, rows }));
        return match first {
            Some(first) => input.scan(first),
            None => Ok(None),
        };
    }
    let LogicalPlan::Projection(projection) = plan else { return Ok(None) };
    let below_projection = |(column, order): &(Column, Order)| {
        let at = projection.schema.maybe_index_of_column(column)?;
        match projection.expr.get(at)?.clone().unalias_nested().data {
            Expr::Column(column) => Some((column, *order)),
            _ => None,
        }
    };
    let Some(keys) = keys.iter().map(below_projection).collect::<Option<Vec<_>>>() else { return Ok(None) };
    match below(&projection.input, &keys, rows)? {
        Some(input) => Ok(Some(plan.with_new_exprs(plan.expressions(), vec![input])?)),
        None => Ok(None),
    }
}

fn order(key: &SortExpr) -> Order {
    Order { is_descending: !key.asc, has_nulls_first: key.nulls_first }
}

/// What the first rows are not pushed for.
fn kept(sort: &Sort) -> Option<String> {
    let (rows, input) = sort.fetch.zip(Subplan::of(&sort.input))?;
    let differs = sort.expr.iter().find(|key| {
        let Expr::Column(column) = &key.expr else { return true };
        let first = input.origin(column).and_then(|name| {
            let keys = vec![(name.to_owned(), order(key))];
            input.table.top(&Top { keys, rows: 0 })
        });
        first.is_none()
    });
    Some(match differs {
        Some(key) => format!("first {rows} rows, since the order of {} may differ there", key.expr),
        None => format!("first {rows} rows, which may be most of them"),
    })
}

/// The question for the first rows.
pub(super) fn question<R: Remote>(table: &Question<R>, top: &Top) -> Option<Question<R>> {
    let find = |name: &str| table.columns.iter().find(|column| column.field().name() == name);
    let keys = top.keys.iter().map(|(name, order)| R::ordered(find(name)?, *order)).collect::<Option<Vec<_>>>()?;
    let from = format!("(SELECT * {} ORDER BY {} LIMIT {}) AS top", table.tail(), keys.join(", "), top.rows);
    Some(Question { is_grouped: table.is_grouped, ..Question::of_select(from, Arc::clone(&table.columns)) })
}
