//! `svy_mean_per_unit(x)`: the mean of what each person has of x in all of their rows.

use datafusion::logical_expr::{self as datafusion_doc, Documentation, Expr};
use datafusion_macros::user_doc;

use super::{Estimator, MEAN, PartOf, Solved};
use crate::survey::part::Sums;
use crate::survey::wide::Wide;
use crate::weighted::Parameter;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "The mean per person: each person's rows are summed, and people are averaged by their weights. People of the frame who meet the conditions on people and have no row count 0; with `among => 'present'` only those with rows are averaged. A mean of rows, such as `svy_mean(x)` over events, weighs people by how many rows they have.",
    syntax_example = "svy_mean_per_unit(x)",
    sql_example = "SELECT p.gender, svy_mean_per_unit(e.amount) FROM panel.events e JOIN panel.people p ON p.person_id = e.person_id GROUP BY p.gender",
    argument(name = "x", description = "A number."),
    related_udf(name = "svy_mean")
)]
#[derive(Debug)]
pub(super) struct MeanPerUnit;

impl Estimator for MeanPerUnit {
    fn name(&self) -> &'static str {
        "svy_mean_per_unit"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::number("x")] }
    }

    fn documentation(&self) -> Option<&'static Documentation> {
        MeanPerUnit.doc()
    }

    fn parts(&self, arguments: &[Expr]) -> Vec<PartOf> {
        PartOf::all(arguments)
    }

    fn is_per_unit(&self) -> bool {
        true
    }

    fn terms(&self) -> usize {
        MEAN.terms()
    }

    fn add_terms(&self, parts: &[Sums], terms: &mut [Wide]) {
        MEAN.add_terms(parts, terms);
    }

    fn solve(&self, totals: &[Wide], rows: f64) -> Option<Solved> {
        MEAN.solve(totals, rows)
    }
}
