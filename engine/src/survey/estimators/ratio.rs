//! `svy_ratio(numerator, denominator)`: the ratio of two totals of the population.

use datafusion::logical_expr::{self as datafusion_doc, Documentation, Expr};
use datafusion_macros::user_doc;

use super::{Estimator, PartOf, Solved};
use crate::survey::part::Sums;
use crate::survey::wide::Wide;
use crate::weighted::Parameter;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "The ratio of two totals: `sum(w * numerator) / sum(w * denominator)`. NULL where the denominators sum to zero.",
    syntax_example = "svy_ratio(numerator, denominator)",
    sql_example = "SELECT svy_ratio(spend, visits) FROM panel.people",
    argument(name = "numerator", description = "A number."),
    argument(name = "denominator", description = "A number. Rows where either is NULL are left out."),
    related_udf(name = "svy_mean")
)]
#[derive(Debug)]
pub(super) struct Ratio;

impl Estimator for Ratio {
    fn name(&self) -> &'static str {
        "svy_ratio"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::number("numerator"), Parameter::number("denominator")] }
    }

    fn documentation(&self) -> Option<&'static Documentation> {
        Ratio.doc()
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
            terms[1] += part.totals[1];
        }
    }

    fn has_products(&self) -> bool {
        true
    }

    fn add_products(&self, parts: &[Sums], products: &mut [Wide]) {
        for part in parts {
            products.iter_mut().zip(part.products).for_each(|(sum, product)| *sum += product);
        }
    }

    fn solve(&self, totals: &[Wide], _: f64) -> Option<Solved> {
        Solved::quotient(totals)
    }
}
