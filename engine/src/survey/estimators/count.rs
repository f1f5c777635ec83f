//! `svy_count(*)`: how many rows the population has.

use datafusion::logical_expr::{self as datafusion_doc, Documentation, Expr, lit};
use datafusion_macros::user_doc;

use super::{Estimator, PartOf, Solved};
use crate::survey::part::Sums;
use crate::survey::wide::Wide;
use crate::weighted::Parameter;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "How many rows the population has: the sum of the weights. `svy_count(x)` counts rows where `x` is not NULL, and `svy_count(DISTINCT unit)` counts people, each once however many rows they have. 0 (not NULL) of no rows.",
    syntax_example = "svy_count(x)",
    sql_example = "SELECT gender, svy_count(*), svy_count(DISTINCT person_id) FROM panel.people GROUP BY gender",
    argument(name = "x", description = "What must not be NULL, or `*`."),
    related_udf(name = "svy_total")
)]
#[derive(Debug)]
pub(super) struct Count;

impl Estimator for Count {
    fn name(&self) -> &'static str {
        "svy_count"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::unit("x")] }
    }

    fn documentation(&self) -> Option<&'static Documentation> {
        Count.doc()
    }

    fn parts(&self, arguments: &[Expr]) -> Vec<PartOf> {
        let is_value = |counted: &Expr| matches!(counted, Expr::Literal(value, _) if !value.is_null());
        let condition = arguments.first().filter(|counted| !is_value(counted));
        vec![PartOf { variables: vec![lit(1.0)], condition: condition.map(|counted| counted.clone().is_not_null()) }]
    }

    fn terms(&self) -> usize {
        1
    }

    fn add_terms(&self, parts: &[Sums], terms: &mut [Wide]) {
        for part in parts {
            terms[0] += part.weights;
        }
    }

    fn solve(&self, totals: &[Wide], _: f64) -> Option<Solved> {
        let gradient = [Wide::ONE, Wide::ZERO, Wide::ZERO, Wide::ZERO];
        Some(Solved { estimate: *totals.first()?, gradient })
    }

    fn of_nothing(&self) -> Option<f64> {
        Some(0.0)
    }
}
