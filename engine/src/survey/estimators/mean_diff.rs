//! `svy_mean_diff(x, a, b)`: how far the means of two parts of the population are apart.

use datafusion::logical_expr::{self as datafusion_doc, Documentation, Expr};
use datafusion_macros::user_doc;

use super::{Estimator, PartOf, Solved, add_terms_of_both, parts_of_both};
use crate::survey::part::Sums;
use crate::survey::wide::Wide;
use crate::weighted::Parameter;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "The mean of `x` where `a` holds, less the mean where `b` holds. The standard error takes account of PSUs that are in both; `p_value` is the probability of a difference at least so large if there were none.",
    syntax_example = "svy_mean_diff(x, a, b)",
    sql_example = "SELECT svy_mean_diff(spend, gender = 'F', gender = 'M') FROM panel.people",
    argument(name = "x", description = "A number."),
    argument(name = "a", description = "The first part: true or false."),
    argument(name = "b", description = "The second part."),
    related_udf(name = "svy_mean")
)]
#[derive(Debug)]
pub(super) struct MeanDiff;

impl Estimator for MeanDiff {
    fn name(&self) -> &'static str {
        "svy_mean_diff"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::number("x"), Parameter::condition("a"), Parameter::condition("b")] }
    }

    fn documentation(&self) -> Option<&'static Documentation> {
        MeanDiff.doc()
    }

    fn parts(&self, arguments: &[Expr]) -> Vec<PartOf> {
        parts_of_both(arguments)
    }

    fn terms(&self) -> usize {
        4
    }

    fn add_terms(&self, parts: &[Sums], terms: &mut [Wide]) {
        add_terms_of_both(parts, terms);
    }

    fn solve(&self, totals: &[Wide], _: f64) -> Option<Solved> {
        Solved::difference(totals)
    }

    fn is_difference(&self) -> bool {
        true
    }
}
