//! Joins of protected rows. Joined with each other, they are so person by person, and one side has each person once; joined with
//! others, each meets at most one row: otherwise a table of the caller's own making could count one person a million times.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, Result};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Operator};

use super::failures;
use super::rewrite::{Occurrence, Seen, Walk, are_of_the_same, asks_about_few, refused, without_subqueries};
use super::unique::{Sides, Unique};

impl Walk<'_> {
    pub(super) fn join(&mut self, join: Join) -> Result<Seen> {
        let on = pairs(&join);
        let expressions = LogicalPlan::Join(join.clone()).expressions();
        let mut left = self.plan(Arc::unwrap_or_clone(Arc::clone(&join.left)))?;
        let mut right = self.plan(Arc::unwrap_or_clone(Arc::clone(&join.right)))?;
        let has_rows = !left.rows.is_empty() || !right.rows.is_empty();
        let expressions = match has_rows {
            true => expressions.into_iter().map(without_subqueries).collect::<Result<Vec<_>>>()?,
            false => self.with_subqueries(expressions, &Seen::open(LogicalPlan::default()))?,
        };
        for side in [&left, &right] {
            failures::check(&expressions, side, self.asked)?;
        }
        let kept = Kept::of(join.join_type);
        match kept {
            Kept::Both => {
                let is_strict = left.rows.iter().chain(&right.rows).any(|row| row.protection.is_strict());
                match (left.rows.is_empty(), right.rows.is_empty()) {
                    (false, false) if is_strict && !are_by_person(&on, &left.rows, &right.rows) => {
                        return Err(not_by_person().into());
                    }
                    (false, true) if is_strict => right.plan = unique(right.plan, &on, None)?,
                    (true, false) if is_strict => left.plan = unique(left.plan, &on, None)?,
                    // Else each join of people who have several rows with themselves would multiply them.
                    (false, false) if is_strict => {
                        let sides = Sides::default();
                        left.plan = unique(left.plan, &on, Some((sides.clone(), false)))?;
                        right.plan = unique(right.plan, &on, Some((sides, true)))?;
                    }
                    _ => {}
                }
            }
            Kept::Left if !right.rows.iter().all(|row| is_asked_of(row, &left.rows, &on)) => {
                return Err(asks_about_few().into());
            }
            Kept::Right if !left.rows.iter().all(|row| is_asked_of(row, &right.rows, &on)) => {
                return Err(asks_about_few().into());
            }
            Kept::Left | Kept::Right => {}
        }
        let plan = LogicalPlan::Join(join.clone()).with_new_exprs(expressions, vec![left.plan, right.plan])?;
        let mut rows = match kept {
            Kept::Both => joined(join.join_type, left.rows, right.rows, &on),
            Kept::Left => left.rows,
            Kept::Right => right.rows,
        };
        if kept == Kept::Both {
            rows.iter_mut().for_each(|row| row.is_multiplied = true);
        }
        let output = Arc::clone(plan.schema());
        let made = left.made.into_iter().chain(right.made).filter(|(column, _)| output.has_column(column)).collect();
        Ok(Seen { plan, rows, made })
    }
}

/// Whose rows come out of a join.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Both,
    Left,
    Right,
}

impl Kept {
    fn of(join_type: JoinType) -> Self {
        match join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => Kept::Left,
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Kept::Right,
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => Kept::Both,
        }
    }
}

/// The columns that a join holds equal.
fn pairs(join: &Join) -> Vec<(Column, Column)> {
    let keys = join.on.iter().map(|(left, right)| (left, right));
    let conditions = join.filter.iter().flat_map(split_conjunction).filter_map(equality);
    keys.chain(conditions)
        .filter_map(|(left, right)| Some((left.try_as_col()?.clone(), right.try_as_col()?.clone())))
        .collect()
}

/// The sides of an equality.
pub(super) fn equality(predicate: &Expr) -> Option<(&Expr, &Expr)> {
    match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => Some((left, right)),
        _ => None,
    }
}

fn is_asked_of(asked: &Occurrence, of: &[Occurrence], on: &[(Column, Column)]) -> bool {
    of.iter().any(|row| are_by_person(on, std::slice::from_ref(asked), std::slice::from_ref(row)))
}

/// Whether some person of one side is that of the other.
fn are_by_person(on: &[(Column, Column)], left: &[Occurrence], right: &[Occurrence]) -> bool {
    let is_pair = |one: &Column, other: &Column| {
        left.iter()
            .any(|row| row.is_key(one) && right.iter().any(|next| next.is_key(other) && are_of_the_same(row, next)))
    };
    on.iter().any(|(one, other)| is_pair(one, other) || is_pair(other, one))
}

fn not_by_person() -> crate::Error {
    refused("Rows of protected tables are joined with each other person by person only.")
        .hint("Write JOIN .. ON with the columns that name people, or aggregate first.")
}

/// A table that protected rows are joined with, such that each of them meets one row at most. Of two sides, one may be so.
fn unique(open: LogicalPlan, on: &[(Column, Column)], side: Option<(Sides, bool)>) -> Result<LogicalPlan> {
    if open.max_rows().is_some_and(|rows| rows <= 1) {
        return Ok(open);
    }
    let schema = Arc::clone(open.schema());
    let across = on.iter().filter(|(left, right)| schema.has_column(left) != schema.has_column(right));
    let own = across.map(|(left, right)| if schema.has_column(left) { left } else { right });
    let keys: Vec<usize> = own.map(|column| schema.index_of_column(column)).collect::<Result<_>>()?;
    match keys.is_empty() {
        true => Err(refused("A protected table is joined with another one by equal columns only.")
            .hint("Write JOIN .. ON with a column of each table, or aggregate first.")
            .into()),
        false => Ok(Unique::over(open, keys, side)),
    }
}

/// The rows of both sides, with the columns that name their people by now.
fn joined(
    join_type: JoinType,
    mut left: Vec<Occurrence>,
    mut right: Vec<Occurrence>,
    on: &[(Column, Column)],
) -> Vec<Occurrence> {
    // Where one side may be missing, its column is NULL for people of the other.
    let (takes_left, takes_right) = match join_type {
        JoinType::Inner => (true, true),
        JoinType::Left => (false, true),
        JoinType::Right => (true, false),
        _ => (false, false),
    };
    for (one, other) in on.iter().flat_map(|(one, other)| [(one, other), (other, one)]) {
        let is_left = |column: &Column| left.iter().any(|row| row.is_key(column));
        let is_right = |column: &Column| right.iter().any(|row| row.is_key(column));
        let (to_left, to_right) = (takes_left && is_right(other), takes_right && is_left(other));
        let to_left = left.iter_mut().filter(|_| to_left);
        for row in to_left.chain(right.iter_mut().filter(|_| to_right)).filter(|row| row.is_key(one)) {
            if let Some(name) = row.names.get(one).cloned() {
                row.names.insert(other.clone(), name);
            }
        }
    }
    left.iter_mut().for_each(|row| row.is_optional |= matches!(join_type, JoinType::Right | JoinType::Full));
    right.iter_mut().for_each(|row| row.is_optional |= matches!(join_type, JoinType::Left | JoinType::Full));
    left.into_iter().chain(right).collect()
}
