//! `svy_total(x)`: the total of x in the population.

use datafusion::logical_expr::{self as datafusion_doc, Documentation, Expr};
use datafusion_macros::user_doc;

use super::{Estimator, PartOf, Solved};
use crate::survey::part::Sums;
use crate::survey::wide::Wide;
use crate::weighted::Parameter;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "The total of `x` in the population: `sum(w * x)`.",
    syntax_example = "svy_total(x)",
    sql_example = "SELECT svy_total(spend) FROM panel.people",
    argument(name = "x", description = "A number. Rows where it is NULL or not a number are left out."),
    related_udf(name = "svy_mean")
)]
#[derive(Debug)]
pub(super) struct Total;

impl Estimator for Total {
    fn name(&self) -> &'static str {
        "svy_total"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::number("x")] }
    }

    fn documentation(&self) -> Option<&'static Documentation> {
        Total.doc()
    }

    fn parts(&self, arguments: &[Expr]) -> Vec<PartOf> {
        PartOf::all(arguments)
    }

    fn terms(&self) -> usize {
        1
    }

    fn add_terms(&self, parts: &[Sums], terms: &mut [Wide]) {
        for part in parts {
            terms[0] += part.totals[0];
        }
    }

    fn has_products(&self) -> bool {
        true
    }

    fn add_products(&self, parts: &[Sums], products: &mut [Wide]) {
        for part in parts {
            products[0] += part.products[0];
        }
    }

    fn solve(&self, totals: &[Wide], rows: f64) -> Option<Solved> {
        let estimate = *totals.first()?;
        let gradient = [Wide::ONE, Wide::ZERO, Wide::ZERO, Wide::ZERO];
        (rows > 0.0).then_some(Solved { estimate, gradient })
    }
}
