//! `weighted_median(x, w)`: the value that half of the population does not exceed.

use datafusion::common::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::Parameter;
use super::distribution::Quantile;

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The weighted median: `weighted_quantile(x, 0.5, w)`, so the lower of the two middle values where there are two.",
    syntax_example = "weighted_median(x, w)",
    sql_example = "SELECT state, weighted_median(age, weight) FROM panel.people GROUP BY state",
    argument(
        name = "x",
        description = "A number (the result is a float), or a date or timestamp (the result has its type)."
    ),
    argument(name = "w", description = "The weight."),
    related_udf(name = "weighted_quantile")
)]
#[derive(Debug)]
pub(super) struct WeightedMedian;

impl Quantile for WeightedMedian {
    const NAME: &'static str = "weighted_median";
    const PARAMETERS: &'static [Parameter] = &[Parameter::ordered("x"), Parameter::WEIGHT];

    fn documentation() -> Option<&'static Documentation> {
        WeightedMedian.doc()
    }

    fn probability(_: &AccumulatorArgs) -> Result<f64> {
        Ok(0.5)
    }
}
