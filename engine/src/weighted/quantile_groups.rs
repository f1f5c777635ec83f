//! The weighted distributions of many groups: the path of GROUP BY for quantiles.

use arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::distribution::{Entry, Keys, for_each_entry, for_each_listed, quantile, to_lists};

/// All rows in one vector, each with its group: many small groups cost no allocation each.
#[derive(Debug)]
pub(crate) struct QuantileGroups {
    name: &'static str,
    p: f64,
    keys: Keys,
    groups: usize,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    group: usize,
    entry: Entry,
}

impl QuantileGroups {
    pub(super) fn new(name: &'static str, p: f64, args: &AccumulatorArgs) -> Self {
        Self { name, p, keys: Keys::of(args), groups: 0, rows: Vec::new() }
    }

    /// Of floats, for whoever wants their values.
    pub(crate) fn of_floats(name: &'static str) -> Self {
        Self { name, p: f64::NAN, keys: Keys::of_floats(), groups: 0, rows: Vec::new() }
    }

    pub(crate) fn grow(&mut self, groups: usize) {
        self.groups = groups;
    }

    /// The rows of the groups to emit, and how many groups these are; the others move down.
    fn take(&mut self, emit_to: EmitTo) -> (usize, Vec<Row>) {
        match emit_to {
            EmitTo::All => (std::mem::take(&mut self.groups), std::mem::take(&mut self.rows)),
            EmitTo::First(emitted) => {
                let (taken, mut rest): (Vec<Row>, Vec<Row>) = self.rows.drain(..).partition(|row| row.group < emitted);
                rest.iter_mut().for_each(|row| row.group -= emitted);
                self.rows = rest;
                self.groups = self.groups.saturating_sub(emitted);
                (emitted, taken)
            }
        }
    }
}

impl GroupsAccumulator for QuantileGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups = total_num_groups;
        let Self { name, keys, rows, .. } = self;
        for_each_entry(name, keys, values, opt_filter, |row, entry| {
            rows.push(Row { group: group_indices[row], entry });
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (groups, mut rows) = self.take(emit_to);
        rows.sort_unstable_by(|a, b| a.group.cmp(&b.group).then_with(|| a.entry.compare(&b.entry)));
        let mut results = vec![None; groups];
        for rows in rows.chunk_by(|a, b| a.group == b.group) {
            if let Some(result) = rows.first().and_then(|row| results.get_mut(row.group)) {
                *result = quantile(rows.iter().map(|row| row.entry), self.p);
            }
        }
        self.keys.decode(results)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (groups, mut rows) = self.take(emit_to);
        rows.sort_by_key(|row| row.group);
        let mut sizes = vec![0; groups];
        for row in &rows {
            if let Some(size) = sizes.get_mut(row.group) {
                *size += 1;
            }
        }
        let entries: Vec<Entry> = rows.iter().map(|row| row.entry).collect();
        Ok(to_lists(sizes, &entries))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups = total_num_groups;
        for_each_listed(values, |row, entry| self.rows.push(Row { group: group_indices[row], entry }))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut sizes = vec![0; values.first().map_or(0, |column| column.len())];
        let mut entries = Vec::new();
        for_each_entry(self.name, &self.keys, values, opt_filter, |row, entry| {
            sizes[row] = 1;
            entries.push(entry);
        })?;
        Ok(to_lists(sizes, &entries))
    }

    fn size(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
    }
}
