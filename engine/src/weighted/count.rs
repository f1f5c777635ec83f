//! `weighted_count(w)`: how many people the rows stand for.

use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::moments::Sums;
use super::{Parameter, Statistic};
use crate::Error;

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The number of people that the rows stand for: `sum(w)`, and 0 (not NULL) of no rows. Where a person has many rows, `reach` counts each person once.",
    syntax_example = "weighted_count(w)",
    sql_example = "SELECT gender, weighted_count(weight) FROM panel.people GROUP BY gender",
    argument(name = "w", description = "The weight."),
    related_udf(name = "reach"),
    related_udf(name = "effective_n")
)]
#[derive(Debug)]
pub(super) struct WeightedCount;

impl Statistic<1> for WeightedCount {
    const NAME: &'static str = "weighted_count";
    const PARAMETERS: [Parameter; 1] = [Parameter::WEIGHT];
    const OF_NOTHING: Option<f64> = Some(0.0);
    type Moments = Sums<1>;

    fn documentation() -> Option<&'static Documentation> {
        WeightedCount.doc()
    }

    fn add(sums: &mut Sums<1>, row: [f64; 1]) {
        sums.add(row);
    }

    fn result(sums: &Sums<1>) -> Result<Option<f64>, Error> {
        let [weights] = sums.totals();
        Ok(Some(weights))
    }
}
