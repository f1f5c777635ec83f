//! Moments of one group: the path of a query without GROUP BY, and of a window that only grows.

use std::fmt::{self, Debug};

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::function::Statistic;
use super::groups::for_each_state;
use super::moments::Moments;
use super::rows::Rows;

/// The moments of all rows so far.
pub(super) struct Running<S: Statistic<A>, const A: usize> {
    moments: S::Moments,
}

impl<S: Statistic<A>, const A: usize> Default for Running<S, A> {
    fn default() -> Self {
        Self { moments: S::Moments::default() }
    }
}

impl<S: Statistic<A>, const A: usize> Debug for Running<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(S::NAME).field("moments", &self.moments).finish()
    }
}

impl<S: Statistic<A>, const A: usize> Accumulator for Running<S, A> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = Rows::<A>::of(S::WRITTEN, values, None)?;
        let columns = rows.columns();
        match rows.mask() {
            None => S::add_all(&mut self.moments, columns),
            Some(mask) => {
                let kept: [Vec<f64>; A] = columns.map(|column| mask.set_indices().map(|row| column[row]).collect());
                S::add_all(&mut self.moments, std::array::from_fn(|k| kept[k].as_slice()));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(S::result(&self.moments)?))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(to_scalars(&self.moments))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for_each_state::<S::Moments>(states, |_, part| self.moments.merge(part))
    }
}

pub(super) fn to_scalars<M: Moments>(moments: &M) -> Vec<ScalarValue> {
    moments.fields().iter().map(|field| ScalarValue::Float64(Some(*field))).collect()
}
