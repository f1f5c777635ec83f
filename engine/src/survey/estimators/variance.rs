//! `svy_variance(x)`: the variance of x in the population.

use datafusion::logical_expr::{self as datafusion_doc, Documentation, Expr};
use datafusion_macros::user_doc;

use super::{Estimator, PartOf, Solved};
use crate::survey::part::Sums;
use crate::survey::wide::Wide;
use crate::weighted::Parameter;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "The variance of `x` in the population: `n/(n-1) * sum(w * (x - mean)^2) / sum(w)` with `n` rows, as R's `svyvar`. It has no design effect.",
    syntax_example = "svy_variance(x)",
    sql_example = "SELECT svy_variance(age) FROM panel.people",
    argument(name = "x", description = "A number."),
    related_udf(name = "svy_mean")
)]
#[derive(Debug)]
pub(super) struct Variance;

impl Estimator for Variance {
    fn name(&self) -> &'static str {
        "svy_variance"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::number("x")] }
    }

    fn documentation(&self) -> Option<&'static Documentation> {
        Variance.doc()
    }

    fn parts(&self, arguments: &[Expr]) -> Vec<PartOf> {
        PartOf::all(arguments)
    }

    fn is_centred(&self) -> bool {
        true
    }

    fn terms(&self) -> usize {
        3
    }

    fn add_terms(&self, parts: &[Sums], terms: &mut [Wide]) {
        for part in parts {
            terms[0] += part.products[0];
            terms[1] += part.totals[0];
            terms[2] += part.weights;
        }
    }

    /// The mean of n/(n-1) * (x - mean)^2, in which R takes the mean for given.
    fn solve(&self, totals: &[Wide], rows: f64) -> Option<Solved> {
        let [squares, values, weights] = *totals else { return None };
        if rows < 2.0 || weights.is_zero() {
            return None;
        }
        let mean = values / weights;
        let factor = Wide::from(rows) / Wide::from(rows - 1.0);
        let estimate = factor * (squares / weights - mean * mean);
        let slope = factor / weights;
        let of_weights = slope * mean * mean - estimate / weights;
        Some(Solved { estimate, gradient: [slope, -(slope * mean * Wide::from(2.0)), of_weights, Wide::ZERO] })
    }
}
