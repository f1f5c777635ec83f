//! `weighted_corr(x, y, w)`: how strongly two variables go together in the population.

use datafusion::logical_expr::{self as datafusion_doc, Documentation};
use datafusion_macros::user_doc;

use super::moments::{Moments, Sums};
use super::{Parameter, Statistic};
use crate::Error;

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "Pearson's correlation of x and y in the population: their weighted covariance over the product of their weighted standard deviations, from -1 to 1, over rows where both are known. NULL where one of them does not vary, or of fewer than two rows with a positive weight.",
    syntax_example = "weighted_corr(x, y, w)",
    sql_example = "SELECT weighted_corr(age, amount, weight) FROM panel.events JOIN panel.people USING (person_id)",
    argument(name = "x", description = "A number. Integers and decimals become floats."),
    argument(name = "y", description = "A number."),
    argument(name = "w", description = "The weight."),
    related_udf(name = "weighted_variance")
)]
#[derive(Debug)]
pub(super) struct WeightedCorr;

impl Statistic<3> for WeightedCorr {
    const NAME: &'static str = "weighted_corr";
    const PARAMETERS: [Parameter; 3] = [Parameter::number("x"), Parameter::number("y"), Parameter::WEIGHT];
    type Moments = Together;

    fn documentation() -> Option<&'static Documentation> {
        WeightedCorr.doc()
    }

    fn add(together: &mut Together, [x, y, w]: [f64; 3]) {
        if w > 0.0 {
            together.merge_part(w, [0.0; 3], [x, y], [0.0; 2], 1.0);
        }
    }

    fn result(together: &Together) -> Result<Option<f64>, Error> {
        let [_, xx, yy, xy, _, _, rows] = together.sums.totals();
        if rows < 2.0 || xx == 0.0 || yy == 0.0 {
            return Ok(None);
        }
        // Not `clamp`, which is the same but for what rounding leaves beyond 1.
        let corr = xy / (xx.sqrt() * yy.sqrt());
        Ok(Some(if corr.abs() > 1.0 { corr.signum() } else { corr }))
    }
}

/// Two variables and their weighted products around their means: Chan, Golub and LeVeque, The American Statistician 37 (1983).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Together {
    /// Sum of w, sums of w times the products of the distances (x with x, y with y, x with y), both means, and the number of rows.
    sums: Sums<7>,
}

impl Together {
    #[inline(always)]
    fn merge_part(&mut self, weights: f64, products: [f64; 3], means: [f64; 2], lost: [f64; 2], rows: f64) {
        let (kept, kept_lost) = self.sums.fields().split_at(7);
        let share = weights / (kept[0] + weights);
        let distance: [f64; 2] = std::array::from_fn(|at| (means[at] - kept[4 + at]) + (lost[at] - kept_lost[4 + at]));
        let between = kept[0] * share;
        let [x, y] = distance;
        let [xx, yy, xy] = products;
        let terms =
            [weights, xx + x * x * between, yy + y * y * between, xy + x * y * between, x * share, y * share, rows];
        self.sums.add(terms);
    }
}

impl Moments for Together {
    fn fields(&self) -> &[f64] {
        self.sums.fields()
    }

    fn fields_mut(&mut self) -> &mut [f64] {
        self.sums.fields_mut()
    }

    fn merge(&mut self, other: &Self) {
        let (theirs, lost) = other.sums.fields().split_at(7);
        if self.sums.totals()[6] == 0.0 {
            // Adding to means of 0 would round off their lost digits.
            *self = *other;
        } else if theirs[6] > 0.0 {
            let products = std::array::from_fn(|at| theirs[1 + at] + lost[1 + at]);
            let pair = |fields: &[f64]| [fields[4], fields[5]];
            self.merge_part(theirs[0] + lost[0], products, pair(theirs), pair(lost), theirs[6]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_is_the_same_of_rows_in_any_parts() {
        let rows: Vec<[f64; 3]> = (0..5_000)
            .map(|row| {
                let x = f64::from(row * 37 % 101);
                [1e6 + x, 3e6 - x + f64::from(row * 11 % 53), 0.5 + f64::from(row % 3)]
            })
            .collect();
        let mean =
            |k: usize| rows.iter().map(|row| row[2] * row[k]).sum::<f64>() / rows.iter().map(|row| row[2]).sum::<f64>();
        let (x, y) = (mean(0), mean(1));
        let sum = |of: fn(f64, f64) -> f64| rows.iter().map(|row| row[2] * of(row[0] - x, row[1] - y)).sum::<f64>();
        let expected = sum(|x, y| x * y) / (sum(|x, _| x * x) * sum(|_, y| y * y)).sqrt();
        for parts in [1, 7, 100] {
            let mut whole = Together::default();
            for rows in rows.chunks(rows.len() / parts) {
                let mut part = Together::default();
                rows.iter().for_each(|row| WeightedCorr::add(&mut part, *row));
                whole.merge(&part);
            }
            let found = WeightedCorr::result(&whole).unwrap().unwrap();
            assert!((found / expected - 1.0).abs() < 1e-9, "{parts}: {found} {expected}");
        }
    }

    #[test]
    fn what_does_not_vary_goes_with_nothing() {
        let mut together = Together::default();
        assert_eq!(WeightedCorr::result(&together).unwrap(), None);
        for row in [[1.0, 2.0, 1.0], [1.0, 3.0, 1.0], [9.0, 9.0, 0.0]] {
            WeightedCorr::add(&mut together, row);
        }
        assert_eq!(WeightedCorr::result(&together).unwrap(), None);
        WeightedCorr::add(&mut together, [2.0, 4.0, 1.0]);
        let found = WeightedCorr::result(&together).unwrap().unwrap();
        assert!((found - 0.75_f64.sqrt()).abs() < 1e-12, "{found}");
    }
}
