//! An estimate as it is reported: its interval, its design effect, and the struct that SQL sees.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int64Builder, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, internal_datafusion_err};

use super::estimators::{Estimator, Solved};
use super::notices::{Notice, Notices};
use super::options::{Effect, Interval, Options};
use super::student;
use super::wide::Wide;
use crate::quality::Judged;
use crate::{Code, Error};

/// The type of an estimate.
pub(super) fn data_type(estimator: &dyn Estimator) -> DataType {
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let mut fields = vec![number("estimate"), number("se"), number("ci_low"), number("ci_high")];
    fields.push(number(if estimator.is_difference() { "p_value" } else { "deff" }));
    fields.extend([
        Field::new("n", DataType::Int64, false),
        Field::new("n_people", DataType::Int64, true),
        Field::new("df", DataType::Int64, false),
    ]);
    DataType::Struct(Fields::from(fields))
}

/// What is reported, and how.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) estimator: &'static dyn Estimator,
    pub(super) options: Options,
    pub(super) has_people: bool,
    /// Whether its estimates are what was asked for, and not a step to it.
    pub(super) is_answer: bool,
    pub(super) notices: Arc<Notices>,
}

impl Report {
    fn key(&self) -> (&'static str, Options, bool, bool) {
        (self.estimator.name(), self.options, self.has_people, self.is_answer)
    }
}

impl PartialEq for Report {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Report {}

impl Hash for Report {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// The rows that an estimate is made of, as sums.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base<'a> {
    pub(super) rows: f64,
    pub(super) people: f64,
    pub(super) weights: Wide,
    pub(super) totals: &'a [Wide],
    /// Of what rows add to the totals, each with each; empty where no design effect is known.
    pub(super) products: &'a [Wide],
}

/// One estimate.
#[derive(Debug, Default)]
pub(super) struct Row {
    estimate: Option<f64>,
    error: Option<f64>,
    interval: Option<[f64; 2]>,
    /// The design effect, or the p-value.
    extra: Option<f64>,
    rows: f64,
    people: f64,
    freedom: f64,
}

/// The t of each number of degrees of freedom.
pub(super) type Reaches = HashMap<u64, Option<f64>>;

impl Report {
    /// The estimate of a group, whose variance is `variance` of it, if it has one.
    ///
    /// # Errors
    /// `invalid_argument` for infinite values.
    pub(super) fn row(
        &self,
        base: Base<'_>,
        freedom: f64,
        reaches: &mut Reaches,
        variance: impl FnOnce(&Solved) -> Option<Wide>,
    ) -> Result<Row, Error> {
        let mut row = Row { rows: base.rows, people: base.people, freedom, ..Row::default() };
        if base.totals.iter().chain([&base.weights]).any(|sum| !sum.value().is_finite()) {
            return Err(self.infinite());
        }
        if base.rows == 0.0 {
            row.estimate = self.estimator.of_nothing();
            return Ok(row);
        }
        let Some(solved) = self.estimator.solve(base.totals, base.rows) else { return Ok(row) };
        let estimate = solved.estimate.value();
        row.estimate = Some(estimate);
        let Some(variance) = variance(&solved) else { return Ok(row) };
        if !variance.value().is_finite() {
            return Err(self.infinite());
        }
        let variance = variance.value().max(0.0);
        let error = variance.sqrt();
        row.error = Some(error);
        if self.estimator.is_difference() {
            row.extra = if error > 0.0 { student::p_value(estimate / error, freedom) } else { None };
        } else if !base.products.is_empty() {
            row.extra = self.effect(base, &solved, variance);
        }
        let reach = *reaches.entry(freedom.to_bits()).or_insert_with(|| student::reach(self.options.level(), freedom));
        match reach {
            Some(reach) => row.interval = self.interval(estimate, error, reach),
            None => self.notices.note(Notice::NoInterval),
        }
        Ok(row)
    }

    fn infinite(&self) -> Error {
        let message = format!("{}: a value is infinite, or a sum too large for a float.", self.estimator.name());
        Error::new(Code::InvalidArgument, message).hint("Leave such rows out, as in FILTER (WHERE abs(x) < 1e100).")
    }

    /// The variance as a multiple of that of a simple random sample of as many rows.
    fn effect(&self, base: Base<'_>, solved: &Solved, variance: f64) -> Option<f64> {
        let (rows, weights) = (Wide::from(base.rows), base.weights);
        let mut scores = Wide::ZERO;
        for (slope, total) in solved.gradient.iter().zip(base.totals) {
            scores += *slope * *total;
        }
        let mean = scores / weights;
        let squares = quadratic(base.totals.len(), solved, base.products) / weights;
        let spread = (squares - mean * mean) * rows / (rows - Wide::ONE);
        let finite = match self.options.effect {
            Effect::WithoutReplacement => (weights - rows) / weights,
            Effect::WithReplacement => Wide::ONE,
        };
        if base.rows < 2.0 || finite.value() <= 0.0 {
            self.notices.note(Notice::NoEffect);
            return None;
        }
        let simple = (spread * weights * weights * finite / rows).value();
        (simple > 0.0).then(|| variance / simple)
    }

    fn interval(&self, estimate: f64, error: f64, reach: f64) -> Option<[f64; 2]> {
        if self.options.interval == Interval::Plain || !self.estimator.is_proportion() {
            return Some([estimate - reach * error, estimate + reach * error]);
        }
        let odds = estimate * (1.0 - estimate);
        if odds <= 0.0 {
            return None;
        }
        let (logit, width) = ((estimate / (1.0 - estimate)).ln(), reach * error / odds);
        let back = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        Some([back(logit - width), back(logit + width)])
    }

    fn judged(&self, row: &Row) -> Judged {
        let people = if self.has_people { row.people } else { row.rows };
        let is_difference = self.estimator.is_difference();
        Judged { estimate: row.estimate, error: row.error, people, is_difference }
    }

    /// The column of estimates.
    ///
    /// # Errors
    /// None, but for columns of different lengths.
    pub(super) fn column(&self, rows: impl Iterator<Item = Result<Row, Error>>) -> Result<ArrayRef> {
        let mut numbers: [Float64Builder; 5] = std::array::from_fn(|_| Float64Builder::new());
        let mut counts: [Int64Builder; 3] = std::array::from_fn(|_| Int64Builder::new());
        for row in rows {
            let row = row?;
            if self.is_answer {
                self.notices.judge(&self.judged(&row));
            }
            let [low, high] = row.interval.map_or([None, None], |interval| interval.map(Some));
            for (builder, value) in numbers.iter_mut().zip([row.estimate, row.error, low, high, row.extra]) {
                builder.append_option(value);
            }
            let people = self.has_people.then_some(row.people as i64);
            for (builder, value) in counts.iter_mut().zip([Some(row.rows as i64), people, Some(row.freedom as i64)]) {
                builder.append_option(value);
            }
        }
        let columns = numbers.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let columns = columns.chain(counts.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        let DataType::Struct(fields) = data_type(self.estimator) else {
            return Err(internal_datafusion_err!("an estimate is no struct"));
        };
        Ok(Arc::new(StructArray::try_new(fields, columns.collect(), None)?))
    }
}

/// The sum of the products of all pairs of `terms` totals, each times both slopes.
pub(super) fn quadratic(terms: usize, solved: &Solved, products: &[Wide]) -> Wide {
    let mut sum = Wide::ZERO;
    let pairs = (0..terms).flat_map(|one| (one..terms).map(move |other| (one, other)));
    for ((one, other), product) in pairs.zip(products) {
        let term = solved.gradient[one] * solved.gradient[other] * *product;
        sum += if one == other { term } else { term + term };
    }
    sum
}
