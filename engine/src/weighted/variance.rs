//! `weighted_variance(x, w)`: the variance of x in the population, estimated from the sample.

use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::moments::Spread;
use super::{Parameter, Statistic};
use crate::Error;

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The weighted variance: `n/(n-1) * sum(w * (x - mean)^2) / sum(w)`, where `mean` is the weighted mean and `n` the number of rows with a positive weight (as `svyvar` of R's survey package). NULL of fewer than two such rows.",
    syntax_example = "weighted_variance(x, w)",
    sql_example = "SELECT gender, weighted_variance(age, weight) FROM panel.people GROUP BY gender",
    argument(name = "x", description = "A number. Integers and decimals become floats."),
    argument(name = "w", description = "The weight."),
    related_udf(name = "weighted_stddev")
)]
#[derive(Debug)]
pub(super) struct WeightedVariance;

impl Statistic<2> for WeightedVariance {
    const NAME: &'static str = "weighted_variance";
    const PARAMETERS: [Parameter; 2] = [Parameter::number("x"), Parameter::WEIGHT];
    type Moments = Spread;

    fn documentation() -> Option<&'static Documentation> {
        WeightedVariance.doc()
    }

    fn add(spread: &mut Spread, [x, w]: [f64; 2]) {
        spread.add(x, w);
    }

    fn add_all(spread: &mut Spread, [xs, ws]: [&[f64]; 2]) {
        spread.add_all(xs, ws);
    }

    fn result(spread: &Spread) -> Result<Option<f64>, Error> {
        Ok(spread.variance())
    }
}
