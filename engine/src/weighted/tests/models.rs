//! What each function means, as it would be said on paper.

use super::Row;

/// Values and weights of the rows that take part.
fn pairs(rows: &[Row]) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((row.x?, row.w?))).collect()
}

fn over(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator != 0.0).then_some(numerator / denominator)
}

pub(super) fn count(rows: &[Row]) -> Option<f64> {
    Some(rows.iter().filter_map(|row| row.w).sum())
}

pub(super) fn sum(rows: &[Row]) -> Option<f64> {
    let pairs = pairs(rows);
    (!pairs.is_empty()).then(|| pairs.iter().map(|(x, w)| w * x).sum())
}

pub(super) fn avg(rows: &[Row]) -> Option<f64> {
    over(sum(rows).unwrap_or(0.0), pairs(rows).iter().map(|(_, w)| w).sum())
}

pub(super) fn variance(rows: &[Row]) -> Option<f64> {
    let pairs: Vec<_> = pairs(rows).into_iter().filter(|(_, w)| *w > 0.0).collect();
    let (n, mean) = (pairs.len() as f64, avg(rows)?);
    let squares: f64 = pairs.iter().map(|(x, w)| w * (x - mean).powi(2)).sum();
    (n >= 2.0).then(|| n / (n - 1.0) * squares / pairs.iter().map(|(_, w)| w).sum::<f64>())
}

pub(super) fn stddev(rows: &[Row]) -> Option<f64> {
    variance(rows).map(f64::sqrt)
}

pub(super) fn ratio(rows: &[Row]) -> Option<f64> {
    let terms: Vec<_> = rows.iter().filter_map(|row| Some((row.x?, row.y?, row.w?))).collect();
    over(terms.iter().map(|(x, _, w)| w * x).sum(), terms.iter().map(|(_, y, w)| w * y).sum())
}

pub(super) fn share(rows: &[Row]) -> Option<f64> {
    let known: Vec<_> = rows.iter().filter_map(|row| Some((row.c?, row.w?))).collect();
    over(known.iter().filter(|(c, _)| *c).map(|(_, w)| w).sum(), known.iter().map(|(_, w)| w).sum())
}

pub(super) fn effective_n(rows: &[Row]) -> Option<f64> {
    let weights: Vec<f64> = rows.iter().filter_map(|row| row.w).collect();
    over(weights.iter().sum::<f64>().powi(2), weights.iter().map(|w| w * w).sum())
}

pub(super) fn median(rows: &[Row]) -> Option<f64> {
    quantile(rows, 0.5)
}

pub(super) fn quarter(rows: &[Row]) -> Option<f64> {
    quantile(rows, 0.25)
}

/// The smallest x with F(x) >= p. The weights of the tests are binary fractions, so their sums are exact.
fn quantile(rows: &[Row], p: f64) -> Option<f64> {
    let mut pairs: Vec<_> = pairs(rows).into_iter().filter(|(_, w)| *w > 0.0).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = pairs.iter().map(|(_, w)| w).sum();
    let mut reached = 0.0;
    pairs.into_iter().find_map(|(x, w)| {
        reached += w;
        (reached / total >= p).then_some(x)
    })
}
