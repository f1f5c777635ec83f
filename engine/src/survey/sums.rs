//! Groups that are sums of wide numbers, so many of them each: the levels above the PSUs.

use arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::lists::{self, Lists};
use super::step::Groups;
use super::wide::Wide;
use crate::Error;

/// What is summed, and what becomes of the sums.
pub(super) trait Summed: Send + Sync + 'static {
    /// How many sums there are of a group.
    fn width(&self) -> usize;

    /// Adds row after row of a batch to the sums of a group.
    ///
    /// # Errors
    /// Those of columns of other types.
    fn adder<'a>(&'a self, values: &'a [ArrayRef]) -> Result<Adder<'a>>;

    /// The value of each group.
    ///
    /// # Errors
    /// What the function refuses to answer for a group.
    fn values(&self, groups: &mut dyn Iterator<Item = &[Wide]>) -> Result<ArrayRef>;
}

/// Adds one row to sums.
pub(super) type Adder<'a> = Box<dyn FnMut(usize, &mut [Wide]) -> Result<(), Error> + 'a>;

/// The sums of groups, one group after the other.
pub(super) struct SumGroups<S> {
    summed: S,
    sums: Vec<Wide>,
}

impl<S: Summed> SumGroups<S> {
    pub(super) fn new(summed: S) -> Self {
        Self { summed, sums: Vec::new() }
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Wide> {
        match emit_to {
            EmitTo::All => std::mem::take(&mut self.sums),
            EmitTo::First(groups) => {
                let rest = self.sums.split_off(groups * self.summed.width());
                std::mem::replace(&mut self.sums, rest)
            }
        }
    }

    fn state_of(&self, sums: &[Wide]) -> Result<Vec<ArrayRef>> {
        let floats = sums.iter().flat_map(|sum| sum.parts()).collect();
        Ok(vec![lists::column(floats, 2 * self.summed.width())?])
    }
}

impl<S: Summed> Groups for SumGroups<S> {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups * self.summed.width(), Wide::ZERO);
    }
}

impl<S: Summed> GroupsAccumulator for SumGroups<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        let width = self.summed.width();
        let mut add = self.summed.adder(values)?;
        for (row, group) in group_indices.iter().enumerate() {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                add(row, &mut self.sums[group * width..(group + 1) * width])?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.take(emit_to);
        self.summed.values(&mut sums.chunks_exact(self.summed.width()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = self.take(emit_to);
        self.state_of(&sums)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.grow(groups);
        let [column] = values else { return Ok(()) };
        let rows = Lists::of(column)?;
        let width = self.summed.width();
        for (row, group) in group_indices.iter().enumerate() {
            let sums = &mut self.sums[group * width..(group + 1) * width];
            sums.iter_mut().zip(wide(rows.row(row))).for_each(|(sum, part)| *sum += part);
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let (rows, width) = (values.first().map_or(0, |column| column.len()), self.summed.width());
        let mut sums = vec![Wide::ZERO; rows * width];
        let mut add = self.summed.adder(values)?;
        for (row, sums) in sums.chunks_exact_mut(width).enumerate() {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                add(row, sums)?;
            }
        }
        self.state_of(&sums)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Wide>()
    }
}

/// Wide numbers from the floats that they crossed levels as.
pub(super) fn wide(floats: &[f64]) -> impl Iterator<Item = Wide> {
    floats.chunks_exact(2).map(|parts| Wide::of_parts(parts[0], parts[1]))
}
