//! A first pass over the rows: a value of each group, which each row of the group then has.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, ident};

/// The name of the value.
pub(super) const POINT: &str = "svy_point";

pub(super) fn point_key(at: usize) -> String {
    format!("svy_point_key_{at}")
}

fn row_key(at: usize) -> String {
    format!("svy_row_key_{at}")
}

/// The groups with what `call` makes of them, and `also`, which is made of that; one of both is called [`POINT`].
pub(super) fn points(rows: &Arc<LogicalPlan>, keys: &[Expr], call: Expr, also: Option<Expr>) -> Result<LogicalPlan> {
    let point_keys = keys.iter().enumerate().map(|(at, expr)| expr.clone().alias(point_key(at))).collect();
    let grouped = LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(rows), point_keys, vec![call])?);
    let columns: Vec<Expr> = grouped.schema().columns().into_iter().map(Expr::Column).chain(also).collect();
    LogicalPlanBuilder::from(grouped).project(columns)?.build()
}

/// Each row with the value of its group.
pub(super) fn rows_with(rows: &Arc<LogicalPlan>, keys: &[Expr], points: &LogicalPlan) -> Result<LogicalPlan> {
    let columns = rows.schema().columns().into_iter().map(Expr::Column);
    let columns = columns.chain(keys.iter().enumerate().map(|(at, expr)| expr.clone().alias(row_key(at))));
    let keyed = LogicalPlanBuilder::from(rows.as_ref().clone()).project(columns)?.build()?;
    let only_point = LogicalPlanBuilder::from(points.clone())
        .project((0..keys.len()).map(|at| ident(point_key(at))).chain([ident(POINT)]))?
        .build()?;
    join(keyed, only_point, keys.len(), row_key, point_key, JoinType::Inner)
}

/// Two plans, joined by their keys of these names.
pub(super) fn join(
    left: LogicalPlan,
    right: LogicalPlan,
    keys: usize,
    left_key: fn(usize) -> String,
    right_key: fn(usize) -> String,
    kind: JoinType,
) -> Result<LogicalPlan> {
    let builder = LogicalPlanBuilder::from(left);
    if keys == 0 {
        return builder.cross_join(right)?.build();
    }
    let names = |name: fn(usize) -> String| (0..keys).map(|at| Column::from_name(name(at))).collect::<Vec<_>>();
    builder.join_detailed(right, kind, (names(left_key), names(right_key)), None, NullEquality::NullEqualsNull)?.build()
}
