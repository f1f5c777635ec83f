//! Where people are not the PSUs: the parts of people to one part for each PSU.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::lists::{self, Lists};
use super::part::Part;
use super::rows::width;
use super::step::{Groups, Level};
use crate::weighted::Moments;

/// Parts of so many variables.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OfPeople {
    pub(super) variables: usize,
}

impl Level for OfPeople {
    const NAME: &'static str = "svy_people";

    fn data_type(&self) -> DataType {
        lists::data_type(width(self.variables))
    }

    fn state(&self) -> Vec<DataType> {
        vec![self.data_type()]
    }

    fn groups(&self) -> Box<dyn Groups> {
        match self.variables {
            2 => Box::new(PartGroups::<2, 16> { parts: Vec::new() }),
            _ => Box::new(PartGroups::<1, 9> { parts: Vec::new() }),
        }
    }
}

struct PartGroups<const K: usize, const F: usize> {
    parts: Vec<Part<K, F>>,
}

impl<const K: usize, const F: usize> PartGroups<K, F> {
    fn add(&mut self, values: &[ArrayRef], group_indices: &[usize], filter: Option<&BooleanArray>) -> Result<()> {
        let [column] = values else { return Ok(()) };
        let rows = Lists::of(column)?;
        for (row, group) in group_indices.iter().enumerate() {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                self.parts[*group].merge(&Part::of_fields(rows.row(row)));
            }
        }
        Ok(())
    }
}

impl<const K: usize, const F: usize> Groups for PartGroups<K, F> {
    fn grow(&mut self, groups: usize) {
        self.parts.resize(groups, Part::default());
    }
}

impl<const K: usize, const F: usize> GroupsAccumulator for PartGroups<K, F> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        self.add(values, group_indices, filter)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let parts = emit_to.take_needed(&mut self.parts);
        lists::column(parts.into_iter().flat_map(Part::into_fields).collect(), F)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.grow(groups);
        self.add(values, group_indices, None)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let mut each = Self { parts: vec![Part::default(); rows] };
        each.add(values, &(0..rows).collect::<Vec<_>>(), filter)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.parts.capacity() * size_of::<Part<K, F>>()
    }
}
