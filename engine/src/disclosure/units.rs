//! What a cell is made of: its people or rows, each person with its rows, and how much each adds to a sum.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeBinaryArray, UInt64Array};
use arrow::datatypes::{DataType, Float64Type, UInt64Type};
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use crate::survey::step::{Groups, Level};

const BYTES: usize = size_of::<u64>();

/// The different units of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Units {
    /// No more than so many are wanted.
    pub(super) at_most: Option<u64>,
}

impl Level for Units {
    const NAME: &'static str = "disclosure_units";

    fn data_type(&self) -> DataType {
        DataType::LargeBinary
    }

    fn state(&self) -> Vec<DataType> {
        vec![DataType::LargeBinary]
    }

    fn groups(&self) -> Box<dyn Groups> {
        let at_most = self.at_most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        Box::new(UnitGroups { at_most, groups: Vec::new() })
    }
}

type Set = HashSet<u64, RandomState>;

struct UnitGroups {
    at_most: usize,
    groups: Vec<Set>,
}

/// The units that a column of sets has for a row.
pub(super) fn units_of(bytes: &[u8]) -> impl ExactSizeIterator<Item = u64> + '_ {
    let (units, _) = bytes.as_chunks::<BYTES>();
    units.iter().map(|unit| u64::from_le_bytes(*unit))
}

impl Groups for UnitGroups {
    fn grow(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, || Set::with_hasher(RandomState::default()));
        }
    }
}

fn counts(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

fn first(values: &[ArrayRef]) -> Result<&ArrayRef> {
    values.first().ok_or_else(|| internal_datafusion_err!("disclosure control has lost an argument"))
}

impl GroupsAccumulator for UnitGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        let units = first(values)?.as_primitive::<UInt64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            let group = &mut self.groups[*group];
            if group.len() < self.at_most && units.is_valid(row) && counts(filter, row) {
                group.insert(units.value(row));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let bytes = emit_to.take_needed(&mut self.groups).into_iter().map(|units| {
            let mut units: Vec<u64> = units.into_iter().collect();
            units.sort_unstable();
            units.into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>()
        });
        Ok(Arc::new(LargeBinaryArray::from_iter_values(bytes)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.grow(groups);
        let sets = first(values)?.as_binary::<i64>();
        for (row, group) in group_indices.iter().enumerate().filter(|(row, _)| sets.is_valid(*row)) {
            let group = &mut self.groups[*group];
            for unit in units_of(sets.value(row)) {
                if group.len() >= self.at_most {
                    break;
                }
                group.insert(unit);
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let units = first(values)?.as_primitive::<UInt64Type>();
        let bytes = (0..units.len()).map(|row| {
            let is_one = units.is_valid(row) && counts(filter, row);
            if is_one { units.value(row).to_le_bytes().to_vec() } else { Vec::new() }
        });
        Ok(vec![Arc::new(LargeBinaryArray::from_iter_values(bytes))])
    }

    fn size(&self) -> usize {
        let sets: usize = self.groups.iter().map(|set| set.capacity() * (BYTES + 1)).sum();
        sets + self.groups.capacity() * size_of::<Set>()
    }
}

/// The people of a group, each with the sum of the numbers of its rows: who has other rows, or some of them twice, is another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct People;

impl Level for People {
    const NAME: &'static str = "disclosure_people";

    fn data_type(&self) -> DataType {
        DataType::LargeBinary
    }

    fn state(&self) -> Vec<DataType> {
        vec![DataType::LargeBinary]
    }

    fn groups(&self) -> Box<dyn Groups> {
        Box::new(PeopleGroups { groups: Vec::new() })
    }
}

type Sums = HashMap<u64, u64, RandomState>;

struct PeopleGroups {
    groups: Vec<Sums>,
}

/// The people that a column of such has for a row, with the sums of their rows.
pub(super) fn people_of(bytes: &[u8]) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
    let (numbers, _) = bytes.as_chunks::<BYTES>();
    let (pairs, _) = numbers.as_chunks::<2>();
    pairs.iter().map(|[person, sum]| (u64::from_le_bytes(*person), u64::from_le_bytes(*sum)))
}

impl Groups for PeopleGroups {
    fn grow(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, || Sums::with_hasher(RandomState::default()));
        }
    }
}

impl GroupsAccumulator for PeopleGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        let [people, rows] = values else { return Err(internal_datafusion_err!("people are of two columns")) };
        let (people, rows) = (people.as_primitive::<UInt64Type>(), rows.as_primitive::<UInt64Type>());
        for (at, group) in group_indices.iter().enumerate() {
            if people.is_valid(at) && rows.is_valid(at) && counts(filter, at) {
                let sum = self.groups[*group].entry(people.value(at)).or_default();
                *sum = sum.wrapping_add(rows.value(at));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let bytes = emit_to.take_needed(&mut self.groups).into_iter().map(|people| {
            let mut people: Vec<(u64, u64)> = people.into_iter().collect();
            people.sort_unstable();
            people.into_iter().flat_map(|(person, sum)| [person, sum]).flat_map(u64::to_le_bytes).collect::<Vec<u8>>()
        });
        Ok(Arc::new(LargeBinaryArray::from_iter_values(bytes)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.grow(groups);
        let states = first(values)?.as_binary::<i64>();
        for (at, group) in group_indices.iter().enumerate().filter(|(at, _)| states.is_valid(*at)) {
            for (person, sum) in people_of(states.value(at)) {
                let own = self.groups[*group].entry(person).or_default();
                *own = own.wrapping_add(sum);
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = first(values)?.len();
        let mut alone = PeopleGroups { groups: Vec::new() };
        alone.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        alone.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let sums: usize = self.groups.iter().map(|sums| sums.capacity() * (2 * BYTES + 1)).sum();
        sums + self.groups.capacity() * size_of::<Sums>()
    }
}

/// A number for the rows of one person together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Together;

impl Level for Together {
    const NAME: &'static str = "disclosure_together";

    fn data_type(&self) -> DataType {
        DataType::UInt64
    }

    fn state(&self) -> Vec<DataType> {
        vec![DataType::UInt64]
    }

    fn groups(&self) -> Box<dyn Groups> {
        Box::new(TogetherGroups { sums: Vec::new() })
    }
}

struct TogetherGroups {
    sums: Vec<u64>,
}

impl Groups for TogetherGroups {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups.max(self.sums.len()), 0);
    }
}

impl GroupsAccumulator for TogetherGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        let rows = first(values)?.as_primitive::<UInt64Type>();
        for (at, group) in group_indices.iter().enumerate() {
            if rows.is_valid(at) && counts(filter, at) {
                self.sums[*group] = self.sums[*group].wrapping_add(rows.value(at));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(UInt64Array::from(emit_to.take_needed(&mut self.sums))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.update_batch(values, group_indices, None, groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = first(values)?.as_primitive::<UInt64Type>();
        let kept = (0..rows.len()).map(|at| if rows.is_valid(at) && counts(filter, at) { rows.value(at) } else { 0 });
        Ok(vec![Arc::new(UInt64Array::from_iter_values(kept))])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * BYTES
    }
}

/// How much each person of a group adds to a sum. What comes out is the whole, and the largest parts of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Contributions {
    pub(super) largest: usize,
}

impl Level for Contributions {
    const NAME: &'static str = "disclosure_contributions";

    fn data_type(&self) -> DataType {
        DataType::LargeBinary
    }

    fn state(&self) -> Vec<DataType> {
        vec![DataType::LargeBinary]
    }

    fn groups(&self) -> Box<dyn Groups> {
        Box::new(ContributionGroups { largest: self.largest, groups: Vec::new() })
    }
}

type Parts = HashMap<u64, f64, RandomState>;

struct ContributionGroups {
    largest: usize,
    groups: Vec<Parts>,
}

/// The whole and its largest parts, the largest first.
pub(super) fn contributions_of(bytes: &[u8]) -> Vec<f64> {
    let (parts, _) = bytes.as_chunks::<BYTES>();
    parts.iter().map(|part| f64::from_le_bytes(*part)).collect()
}

impl Groups for ContributionGroups {
    fn grow(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, || Parts::with_hasher(RandomState::default()));
        }
    }
}

impl GroupsAccumulator for ContributionGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        let [units, amounts] = values else { return Err(internal_datafusion_err!("a contribution is of two columns")) };
        let (units, amounts) = (units.as_primitive::<UInt64Type>(), amounts.as_primitive::<Float64Type>());
        for (row, group) in group_indices.iter().enumerate() {
            if units.is_valid(row) && amounts.is_valid(row) && counts(filter, row) {
                *self.groups[*group].entry(units.value(row)).or_default() += amounts.value(row);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let largest = self.largest;
        let bytes = emit_to.take_needed(&mut self.groups).into_iter().map(|parts| {
            let mut parts: Vec<f64> = parts.into_values().map(f64::abs).collect();
            parts.sort_unstable_by(|a, b| b.total_cmp(a));
            let whole: f64 = parts.iter().sum();
            let shown = std::iter::once(whole).chain(parts.into_iter().take(largest));
            shown.flat_map(f64::to_le_bytes).collect::<Vec<u8>>()
        });
        Ok(Arc::new(LargeBinaryArray::from_iter_values(bytes)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let bytes = emit_to.take_needed(&mut self.groups).into_iter().map(|parts| {
            let parts = parts.into_iter().flat_map(|(unit, amount)| [unit.to_le_bytes(), amount.to_le_bytes()]);
            parts.flatten().collect::<Vec<u8>>()
        });
        Ok(vec![Arc::new(LargeBinaryArray::from_iter_values(bytes))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.grow(groups);
        let states = first(values)?.as_binary::<i64>();
        for (row, group) in group_indices.iter().enumerate().filter(|(row, _)| states.is_valid(*row)) {
            let (numbers, _) = states.value(row).as_chunks::<BYTES>();
            let (pairs, _) = numbers.as_chunks::<2>();
            for [unit, amount] in pairs {
                *self.groups[*group].entry(u64::from_le_bytes(*unit)).or_default() += f64::from_le_bytes(*amount);
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = first(values)?.len();
        let mut alone = ContributionGroups { largest: self.largest, groups: Vec::new() };
        alone.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        alone.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let parts: usize = self.groups.iter().map(|parts| parts.capacity() * (2 * BYTES + 1)).sum();
        parts + self.groups.capacity() * size_of::<Parts>()
    }
}
