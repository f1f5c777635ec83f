//! `svy_quantile(x, p)`: a quantile of x in the population.

use datafusion::logical_expr::{self as datafusion_doc, Documentation, Expr};
use datafusion_macros::user_doc;

use super::{Estimator, PartOf, Probability, SHARE, Solved};
use crate::survey::part::Sums;
use crate::survey::wide::Wide;
use crate::weighted::Parameter;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "The quantile of `x` in the population: the smallest value that at least the share `p` of the weight does not exceed. The interval is Woodruff's: that of the share of values up to the quantile, read back as quantiles; an end outside 0 and 1 is NULL. The standard error is the width over twice the t of the level.",
    syntax_example = "svy_quantile(x, p)",
    sql_example = "SELECT svy_quantile(age, 0.9) FROM panel.people",
    argument(name = "x", description = "A number."),
    argument(name = "p", description = "A number from 0 to 1."),
    related_udf(name = "svy_mean")
)]
#[derive(Debug)]
pub(super) struct Quantile;

impl Estimator for Quantile {
    fn name(&self) -> &'static str {
        "svy_quantile"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::number("x"), Parameter::number("p")] }
    }

    fn documentation(&self) -> Option<&'static Documentation> {
        Quantile.doc()
    }

    fn parts(&self, arguments: &[Expr]) -> Vec<PartOf> {
        PartOf::all(&arguments[..1])
    }

    fn probability(&self) -> Option<Probability> {
        Some(Probability::Argument(1))
    }

    fn terms(&self) -> usize {
        SHARE.terms()
    }

    fn add_terms(&self, parts: &[Sums], terms: &mut [Wide]) {
        SHARE.add_terms(parts, terms);
    }

    fn solve(&self, totals: &[Wide], rows: f64) -> Option<Solved> {
        SHARE.solve(totals, rows)
    }
}
