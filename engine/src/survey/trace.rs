//! Where a column comes from: through projections, filters, joins and groups, down to the one table that holds it.
//!
//! A table under a policy is its barrier: below it nobody looks, and its rows are those that the caller may see. One whose
//! columns are recoded is the projection that does it: a design is of recoded columns, too.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, Operator};

use crate::codes;
use crate::policy::PolicyBarrier;

/// A column of a table: of its scan, or of its barrier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) table: &'a LogicalPlan,
    /// Its place among the columns of the table.
    pub(crate) column: usize,
}

impl Origin<'_> {
    fn is(&self, table: &LogicalPlan, column: usize) -> bool {
        std::ptr::eq(self.table, table) && self.column == column
    }
}

/// Whether a plan is a table, and nothing that a query makes of it.
pub(crate) fn is_table(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(projection) => codes::is_coded(projection),
        LogicalPlan::Extension(extension) => extension.node.as_any().is::<PolicyBarrier>(),
        _ => false,
    }
}

/// The table's column that a column of `plan` is, value by value. None where it is computed, or from several tables.
pub(crate) fn origin<'a>(plan: &'a LogicalPlan, column: &Column) -> Option<Origin<'a>> {
    at(plan, plan.schema().maybe_index_of_column(column)?)
}

/// The same of the column at `place`.
pub(crate) fn at(plan: &LogicalPlan, place: usize) -> Option<Origin<'_>> {
    match origins(plan, place).as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

/// The tables' columns that the column at `place` is, value by value: of a union one for each part. None where it is computed.
pub(crate) fn origins(plan: &LogicalPlan, place: usize) -> Vec<Origin<'_>> {
    match plan {
        plan if is_table(plan) => vec![Origin { table: plan, column: place }],
        LogicalPlan::Projection(projection) => of(&projection.input, projection.expr.get(place)),
        LogicalPlan::Aggregate(aggregate) => of(&aggregate.input, aggregate.group_expr.get(place)),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => origins(&join.right, place),
                _ if place < left => origins(&join.left, place),
                JoinType::LeftMark => Vec::new(),
                _ => origins(&join.right, place - left),
            }
        }
        LogicalPlan::Union(union) => {
            let parts: Vec<Vec<Origin<'_>>> = union.inputs.iter().map(|input| origins(input, place)).collect();
            if parts.iter().any(Vec::is_empty) { Vec::new() } else { parts.into_iter().flatten().collect() }
        }
        LogicalPlan::Filter(filter) => origins(&filter.input, place),
        LogicalPlan::Sort(sort) => origins(&sort.input, place),
        LogicalPlan::Limit(limit) => origins(&limit.input, place),
        LogicalPlan::Repartition(repartition) => origins(&repartition.input, place),
        LogicalPlan::SubqueryAlias(alias) => origins(&alias.input, place),
        LogicalPlan::Distinct(Distinct::All(input)) => origins(input, place),
        LogicalPlan::Window(window) if place < window.input.schema().fields().len() => origins(&window.input, place),
        _ => Vec::new(),
    }
}

/// Whether two plans of tables are of the same one.
pub(crate) fn is_same(one: &LogicalPlan, other: &LogicalPlan) -> bool {
    match (one, other) {
        (LogicalPlan::TableScan(one), LogicalPlan::TableScan(other)) => Arc::ptr_eq(&one.source, &other.source),
        _ => one == other,
    }
}

/// The same of an expression over `input`, which must be a column.
fn of<'a>(input: &'a LogicalPlan, expression: Option<&Expr>) -> Vec<Origin<'a>> {
    match expression {
        Some(Expr::Column(column)) => {
            input.schema().maybe_index_of_column(column).map_or_else(Vec::new, |place| origins(input, place))
        }
        Some(Expr::Alias(alias)) => of(input, Some(&alias.expr)),
        _ => Vec::new(),
    }
}

fn only<'a>(input: &'a LogicalPlan, expression: &Expr) -> Option<Origin<'a>> {
    match of(input, Some(expression)).as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

/// The table that `expression` is one over.
pub(crate) fn table_of<'a>(plan: &'a LogicalPlan, expression: &Expr) -> Option<&'a LogicalPlan> {
    let column = expression.column_refs().into_iter().next()?;
    let table = origin(plan, column)?.table;
    onto(plan, expression, table).map(|_| table)
}

/// The table of a plan that reads one.
pub(crate) fn only_table(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan.inputs().as_slice() {
        _ if is_table(plan) => Some(plan),
        [input] => only_table(input),
        _ => None,
    }
}

/// Whether each row of `plan` is one row of `table`, and no other row is the same one.
pub(crate) fn has_rows_of(plan: &LogicalPlan, table: &LogicalPlan) -> bool {
    match plan {
        plan if is_table(plan) => std::ptr::eq(plan, table),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Window(_) => plan.inputs().iter().all(|input| has_rows_of(input, table)),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => has_rows_of(&join.left, table),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => has_rows_of(&join.right, table),
            _ => false,
        },
        _ => false,
    }
}

/// `expression` over the columns of `table`: each of its columns comes from there, or is equal to one that does.
pub(crate) fn onto(plan: &LogicalPlan, expression: &Expr, table: &LogicalPlan) -> Option<Expr> {
    let mut is_of_it = true;
    let moved = expression
        .clone()
        .transform(|part| {
            let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
            let place = plan.schema().maybe_index_of_column(column);
            let Some(found) = place.and_then(|place| column_in(plan, place, table)) else {
                is_of_it = false;
                return Ok(Transformed::no(part));
            };
            Ok(Transformed::yes(Expr::Column(Column::from(table.schema().qualified_field(found)))))
        })
        .data()
        .ok()?;
    is_of_it.then_some(moved)
}

/// The column of `table` that the column at `place` is, or is equal to.
pub(crate) fn column_in(plan: &LogicalPlan, place: usize, table: &LogicalPlan) -> Option<usize> {
    let origin = at(plan, place)?;
    if std::ptr::eq(origin.table, table) {
        return Some(origin.column);
    }
    equalities(plan).into_iter().find_map(|[one, other]| {
        if one.is(origin.table, origin.column) && std::ptr::eq(other.table, table) {
            Some(other.column)
        } else if other.is(origin.table, origin.column) && std::ptr::eq(one.table, table) {
            Some(one.column)
        } else {
            None
        }
    })
}

/// The columns that are equal in all rows of `plan`: by keys of inner joins, and by conditions.
fn equalities(plan: &LogicalPlan) -> Vec<[Origin<'_>; 2]> {
    let mut found = Vec::new();
    collect(plan, &mut found);
    found
}

fn collect<'a>(plan: &'a LogicalPlan, found: &mut Vec<[Origin<'a>; 2]>) {
    match plan {
        plan if is_table(plan) => return,
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            for (left, right) in &join.on {
                found.extend(only(&join.left, left).zip(only(&join.right, right)).map(<[_; 2]>::from));
            }
            join.filter.iter().for_each(|condition| equal_parts(plan, condition, found));
        }
        LogicalPlan::Filter(filter) => equal_parts(&filter.input, &filter.predicate, found),
        _ => {}
    }
    for input in plan.inputs() {
        collect(input, found);
    }
}

fn equal_parts<'a>(plan: &'a LogicalPlan, condition: &Expr, found: &mut Vec<[Origin<'a>; 2]>) {
    for part in split_conjunction(condition) {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = part {
            found.extend(only(plan, left).zip(only(plan, right)).map(<[_; 2]>::from));
        }
    }
}
