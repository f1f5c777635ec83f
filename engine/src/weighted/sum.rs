//! `weighted_sum(x, w)`: the total of x in the population.

use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::moments::{Sums, weighted};
use super::{Parameter, Statistic};
use crate::Error;

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The weighted total: `sum(w * x)`. NULL of no rows, 0 where all weights are zero.",
    syntax_example = "weighted_sum(x, w)",
    sql_example = "SELECT state, weighted_sum(amount, weight) FROM panel.events JOIN panel.people USING (person_id) GROUP BY state",
    argument(name = "x", description = "A number. Integers and decimals become floats."),
    argument(name = "w", description = "The weight."),
    related_udf(name = "weighted_avg"),
    related_udf(name = "weighted_ratio")
)]
#[derive(Debug)]
pub(super) struct WeightedSum;

impl Statistic<2> for WeightedSum {
    const NAME: &'static str = "weighted_sum";
    const PARAMETERS: [Parameter; 2] = [Parameter::number("x"), Parameter::WEIGHT];
    type Moments = Sums<2>;

    fn documentation() -> Option<&'static Documentation> {
        WeightedSum.doc()
    }

    fn add(sums: &mut Sums<2>, [x, w]: [f64; 2]) {
        sums.add([weighted(x, w), 1.0]);
    }

    fn result(sums: &Sums<2>) -> Result<Option<f64>, Error> {
        let [total, rows] = sums.totals();
        Ok((rows > 0.0).then_some(total))
    }
}
