//! PostgreSQL's binary `numeric`, read exactly into the 128-bit integers of Arrow's decimals.
//!
//! The wire holds digits of base 10,000, the weight of the first one, a sign and a display scale. Nothing is rounded: a
//! value that does not fit the column's declared type is an error.

const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;

/// Why a value is not a decimal of the column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotDecimal {
    /// NaN or an infinity.
    NotFinite,
    /// More digits than the column's type has: the type was changed.
    TooWide,
    /// Not a numeric at all.
    Malformed,
}

/// The value of `bytes` times 10^`scale`, with at most `precision` digits.
pub(super) fn unscaled(bytes: &[u8], precision: u8, scale: i8) -> Result<i128, NotDecimal> {
    let (header, digits) = bytes.split_at_checked(8).ok_or(NotDecimal::Malformed)?;
    let [c0, c1, w0, w1, s0, s1, _, _] = *header else { return Err(NotDecimal::Malformed) };
    let count = usize::from(u16::from_be_bytes([c0, c1]));
    let weight = i32::from(i16::from_be_bytes([w0, w1]));
    let negative = match u16::from_be_bytes([s0, s1]) {
        SIGN_POSITIVE => false,
        SIGN_NEGATIVE => true,
        _ => return Err(NotDecimal::NotFinite),
    };
    if digits.len() != count * 2 {
        return Err(NotDecimal::Malformed);
    }
    let mut value: i128 = 0;
    // The power of ten that the digit after those taken so far stands for, in units of the result.
    let mut exponent = weight * 4 + i32::from(scale);
    for pair in digits.chunks_exact(2) {
        let digit = match *pair {
            [high, low] => i128::from(u16::from_be_bytes([high, low])),
            _ => return Err(NotDecimal::Malformed),
        };
        value = append(value, digit, exponent)?;
        exponent -= 4;
    }
    // The last digit stands for 10^(exponent + 4): what is missing to the unit are zeros.
    if value != 0 {
        let zeros = u32::try_from((exponent + 4).max(0)).map_err(|_| NotDecimal::TooWide)?;
        value = shifted(value, zeros)?;
    }
    if value.unsigned_abs() >= 10_u128.checked_pow(u32::from(precision)).unwrap_or(u128::MAX) {
        return Err(NotDecimal::TooWide);
    }
    Ok(if negative { -value } else { value })
}

/// `value` followed by a digit of base 10,000 that stands for 10^`exponent`. Below the unit only zeros may stand.
fn append(value: i128, digit: i128, exponent: i32) -> Result<i128, NotDecimal> {
    let cut = u32::try_from((-exponent).clamp(0, 4)).unwrap_or(4);
    let unit = 10_i128.pow(cut);
    if digit % unit != 0 {
        return Err(NotDecimal::TooWide);
    }
    shifted(value, 4 - cut)?.checked_add(digit / unit).ok_or(NotDecimal::TooWide)
}

fn shifted(value: i128, zeros: u32) -> Result<i128, NotDecimal> {
    10_i128.checked_pow(zeros).and_then(|power| value.checked_mul(power)).ok_or(NotDecimal::TooWide)
}

#[cfg(test)]
mod tests {
    use super::{NotDecimal, unscaled};

    fn wire(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
        let count = u16::try_from(digits.len()).unwrap_or(0);
        let mut bytes = Vec::new();
        for word in [count, weight.cast_unsigned(), sign, scale].into_iter().chain(digits.iter().copied()) {
            bytes.extend(word.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn digits_are_read_exactly() {
        // 12345.678 = 1 * 10^4 + 2345 + 6780 * 10^-4
        assert_eq!(unscaled(&wire(1, 0, 3, &[1, 2345, 6780]), 12, 3), Ok(12_345_678));
        assert_eq!(unscaled(&wire(1, 0x4000, 3, &[1, 2345, 6780]), 12, 4), Ok(-123_456_780));
        assert_eq!(unscaled(&wire(0, 0, 0, &[]), 5, 2), Ok(0));
        assert_eq!(unscaled(&wire(2, 0, 0, &[7]), 12, 2), Ok(70_000_000_000));
        // 0.00001234 = 1234 * 10^-8
        assert_eq!(unscaled(&wire(-2, 0, 8, &[1234]), 10, 8), Ok(1234));
        assert_eq!(unscaled(&wire(-1, 0, 2, &[500]), 10, 2), Ok(5));
    }

    #[test]
    fn thirty_eight_nines_with_any_scale_fit() {
        let nines = 10_i128.pow(38) - 1;
        let mut digits = vec![99];
        digits.extend([9999; 9]);
        assert_eq!(unscaled(&wire(9, 0, 0, &digits), 38, 0), Ok(nines));
        // Scale 37: 9.999.., where the last base-10,000 digit is 9990.
        let mut digits = vec![9];
        digits.extend([9999; 9]);
        digits.push(9000);
        assert_eq!(unscaled(&wire(0, 0, 37, &digits), 38, 37), Ok(nines));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert_eq!(unscaled(&wire(0, 0xC000, 0, &[]), 5, 2), Err(NotDecimal::NotFinite));
        assert_eq!(unscaled(&wire(0, 0xD000, 0, &[]), 5, 2), Err(NotDecimal::NotFinite));
        assert_eq!(unscaled(&wire(-1, 0, 3, &[1230]), 5, 2), Err(NotDecimal::TooWide));
        assert_eq!(unscaled(&wire(0, 0, 0, &[1000]), 5, 2), Err(NotDecimal::TooWide));
        assert_eq!(unscaled(&wire(i16::MAX, 0, 0, &[1]), 38, 0), Err(NotDecimal::TooWide));
        assert_eq!(unscaled(&[0, 1], 5, 2), Err(NotDecimal::Malformed));
    }
}
