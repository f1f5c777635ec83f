//! `weighted_share(condition, w)`: the part of the population for which something holds.

use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::avg::WeightedAvg;
use super::moments::Sums;
use super::{Parameter, Statistic};
use crate::Error;

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The weighted share of rows for which the condition holds, from 0 to 1: the weighted mean of the condition in its group. Rows where the condition is NULL (unknown) count neither for nor against. NULL where the weights sum to zero.",
    syntax_example = "weighted_share(condition, w)",
    sql_example = "SELECT state, weighted_share(age < 30, weight) FROM panel.people GROUP BY state",
    argument(name = "condition", description = "True or false."),
    argument(name = "w", description = "The weight."),
    related_udf(name = "weighted_avg")
)]
#[derive(Debug)]
pub(super) struct WeightedShare;

impl Statistic<2> for WeightedShare {
    const NAME: &'static str = "weighted_share";
    const PARAMETERS: [Parameter; 2] = [Parameter::condition("condition"), Parameter::WEIGHT];
    type Moments = Sums<2>;

    fn documentation() -> Option<&'static Documentation> {
        WeightedShare.doc()
    }

    fn add(sums: &mut Sums<2>, row: [f64; 2]) {
        WeightedAvg::add(sums, row);
    }

    fn result(sums: &Sums<2>) -> Result<Option<f64>, Error> {
        WeightedAvg::result(sums)
    }
}
