//! The second level: the PSUs of a stratum, as sums that any estimate's variance follows from.

use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::estimators::{Estimator, MOST_TERMS};
use super::lists::{self, Lists};
use super::part::Sums;
use super::step::{Groups, Level};
use super::sums::{Adder, SumGroups, Summed};
use super::wide::Wide;

/// Where the sums of a stratum are: PSUs, rows, people and weights, then the totals, the products of the PSUs' totals, and the
/// products of what rows add to them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) terms: usize,
    pub(super) pairs: usize,
    has_products: bool,
}

pub(super) const PSUS: usize = 0;
pub(super) const ROWS: usize = 1;
pub(super) const PEOPLE: usize = 2;
pub(super) const WEIGHTS: usize = 3;
pub(super) const TERMS: usize = 4;

impl Layout {
    pub(super) fn of(estimator: &dyn Estimator) -> Self {
        let terms = estimator.terms();
        Self { terms, pairs: terms * (terms + 1) / 2, has_products: estimator.has_products() }
    }

    pub(super) fn between(self) -> usize {
        TERMS + self.terms
    }

    pub(super) fn products(self) -> usize {
        self.between() + self.pairs
    }

    pub(super) fn width(self) -> usize {
        self.products() + if self.has_products { self.pairs } else { 0 }
    }

    /// The pairs of totals, in the order of their products.
    pub(super) fn each_pair(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.terms).flat_map(move |one| (one..self.terms).map(move |other| (one, other)))
    }
}

/// The PSUs of a stratum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strata {
    pub(super) estimator: &'static dyn Estimator,
}

impl PartialEq for Strata {
    fn eq(&self, other: &Self) -> bool {
        self.estimator.name() == other.estimator.name()
    }
}

impl Eq for Strata {}

impl Hash for Strata {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.estimator.name().hash(state);
    }
}

/// The type of a stratum's sums.
pub(super) fn data_type(estimator: &dyn Estimator) -> DataType {
    lists::data_type(2 * Layout::of(estimator).width())
}

impl Level for Strata {
    const NAME: &'static str = "svy_stratum";

    fn data_type(&self) -> DataType {
        data_type(self.estimator)
    }

    fn state(&self) -> Vec<DataType> {
        vec![self.data_type()]
    }

    fn groups(&self) -> Box<dyn Groups> {
        Box::new(SumGroups::new(*self))
    }
}

impl Summed for Strata {
    fn width(&self) -> usize {
        Layout::of(self.estimator).width()
    }

    fn adder<'a>(&'a self, values: &'a [ArrayRef]) -> Result<Adder<'a>> {
        let columns = values.iter().map(Lists::of).collect::<Result<Vec<_>>>()?;
        let layout = Layout::of(self.estimator);
        let mut parts = Vec::with_capacity(columns.len());
        Ok(Box::new(move |row, sums| {
            parts.clear();
            parts.extend(columns.iter().map(|column| Sums::of(column.row(row))));
            if parts.iter().all(|part| part.rows == 0.0) {
                return Ok(());
            }
            sums[PSUS] += Wide::ONE;
            for part in &parts {
                sums[ROWS] += part.rows.into();
                sums[PEOPLE] += part.people.into();
                sums[WEIGHTS] += part.weights;
            }
            let mut terms = [Wide::ZERO; MOST_TERMS];
            self.estimator.add_terms(&parts, &mut terms[..layout.terms]);
            for (sum, term) in sums[TERMS..].iter_mut().zip(&terms[..layout.terms]) {
                *sum += *term;
            }
            for (sum, (one, other)) in sums[layout.between()..].iter_mut().zip(layout.each_pair()) {
                *sum += terms[one] * terms[other];
            }
            self.estimator.add_products(&parts, &mut sums[layout.products()..]);
            Ok(())
        }))
    }

    fn values(&self, groups: &mut dyn Iterator<Item = &[Wide]>) -> Result<ArrayRef> {
        let floats = groups.flat_map(|sums| sums.iter().flat_map(|sum| sum.parts())).collect();
        lists::column(floats, 2 * self.width())
    }
}
