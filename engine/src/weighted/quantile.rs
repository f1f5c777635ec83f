//! `weighted_quantile(x, p, w)`: the value that a share p of the population does not exceed.

use datafusion::common::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::Parameter;
use super::distribution::{Quantile, constant_probability};

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The weighted quantile: the smallest value of x at which the rows up to it hold at least the share p of the weight (the \"math\" rule of R's survey package). It is always one of the values, never a number between two. Rows with a zero weight are left out. It is exact, and keeps every row in memory.",
    syntax_example = "weighted_quantile(x, p, w)",
    sql_example = "SELECT state, weighted_quantile(age, 0.9, weight) FROM panel.people GROUP BY state",
    argument(
        name = "x",
        description = "A number (the result is a float), or a date or timestamp (the result has its type)."
    ),
    argument(name = "p", description = "A constant from 0 to 1."),
    argument(name = "w", description = "The weight."),
    related_udf(name = "weighted_median")
)]
#[derive(Debug)]
pub(super) struct WeightedQuantile;

impl Quantile for WeightedQuantile {
    const NAME: &'static str = "weighted_quantile";
    const PARAMETERS: &'static [Parameter] = &[Parameter::ordered("x"), Parameter::number("p"), Parameter::WEIGHT];

    fn documentation() -> Option<&'static Documentation> {
        WeightedQuantile.doc()
    }

    fn probability(args: &AccumulatorArgs) -> Result<f64> {
        constant_probability(Self::NAME, args)
    }
}
