//! Raking (iterative proportional fitting): weights of a sample that add up to what is known of the population, margin by
//! margin, and else are as near as can be to those that the sample came with.
//!
//! Pure computation over slices; a door brings the rows and the margins. One margin is post-stratification, and takes one
//! step. Sources: Deming and Stephan, *Annals of Mathematical Statistics* 11 (1940); with bounds, Deville, Särndal and
//! Sautory, *Journal of the American Statistical Association* 88 (1993): the raking ratio, cut at the bounds.

mod cells;
mod fit;
mod outcome;
mod wanted;

pub use outcome::{Fitted, Raked, Spread};

use cells::Cells;
use fit::{Bounds, fit};
use wanted::{Targets, check_bounds, check_sample};

use crate::Error;

/// What is known of the population about one variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Margin {
    /// The variable, for messages and reports.
    pub variable: String,
    /// Every category of it.
    pub categories: Vec<Category>,
}

/// A category of a margin.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    /// Its name.
    pub name: String,
    /// How many of the population are of it; or which share, where [`Options::total`] says of what.
    pub population: f64,
}

/// The rows that get weights.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The weights that the rows come with, one per row. A row without weight gets none.
    pub base: &'a [f64],
    /// For each margin: the category of each row, by its position in the margin.
    pub codes: &'a [Vec<u32>],
}

/// When to stop, and what bounds to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The margins hold when no category is further from what is wanted than this share of it.
    pub tolerance: f64,
    /// How often all margins are gone through, at most.
    pub iterations: u32,
    /// What the weights add up to, where the margins are shares.
    pub total: Option<f64>,
    /// How far a weight may be from the mean weight.
    pub trim: Option<Trim>,
}

impl Default for Options {
    fn default() -> Self {
        Self { tolerance: 1e-9, iterations: 1000, total: None, trim: None }
    }
}

/// The least and the largest weight, as multiples of the mean weight.
///
/// The mean is that of the raked weights, the population over the rows: the margins fix it, so the bounds are known before
/// the first step. Multiples of it are the global caps of Izrael, Battaglia and Frankel, *Extreme survey weight adjustment
/// as a component of sample balancing*, SAS Global Forum (2009), paper 247.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trim {
    /// At most 1.
    pub low: f64,
    /// At least 1.
    pub high: f64,
}

/// Weights for the rows of `sample` that add up to each of `margins`.
///
/// Margins that cannot hold together are no error: the answer says by how much they do not, and is not to be used as it is.
///
/// # Errors
/// `invalid_argument` for margins or options that cannot be meant, that do not agree with each other, or that no weights of
/// these rows can meet; `data_invalid` for base weights that are none; `cancelled` once `is_cancelled` says so.
pub fn rake(
    sample: Sample<'_>,
    margins: &[Margin],
    options: &Options,
    is_cancelled: impl Fn() -> bool,
) -> Result<Raked, Error> {
    wanted::check_options(options)?;
    let targets = Targets::of(margins, options.total)?;
    let weighing = check_sample(sample, margins, &targets)?;
    let mean = targets.total / weighing as f64;
    let trimmed = options.trim.map(|trim| Bounds { low: trim.low * mean, high: trim.high * mean });
    let cells = match trimmed {
        // Where weights are cut, rows of one cell are alike only if they come with the same weight.
        Some(bounds) => {
            let cells = Cells::by_weight(sample, &targets.populations);
            check_bounds(&cells, margins, &targets, bounds)?;
            cells
        }
        None => Cells::of(sample, &targets.populations),
    };
    let bounds = trimmed.unwrap_or(Bounds::NONE);
    let fit = fit(&cells, &targets, bounds, options, is_cancelled)?;
    let weights = cells.weights(sample.base, &fit.factors, bounds);
    Ok(Raked::new(sample, targets, weights, fit.deviations, options.tolerance, trimmed))
}

#[cfg(test)]
mod tests;
