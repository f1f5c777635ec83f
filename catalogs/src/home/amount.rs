//! Sizes and durations as people write them: `2GiB`, `500MB`, `30s`, `1m30s`.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A time that something may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timespan(pub(crate) Duration);

impl Size {
    /// The word in schemas that names this type to the checker.
    pub(crate) const FORMAT: &'static str = "size";
    pub(crate) const EXPECTED: &'static str = "a size such as 512MiB or 2GiB";
}

impl Timespan {
    /// The word in schemas that names this type to the checker.
    pub(crate) const FORMAT: &'static str = "timespan";
    pub(crate) const EXPECTED: &'static str = "a duration such as 500ms, 30s or 5m";
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = split_number(text.trim()).ok_or(Self::EXPECTED)?;
        let unit: f64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "k" | "kib" => 1024.0,
            "m" | "mib" => 1024.0 * 1024.0,
            "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
            "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "tb" => 1e12,
            _ => return Err(Self::EXPECTED),
        };
        let bytes = number * unit;
        if !(0.0..9e18).contains(&bytes) {
            return Err(Self::EXPECTED);
        }
        Ok(Self(bytes as u64))
    }
}

impl FromStr for Timespan {
    type Err = &'static str;

    /// A plain number counts seconds.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut rest = text.trim();
        let mut seconds = 0.0;
        loop {
            let (number, tail) = split_number(rest).ok_or(Self::EXPECTED)?;
            let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let unit = match tail[..end].trim() {
                "ms" => 0.001,
                "" | "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                "w" => 604_800.0,
                _ => return Err(Self::EXPECTED),
            };
            seconds += number * unit;
            rest = &tail[end..];
            if rest.is_empty() {
                return Duration::try_from_secs_f64(seconds).map(Self).map_err(|_| Self::EXPECTED);
            }
        }
    }
}

/// A duration as people write it, such as `500ms`, `30s` or `1m30s`; a plain number counts seconds.
///
/// # Errors
/// What is expected, in words.
pub fn timespan(text: &str) -> Result<Duration, &'static str> {
    text.parse().map(|Timespan(duration)| duration)
}

/// A leading decimal number, and what follows it.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

macro_rules! written_as_text {
    ($type:ident) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": Self::FORMAT })
            }
        }
    };
}

written_as_text!(Size);
written_as_text!(Timespan);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        for (text, bytes) in
            [("2GiB", 2 << 30), ("512MiB", 512 << 20), ("1.5 kib", 1536), ("10MB", 10_000_000), ("42", 42), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "GiB", "2 giga", "-1", "1e3", "99999999TiB"] {
            assert_eq!(text.parse::<Size>(), Err(Size::EXPECTED), "{text}");
        }
    }

    #[test]
    fn durations_are_read_in_all_units_and_a_plain_number_counts_seconds() {
        for (text, millis) in [("30s", 30_000), ("250ms", 250), ("1m30s", 90_000), ("10", 10_000), ("1.5h", 5_400_000)]
        {
            assert_eq!(text.parse(), Ok(Timespan(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "s", "5 fortnights", "-1s"] {
            assert_eq!(text.parse::<Timespan>(), Err(Timespan::EXPECTED), "{text}");
        }
    }
}
