//! Where a column comes from: through projections, filters, joins and groups, down to the one table that holds it.
//!
//! A table under a policy is its barrier: below it nobody looks, and its rows are those that the caller may see. One whose
//! columns are recoded is the projection that does it: a design is of recoded columns, too.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, Operator, TableScan};

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
        // Plans compare tables by name only.
        _ => scan_of(one).zip(scan_of(other)).is_some_and(|(one, other)| Arc::ptr_eq(&one.source, &other.source)),
    }
}

/// What a table scans.
fn scan_of(table: &LogicalPlan) -> Option<&TableScan> {
    match (table, table.inputs().as_slice()) {
        (LogicalPlan::TableScan(scan), _) => Some(scan),
        (_, [input]) => scan_of(input),
        _ => None,
    }
}

/// The tables' columns that the columns at `places` are computed from. All at once: one level of queries may mention each column of
/// the level below many times.
pub(crate) fn sources(plan: &LogicalPlan, places: BTreeSet<usize>) -> Vec<Origin<'_>> {
    if places.is_empty() {
        return Vec::new();
    }
    match plan {
        plan if is_table(plan) => places.into_iter().map(|column| Origin { table: plan, column }).collect(),
        LogicalPlan::Projection(projection) => {
            sources(&projection.input, places_of(&projection.input, &projection.expr, &places))
        }
        LogicalPlan::Aggregate(aggregate) => {
            sources(&aggregate.input, places_of(&aggregate.input, &aggregate.group_expr, &places))
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => sources(&join.right, places),
            kind => {
                let left = join.left.schema().fields().len();
                let (of_left, of_right): (BTreeSet<usize>, BTreeSet<usize>) =
                    places.into_iter().partition(|place| *place < left);
                let of_right = match kind {
                    JoinType::LeftMark => BTreeSet::new(),
                    _ => of_right.into_iter().map(|place| place - left).collect(),
                };
                [sources(&join.left, of_left), sources(&join.right, of_right)].concat()
            }
        },
        LogicalPlan::Union(union) => union.inputs.iter().flat_map(|input| sources(input, places.clone())).collect(),
        LogicalPlan::Window(window) => {
            let columns = window.input.schema().fields().len();
            sources(&window.input, places.into_iter().filter(|place| *place < columns).collect())
        }
        plan => plan.inputs().first().map(|input| sources(input, places)).unwrap_or_default(),
    }
}

/// The places in `input` of the columns that those of `expressions` at `places` mention.
fn places_of(input: &LogicalPlan, expressions: &[Expr], places: &BTreeSet<usize>) -> BTreeSet<usize> {
    let wanted = places.iter().filter_map(|place| expressions.get(*place));
    wanted.flat_map(Expr::column_refs).filter_map(|column| input.schema().maybe_index_of_column(column)).collect()
}

/// The same of an expression over `plan`.
pub(crate) fn sources_of<'a>(plan: &'a LogicalPlan, expression: &Expr) -> Vec<Origin<'a>> {
    let columns = expression.column_refs().into_iter();
    sources(plan, columns.filter_map(|column| plan.schema().maybe_index_of_column(column)).collect())
}

/// Whether a policy hides the column's values.
pub(crate) fn is_masked(table: &LogicalPlan, column: usize) -> bool {
    let LogicalPlan::Extension(extension) = table else { return false };
    let barrier = extension.node.as_any().downcast_ref::<PolicyBarrier>();
    barrier.is_some_and(|barrier| barrier.masked().contains(table.schema().field(column).name()))
}

/// Whether an outer join may put NULL in place of the column at `place`.
pub(crate) fn is_null_extended(plan: &LogicalPlan, place: usize) -> bool {
    match plan {
        plan if is_table(plan) => false,
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            let is_right = matches!(join.join_type, JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark);
            match join.join_type {
                JoinType::Full => true,
                JoinType::Left if place >= left => true,
                JoinType::Right if place < left => true,
                _ if is_right => is_null_extended(&join.right, place),
                _ if place < left => is_null_extended(&join.left, place),
                _ => is_null_extended(&join.right, place - left),
            }
        }
        LogicalPlan::Projection(projection) => {
            let columns = projection.expr.get(place).map(Expr::column_refs).unwrap_or_default().into_iter();
            let mut places = columns.filter_map(|column| projection.input.schema().maybe_index_of_column(column));
            places.any(|place| is_null_extended(&projection.input, place))
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.inputs().first().is_some_and(|input| is_null_extended(input, place))
        }
        _ => false,
    }
}

/// Whether an expression has one value in all rows of a query.
pub(crate) fn is_fixed(expression: &Expr) -> bool {
    expression.column_refs().is_empty() && !expression.is_volatile() && !has_subquery(expression)
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

/// `expression` over the columns of `table`: each of its columns comes from there, is computed there, or is equal to one that does.
pub(crate) fn onto(plan: &LogicalPlan, expression: &Expr, table: &LogicalPlan) -> Option<Expr> {
    within(plan, expression, table, &mut 1000)
}

/// The same, by no more than `budget` computed columns: queries in queries can name a column of the one below twice, and double at each level.
fn within(plan: &LogicalPlan, expression: &Expr, table: &LogicalPlan, budget: &mut u32) -> Option<Expr> {
    let mut is_of_it = true;
    let moved = expression
        .clone()
        .transform(|part| {
            let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
            let place = plan.schema().maybe_index_of_column(column).filter(|_| is_of_it);
            match place.and_then(|place| column_onto(plan, place, table, budget)) {
                Some(found) => Ok(Transformed::yes(found)),
                None => {
                    is_of_it = false;
                    Ok(Transformed::no(part))
                }
            }
        })
        .data()
        .ok()?;
    is_of_it.then_some(moved)
}

/// The column at `place` over the columns of `table`: one of them, one that is equal to it, or what it is computed from.
fn column_onto(plan: &LogicalPlan, place: usize, table: &LogicalPlan, budget: &mut u32) -> Option<Expr> {
    if let Some(found) = column_in(plan, place, table) {
        return Some(Expr::Column(Column::from(table.schema().qualified_field(found))));
    }
    *budget = budget.checked_sub(1)?;
    let mut computed = |input: &LogicalPlan, expression: &Expr| {
        let is_same_each_time = !expression.is_volatile() && !has_subquery(expression) && !expression.contains_outer();
        if is_same_each_time { within(input, &expression.clone().unalias(), table, budget) } else { None }
    };
    match plan {
        plan if is_table(plan) => None,
        LogicalPlan::Projection(projection) => computed(&projection.input, projection.expr.get(place)?),
        LogicalPlan::Aggregate(aggregate) => computed(&aggregate.input, aggregate.group_expr.get(place)?),
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::SubqueryAlias(_) => {
            column_onto(plan.inputs().first()?, place, table, budget)
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            let left = join.left.schema().fields().len();
            if place < left {
                column_onto(&join.left, place, table, budget)
            } else {
                column_onto(&join.right, place - left, table, budget)
            }
        }
        _ => None,
    }
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

/// The conditions of filters and inner joins in `plan`, each with the plan whose columns it is over.
pub(crate) fn conditions(plan: &LogicalPlan) -> Vec<(&LogicalPlan, &Expr)> {
    let mut found = Vec::new();
    let mut plans = vec![plan];
    while let Some(plan) = plans.pop() {
        match plan {
            plan if is_table(plan) => continue,
            LogicalPlan::Filter(filter) => found.push((plan, &filter.predicate)),
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
                found.extend(join.filter.iter().map(|condition| (plan, condition)));
            }
            _ => {}
        }
        plans.extend(plan.inputs());
    }
    found
}

/// The columns of `table` that a join or a condition in `plan` relates to columns of others.
pub(crate) fn links(plan: &LogicalPlan, table: &LogicalPlan) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut plans = vec![plan];
    while let Some(plan) = plans.pop() {
        let condition = match plan {
            plan if is_table(plan) => continue,
            LogicalPlan::Filter(filter) => Some(&filter.predicate),
            LogicalPlan::Join(join) => {
                for (left, right) in &join.on {
                    let related = [mentioned(&join.left, left), mentioned(&join.right, right)].concat();
                    found.extend(related_to_others(&related, table));
                }
                join.filter.as_ref()
            }
            _ => None,
        };
        for part in condition.into_iter().flat_map(split_conjunction) {
            found.extend(related_to_others(&mentioned(plan, part), table));
        }
        plans.extend(plan.inputs());
    }
    found
}

fn mentioned<'a>(plan: &'a LogicalPlan, expression: &Expr) -> Vec<Option<Origin<'a>>> {
    expression.column_refs().into_iter().map(|column| origin(plan, column)).collect()
}

/// The columns of `table` among those that stand in one condition, if others do too.
fn related_to_others(columns: &[Option<Origin<'_>>], table: &LogicalPlan) -> Vec<usize> {
    let own: Vec<usize> = columns
        .iter()
        .flatten()
        .filter(|origin| std::ptr::eq(origin.table, table))
        .map(|origin| origin.column)
        .collect();
    if own.len() < columns.len() { own } else { Vec::new() }
}

/// Whether an expression asks a query of its own.
pub(crate) fn has_subquery(expression: &Expr) -> bool {
    let is_one = |part: &Expr| {
        matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_))
    };
    expression.exists(|part| Ok(is_one(part))).unwrap_or(true)
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
