//! The steps of raking: each margin in turn multiplies its categories so that they add up to what is wanted.
//!
//! With bounds a step finds the factor with which the weights, cut at the bounds, add up; what is cut from some is thereby
//! given to the others of the category. Steps of this kind climb the concave dual of "as near as can be to the base
//! weights, within the bounds, on the margins", so where there is an answer they reach it, and there is only one.

use super::Options;
use super::cells::Cells;
use super::wanted::Targets;
use crate::{Code, Error};

/// A category adds up when it is this near, relative to what is wanted: what rounding leaves.
const SETTLED: f64 = 1e-14;

/// How often a step looks for its factors. Newton's method needs a handful, halving the distance some sixty.
const PASSES: usize = 200;

/// How fast a factor is looked for where nothing bounds it yet.
const STRIDE: f64 = 16.0;

/// Factors stay numbers, also where the margins contradict each other.
const LEAST_FACTOR: f64 = 1e-200;

/// The least and the largest weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Bounds {
    /// None at all.
    pub(super) const NONE: Self = Self { low: 0.0, high: f64::INFINITY };

    /// The weight within the bounds.
    pub(super) fn cut(self, weight: f64) -> f64 {
        weight.max(self.low).min(self.high)
    }

    fn holds(self, weight: f64) -> bool {
        weight > self.low && weight < self.high
    }
}

/// Where the steps have led.
#[derive(Debug)]
pub(super) struct Fit {
    /// What the base weights of each cell are multiplied with, before they are cut.
    pub(super) factors: Vec<f64>,
    /// The largest deviation after each iteration, relative to what is wanted.
    pub(super) deviations: Vec<f64>,
}

/// Goes through the margins until they hold, or often enough.
pub(super) fn fit(
    cells: &Cells,
    targets: &Targets,
    bounds: Bounds,
    options: &Options,
    is_cancelled: impl Fn() -> bool,
) -> Result<Fit, Error> {
    let all: f64 = cells.base.iter().zip(&cells.rows).map(|(base, rows)| base * rows).sum();
    let mut factors = vec![targets.total / all; cells.base.len()];
    let mut deviations = Vec::new();
    for _ in 0..options.iterations {
        for (codes, populations) in cells.codes.iter().zip(&targets.populations) {
            if is_cancelled() {
                return Err(Error::new(Code::Cancelled, "The raking was cancelled."));
            }
            let steps = steps(cells, &factors, codes, populations, bounds);
            for (factor, code) in factors.iter_mut().zip(codes) {
                *factor = (*factor * steps[*code as usize]).max(LEAST_FACTOR).min(LEAST_FACTOR.recip());
            }
        }
        let deviation = deviation(cells, &factors, targets, bounds);
        deviations.push(deviation);
        if deviation <= options.tolerance {
            break;
        }
    }
    Ok(Fit { factors, deviations })
}

/// What the weights of each category are to be multiplied with, so that they add up.
fn steps(cells: &Cells, factors: &[f64], codes: &[u32], populations: &[f64], bounds: Bounds) -> Vec<f64> {
    let mut steps: Vec<Step> = populations.iter().map(|wanted| Step::towards(*wanted)).collect();
    for _ in 0..PASSES {
        // What each category adds up to with its step, and how much of it is not cut.
        let mut reached = vec![(0.0, 0.0); populations.len()];
        for (cell, code) in codes.iter().enumerate() {
            let code = *code as usize;
            let weight = cells.base[cell] * factors[cell] * steps[code].factor;
            let (sum, free) = &mut reached[code];
            *sum += cells.rows[cell] * bounds.cut(weight);
            if bounds.holds(weight) {
                *free += cells.rows[cell] * weight;
            }
        }
        for (step, (sum, free)) in steps.iter_mut().zip(reached) {
            step.advance(sum, free);
        }
        if bounds == Bounds::NONE || steps.iter().all(|step| step.is_settled) {
            break;
        }
    }
    steps.into_iter().map(|step| step.factor).collect()
}

/// The search for the factor of one category: Newton's method, kept between what was too small and what was too large.
#[derive(Debug, Clone, Copy)]
struct Step {
    wanted: f64,
    factor: f64,
    too_small: f64,
    too_large: f64,
    is_settled: bool,
}

impl Step {
    fn towards(wanted: f64) -> Self {
        Self { wanted, factor: 1.0, too_small: 0.0, too_large: f64::INFINITY, is_settled: wanted == 0.0 }
    }

    /// Goes on from a factor with which the category adds up to `sum`, of which `free` is not cut.
    fn advance(&mut self, sum: f64, free: f64) {
        let gap = self.wanted - sum;
        if self.is_settled || gap.abs() <= SETTLED * self.wanted {
            self.is_settled = true;
            return;
        }
        if gap > 0.0 {
            self.too_small = self.factor;
        } else {
            self.too_large = self.factor;
        }
        let is_between = |factor: f64| factor > self.too_small && factor < self.too_large;
        // What is cut does not move, so the rest must fill what it leaves.
        let newton = self.factor * ((self.wanted - (sum - free)) / free);
        let next = if is_between(newton) {
            newton
        } else if self.too_large.is_infinite() {
            self.factor * STRIDE
        } else if self.too_small == 0.0 {
            self.factor / STRIDE
        } else {
            self.too_small.sqrt() * self.too_large.sqrt()
        };
        if is_between(next) {
            self.factor = next;
        } else {
            // Nothing is left between the two.
            self.is_settled = true;
        }
    }
}

/// The largest distance of a category from what is wanted, relative to it.
fn deviation(cells: &Cells, factors: &[f64], targets: &Targets, bounds: Bounds) -> f64 {
    let mut largest: f64 = 0.0;
    for (codes, populations) in cells.codes.iter().zip(&targets.populations) {
        let mut sums = vec![0.0; populations.len()];
        for (cell, code) in codes.iter().enumerate() {
            sums[*code as usize] += cells.rows[cell] * bounds.cut(cells.base[cell] * factors[cell]);
        }
        for (sum, wanted) in sums.iter().zip(populations).filter(|(_, wanted)| **wanted > 0.0) {
            largest = largest.max((sum - wanted).abs() / wanted);
        }
    }
    largest
}
