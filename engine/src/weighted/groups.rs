//! Moments of many groups at once: the path of GROUP BY. One loop over the rows, one cache line per group.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::Float64Type;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::function::Statistic;
use super::moments::Moments;
use super::rows::{Rows, bad_weight, is_weight};

/// The moments of each group, by its index.
pub(super) struct MomentGroups<S: Statistic<A>, const A: usize> {
    moments: Vec<S::Moments>,
    statistic: PhantomData<fn() -> S>,
}

impl<S: Statistic<A>, const A: usize> Default for MomentGroups<S, A> {
    fn default() -> Self {
        Self { moments: Vec::new(), statistic: PhantomData }
    }
}

impl<S: Statistic<A>, const A: usize> GroupsAccumulator for MomentGroups<S, A> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let rows = Rows::<A>::unchecked(S::WRITTEN, values, opt_filter)?;
        self.moments.resize(total_num_groups, S::Moments::default());
        let moments = self.moments.as_mut_slice();
        touch(moments.len(), group_indices, |group| &moments[group]);
        let columns = rows.columns();
        // Checked on the way, since a pass of its own would read the weights twice from memory.
        let mut all_fit = true;
        match rows.mask() {
            None => {
                // Slices of one length, so that only the group's index is checked in the loop.
                let columns = columns.map(|column| &column[..group_indices.len()]);
                for (row, group) in group_indices.iter().enumerate() {
                    let row = columns.map(|column| column[row]);
                    all_fit &= is_weight(row[A - 1]);
                    S::add(&mut moments[*group], row);
                }
            }
            Some(mask) => {
                for row in mask.set_indices() {
                    let group = group_indices[row];
                    let row = columns.map(|column| column[row]);
                    all_fit &= is_weight(row[A - 1]);
                    S::add(&mut moments[group], row);
                }
            }
        }
        if all_fit { Ok(()) } else { Err(bad_weight(S::WRITTEN).into()) }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let moments = emit_to.take_needed(&mut self.moments);
        let results = moments.iter().map(S::result).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Float64Array::from(results)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(to_columns(&emit_to.take_needed(&mut self.moments)))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.moments.resize(total_num_groups, S::Moments::default());
        let moments = self.moments.as_mut_slice();
        for_each_state::<S::Moments>(values, |row, part| {
            if let Some(group) = group_indices.get(row) {
                moments[*group].merge(part);
            }
        })
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = Rows::<A>::of(S::WRITTEN, values, opt_filter)?;
        let columns = rows.columns();
        let mut moments = vec![S::Moments::default(); columns.first().map_or(0, |column| column.len())];
        rows.for_each(|row| S::add(&mut moments[row], columns.map(|column| column[row])));
        Ok(to_columns(&moments))
    }

    fn size(&self) -> usize {
        self.moments.capacity() * size_of::<S::Moments>()
    }
}

/// Reads what the rows of a batch are going to change, so that it is in the cache by then. Each read waits for no other, where
/// each change would wait for its own.
pub(crate) fn touch<'a, M: Moments>(count: usize, groups: &[usize], of: impl Fn(usize) -> &'a M) {
    /// Fewer are there anyway.
    const MANY: usize = 8192;
    if count > MANY {
        let first = |group: &usize| of(*group).fields().first().map_or(0, |field| field.to_bits());
        black_box(groups.iter().fold(0, |all, group| all ^ first(group)));
    }
}

/// The fields of many moments, a column each.
pub(crate) fn to_columns<M: Moments>(moments: &[M]) -> Vec<ArrayRef> {
    (0..M::default().fields().len())
        .map(|k| {
            let column: Vec<f64> = moments.iter().map(|moments| moments.fields()[k]).collect();
            Arc::new(Float64Array::from(column)) as ArrayRef
        })
        .collect()
}

/// Calls `each` with every partial state of the columns that [`to_columns`] made.
pub(crate) fn for_each_state<M: Moments>(columns: &[ArrayRef], mut each: impl FnMut(usize, &M)) -> Result<()> {
    let columns = columns
        .iter()
        .map(|column| {
            column.as_primitive_opt::<Float64Type>().filter(|column| column.null_count() == 0).map(Float64Array::values)
        })
        .collect::<Option<Vec<_>>>()
        .filter(|columns| columns.len() == M::default().fields().len())
        .ok_or_else(|| internal_datafusion_err!("the partial state of a weighted function is not its own"))?;
    let mut part = M::default();
    for row in 0..columns.first().map_or(0, |column| column.len()) {
        for (field, column) in part.fields_mut().iter_mut().zip(&columns) {
            *field = column[row];
        }
        each(row, &part);
    }
    Ok(())
}
