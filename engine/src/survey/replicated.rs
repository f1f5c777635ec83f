//! Variance by replicate weights: the estimate is made anew with each column of them, and the spread of these is its own.
//!
//! Defaults are those of R's `svrepdesign`. Degrees of freedom are the rank of the matrix of weights, less one, found from the
//! sums of their products; a design may give them instead.

use std::hash::{Hash, Hasher};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, internal_datafusion_err};

use super::estimators::MOST_TERMS;
use super::lists;
use super::part::Sums;
use super::report::{self, Base, Reaches, Report, Row};
use super::step::{Groups, Level};
use super::sums::{Adder, SumGroups, Summed};
use super::wide::Wide;
use crate::Error;
use crate::weighted::{bad_weight, is_weight};

/// How replicates make a variance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replication {
    pub(super) scale: f64,
    /// Of each replicate.
    pub(super) rscales: Vec<f64>,
    /// Whether the columns are weights, and not what the weight is multiplied with.
    pub(super) is_combined: bool,
    /// Whether the spread is around the estimate, and not around the mean of the replicates.
    pub(super) is_mse: bool,
    /// Degrees of freedom, where the design gives them.
    pub(super) freedom: Option<f64>,
}

impl Eq for Replication {}

impl Hash for Replication {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scale.to_bits().hash(state);
        self.rscales.iter().for_each(|scale| scale.to_bits().hash(state));
        (self.is_combined, self.is_mse, self.freedom.map(f64::to_bits)).hash(state);
    }
}

/// A dependent column is one of which so little is left: R's `degf`.
const TOLERANCE: f64 = 1e-5;

/// The estimate of a group. Its columns are, for each part, the variables and whether the row is in it, then the weight and its
/// replicates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Replicated {
    pub(super) report: Report,
    pub(super) replication: Replication,
    /// Variables of each part.
    pub(super) parts: Vec<usize>,
}

const ROWS: usize = 0;
const WEIGHTS: usize = 1;
const TERMS: usize = 2;

impl Replicated {
    fn terms(&self) -> usize {
        self.report.estimator.terms()
    }

    fn products(&self) -> usize {
        TERMS + self.terms()
    }

    fn replicates(&self) -> usize {
        let pairs = self.terms() * (self.terms() + 1) / 2;
        self.products() + if self.report.estimator.has_products() { pairs } else { 0 }
    }

    /// The sums of the products of the replicates, each with each that is not before it.
    fn gram(&self) -> usize {
        self.replicates() + self.terms() * self.replication.rscales.len()
    }

    fn row(&self, sums: &[Wide], reaches: &mut Reaches) -> Result<Row, Error> {
        let base = Base {
            rows: sums[ROWS].value(),
            people: 0.0,
            weights: sums[WEIGHTS],
            totals: &sums[TERMS..self.products()],
            products: &sums[self.products()..self.replicates()],
        };
        let replication = &self.replication;
        let freedom = replication
            .freedom
            .unwrap_or_else(|| rank(&sums[self.gram()..], replication.rscales.len()).saturating_sub(1) as f64);
        self.report.row(base, freedom, reaches, |solved| {
            let replicates = sums[self.replicates()..self.gram()].chunks_exact(self.terms());
            // A replicate without an estimate is left out, as R does.
            let made = replicates
                .zip(&replication.rscales)
                .filter_map(|(totals, scale)| Some((self.report.estimator.solve(totals, base.rows)?.estimate, *scale)));
            let made: Vec<(Wide, f64)> = made.collect();
            let counted = made.iter().filter(|(_, scale)| *scale > 0.0);
            let center = if replication.is_mse {
                solved.estimate
            } else {
                let (mut sum, mut count) = (Wide::ZERO, 0.0);
                counted.for_each(|(estimate, _)| {
                    sum += *estimate;
                    count += 1.0;
                });
                sum / Wide::from(count)
            };
            let mut spread = Wide::ZERO;
            for (estimate, scale) in &made {
                let distance = *estimate - center;
                spread += distance * distance * Wide::from(*scale);
            }
            (!made.is_empty()).then(|| spread * Wide::from(replication.scale))
        })
    }
}

/// The rank of a matrix, from the products of its columns: a column counts unless those before it make it up.
fn rank(products: &[Wide], columns: usize) -> usize {
    let mut gram = vec![vec![0.0; columns]; columns];
    let pairs = (0..columns).flat_map(|one| (one..columns).map(move |other| (one, other)));
    for ((one, other), product) in pairs.zip(products) {
        gram[one][other] = product.value();
        gram[other][one] = product.value();
    }
    let before: Vec<f64> = (0..columns).map(|column| gram[column][column]).collect();
    let mut rank = 0;
    for column in 0..columns {
        let left = gram[column][column];
        if left <= before[column] * TOLERANCE * TOLERANCE {
            continue;
        }
        rank += 1;
        let of = gram[column].clone();
        for (row, factor) in of.iter().enumerate().skip(column + 1) {
            let factor = factor / left;
            gram[row].iter_mut().zip(&of).for_each(|(entry, taken)| *entry -= factor * taken);
        }
    }
    rank
}

impl Level for Replicated {
    const NAME: &'static str = "svy_replicated";

    fn data_type(&self) -> DataType {
        report::data_type(self.report.estimator)
    }

    fn state(&self) -> Vec<DataType> {
        vec![lists::data_type(2 * self.width())]
    }

    fn groups(&self) -> Box<dyn Groups> {
        Box::new(SumGroups::new(self.clone()))
    }
}

/// A part's columns.
struct PartColumns<'a> {
    variables: Vec<&'a ArrayRef>,
    keep: &'a BooleanArray,
}

impl PartColumns<'_> {
    /// The values of a row, where it is of the part and has all of them.
    fn row(&self, row: usize) -> Option<[f64; 2]> {
        if !(self.keep.is_valid(row) && self.keep.value(row)) {
            return None;
        }
        let mut values = [0.0; 2];
        for (value, column) in values.iter_mut().zip(&self.variables) {
            if column.is_null(row) {
                return None;
            }
            *value = match column.data_type() {
                DataType::Boolean => f64::from(u8::from(column.as_boolean().value(row))),
                _ => column.as_primitive::<Float64Type>().value(row),
            };
            if value.is_nan() {
                return None;
            }
        }
        Some(values)
    }
}

impl Summed for Replicated {
    fn width(&self) -> usize {
        let columns = self.replication.rscales.len();
        self.gram() + if self.replication.freedom.is_none() { columns * (columns + 1) / 2 } else { 0 }
    }

    fn adder<'a>(&'a self, values: &'a [ArrayRef]) -> Result<Adder<'a>> {
        let missing = || internal_datafusion_err!("the columns of replicate weights are not all there");
        let mut columns = values.iter();
        let mut parts = Vec::with_capacity(self.parts.len());
        for variables in &self.parts {
            let variables: Vec<&ArrayRef> = columns.by_ref().take(*variables).collect();
            let keep = columns.next().and_then(|column| column.as_boolean_opt()).ok_or_else(missing)?;
            parts.push(PartColumns { variables, keep });
        }
        let floats = columns.map(|column| column.as_primitive_opt::<Float64Type>().ok_or_else(missing));
        let weights: Vec<&Float64Array> = floats.collect::<Result<_>>()?;
        let (weight, replicates) =
            weights.split_first().map(|(one, rest)| (*one, rest.to_vec())).ok_or_else(missing)?;
        let (name, terms) = (self.report.estimator.name(), self.terms());
        Ok(Box::new(move |row, sums| {
            let rows: Vec<Option<[f64; 2]>> = parts.iter().map(|part| part.row(row)).collect();
            if weight.is_null(row) || rows.iter().all(Option::is_none) {
                return Ok(());
            }
            let base = weight.value(row);
            if !is_weight(base) {
                return Err(bad_weight(name));
            }
            let of = |weight: f64| -> Vec<Sums> {
                rows.iter()
                    .map(|values| values.map_or_else(Sums::default, |values| Sums::of_row(values, weight)))
                    .collect()
            };
            let parts = of(base);
            sums[ROWS] += Wide::from(f64::from(u8::from(base > 0.0)));
            sums[WEIGHTS] += base.into();
            self.report.estimator.add_terms(&parts, &mut sums[TERMS..self.products()]);
            self.report.estimator.add_products(&parts, &mut sums[self.products()..self.replicates()]);
            let mut own = Vec::with_capacity(replicates.len());
            for (column, sums) in replicates.iter().zip(sums[self.replicates()..self.gram()].chunks_exact_mut(terms)) {
                if column.is_null(row) || !column.value(row).is_finite() {
                    return Err(no_replicate(name));
                }
                let weight = if self.replication.is_combined { column.value(row) } else { column.value(row) * base };
                let mut added = [Wide::ZERO; MOST_TERMS];
                self.report.estimator.add_terms(&of(weight), &mut added[..terms]);
                sums.iter_mut().zip(added).for_each(|(sum, term)| *sum += term);
                own.push(weight);
            }
            let mut products = sums[self.gram()..].iter_mut();
            for (at, one) in own.iter().enumerate() {
                own[at..].iter().zip(products.by_ref()).for_each(|(other, sum)| *sum += Wide::product(*one, *other));
            }
            Ok(())
        }))
    }

    fn values(&self, groups: &mut dyn Iterator<Item = &[Wide]>) -> Result<ArrayRef> {
        let mut reaches = Reaches::new();
        self.report.column(groups.map(|sums| self.row(sums, &mut reaches)))
    }
}

fn no_replicate(function: &str) -> Error {
    Error::new(crate::Code::DataInvalid, format!("{function}: a replicate weight is missing or not finite."))
        .hint("Each row with a weight needs all of its replicates.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_leaves_out_columns_that_others_make_up() {
        // Columns (1, 1, 0), (0, 1, 1), and their sum.
        let gram = [2.0, 1.0, 3.0, 2.0, 3.0, 6.0].map(Wide::from);
        assert_eq!(rank(&gram, 3), 2);
        assert_eq!(rank(&[Wide::ZERO], 1), 0);
    }
}
