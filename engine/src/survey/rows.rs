//! The first level: rows to parts, one for each PSU (or person) of a group.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::chunks::Chunks;
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
            2 => Box::new(RowGroups::<2, 3, 15> { of, parts: Chunks::default() }),
            _ => Box::new(RowGroups::<1, 2, 8> { of, parts: Chunks::default() }),
        }
    }
}

/// The parts of groups, by their index, from `A` columns: `K` variables and the weight.
struct RowGroups<const K: usize, const A: usize, const F: usize> {
    of: OfRows,
    parts: Chunks<Part<K, F>>,
}

impl<const K: usize, const A: usize, const F: usize> RowGroups<K, A, F> {
    /// Calls `add` with the variables and the weight of each row that counts.
    fn read(
        of: &OfRows,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
        mut add: impl FnMut(usize, [f64; K], f64),
    ) -> Result<()> {
        let rows = Rows::<A>::unchecked(of.written, values, filter)?;
        let columns = rows.columns();
        let (mut all_fit, mut undefined) = (true, 0);
        rows.for_each(|row| {
            let weight = columns[A - 1][row];
            all_fit &= is_weight(weight);
            let variables: [f64; K] = std::array::from_fn(|variable| columns[variable][row]);
            undefined += usize::from(variables.iter().any(|value| value.is_nan()));
            add(row, variables, weight);
        });
        of.left_out.count(values, filter, rows.count(), undefined);
        if all_fit { Ok(()) } else { Err(bad_weight(of.written).into()) }
    }

    fn parts_of_each(of: &OfRows, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<Part<K, F>>> {
        let mut parts = vec![Part::default(); values.first().map_or(0, |column| column.len())];
        Self::read(of, values, filter, |row, variables, weight| parts[row].add(variables, weight))?;
        Ok(parts)
    }

    fn each(of: &OfRows, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<ArrayRef> {
        let parts = Self::parts_of_each(of, values, filter)?;
        Self::column(of, parts.len(), parts.into_iter())
    }

    /// Parts as the floats of a column.
    fn column(of: &OfRows, count: usize, parts: impl Iterator<Item = Part<K, F>>) -> Result<ArrayRef> {
        let mut floats = Vec::with_capacity(count * width(K));
        parts.for_each(|part| floats.extend(part.of(of.people)));
        lists::column(floats, width(K))
    }
}

impl<const K: usize, const A: usize, const F: usize> Groups for RowGroups<K, A, F> {
    fn grow(&mut self, groups: usize) {
        self.parts.grow(groups);
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
        let parts = &mut self.parts;
        touch(parts.len(), group_indices, |group| parts.at(group));
        Self::read(&self.of, values, filter, |row, variables, weight| {
            parts.at_mut(group_indices[row]).add(variables, weight);
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let count = self.parts.len();
        Self::column(&self.of, count, self.parts.take(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(to_columns(&self.parts.take(emit_to).collect::<Vec<_>>()))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.grow(groups);
        let parts = &mut self.parts;
        for_each_state::<Part<K, F>>(values, |row, part| {
            if let Some(group) = group_indices.get(row) {
                parts.at_mut(*group).merge(part);
            }
        })
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Ok(to_columns(&Self::parts_of_each(&self.of, values, filter)?))
    }

    fn size(&self) -> usize {
        self.parts.size()
    }
}
