//! `effective_n(w)`: how many equally weighted rows would tell as much.

use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::moments::{Sums, ratio};
use super::{Parameter, Statistic};
use crate::Error;

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The effective sample size by Kish: `sum(w)^2 / sum(w^2)`. With equal weights it is the number of rows, and less the more they differ. NULL where the weights sum to zero.",
    syntax_example = "effective_n(w)",
    sql_example = "SELECT state, count(*), effective_n(weight) FROM panel.people GROUP BY state",
    argument(name = "w", description = "The weight."),
    related_udf(name = "weighted_count")
)]
#[derive(Debug)]
pub(super) struct EffectiveN;

impl Statistic<1> for EffectiveN {
    const NAME: &'static str = "effective_n";
    const PARAMETERS: [Parameter; 1] = [Parameter::WEIGHT];
    type Moments = Sums<2>;

    fn documentation() -> Option<&'static Documentation> {
        EffectiveN.doc()
    }

    fn add(sums: &mut Sums<2>, [w]: [f64; 1]) {
        sums.add([w, w * w]);
    }

    /// Kish, Survey Sampling (1965), section 11.7.
    fn result(sums: &Sums<2>) -> Result<Option<f64>, Error> {
        let [weights, squares] = sums.totals();
        Ok(ratio(weights * weights, squares))
    }
}
