//! The weight of one unit: what its rows agree on.

use std::sync::Arc;

use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Documentation, Expr};

use crate::weighted::{Function, Moments, Parameter, Statistic};
use crate::{Code, Error};

/// The inner aggregate, as a function.
pub(super) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Function::of::<UnitWeight, 1>()))
}

/// A call of it on the weights that `filter` leaves.
pub(crate) fn unit_weight(weight: Expr, filter: Option<Expr>) -> Expr {
    let filter = filter.map(Box::new);
    Expr::AggregateFunction(AggregateFunction::new_udf(function(), vec![weight], false, filter, vec![], None))
}

/// How far a unit's weights may be apart, relative to the largest: what float arithmetic leaves of one number.
const TOLERANCE: f64 = 1e-9;

/// The inner aggregate of `reach`.
pub(super) struct UnitWeight;

/// The smallest and the largest weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    parts: [f64; 2],
}

impl Default for Extent {
    fn default() -> Self {
        Self { parts: [f64::INFINITY, f64::NEG_INFINITY] }
    }
}

impl Moments for Extent {
    fn fields(&self) -> &[f64] {
        &self.parts
    }

    fn fields_mut(&mut self) -> &mut [f64] {
        &mut self.parts
    }

    fn merge(&mut self, other: &Self) {
        let ([min, max], [other_min, other_max]) = (self.parts, other.parts);
        self.parts = [min.min(other_min), max.max(other_max)];
    }
}

impl Statistic<1> for UnitWeight {
    const NAME: &'static str = "reach_unit_weight";
    const WRITTEN: &'static str = super::NAME;
    const PARAMETERS: [Parameter; 1] = [Parameter::WEIGHT];
    type Moments = Extent;

    fn documentation() -> Option<&'static Documentation> {
        None
    }

    fn add(extent: &mut Extent, [w]: [f64; 1]) {
        extent.merge(&Extent { parts: [w, w] });
    }

    fn result(extent: &Extent) -> Result<Option<f64>, Error> {
        let [min, max] = extent.parts;
        if min > max {
            return Ok(None);
        }
        if max - min > max * TOLERANCE {
            return Err(Error::new(
                Code::InvalidArgument,
                "A unit has different weights in one group, so it has no single weight to count.",
            )
            .hint("Where weights change with a period, group by the period, or filter one period."));
        }
        Ok(Some(max))
    }
}
