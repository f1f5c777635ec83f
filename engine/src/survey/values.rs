//! The weighted values of each group, as they are: what quantiles are read from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::step::{Groups, Level};
use crate::weighted::{Entry, QuantileGroups, for_each_listed, quantile, quantile_state};

/// Values of floats, with their weights.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Values;

fn fields() -> Fields {
    quantile_state().into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect()
}

impl Level for Values {
    const NAME: &'static str = "svy_values";

    fn data_type(&self) -> DataType {
        DataType::Struct(fields())
    }

    fn state(&self) -> Vec<DataType> {
        quantile_state().into_iter().map(|(_, data_type)| data_type).collect()
    }

    fn groups(&self) -> Box<dyn Groups> {
        Box::new(ValueGroups(QuantileGroups::of_floats("svy_quantile")))
    }
}

struct ValueGroups(QuantileGroups);

impl Groups for ValueGroups {
    fn grow(&mut self, groups: usize) {
        self.0.grow(groups);
    }
}

impl GroupsAccumulator for ValueGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.0.update_batch(values, group_indices, filter, groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(StructArray::try_new(fields(), self.0.state(emit_to)?, None)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.0.merge_batch(values, group_indices, groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.0.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// The values of each row of such a column, sorted. NaN is left out, as R does.
pub(super) fn sorted(column: &ArrayRef) -> Result<Vec<Vec<Entry>>> {
    let of =
        column.as_struct_opt().ok_or_else(|| internal_datafusion_err!("the values of a quantile are no struct"))?;
    let mut rows = vec![Vec::new(); of.len()];
    for_each_listed(of.columns(), |row, entry| {
        if !entry.value().is_nan() {
            rows[row].push(entry);
        }
    })?;
    rows.iter_mut().for_each(|entries: &mut Vec<Entry>| entries.sort_unstable_by(Entry::compare));
    Ok(rows)
}

/// The value at a share, as R's `qrule_math` has it, which of a share below that of the first value gives the second.
pub(super) fn at(sorted: &[Entry], p: f64) -> Option<f64> {
    if p.is_nan() {
        return None;
    }
    if let [first, second, ..] = sorted {
        let total: f64 = sorted.iter().map(|entry| entry.weight).sum();
        if p < first.weight / total * (1.0 - 4.0 * f64::EPSILON) {
            return Some(second.value());
        }
    }
    quantile(sorted.iter().copied(), p).map(|key| Entry { key, weight: 0.0 }.value())
}
