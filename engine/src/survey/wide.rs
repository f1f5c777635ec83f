//! Numbers of 32 digits: a double, and what rounding took from it.
//!
//! A variance is a small difference of large sums wherever the mean is large. With twice the digits, plain sums of products
//! have enough left of them at any mean, and the order in which parts are added changes nothing that a double shows.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// An unevaluated sum of two doubles, the second smaller than a rounding of the first: Dekker, "A floating-point technique
/// for extending the available precision", Numerische Mathematik 18 (1971).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Wide {
    high: f64,
    low: f64,
}

impl Wide {
    pub(super) const ZERO: Self = Self { high: 0.0, low: 0.0 };
    pub(super) const ONE: Self = Self { high: 1.0, low: 0.0 };

    /// The number that is `high + low`, in whichever order and size they are.
    pub(super) fn of_parts(high: f64, low: f64) -> Self {
        let (high, low) = two_sum(high, low);
        Self { high, low }
    }

    /// The product of two doubles, exactly.
    pub(super) fn product(one: f64, other: f64) -> Self {
        let high = one * other;
        Self { high, low: one.mul_add(other, -high) }
    }

    pub(super) fn parts(self) -> [f64; 2] {
        [self.high, self.low]
    }

    /// The nearest double.
    pub(super) fn value(self) -> f64 {
        self.high + self.low
    }

    pub(super) fn is_zero(self) -> bool {
        self.high == 0.0
    }
}

impl From<f64> for Wide {
    fn from(value: f64) -> Self {
        Self { high: value, low: 0.0 }
    }
}

/// The sum, and what rounding took from it.
fn two_sum(one: f64, other: f64) -> (f64, f64) {
    let sum = one + other;
    let taken = sum - one;
    (sum, (one - (sum - taken)) + (other - taken))
}

/// The same where `large` is the larger one.
fn renormalized(large: f64, small: f64) -> Wide {
    let high = large + small;
    Wide { high, low: small - (high - large) }
}

impl Add for Wide {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (high, low) = two_sum(self.high, other.high);
        let (second, rest) = two_sum(self.low, other.low);
        let first = renormalized(high, low + second);
        renormalized(first.high, first.low + rest)
    }
}

impl AddAssign for Wide {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Neg for Wide {
    type Output = Self;

    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl Sub for Wide {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Wide {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        renormalized(product.high, product.low + (self.high * other.low + self.low * other.high))
    }
}

impl Div for Wide {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self - other * first.into();
        let second = rest.high / other.high;
        let rest = rest - other * second.into();
        renormalized(first, second) + (rest.high / other.high).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_products_keep_thirty_digits() {
        let third = Wide::ONE / Wide::from(3.0);
        let rest = third + third + third - Wide::ONE;
        assert!(rest.value().abs() < 1e-31, "{rest:?}");
        let square = Wide::product(1e8 + 1.0, 1e8 + 1.0) - Wide::product(1e8, 1e8) - Wide::from(2e8);
        assert_eq!(square.value(), 1.0);
        assert_eq!((Wide::from(1e30) + Wide::ONE - Wide::from(1e30)).value(), 1.0);
    }

    #[test]
    fn parts_may_be_of_any_order() {
        assert_eq!(Wide::of_parts(1e-20, 1.0), Wide::of_parts(1.0, 1e-20));
        assert_eq!(Wide::of_parts(1.0, 1e-20).parts(), [1.0, 1e-20]);
    }
}
