//! `svy_mean(x)`: the mean of x in the population.

use datafusion::logical_expr::{self as datafusion_doc, Documentation, Expr};
use datafusion_macros::user_doc;

use super::{Estimator, PartOf, Solved};
use crate::survey::part::Sums;
use crate::survey::wide::Wide;
use crate::weighted::Parameter;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "The mean of `x` in the population: `sum(w * x) / sum(w)`. Its standard error is that of the totals over PSUs, by Taylor linearisation.",
    syntax_example = "svy_mean(x)",
    sql_example = "SELECT gender, svy_mean(age) FROM panel.people GROUP BY gender",
    argument(
        name = "x",
        description = "A number. Rows where it is NULL or not a number are left out, as by R's `na.rm = TRUE`."
    ),
    related_udf(name = "svy_total")
)]
#[derive(Debug)]
pub(super) struct Mean;

impl Estimator for Mean {
    fn name(&self) -> &'static str {
        "svy_mean"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::number("x")] }
    }

    fn documentation(&self) -> Option<&'static Documentation> {
        Mean.doc()
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
}
