//! Moments over a window frame that moves: rows enter at one end and leave at the other.
//!
//! A row that leaves is never subtracted, which would cost digits and could not undo an infinite value. Instead the frame
//! is a queue made of two stacks that know their running moments, so each row is merged at most twice.

use std::fmt::{self, Debug};

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::Accumulator;

use super::function::Statistic;
use super::groups::for_each_state;
use super::moments::Moments;
use super::rows::Rows;
use super::running::to_scalars;

/// The frame as a queue that knows the moments of what it holds.
pub(super) struct Sliding<S: Statistic<A>, const A: usize> {
    /// The older rows, the oldest last: each entry holds its row and all older ones' followers in this stack.
    leaving: Vec<S::Moments>,
    /// The newer rows, in order.
    entered: Vec<S::Moments>,
    /// The moments of `entered`.
    newer: S::Moments,
}

impl<S: Statistic<A>, const A: usize> Sliding<S, A> {
    fn pop(&mut self) -> Result<()> {
        if self.leaving.is_empty() {
            let mut suffix = S::Moments::default();
            for row in self.entered.drain(..).rev() {
                suffix.merge(&row);
                self.leaving.push(suffix);
            }
            self.newer = S::Moments::default();
        }
        match self.leaving.pop() {
            Some(_) => Ok(()),
            None => Err(internal_datafusion_err!("{}: more rows left the window than entered it", S::NAME)),
        }
    }

    fn moments(&self) -> S::Moments {
        let mut moments = self.leaving.last().copied().unwrap_or_default();
        moments.merge(&self.newer);
        moments
    }
}

impl<S: Statistic<A>, const A: usize> Default for Sliding<S, A> {
    fn default() -> Self {
        Self { leaving: Vec::new(), entered: Vec::new(), newer: S::Moments::default() }
    }
}

impl<S: Statistic<A>, const A: usize> Debug for Sliding<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(S::NAME).field("rows", &(self.leaving.len() + self.entered.len())).finish()
    }
}

impl<S: Statistic<A>, const A: usize> Accumulator for Sliding<S, A> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = Rows::<A>::of(S::WRITTEN, values, None)?;
        let columns = rows.columns();
        rows.for_each(|row| {
            let row = columns.map(|column| column[row]);
            let mut alone = S::Moments::default();
            S::add(&mut alone, row);
            S::add(&mut self.newer, row);
            self.entered.push(alone);
        });
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        // A frame moves forward only, so what leaves is what entered first.
        let rows = Rows::<A>::of(S::WRITTEN, values, None)?;
        (0..rows.count()).try_for_each(|_| self.pop())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(S::result(&self.moments())?))
    }

    fn size(&self) -> usize {
        size_of_val(self) + (self.leaving.capacity() + self.entered.capacity()) * size_of::<S::Moments>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(to_scalars(&self.moments()))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for_each_state::<S::Moments>(states, |_, part| {
            self.newer.merge(part);
            self.entered.push(*part);
        })
    }
}
