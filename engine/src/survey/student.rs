//! Student's t: how far an interval reaches, and how surprising a difference is.

use statrs::distribution::{Continuous, ContinuousCDF, StudentsT};

/// The distance in standard errors that an interval of confidence `level` reaches to each side. None without degrees of
/// freedom.
pub(super) fn reach(level: f64, freedom: f64) -> Option<f64> {
    let student = StudentsT::new(0.0, 1.0, freedom).ok().filter(|_| freedom > 0.0)?;
    // The library's inverse has eight digits where there are many degrees of freedom, its distribution all of them:
    // Newton's method brings the former to the latter. The tail is taken, which is exact where 1 - tail is not.
    let tail = (1.0 - level) / 2.0;
    let mut reach = -student.inverse_cdf(tail);
    for _ in 0..4 {
        let next = reach + (student.cdf(-reach) - tail) / student.pdf(reach);
        if !next.is_finite() {
            break;
        }
        reach = next;
    }
    Some(reach)
}

/// The probability of a statistic at least so far from 0, if there is nothing to it.
pub(super) fn p_value(statistic: f64, freedom: f64) -> Option<f64> {
    let student = StudentsT::new(0.0, 1.0, freedom).ok().filter(|_| freedom > 0.0)?;
    Some(2.0 * student.cdf(-statistic.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By R: `qt(0.975, df)`, `qt(0.995, df)`, `2 * pt(-2.5, df)`.
    #[test]
    fn quantiles_are_those_of_r() {
        let known = [
            (0.95, 1.0, 12.706_204_736_174_694),
            (0.95, 14.0, 2.144_786_687_917_804),
            (0.95, 197.0, 1.972_079_033_778_501),
            (0.95, 49_999.0, 1.960_011_432_042_652),
            (0.99, 3.0, 5.840_909_309_733_354),
        ];
        for (level, freedom, expected) in known {
            let found = reach(level, freedom).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-11, "{level} {freedom}: {found}");
        }
        assert_eq!(reach(0.95, 0.0), None);
        for (freedom, expected) in [(10.0, 0.031_446_844_236_608_78), (5000.0, 0.012_451_116_199_721_15)] {
            assert!((p_value(2.5, freedom).unwrap() / expected - 1.0).abs() < 1e-11);
        }
    }
}
