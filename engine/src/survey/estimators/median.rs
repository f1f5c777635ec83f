//! `svy_median(x)`: the median of x in the population.

use datafusion::logical_expr::{self as datafusion_doc, Documentation, Expr};
use datafusion_macros::user_doc;

use super::{Estimator, PartOf, Probability, SHARE, Solved};
use crate::survey::part::Sums;
use crate::survey::wide::Wide;
use crate::weighted::Parameter;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "The median of `x` in the population: the smallest value that at least half of the weight does not exceed. The interval is Woodruff's.",
    syntax_example = "svy_median(x)",
    sql_example = "SELECT svy_median(age) FROM panel.people",
    argument(name = "x", description = "A number."),
    related_udf(name = "svy_mean")
)]
#[derive(Debug)]
pub(super) struct Median;

impl Estimator for Median {
    fn name(&self) -> &'static str {
        "svy_median"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::number("x")] }
    }

    fn documentation(&self) -> Option<&'static Documentation> {
        Median.doc()
    }

    fn parts(&self, arguments: &[Expr]) -> Vec<PartOf> {
        PartOf::all(&arguments[..1])
    }

    fn probability(&self) -> Option<Probability> {
        Some(Probability::Number(0.5))
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
