//! Variances, in two passes over the rows: the mean of each group, then the squares of the distances from it, which lose no
//! digits however far the mean is from zero.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, ident};

use super::frame::FrameOf;
use super::levels::Levels;
use super::points::{POINT, points, rows_with};
use crate::survey::design::Read;
use crate::survey::estimators::PartOf;
use crate::survey::function::Call;
use crate::survey::notices::Notices;
use crate::weighted::weighted_avg;

/// The variances of a call by key.
pub(super) fn plan(
    at: usize,
    call: &Call,
    rows: &Arc<LogicalPlan>,
    keys: &[Expr],
    reads: &[Read],
    notices: &Arc<Notices>,
) -> Result<LogicalPlan> {
    let variable = call.defined_variable()?;
    let mean = weighted_avg(variable.clone(), call.design.weight.clone(), call.filter_of_design());
    let points = points(rows, keys, mean.alias(POINT), None)?;
    let rows_with_points = rows_with(rows, keys, &points)?;
    let part = PartOf { variables: vec![variable - ident(POINT)], condition: None };
    let centred = Call { parts: vec![part], ..call.clone() };
    let of = FrameOf { rows, design: &call.design, keys, reads };
    Levels::of(at, centred).plan_over(&Arc::new(rows_with_points), of, keys, notices)
}
