//! What a function keeps of a group of rows: a handful of floats side by side, that can be added to and merged.
//!
//! Sums are compensated, so that the answer does not depend on how the rows were split over threads. Spread is kept
//! centred, never as a sum of squares: at mean/sd = 1e6 raw sums lose five digits and the centred form none.

use std::fmt::Debug;

/// A group's state. It is nothing but its floats, so that a partial state crosses threads, disks and machines as columns.
pub(crate) trait Moments: Copy + Default + Debug + Send + Sync + 'static {
    /// The floats, always as many.
    fn fields(&self) -> &[f64];

    /// The floats, to be filled from columns.
    fn fields_mut(&mut self) -> &mut [f64];

    /// Adds another part of the same group. The order of parts does not matter beyond rounding.
    fn merge(&mut self, other: &Self);
}

/// `K` sums, each with what rounding took from it (Knuth's TwoSum: without branches, `K` lanes at a time).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums<const K: usize> {
    /// The sums as added, then the parts that the additions lost.
    parts: [[f64; K]; 2],
}

impl<const K: usize> Default for Sums<K> {
    fn default() -> Self {
        Self { parts: [[0.0; K]; 2] }
    }
}

impl<const K: usize> Sums<K> {
    /// Adds one term to each sum.
    #[inline(always)]
    pub(super) fn add(&mut self, terms: [f64; K]) {
        let [totals, lost] = &mut self.parts;
        let mut added = [0.0; K];
        for k in 0..K {
            added[k] = totals[k] + terms[k];
        }
        for k in 0..K {
            let taken = added[k] - totals[k];
            lost[k] += (totals[k] - (added[k] - taken)) + (terms[k] - taken);
        }
        *totals = added;
    }

    /// The sums. An infinite or undefined one is as plain addition has it: there the correction is undefined.
    pub(super) fn totals(&self) -> [f64; K] {
        let [totals, lost] = self.parts;
        std::array::from_fn(|k| if totals[k].is_finite() { totals[k] + lost[k] } else { totals[k] })
    }
}

impl<const K: usize> Moments for Sums<K> {
    fn fields(&self) -> &[f64] {
        self.parts.as_flattened()
    }

    fn fields_mut(&mut self) -> &mut [f64] {
        self.parts.as_flattened_mut()
    }

    #[inline]
    fn merge(&mut self, other: &Self) {
        let [totals, lost] = other.parts;
        self.add(totals);
        self.parts[1].iter_mut().zip(lost).for_each(|(kept, lost)| *kept += lost);
    }
}

/// `w * x`, and nothing at all for a zero weight, whatever `x` is.
#[inline(always)]
pub(super) fn weighted(x: f64, w: f64) -> f64 {
    if w > 0.0 { w * x } else { 0.0 }
}

/// A ratio that is NULL where there is nothing to divide by.
pub(super) fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator != 0.0).then_some(numerator / denominator)
}

/// The weighted mean and the weighted squares around it, over rows with w > 0.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread {
    /// Sum of w, sum of w (x - mean)^2, the mean, and the number of rows. The mean is a sum too, of its corrections: its
    /// lost digits are small next to it, but not next to the distances from it.
    sums: Sums<4>,
}

impl Spread {
    /// Adds one row: West, "Updating mean and variance estimates", CACM 22 (1979). Each term that it adds to the squares
    /// is positive, so the variance of equal values is exactly 0.
    #[inline(always)]
    pub(super) fn add(&mut self, x: f64, w: f64) {
        if w > 0.0 {
            self.merge_part(w, 0.0, [x, 0.0], 1.0);
        }
    }

    /// Chan's formula, of which West's is the case of one row: Chan, Golub and LeVeque, The American Statistician 37 (1983).
    #[inline(always)]
    fn merge_part(&mut self, more_weights: f64, more_squares: f64, more_mean: [f64; 2], more_rows: f64) {
        let [[weights, _, mean, _], [_, _, mean_lost, _]] = self.sums.parts;
        let share = more_weights / (weights + more_weights);
        let distance = (more_mean[0] - mean) + (more_mean[1] - mean_lost);
        let squares = more_squares + distance * (distance * (weights * share));
        self.sums.add([more_weights, squares, distance * share, more_rows]);
    }

    /// Adds many rows: in blocks of two passes, which spares the division of each row.
    pub(super) fn add_all(&mut self, xs: &[f64], ws: &[f64]) {
        for (xs, ws) in xs.chunks(1024).zip(ws.chunks(1024)) {
            self.merge(&Self::of_block(xs, ws));
        }
    }

    fn of_block(xs: &[f64], ws: &[f64]) -> Self {
        let rows = || xs.iter().copied().zip(ws.iter().copied()).filter(|(_, w)| *w > 0.0);
        // A value of the block as origin: the sums are then of the size of the spread, not of the mean.
        let Some((origin, _)) = rows().next() else { return Self::default() };
        let (mut count, mut weights, mut offsets) = (0.0, 0.0, 0.0);
        for (x, w) in rows() {
            count += 1.0;
            weights += w;
            offsets += w * (x - origin);
        }
        let mean = origin + offsets / weights;
        let (mut squares, mut rest) = (0.0, 0.0);
        for (x, w) in rows() {
            let distance = x - mean;
            squares += w * distance * distance;
            rest += w * distance;
        }
        // `rest` is what rounding left in the mean.
        let squares = squares - rest * rest / weights;
        // Not `max`, which would hide an undefined one.
        let squares = if squares < 0.0 { 0.0 } else { squares };
        Self { sums: Sums { parts: [[weights, squares, mean, count], [0.0, 0.0, rest / weights, 0.0]] } }
    }

    /// n/(n-1) * sum w (x - mean)^2 / sum w, as R's `svyvar` has it; NULL of fewer than two rows.
    pub(super) fn variance(&self) -> Option<f64> {
        let [weights, squares, _, rows] = self.sums.totals();
        (rows >= 2.0).then(|| rows / (rows - 1.0) * squares / weights)
    }
}

impl Moments for Spread {
    fn fields(&self) -> &[f64] {
        self.sums.fields()
    }

    fn fields_mut(&mut self) -> &mut [f64] {
        self.sums.fields_mut()
    }

    #[inline]
    fn merge(&mut self, other: &Self) {
        let [[weights, squares, mean, rows], [weights_lost, squares_lost, mean_lost, _]] = other.sums.parts;
        let [_, _, _, rows_here] = self.sums.parts[0];
        if rows_here == 0.0 {
            // Adding to a mean of 0 would round off the lost digits.
            *self = *other;
        } else if rows > 0.0 {
            self.merge_part(weights, squares, [mean, mean_lost], rows);
            self.sums.parts[1][0] += weights_lost;
            self.sums.parts[1][1] += squares_lost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_keeps_what_plain_addition_loses() {
        let mut sum = Sums::<1>::default();
        for term in [1e16, 1.0, -1e16, 1.0] {
            sum.add([term]);
        }
        assert_eq!(sum.totals(), [2.0]);
    }

    #[test]
    fn a_sum_that_overflows_or_is_undefined_says_so() {
        let mut sums = Sums::<2>::default();
        sums.add([f64::INFINITY, f64::INFINITY]);
        sums.add([1.0, f64::NEG_INFINITY]);
        assert_eq!(sums.totals()[0], f64::INFINITY);
        assert!(sums.totals()[1].is_nan());
    }

    #[test]
    fn equal_values_have_no_variance_at_any_size() {
        let mut spread = Spread::default();
        spread.add_all(&[1.1e9; 5000], &[0.3; 5000]);
        spread.add(1.1e9, 7.0);
        assert_eq!(spread.variance(), Some(0.0));
    }

    #[test]
    fn a_mean_far_from_zero_costs_no_digits() {
        // Values mean + {-1, +1} with equal weights: variance is exactly n/(n-1).
        let xs: Vec<f64> = (0..20_000).map(|row| 1e9 + f64::from(row % 2) * 2.0 - 1.0).collect();
        let ws = vec![0.7; xs.len()];
        let expected: f64 = 20_000.0 / 19_999.0;

        let mut by_block = Spread::default();
        by_block.add_all(&xs, &ws);
        let mut by_row = Spread::default();
        xs.iter().zip(&ws).for_each(|(x, w)| by_row.add(*x, *w));
        let mut merged = Spread::default();
        for part in xs.chunks(777) {
            let mut spread = Spread::default();
            part.iter().for_each(|x| spread.add(*x, 0.7));
            merged.merge(&spread);
        }
        for spread in [by_block, by_row, merged] {
            let variance = spread.variance().unwrap_or_default();
            assert!((variance / expected - 1.0).abs() < 1e-14, "{variance}");
        }
    }
}
