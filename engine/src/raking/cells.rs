//! Rows that raking cannot tell apart, taken together: of ten million rows a few thousand cells are left.

use std::collections::HashMap;

use super::Sample;
use super::fit::Bounds;

/// The cell of rows that weigh nothing: those that came so, and those of a category that nobody is in.
const NONE: u32 = u32::MAX;

/// The rows by the categories they are in.
#[derive(Debug)]
pub(super) struct Cells {
    of_row: Vec<u32>,
    /// For each margin: the category of each cell.
    pub(super) codes: Vec<Vec<u32>>,
    /// The mean base weight of each cell.
    pub(super) base: Vec<f64>,
    /// How many rows are in each cell.
    pub(super) rows: Vec<f64>,
}

impl Cells {
    /// Cells of the same categories.
    pub(super) fn of(sample: Sample<'_>, populations: &[Vec<f64>]) -> Self {
        Self::filled(sample, by_category(sample, populations))
    }

    /// Cells of the same categories and the same base weight.
    pub(super) fn by_weight(sample: Sample<'_>, populations: &[Vec<f64>]) -> Self {
        let mut of_row = by_category(sample, populations);
        split(&mut of_row, sample.base.iter().map(|weight| weight.to_bits()));
        Self::filled(sample, of_row)
    }

    fn filled(sample: Sample<'_>, of_row: Vec<u32>) -> Self {
        let count = of_row.iter().filter(|cell| **cell != NONE).max().map_or(0, |last| *last as usize + 1);
        let (mut sums, mut rows) = (vec![0.0; count], vec![0.0; count]);
        let mut codes = vec![vec![0; count]; sample.codes.len()];
        for (row, cell) in of_row.iter().enumerate().filter(|(_, cell)| **cell != NONE) {
            let cell = *cell as usize;
            sums[cell] += sample.base[row];
            rows[cell] += 1.0;
            for (of_cell, of_row) in codes.iter_mut().zip(sample.codes) {
                of_cell[cell] = of_row[row];
            }
        }
        let base = sums.iter().zip(&rows).map(|(sum, rows)| sum / rows).collect();
        Self { of_row, codes, base, rows }
    }

    /// The weight of each row, once each cell has its factor.
    pub(super) fn weights(&self, base: &[f64], factors: &[f64], bounds: Bounds) -> Vec<f64> {
        let weight = |(cell, base): (&u32, &f64)| match factors.get(*cell as usize) {
            Some(factor) => bounds.cut(base * factor),
            None => 0.0,
        };
        self.of_row.iter().zip(base).map(weight).collect()
    }
}

fn by_category(sample: Sample<'_>, populations: &[Vec<f64>]) -> Vec<u32> {
    let mut of_row: Vec<u32> = sample.base.iter().map(|weight| if *weight > 0.0 { 0 } else { NONE }).collect();
    for (codes, populations) in sample.codes.iter().zip(populations) {
        for (cell, code) in of_row.iter_mut().zip(codes) {
            if populations[*code as usize] == 0.0 {
                *cell = NONE;
            }
        }
    }
    for codes in sample.codes {
        split(&mut of_row, codes.iter().map(|code| u64::from(*code)));
    }
    of_row
}

/// Splits cells where the keys of their rows differ. New cells are numbered as they appear, so the order of rows is all
/// that decides.
fn split(of_row: &mut [u32], keys: impl Iterator<Item = u64>) {
    let mut known: HashMap<(u32, u64), u32> = HashMap::new();
    for (cell, key) in of_row.iter_mut().zip(keys).filter(|(cell, _)| **cell != NONE) {
        // There are no more cells than rows, and those have been counted.
        let next = u32::try_from(known.len()).unwrap_or(NONE);
        *cell = *known.entry((*cell, key)).or_insert(next);
    }
}
