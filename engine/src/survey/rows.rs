//! The first level: rows to parts, one for each PSU (or person) of a group.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::lists;
use super::notices::LeftOut;
use super::part::Part;
use super::step::{Groups, Level};
use crate::weighted::{Moments, Rows, bad_weight, for_each_state, is_weight, to_columns, touch};

/// Who the rows of a group are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum People {
    Unknown,
    One,
    /// Each row is one.
    Each,
}

/// What the rows hold: one variable or two, and the weight.
#[derive(Debug, Clone)]
pub(super) struct OfRows {
    /// Variables.
    pub(super) variables: usize,
    pub(super) people: People,
    /// The function that the user wrote.
    pub(super) written: &'static str,
    pub(super) left_out: Arc<LeftOut>,
}

impl OfRows {
    fn key(&self) -> (usize, People, &'static str) {
        (self.variables, self.people, self.written)
    }
}

impl PartialEq for OfRows {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for OfRows {}

impl std::hash::Hash for OfRows {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl OfRows {
    /// Each row as a part of its own.
    ///
    /// # Errors
    /// Those of [`bad_weight`].
    pub(super) fn each(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<ArrayRef> {
        match self.variables {
            2 => RowGroups::<2, 3, 15>::each(self, values, filter),
            _ => RowGroups::<1, 2, 8>::each(self, values, filter),
        }
    }
}

/// Floats of a part of so many variables, and its people.
pub(super) fn width(variables: usize) -> usize {
    if variables == 2 { 16 } else { 9 }
}

impl Level for OfRows {
    const NAME: &'static str = "svy_psu";

    fn data_type(&self) -> DataType {
        lists::data_type(width(self.variables))
    }

    fn state(&self) -> Vec<DataType> {
        vec![DataType::Float64; width(self.variables) - 1]
    }

    fn groups(&self) -> Box<dyn Groups> {
        let of = self.clone();
        match self.variables {
            2 => Box::new(RowGroups::<2, 3, 15> { of, parts: Vec::new() }),
            _ => Box::new(RowGroups::<1, 2, 8> { of, parts: Vec::new() }),
        }
    }
}

/// The parts of groups, by their index, from `A` columns: `K` variables and the weight.
struct RowGroups<const K: usize, const A: usize, const F: usize> {
    of: OfRows,
    parts: Vec<Part<K, F>>,
}

impl<const K: usize, const A: usize, const F: usize> RowGroups<K, A, F> {
    /// Adds each row that counts to the part that `part` gives for it.
    fn add(
        of: &OfRows,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
        parts: &mut [Part<K, F>],
        part: impl Fn(usize) -> usize,
    ) -> Result<()> {
        let rows = Rows::<A>::unchecked(of.written, values, filter)?;
        of.left_out.count(values, filter, rows.count());
        let columns = rows.columns();
        let mut all_fit = true;
        rows.for_each(|row| {
            let weight = columns[A - 1][row];
            all_fit &= is_weight(weight);
            parts[part(row)].add(std::array::from_fn(|variable| columns[variable][row]), weight);
        });
        if all_fit { Ok(()) } else { Err(bad_weight(of.written).into()) }
    }

    fn each(of: &OfRows, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<ArrayRef> {
        let mut parts = vec![Part::default(); values.first().map_or(0, |column| column.len())];
        Self::add(of, values, filter, &mut parts, |row| row)?;
        lists::column(parts.into_iter().flat_map(|part| part.of(of.people)).collect(), width(K))
    }
}

impl<const K: usize, const A: usize, const F: usize> Groups for RowGroups<K, A, F> {
    fn grow(&mut self, groups: usize) {
        self.parts.resize(groups, Part::default());
    }
}

impl<const K: usize, const A: usize, const F: usize> GroupsAccumulator for RowGroups<K, A, F> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        touch(&self.parts, group_indices);
        Self::add(&self.of, values, filter, &mut self.parts, |row| group_indices[row])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let parts = emit_to.take_needed(&mut self.parts);
        lists::column(parts.into_iter().flat_map(|part| part.of(self.of.people)).collect(), width(K))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(to_columns(&emit_to.take_needed(&mut self.parts)))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.grow(groups);
        let parts = self.parts.as_mut_slice();
        for_each_state::<Part<K, F>>(values, |row, part| {
            if let Some(group) = group_indices.get(row) {
                parts[*group].merge(part);
            }
        })
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut parts = vec![Part::default(); values.first().map_or(0, |column| column.len())];
        Self::add(&self.of, values, filter, &mut parts, |row| row)?;
        Ok(to_columns(&parts))
    }

    fn size(&self) -> usize {
        self.parts.capacity() * size_of::<Part<K, F>>()
    }
}
