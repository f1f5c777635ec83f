//! Where a column comes from: through projections, filters, joins and groups, down to the one table that holds it.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, TableScan};

/// A column of a scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) scan: &'a TableScan,
    /// Its place in the table's schema.
    pub(super) column: usize,
}

/// The table's column that a column of `plan` is, value by value. None where it is computed, or from several tables.
pub(super) fn origin<'a>(plan: &'a LogicalPlan, column: &Column) -> Option<Origin<'a>> {
    at(plan, plan.schema().maybe_index_of_column(column)?)
}

/// The same of the column at `place`.
pub(super) fn at(plan: &LogicalPlan, place: usize) -> Option<Origin<'_>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let column = match &scan.projection {
                Some(projected) => *projected.get(place)?,
                None => place,
            };
            Some(Origin { scan, column })
        }
        LogicalPlan::Projection(projection) => of(&projection.input, projection.expr.get(place)?),
        LogicalPlan::Aggregate(aggregate) => of(&aggregate.input, aggregate.group_expr.get(place)?),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti => at(&join.right, place),
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                    (place < left).then(|| at(&join.left, place))?
                }
                JoinType::RightMark => at(&join.right, place),
                _ if place < left => at(&join.left, place),
                _ => at(&join.right, place - left),
            }
        }
        LogicalPlan::Filter(filter) => at(&filter.input, place),
        LogicalPlan::Sort(sort) => at(&sort.input, place),
        LogicalPlan::Limit(limit) => at(&limit.input, place),
        LogicalPlan::Repartition(repartition) => at(&repartition.input, place),
        LogicalPlan::SubqueryAlias(alias) => at(&alias.input, place),
        LogicalPlan::Distinct(datafusion::logical_expr::Distinct::All(input)) => at(input, place),
        LogicalPlan::Window(window) => {
            (place < window.input.schema().fields().len()).then(|| at(&window.input, place))?
        }
        _ => None,
    }
}

/// The same of an expression over `input`, which must be a column.
fn of<'a>(input: &'a LogicalPlan, expression: &Expr) -> Option<Origin<'a>> {
    match expression {
        Expr::Column(column) => origin(input, column),
        Expr::Alias(alias) => of(input, &alias.expr),
        _ => None,
    }
}

/// `expression` over the columns of the one scan that all of its columns come from.
pub(super) fn below<'a>(plan: &'a LogicalPlan, expression: &Expr) -> Option<(&'a TableScan, Expr)> {
    let column = expression.column_refs().into_iter().next()?;
    let scan = origin(plan, column)?.scan;
    Some((scan, onto(plan, expression, scan)?))
}

/// The scan of a plan that reads one table.
pub(super) fn only_scan(plan: &LogicalPlan) -> Option<&TableScan> {
    match (plan, plan.inputs().as_slice()) {
        (LogicalPlan::TableScan(scan), _) => Some(scan),
        (_, [input]) => only_scan(input),
        _ => None,
    }
}

/// `expression` over the columns of `scan`: each of its columns comes from there, or is equal to one that does.
pub(super) fn onto(plan: &LogicalPlan, expression: &Expr, scan: &TableScan) -> Option<Expr> {
    let mut is_of_it = true;
    let moved = expression
        .clone()
        .transform(|part| {
            let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
            let place = plan.schema().maybe_index_of_column(column);
            let Some(found) = place.and_then(|place| column_in(plan, place, scan)) else {
                is_of_it = false;
                return Ok(Transformed::no(part));
            };
            let name = scan.source.schema().field(found).name().clone();
            Ok(Transformed::yes(Expr::Column(Column::new(Some(scan.table_name.clone()), name))))
        })
        .data()
        .ok()?;
    is_of_it.then_some(moved)
}

/// The column of `scan` that the column at `place` is, or is equal to.
pub(super) fn column_in(plan: &LogicalPlan, place: usize, scan: &TableScan) -> Option<usize> {
    let origin = at(plan, place)?;
    if std::ptr::eq(origin.scan, scan) {
        return Some(origin.column);
    }
    let is_it = |one: &Origin<'_>| std::ptr::eq(one.scan, origin.scan) && one.column == origin.column;
    equalities(plan).into_iter().find_map(|[one, other]| match (is_it(&one), is_it(&other)) {
        (true, _) if std::ptr::eq(other.scan, scan) => Some(other.column),
        (_, true) if std::ptr::eq(one.scan, scan) => Some(one.column),
        _ => None,
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
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            for (left, right) in &join.on {
                found.extend(of(&join.left, left).zip(of(&join.right, right)).map(<[_; 2]>::from));
            }
        }
        LogicalPlan::Filter(filter) => {
            for part in split_conjunction(&filter.predicate) {
                if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = part {
                    found.extend(of(&filter.input, left).zip(of(&filter.input, right)).map(<[_; 2]>::from));
                }
            }
        }
        _ => {}
    }
    for input in plan.inputs() {
        collect(input, found);
    }
}
