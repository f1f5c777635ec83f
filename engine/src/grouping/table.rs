//! What is known of each unit in each group, while rows are read.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::inputs::{self, Arguments};
use super::numbering::{Numbering, Pairs};

/// Which keys tell the unit, and what is added up.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The keys, by name and type.
    pub(super) keys: SchemaRef,
    /// Whether each of them is of the unit.
    pub(super) is_unit: Vec<bool>,
    pub(super) calls: Vec<Arc<AggregateFunctionExpr>>,
}

impl Layout {
    /// The columns of the keys that are of units, or of groups.
    pub(super) fn columns<T: Clone>(&self, keys: &[T], of_units: bool) -> Vec<T> {
        let keys = self.is_unit.iter().zip(keys).filter(|(is_unit, _)| **is_unit == of_units);
        keys.map(|(_, key)| key.clone()).collect()
    }

    fn numbering(&self, of_units: bool) -> Result<Numbering> {
        Numbering::of(&self.columns(self.keys.fields(), of_units))
    }
}

/// The groups of one partition.
pub(super) struct Table {
    layout: Layout,
    cells: Pairs,
    sums: Vec<Box<dyn GroupsAccumulator>>,
    /// The groups of a batch's rows, kept for their memory.
    numbers: Vec<usize>,
    rows: usize,
}

/// All that a table knew: a row for each unit in each group.
pub(super) struct Known {
    pub(super) columns: Vec<ArrayRef>,
    /// Which part of the units each row is of, where that was asked for.
    pub(super) parts: Vec<usize>,
}

impl Table {
    pub(super) fn new(layout: &Layout) -> Result<Self> {
        let sums = layout.calls.iter().map(|call| call.create_groups_accumulator()).collect::<Result<_>>()?;
        let cells = Pairs::of(layout.numbering(true)?, layout.numbering(false)?);
        Ok(Self { layout: layout.clone(), cells, sums, numbers: Vec::new(), rows: 0 })
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// How many rows came.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// What it takes, and what its sums take again when they become columns.
    pub(super) fn size(&self) -> usize {
        let sums: usize = self.sums.iter().map(|sums| sums.size()).sum();
        self.cells.size() + 2 * sums
    }

    /// Adds rows: their keys, and for each call its arguments and filter.
    pub(super) fn add(&mut self, keys: &[ArrayRef], arguments: &Arguments) -> Result<()> {
        self.number(keys)?;
        inputs::add(&mut self.sums, arguments, &self.numbers, self.cells.len())
    }

    /// Adds rows that [`Table::take_states`] gave.
    pub(super) fn merge(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (keys, mut states) = columns.split_at(self.layout.is_unit.len());
        self.number(keys)?;
        for (sums, call) in self.sums.iter_mut().zip(&self.layout.calls) {
            let (own, others) = states.split_at(call.state_fields()?.len());
            sums.merge_batch(own, &self.numbers, self.cells.len())?;
            states = others;
        }
        Ok(())
    }

    fn number(&mut self, keys: &[ArrayRef]) -> Result<()> {
        let rows = keys.first().map_or(0, |key| key.len());
        let mut columns = self.layout.columns(keys, true);
        columns.extend(self.layout.columns(keys, false));
        self.cells.number(&columns, rows, &mut self.numbers)?;
        self.rows += rows;
        Ok(())
    }

    /// The values of all groups.
    pub(super) fn take_values(self) -> Result<Known> {
        self.take(None, |sums| Ok(vec![sums.evaluate(EmitTo::All)?]))
    }

    /// The states of all groups, each with the one of `parts` that its unit belongs to by the hash of `seed`.
    pub(super) fn take_states(self, parts: usize, seed: u64) -> Result<Known> {
        self.take(Some((parts, seed)), |sums| sums.state(EmitTo::All))
    }

    fn take(
        mut self,
        parts: Option<(usize, u64)>,
        of: impl Fn(&mut Box<dyn GroupsAccumulator>) -> Result<Vec<ArrayRef>>,
    ) -> Result<Known> {
        let ((units, of_units), (groups, of_groups)) = self.cells.take()?;
        let parts = match parts {
            None => Vec::new(),
            Some((parts, seed)) => {
                let all = units.first().map_or(1, |unit| unit.len());
                let by_unit = parts_of(&units, all, parts, seed)?;
                let of = |unit: &u32| by_unit.get(*unit as usize).copied().unwrap_or_default();
                of_units.values().iter().map(of).collect()
            }
        };
        let (mut units, mut groups) = (units.into_iter(), groups.into_iter());
        let keys = self.layout.is_unit.iter().map(|is_unit| {
            let (key, rows) = if *is_unit { (units.next(), &of_units) } else { (groups.next(), &of_groups) };
            let key = key.ok_or_else(|| internal_datafusion_err!("a key of groups by unit has no values"))?;
            Ok(take(&key, rows, None)?)
        });
        let mut columns = keys.collect::<Result<Vec<_>>>()?;
        for sums in &mut self.sums {
            columns.extend(of(sums)?);
        }
        Ok(Known { columns, parts })
    }
}

/// The part of each of so many units.
pub(super) fn parts_of(units: &[ArrayRef], count: usize, parts: usize, seed: u64) -> Result<Vec<usize>> {
    // Another seed than that by which rows came to this partition, else they would all be of few parts.
    let state = RandomState::with_seed(0x5765_6674 + seed);
    let mut hashes = vec![0; count];
    create_hashes(units, &state, &mut hashes)?;
    // By the high bits: the low ones choose the place in a hash table.
    let parts = parts as u64;
    Ok(hashes.into_iter().map(|hash| usize::try_from((hash >> 32) % parts).unwrap_or_default()).collect())
}
