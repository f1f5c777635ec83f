//! `svy_share(condition)`: the share of the population of which a condition holds.

use datafusion::logical_expr::{self as datafusion_doc, Documentation, Expr};
use datafusion_macros::user_doc;

use super::{Estimator, PartOf, Solved};
use crate::survey::part::Sums;
use crate::survey::wide::Wide;
use crate::weighted::Parameter;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "The share of the population of which `condition` holds, among those of whom it is known. With `ci => 'logit'` its interval is found on the scale of the logit, and stays between 0 and 1.",
    syntax_example = "svy_share(condition)",
    sql_example = "SELECT svy_share(age >= 18, ci => 'logit') FROM panel.people",
    argument(name = "condition", description = "True or false. Rows where it is NULL are left out."),
    related_udf(name = "svy_mean")
)]
#[derive(Debug)]
pub(super) struct Share;

impl Estimator for Share {
    fn name(&self) -> &'static str {
        "svy_share"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::condition("condition")] }
    }

    fn documentation(&self) -> Option<&'static Documentation> {
        Share.doc()
    }

    fn parts(&self, arguments: &[Expr]) -> Vec<PartOf> {
        PartOf::all(arguments)
    }

    fn terms(&self) -> usize {
        2
    }

    fn add_terms(&self, parts: &[Sums], terms: &mut [Wide]) {
        for part in parts {
            terms[0] += part.totals[0];
            terms[1] += part.weights;
        }
    }

    fn has_products(&self) -> bool {
        true
    }

    fn add_products(&self, parts: &[Sums], products: &mut [Wide]) {
        for part in parts {
            products[0] += part.products[0];
            products[1] += part.totals[0];
            products[2] += part.weights;
        }
    }

    fn solve(&self, totals: &[Wide], _: f64) -> Option<Solved> {
        Solved::quotient(totals)
    }

    fn is_proportion(&self) -> bool {
        true
    }
}
