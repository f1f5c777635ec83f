//! Quantiles, in two passes over the rows: the quantile of each group, then how sure the share of values up to it is.
//!
//! The interval of the share, read back as quantiles, is the interval of the quantile: Woodruff, "Confidence intervals for
//! medians and other position measures", JASA 47 (1952).

use std::sync::Arc;

use datafusion::common::{JoinType, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident};

use super::frame::FrameOf;
use super::levels::Levels;
use super::points::{POINT, join, point_key, points, rows_with};
use super::{key, value};
use crate::survey::design::Read;
use crate::survey::estimators::{PartOf, SHARE};
use crate::survey::function::Call;
use crate::survey::notices::Notices;
use crate::survey::{positions, step, values};

const VALUES: &str = "svy_values";

/// The quantiles of a call by key.
pub(super) fn plan(
    at: usize,
    call: &Call,
    probability: f64,
    rows: &Arc<LogicalPlan>,
    keys: &[Expr],
    reads: &[Read],
    notices: &Arc<Notices>,
) -> Result<LogicalPlan> {
    let variable = call.defined_variable()?;
    let found = step::call(values::Values, vec![variable.clone(), call.design.weight.clone()], call.filter_of_design());
    let point = positions::point(ident(VALUES), probability).alias(POINT);
    let points = points(rows, keys, found.alias(VALUES), Some(point))?;
    let rows_with_points = rows_with(rows, keys, &points)?;

    // The share of values up to it, and its interval on the scale of values.
    let part = PartOf { variables: vec![variable.lt_eq(ident(POINT))], condition: None };
    let share = Call { estimator: SHARE, parts: vec![part], probability: None, is_answer: false, ..call.clone() };
    let of = FrameOf { rows, design: &call.design, keys, reads };
    let shares = Levels::of(at, share).plan_over(&Arc::new(rows_with_points), of, keys, notices)?;
    let joined = join(points, shares, keys.len(), point_key, key, JoinType::Left)?;
    let mut columns: Vec<Expr> = (0..keys.len()).map(|at| ident(point_key(at)).alias(key(at))).collect();
    let found = positions::interval([ident(VALUES), ident(POINT), ident(value(at))], call.options, notices);
    columns.push(found.alias(value(at)));
    LogicalPlanBuilder::from(joined).project(columns)?.build()
}
