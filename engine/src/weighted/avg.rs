//! `weighted_avg(x, w)`: the mean of x in the population.

use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::moments::{Sums, ratio, weighted};
use super::{Parameter, Statistic};
use crate::Error;

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The weighted mean: `sum(w * x) / sum(w)`. NULL where the weights sum to zero.",
    syntax_example = "weighted_avg(x, w)",
    sql_example = "SELECT gender, weighted_avg(age, weight) FROM panel.people GROUP BY gender",
    argument(name = "x", description = "A number. Integers and decimals become floats."),
    argument(name = "w", description = "The weight."),
    related_udf(name = "weighted_share"),
    related_udf(name = "weighted_sum")
)]
#[derive(Debug)]
pub(super) struct WeightedAvg;

impl Statistic<2> for WeightedAvg {
    const NAME: &'static str = "weighted_avg";
    const PARAMETERS: [Parameter; 2] = [Parameter::number("x"), Parameter::WEIGHT];
    type Moments = Sums<2>;

    fn documentation() -> Option<&'static Documentation> {
        WeightedAvg.doc()
    }

    fn add(sums: &mut Sums<2>, [x, w]: [f64; 2]) {
        sums.add([weighted(x, w), w]);
    }

    fn result(sums: &Sums<2>) -> Result<Option<f64>, Error> {
        let [total, weights] = sums.totals();
        Ok(ratio(total, weights))
    }
}
