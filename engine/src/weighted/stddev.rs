//! `weighted_stddev(x, w)`: the standard deviation of x in the population, estimated from the sample.

use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::moments::Spread;
use super::variance::WeightedVariance;
use super::{Parameter, Statistic};
use crate::Error;

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The weighted standard deviation: the square root of `weighted_variance`. It says how much people differ, not how sure an estimate is. NULL of fewer than two rows with a positive weight.",
    syntax_example = "weighted_stddev(x, w)",
    sql_example = "SELECT gender, weighted_stddev(age, weight) FROM panel.people GROUP BY gender",
    argument(name = "x", description = "A number. Integers and decimals become floats."),
    argument(name = "w", description = "The weight."),
    related_udf(name = "weighted_variance")
)]
#[derive(Debug)]
pub(super) struct WeightedStddev;

impl Statistic<2> for WeightedStddev {
    const NAME: &'static str = "weighted_stddev";
    const PARAMETERS: [Parameter; 2] = [Parameter::number("x"), Parameter::WEIGHT];
    type Moments = Spread;

    fn documentation() -> Option<&'static Documentation> {
        WeightedStddev.doc()
    }

    fn add(spread: &mut Spread, row: [f64; 2]) {
        WeightedVariance::add(spread, row);
    }

    fn add_all(spread: &mut Spread, columns: [&[f64]; 2]) {
        WeightedVariance::add_all(spread, columns);
    }

    fn result(spread: &Spread) -> Result<Option<f64>, Error> {
        Ok(spread.variance().map(f64::sqrt))
    }
}
