//! The type of a column of text, by all values that were seen of it.

use arrow::datatypes::{DataType, TimeUnit};

use crate::sources::files::date;

/// What a column may be, after the values that were seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Guess {
    seen: u8,
}

const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const NUMBER: u8 = 4;
const DATE: u8 = 8;
const TIMESTAMP: u8 = 16;
const TEXT: u8 = 32;

impl Guess {
    /// Takes one more value, which is not NULL, into account.
    pub(super) fn see(&mut self, value: &str) {
        if self.seen & TEXT == 0 {
            self.seen |= class(value);
        }
    }

    /// A type that holds every value that was seen. A column of which nothing was seen is text.
    pub(super) fn data_type(self) -> DataType {
        match self.seen {
            BOOLEAN => DataType::Boolean,
            INTEGER => DataType::Int64,
            NUMBER => DataType::Float64,
            seen if seen == INTEGER | NUMBER => DataType::Float64,
            DATE => DataType::Date32,
            TIMESTAMP => timestamp(),
            seen if seen == DATE | TIMESTAMP => timestamp(),
            _ => DataType::Utf8,
        }
    }
}

/// A type by the word of the options.
pub(super) fn declared(word: &str) -> Option<DataType> {
    let word = word.trim().to_ascii_lowercase();
    Some(match word.as_str() {
        "text" | "string" | "varchar" => DataType::Utf8,
        "integer" | "int" | "bigint" => DataType::Int64,
        "number" | "double" | "float" => DataType::Float64,
        "boolean" | "bool" => DataType::Boolean,
        "date" => DataType::Date32,
        "timestamp" => timestamp(),
        _ => {
            let inner = word.strip_prefix("decimal")?.trim().strip_prefix('(')?.strip_suffix(')')?;
            let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
            let precision: u8 = precision.trim().parse().ok().filter(|precision| (1..=38).contains(precision))?;
            let scale: u8 = scale.trim().parse().ok().filter(|scale| *scale <= precision)?;
            DataType::Decimal128(precision, i8::try_from(scale).ok()?)
        }
    })
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn class(value: &str) -> u8 {
    let first = value.bytes().next().unwrap_or_default();
    if first.is_ascii_digit() || matches!(first, b'-' | b'.') {
        if is_integer(value) {
            return INTEGER;
        }
        if is_number(value) {
            return NUMBER;
        }
        if date(value).is_some() {
            return DATE;
        }
        return if is_timestamp(value) { TIMESTAMP } else { TEXT };
    }
    if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
        return BOOLEAN;
    }
    if matches!(value, "NaN" | "nan" | "inf") { NUMBER } else { TEXT }
}

/// A whole number of 64 bits. One that begins with a zero is a code.
fn is_integer(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'))
        && value.parse::<i64>().is_ok()
}

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_code = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    value == "-inf" || (is_plain && !is_code && !is_whole && value.parse::<f64>().is_ok())
}

fn is_timestamp(value: &str) -> bool {
    let is_separated = matches!(value.as_bytes().get(10), Some(b' ' | b'T'));
    is_separated
        && value.get(..10).and_then(date).is_some()
        && arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(values: &[&str]) -> DataType {
        let mut guess = Guess::default();
        values.iter().for_each(|value| guess.see(value));
        guess.data_type()
    }

    #[test]
    fn a_column_has_the_type_that_holds_all_its_values() {
        for (values, expected) in [
            (&["1", "-20", "0"][..], DataType::Int64),
            (&["1", "2.5"], DataType::Float64),
            (&["1e5", ".5"], DataType::Float64),
            (&["true", "FALSE"], DataType::Boolean),
            (&["2024-01-31"], DataType::Date32),
            (&["2024-01-31", "2024-01-31 10:00:00"], timestamp()),
            (&["2024-01-31T10:00:00.123Z"], timestamp()),
            (&["1", "x"], DataType::Utf8),
            (&["2024-02-30"], DataType::Utf8),
            (&["007", "12"], DataType::Utf8),
            (&["99999999999999999999"], DataType::Utf8),
            (&["1", "true"], DataType::Utf8),
            (&["-"], DataType::Utf8),
            (&["1-2"], DataType::Utf8),
            (&[], DataType::Utf8),
        ] {
            assert_eq!(guess(values), expected, "{values:?}");
        }
    }

    #[test]
    fn declared_types_are_words() {
        assert_eq!(declared("decimal(10, 2)"), Some(DataType::Decimal128(10, 2)));
        assert_eq!(declared("Decimal(5)"), Some(DataType::Decimal128(5, 0)));
        assert_eq!(declared("text"), Some(DataType::Utf8));
        assert_eq!(declared("decimal(39,2)"), None);
        assert_eq!(declared("blob"), None);
    }
}
