//! An aggregate without GROUP BY, by the code of one with it: all rows are of one group.

use std::fmt::{self, Debug};

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo};

use super::step::Groups;

pub(super) struct OneGroup {
    groups: Box<dyn Groups>,
    /// The index of each row's group.
    zeros: Vec<usize>,
}

impl OneGroup {
    pub(super) fn new(mut groups: Box<dyn Groups>) -> Self {
        groups.grow(1);
        Self { groups, zeros: Vec::new() }
    }

    fn zeros(&mut self, values: &[ArrayRef]) {
        self.zeros.resize(values.first().map_or(0, |column| column.len()), 0);
    }
}

impl Debug for OneGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneGroup").finish_non_exhaustive()
    }
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.zeros(values);
        self.groups.update_batch(values, &self.zeros, None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.groups.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.size() + self.zeros.capacity() * size_of::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.groups.state(EmitTo::All)?.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.zeros(states);
        self.groups.merge_batch(states, &self.zeros, 1)
    }
}
