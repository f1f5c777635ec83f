//! What one PSU adds to an estimate: sums over its rows, kept near its own values.
//!
//! The sums are of distances from the first value seen, the origin, so that they are of the size of the spread and not of
//! the mean. Levels above read them as sums of the values themselves, which have 32 digits there.

use super::rows::People;
use super::wide::Wide;
use crate::weighted::Moments;

/// Sums over the rows of one PSU in a domain, for `K` variables, in `F` floats: rows, the weights and what rounding took from their
/// sum, the origins, the `K` weighted sums of distances, those of their products, and what rounding took from either. Where there is
/// one float more, it counts people; without it a part of one variable is a line of the processor's cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<const K: usize, const F: usize> {
    fields: [f64; F],
}

const ROWS: usize = 0;
const WEIGHTS: usize = 1;
const ORIGINS: usize = 3;

impl<const K: usize, const F: usize> Default for Part<K, F> {
    fn default() -> Self {
        Self { fields: [0.0; F] }
    }
}

impl<const K: usize, const F: usize> Part<K, F> {
    const SUMS: usize = ORIGINS + K;
    const PRODUCTS: usize = Self::SUMS + 2 * K;
    const PAIRS: usize = K * (K + 1) / 2;
    const PEOPLE: usize = Self::PRODUCTS + 2 * Self::PAIRS;

    /// Adds one row. One of no weight is not of the domain, nor is one whose value is undefined: R holds it for missing.
    #[inline(always)]
    pub(super) fn add(&mut self, values: [f64; K], weight: f64) {
        if weight <= 0.0 || values.iter().any(|value| value.is_nan()) {
            return;
        }
        if self.fields[ROWS] == 0.0 {
            self.fields[ORIGINS..ORIGINS + K].copy_from_slice(&values);
        }
        self.fields[ROWS] += 1.0;
        self.sum(WEIGHTS, WEIGHTS + 1, weight);
        let mut pair = 0;
        let distances: [f64; K] = std::array::from_fn(|variable| values[variable] - self.fields[ORIGINS + variable]);
        for (one, distance) in distances.into_iter().enumerate() {
            self.sum(Self::SUMS + one, Self::SUMS + K + one, weight * distance);
            for other in &distances[one..] {
                let product = distance * other;
                self.sum(Self::PRODUCTS + pair, Self::PRODUCTS + Self::PAIRS + pair, weight * product);
                pair += 1;
            }
        }
    }

    /// Adds a term to a sum, and what rounding takes to another.
    #[inline(always)]
    fn sum(&mut self, total: usize, lost: usize, term: f64) {
        let sum = self.fields[total] + term;
        let taken = sum - self.fields[total];
        self.fields[lost] += (self.fields[total] - (sum - taken)) + (term - taken);
        self.fields[total] = sum;
    }

    /// The part whose floats these are.
    pub(super) fn of_fields(fields: &[f64]) -> Self {
        let mut part = Self::default();
        part.fields.iter_mut().zip(fields).for_each(|(own, field)| *own = *field);
        part
    }

    /// The part of rows whose sums are known: of the weights, of each variable its origin and the weighted distances from there,
    /// and of their products.
    pub(super) fn of_sums(
        rows: f64,
        weights: f64,
        variables: [(f64, f64); K],
        products: impl Iterator<Item = f64>,
    ) -> Self {
        let mut part = Self::default();
        part.fields[ROWS] = rows;
        part.fields[WEIGHTS] = weights;
        for (variable, (origin, distances)) in variables.into_iter().enumerate() {
            part.fields[ORIGINS + variable] = origin;
            part.fields[Self::SUMS + variable] = distances;
        }
        let pairs = &mut part.fields[Self::PRODUCTS..Self::PRODUCTS + Self::PAIRS];
        pairs.iter_mut().zip(products).for_each(|(field, product)| *field = product);
        part
    }

    pub(super) fn into_fields(self) -> [f64; F] {
        self.fields
    }

    /// The floats of these rows, as those of so many people.
    pub(super) fn of(self, people: People) -> impl Iterator<Item = f64> {
        let people = match people {
            People::Unknown => 0.0,
            People::One => self.fields[ROWS].min(1.0),
            People::Each => self.fields[ROWS],
        };
        self.fields.into_iter().take(Self::PEOPLE).chain([people])
    }
}

impl<const K: usize, const F: usize> Moments for Part<K, F> {
    fn fields(&self) -> &[f64] {
        &self.fields
    }

    fn fields_mut(&mut self) -> &mut [f64] {
        &mut self.fields
    }

    fn merge(&mut self, other: &Self) {
        if self.fields[ROWS] == 0.0 {
            *self = *other;
            return;
        }
        if other.fields[ROWS] == 0.0 {
            return;
        }
        let theirs = &other.fields;
        let ours = self.fields;
        let moved = |variable: usize| theirs[ORIGINS + variable] - ours[ORIGINS + variable];
        let weights = theirs[WEIGHTS];
        self.fields[ROWS] += theirs[ROWS];
        if F > Self::PEOPLE {
            self.fields[Self::PEOPLE] += theirs[Self::PEOPLE];
        }
        self.sum(WEIGHTS, WEIGHTS + 1, weights);
        self.fields[WEIGHTS + 1] += theirs[WEIGHTS + 1];
        let mut pair = 0;
        for one in 0..K {
            let (total, lost) = (Self::SUMS + one, Self::SUMS + K + one);
            self.sum(total, lost, theirs[total]);
            self.sum(total, lost, weights * moved(one));
            self.fields[lost] += theirs[lost];
            for other in one..K {
                let (total, lost) = (Self::PRODUCTS + pair, Self::PRODUCTS + Self::PAIRS + pair);
                self.sum(total, lost, theirs[total]);
                self.sum(
                    total,
                    lost,
                    moved(one) * theirs[Self::SUMS + other] + moved(other) * theirs[Self::SUMS + one],
                );
                self.sum(total, lost, moved(one) * moved(other) * weights);
                self.fields[lost] += theirs[lost];
                pair += 1;
            }
        }
    }
}

/// The sums of a part, of the values themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) rows: f64,
    pub(super) people: f64,
    pub(super) weights: Wide,
    /// Of each variable.
    pub(super) totals: [Wide; 2],
    /// Of the products: of the first variable with itself, with the second, and of the second with itself.
    pub(super) products: [Wide; 3],
}

impl Sums {
    /// The sums of one row.
    pub(super) fn of_row(values: [f64; 2], weight: f64) -> Self {
        let totals = values.map(|value| Wide::product(value, weight));
        let products = [totals[0] * values[0].into(), totals[0] * values[1].into(), totals[1] * values[1].into()];
        Self { rows: 1.0, people: 0.0, weights: weight.into(), totals, products }
    }

    /// The sums of a part that crossed levels as floats.
    pub(super) fn of(fields: &[f64]) -> Self {
        match fields.len() {
            16 => Self::read::<2>(fields),
            _ => Self::read::<1>(fields),
        }
    }

    fn read<const K: usize>(fields: &[f64]) -> Self {
        let wide = |total: usize, lost: usize| Wide::of_parts(fields[total], fields[lost]);
        let (sums, products, pairs) = (ORIGINS + K, ORIGINS + 3 * K, K * (K + 1) / 2);
        let weights = wide(WEIGHTS, WEIGHTS + 1);
        let people = fields.last().copied().unwrap_or_default();
        let mut read = Self { rows: fields[ROWS], people, weights, ..Self::default() };
        let origin = |variable: usize| Wide::from(fields[ORIGINS + variable]);
        let mut pair = 0;
        for one in 0..K {
            let distances = wide(sums + one, sums + K + one);
            read.totals[one] = distances + origin(one) * weights;
            for other in one..K {
                let other_distances = wide(sums + other, sums + K + other);
                read.products[pair] = wide(products + pair, products + pairs + pair)
                    + origin(one) * other_distances
                    + origin(other) * distances
                    + origin(one) * origin(other) * weights;
                pair += 1;
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_merge_to_the_sums_of_all_rows() {
        let rows: Vec<([f64; 2], f64)> =
            (0..100).map(|n| ([1e6 + f64::from(n % 7), f64::from(n)], 0.5 + f64::from(n % 3))).collect();
        let sums = |part: Part<2, 15>| Sums::of(&part.of(People::One).collect::<Vec<_>>());
        let mut whole = Part::<2, 15>::default();
        rows.iter().for_each(|(values, weight)| whole.add(*values, *weight));
        let mut merged = Part::<2, 15>::default();
        for rows in rows.chunks(13) {
            let mut part = Part::<2, 15>::default();
            rows.iter().for_each(|(values, weight)| part.add(*values, *weight));
            merged.merge(&part);
        }
        let (whole, merged) = (sums(whole), sums(merged));
        let exact: f64 = rows.iter().map(|([x, y], w)| w * x * y).sum();
        assert_eq!(whole.totals.map(Wide::value), merged.totals.map(Wide::value));
        assert_eq!(whole.products.map(Wide::value), merged.products.map(Wide::value));
        assert!((whole.products[1].value() / exact - 1.0).abs() < 1e-14);
    }

    #[test]
    fn rows_without_weight_or_value_are_not_there() {
        let mut part = Part::<1, 8>::default();
        part.add([1.0], 0.0);
        part.add([f64::NAN], 1.0);
        assert_eq!(part.fields(), Part::<1, 8>::default().fields());
        part.add([2.0], 3.0);
        let sums = Sums::of(&part.of(People::One).collect::<Vec<_>>());
        assert_eq!((sums.rows, sums.people, sums.weights.value(), sums.totals[0].value()), (1.0, 1.0, 3.0, 6.0));
    }
}
