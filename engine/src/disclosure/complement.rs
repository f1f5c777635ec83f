//! Complementary suppression: of a total that is shown with its parts, one part alone cannot be left out.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;

use super::cells::{Made, Shown, Why};

/// Which grouping set a row is of: a bit for each key that it leaves out, the last key lowest.
pub(super) fn set_of(batch: &RecordBatch, grouping: Option<usize>, row: usize) -> i64 {
    let Some(grouping) = grouping else { return 0 };
    let sets = batch.column(grouping).as_primitive::<Int32Type>();
    if sets.is_valid(row) { i64::from(sets.value(row)) } else { 0 }
}

/// Hides what would tell a hidden figure, until nothing does.
pub(super) fn within(made: &Made<'_>, grouping: usize, shown: &mut Shown) -> Result<()> {
    let families = families(made, grouping)?;
    for value in 0..made.cells.values.len() {
        if made.cells.values[value].is_open {
            continue;
        }
        // Each round hides something, or is the last one.
        loop {
            let before = count(shown, value);
            families.iter().for_each(|(total, parts)| settle(made, shown, value, *total, parts));
            if count(shown, value) == before {
                break;
            }
        }
    }
    Ok(())
}

fn count(shown: &Shown, value: usize) -> usize {
    shown.hidden[value].iter().flatten().count()
}

/// Each row with those of a finer set that add up to it.
fn families(made: &Made<'_>, grouping: usize) -> Result<Vec<(usize, Vec<usize>)>> {
    let keys = made.cells.keys;
    let mut sets: HashMap<i64, Vec<usize>> = HashMap::new();
    for row in 0..made.rows() {
        sets.entry(set_of(made.batch, Some(grouping), row)).or_default().push(row);
    }
    let mut families = Vec::new();
    for (coarse, totals) in &sets {
        let kept: Vec<usize> = (0..keys).filter(|key| coarse >> (keys - 1 - key) & 1 == 0).collect();
        let columns: Vec<_> = kept.iter().map(|key| made.batch.column(*key).clone()).collect();
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let converted = match columns.is_empty() {
            true => None,
            false => Some(RowConverter::new(fields)?.convert_columns(&columns)?),
        };
        let key = |row: usize| converted.as_ref().map(|rows| rows.row(row).owned());
        for (fine, parts) in &sets {
            let is_finer = fine != coarse && fine & coarse == *fine;
            if !is_finer {
                continue;
            }
            let mut by_key: HashMap<_, Vec<usize>> = HashMap::new();
            for part in parts {
                by_key.entry(key(*part)).or_default().push(*part);
            }
            families.extend(totals.iter().filter_map(|total| Some((*total, by_key.get(&key(*total))?.clone()))));
        }
    }
    Ok(families)
}

fn settle(made: &Made<'_>, shown: &mut Shown, value: usize, total: usize, parts: &[usize]) {
    let Some(domain) = made.cells.values[value].domains.first().copied() else { return };
    let people = |row: usize| {
        (0..made.cells.protections.len()).map(|table| made.people(domain, table, row)).min().unwrap_or_default()
    };
    let fewest = made.cells.protections.iter().map(|protection| protection.fewest()).max().unwrap_or_default();
    loop {
        let (open, hidden): (Vec<usize>, Vec<usize>) =
            parts.iter().filter(|row| !made.is_empty(domain, **row)).partition(|row| shown.is(value, **row));
        let tells = match shown.is(value, total) {
            // The total less what is shown is what is hidden.
            true => {
                hidden.len() == 1 || (!hidden.is_empty() && hidden.iter().map(|row| people(*row)).sum::<u64>() < fewest)
            }
            // The parts add up to the total.
            false => hidden.is_empty() && !open.is_empty(),
        };
        if !tells {
            return;
        }
        let least = open.into_iter().min_by_key(|row| people(*row));
        match least {
            Some(row) => shown.hide(value, row, Why::Complement),
            None => {
                shown.hide(value, total, Why::Complement);
                return;
            }
        }
    }
}
