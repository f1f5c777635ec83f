//! What each function estimates: which totals it is made of, and how.
//!
//! Every estimate is a smooth function of a few totals. Its variance is that of the totals, by the gradient of the function
//! (Taylor linearisation): Lumley, Complex Surveys (2010), and Lohr, Sampling (2nd edition), chapter 9.

mod count;
mod mean;
mod mean_diff;
mod mean_per_unit;
mod median;
mod quantile;
mod ratio;
mod share;
mod share_diff;
mod total;
mod variance;

use std::fmt::Debug;

use datafusion::logical_expr::{Documentation, Expr};

use super::part::Sums;
use super::wide::Wide;
use crate::weighted::Parameter;

/// Every function, by name. A new one is a file and a line here.
pub(super) const ESTIMATORS: &[&dyn Estimator] = &[
    &count::Count,
    &mean::Mean,
    &mean_diff::MeanDiff,
    &mean_per_unit::MeanPerUnit,
    &median::Median,
    &quantile::Quantile,
    &ratio::Ratio,
    &share::Share,
    &share_diff::ShareDiff,
    &total::Total,
    &variance::Variance,
];

/// What a mean per person is, once each person has a value.
pub(super) const MEAN: &dyn Estimator = &mean::Mean;

/// The share that the interval of a quantile is found by.
pub(super) const SHARE: &dyn Estimator = &share::Share;

/// The most totals that an estimate is made of.
pub(super) const MOST_TERMS: usize = 4;

/// One function.
pub(super) trait Estimator: Debug + Send + Sync {
    /// As it is called in SQL.
    fn name(&self) -> &'static str;

    /// Its own parameters, before those of the design.
    fn parameters(&self) -> &'static [Parameter];

    /// Its page in the reference.
    fn documentation(&self) -> Option<&'static Documentation>;

    /// The rows that it sums over, and their variables.
    fn parts(&self, arguments: &[Expr]) -> Vec<PartOf>;

    /// How many totals it is made of.
    fn terms(&self) -> usize;

    /// What a PSU adds to each total.
    fn add_terms(&self, parts: &[Sums], terms: &mut [Wide]);

    /// The weighted sums of products of what one row adds to the totals, each with each that is not before it. None where a
    /// simple random sample is no comparison.
    fn add_products(&self, parts: &[Sums], products: &mut [Wide]) {
        let _ = (parts, products);
    }

    /// Whether its design effect is known.
    fn has_products(&self) -> bool {
        false
    }

    /// The estimate from its totals, where there is one.
    fn solve(&self, totals: &[Wide], rows: f64) -> Option<Solved>;

    /// The estimate of no rows.
    fn of_nothing(&self) -> Option<f64> {
        None
    }

    /// Whether it is a proportion, whose interval may be found on the scale of its logit.
    fn is_proportion(&self) -> bool {
        false
    }

    /// Which quantile it is: an argument, or a number. It is made of the totals of a share.
    fn probability(&self) -> Option<Probability> {
        None
    }

    /// Whether it is of distances from the mean, which must be known first.
    fn is_centred(&self) -> bool {
        false
    }

    /// Whether rows are summed for each person first.
    fn is_per_unit(&self) -> bool {
        false
    }

    /// Whether it is a difference, of which people ask whether there is any.
    fn is_difference(&self) -> bool {
        false
    }
}

/// The share that a quantile reaches.
#[derive(Debug, Clone, Copy)]
pub(super) enum Probability {
    Argument(usize),
    Number(f64),
}

/// Rows of a domain, one variable or two of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PartOf {
    pub(super) variables: Vec<Expr>,
    pub(super) condition: Option<Expr>,
}

impl PartOf {
    fn all(variables: &[Expr]) -> Vec<Self> {
        vec![Self { variables: variables.to_vec(), condition: None }]
    }
}

/// An estimate, and how it changes with each of its totals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Solved {
    pub(super) estimate: Wide,
    pub(super) gradient: [Wide; MOST_TERMS],
}

impl Solved {
    /// The quotient of the first two totals.
    fn quotient(totals: &[Wide]) -> Option<Self> {
        let [above, below, ..] = *totals else { return None };
        if below.is_zero() {
            return None;
        }
        let estimate = above / below;
        let slope = Wide::ONE / below;
        Some(Self { estimate, gradient: [slope, -estimate * slope, Wide::ZERO, Wide::ZERO] })
    }

    /// The quotient of the first two totals less that of the last two.
    fn difference(totals: &[Wide]) -> Option<Self> {
        let (one, other) = totals.split_at_checked(2)?;
        let (one, other) = (Self::quotient(one)?, Self::quotient(other)?);
        let gradient = [one.gradient[0], one.gradient[1], -other.gradient[0], -other.gradient[1]];
        Some(Self { estimate: one.estimate - other.estimate, gradient })
    }
}

/// The totals of a difference: of the value and of the weights, on either side.
fn add_terms_of_both(parts: &[Sums], terms: &mut [Wide]) {
    for (part, terms) in parts.iter().zip(terms.chunks_exact_mut(2)) {
        terms[0] += part.totals[0];
        terms[1] += part.weights;
    }
}

/// The rows of a difference: a value, in two domains.
fn parts_of_both(arguments: &[Expr]) -> Vec<PartOf> {
    let [value, conditions @ ..] = arguments else { return Vec::new() };
    conditions
        .iter()
        .map(|condition| PartOf { variables: vec![value.clone()], condition: Some(condition.clone()) })
        .collect()
}
