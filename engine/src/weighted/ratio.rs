//! `weighted_ratio(num, den, w)`: the ratio of two totals of the population.

use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::moments::{Sums, ratio, weighted};
use super::{Parameter, Statistic};
use crate::Error;

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The ratio of two weighted totals: `sum(w * num) / sum(w * den)`, over rows where both are known. NULL where the denominator is zero. It is not the mean of the rows' ratios.",
    syntax_example = "weighted_ratio(num, den, w)",
    sql_example = "SELECT service, weighted_ratio(seconds, 3600, weight) FROM panel.events JOIN panel.people USING (person_id) GROUP BY service",
    argument(name = "num", description = "A number, the part above."),
    argument(name = "den", description = "A number, the part below."),
    argument(name = "w", description = "The weight."),
    related_udf(name = "weighted_sum"),
    related_udf(name = "weighted_avg")
)]
#[derive(Debug)]
pub(super) struct WeightedRatio;

impl Statistic<3> for WeightedRatio {
    const NAME: &'static str = "weighted_ratio";
    const PARAMETERS: [Parameter; 3] = [Parameter::number("num"), Parameter::number("den"), Parameter::WEIGHT];
    type Moments = Sums<2>;

    fn documentation() -> Option<&'static Documentation> {
        WeightedRatio.doc()
    }

    fn add(sums: &mut Sums<2>, [num, den, w]: [f64; 3]) {
        sums.add([weighted(num, w), weighted(den, w)]);
    }

    fn result(sums: &Sums<2>) -> Result<Option<f64>, Error> {
        let [num, den] = sums.totals();
        Ok(ratio(num, den))
    }
}
