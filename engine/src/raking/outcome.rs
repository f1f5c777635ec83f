//! What raking came to: the weights, how well the margins hold, and what the weighting costs.

use super::Sample;
use super::fit::Bounds;
use super::wanted::Targets;

/// Weights, and how good they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Raked {
    /// The weight of each row.
    pub weights: Vec<f64>,
    /// Whether the margins hold, within the tolerance.
    pub is_converged: bool,
    /// After each iteration: the largest distance of a category from what is wanted, relative to that.
    pub deviations: Vec<f64>,
    /// For each margin and category: what was wanted and what became of it.
    pub fitted: Vec<Vec<Fitted>>,
    /// The least and the largest weight that trimming allows, where it was asked for.
    pub bounds: Option<(f64, f64)>,
    /// How many rows are at the least, and how many at the largest weight.
    pub at_bounds: (usize, usize),
    /// The weights that the rows came with.
    pub before: Spread,
    /// The raked weights.
    pub after: Spread,
    /// What was done to the margins so that they agree.
    pub notices: Vec<String>,
}

/// A category before and after.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    /// How many rows are of it.
    pub rows: u64,
    /// What its weights are to add up to.
    pub target: f64,
    /// What its base weights add up to.
    pub before: f64,
    /// What its raked weights add up to.
    pub after: f64,
}

impl Fitted {
    /// The distance from what is wanted, relative to that; 0 where nobody is wanted.
    pub fn deviation(&self) -> f64 {
        if self.target > 0.0 { (self.after - self.target).abs() / self.target } else { 0.0 }
    }
}

/// How far weights differ from each other. Rows that weigh nothing are only counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// How many rows weigh something.
    pub rows: usize,
    /// How many rows weigh nothing.
    pub zeros: usize,
    /// The least weight.
    pub min: f64,
    /// The mean weight.
    pub mean: f64,
    /// The largest weight.
    pub max: f64,
    /// The sum of the weights.
    pub sum: f64,
    /// What unequal weights cost in variance: Kish, *Survey Sampling* (1965), section 11.7: n sum(w^2) / sum(w)^2.
    pub design_effect: f64,
    /// How many equally weighted rows would tell as much: n over the design effect.
    pub effective_n: f64,
}

impl Spread {
    /// The spread of weights of which at least one is above 0.
    fn of(weights: &[f64]) -> Self {
        let heavy = || weights.iter().copied().filter(|weight| *weight > 0.0);
        let max = heavy().fold(0.0, f64::max);
        let rows = heavy().count();
        let sum: f64 = heavy().sum();
        // In units of the largest, since squares of very large or small weights are no numbers.
        let squares: f64 = heavy().map(|weight| (weight / max).powi(2)).sum();
        let effective_n = (sum / max).powi(2) / squares;
        Self {
            rows,
            zeros: weights.len() - rows,
            min: heavy().fold(f64::INFINITY, f64::min),
            mean: sum / rows as f64,
            max,
            sum,
            design_effect: rows as f64 / effective_n,
            effective_n,
        }
    }
}

impl Raked {
    pub(super) fn new(
        sample: Sample<'_>,
        targets: Targets,
        weights: Vec<f64>,
        deviations: Vec<f64>,
        tolerance: f64,
        bounds: Option<Bounds>,
    ) -> Self {
        let Targets { populations, notices, .. } = targets;
        let at = |bound: f64| weights.iter().filter(|weight| **weight > 0.0 && **weight == bound).count();
        Self {
            is_converged: deviations.last().is_some_and(|last| *last <= tolerance),
            deviations,
            fitted: fitted(sample, &populations, &weights),
            bounds: bounds.map(|bounds| (bounds.low, bounds.high)),
            at_bounds: bounds.map_or((0, 0), |bounds| (at(bounds.low), at(bounds.high))),
            before: Spread::of(sample.base),
            after: Spread::of(&weights),
            weights,
            notices,
        }
    }

    /// How often all margins were gone through.
    pub fn iterations(&self) -> usize {
        self.deviations.len()
    }

    /// The largest distance of a category from what is wanted, relative to that.
    pub fn largest_deviation(&self) -> f64 {
        self.deviations.last().copied().unwrap_or(f64::INFINITY)
    }

    /// The margin and the category that are furthest from what is wanted.
    pub fn worst(&self) -> Option<(usize, usize)> {
        let all = self.fitted.iter().enumerate().flat_map(|(margin, categories)| {
            categories.iter().enumerate().map(move |(at, fitted)| ((margin, at), fitted.deviation()))
        });
        all.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
    }
}

fn fitted(sample: Sample<'_>, populations: &[Vec<f64>], weights: &[f64]) -> Vec<Vec<Fitted>> {
    let margin = |(codes, populations): (&Vec<u32>, &Vec<f64>)| {
        let empty = |target: &f64| Fitted { rows: 0, target: *target, before: 0.0, after: 0.0 };
        let mut fitted: Vec<Fitted> = populations.iter().map(empty).collect();
        for ((code, base), weight) in codes.iter().zip(sample.base).zip(weights) {
            let category = &mut fitted[*code as usize];
            category.rows += 1;
            category.before += base;
            category.after += weight;
        }
        fitted
    };
    sample.codes.iter().zip(populations).map(margin).collect()
}
