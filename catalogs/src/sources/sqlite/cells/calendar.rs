//! Days and moments as SQLite's own functions write them, and nothing looser: what is read must be what is stored.

use chrono::{NaiveDate, NaiveTime, Timelike};

/// Days since 1970 of `YYYY-MM-DD`.
pub(super) fn days(text: &str) -> Option<i32> {
    let since = day(text)?.signed_duration_since(NaiveDate::from_ymd_opt(1970, 1, 1)?).num_days();
    i32::try_from(since).ok()
}

/// Microseconds since 1970 of `YYYY-MM-DD[( |T)HH:MM[:SS[.ffffff]]][Z|+00:00]`.
///
/// SQLite takes every moment for UTC, with or without the Z. Another zone would be lost, and so would a seventh digit:
/// they are refused.
pub(super) fn micros(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let date = day(date)?;
    let rest = rest.strip_suffix('Z').or_else(|| rest.strip_suffix("+00:00")).unwrap_or(rest);
    let time = match rest.strip_prefix([' ', 'T']) {
        Some(time) => time_of_day(time)?,
        None if rest.is_empty() && text.len() == 10 => NaiveTime::MIN,
        None => return None,
    };
    Some(date.and_time(time).and_utc().timestamp_micros())
}

fn day(text: &str) -> Option<NaiveDate> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let year = i32::try_from(number(text.get(..4)?)?).ok()?;
    NaiveDate::from_ymd_opt(year, number(text.get(5..7)?)?, number(text.get(8..)?)?)
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.ffffff`. Zeros may follow.
fn time_of_day(text: &str) -> Option<NaiveTime> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if whole.len() == 8 && !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    let bytes = whole.as_bytes();
    if !matches!(bytes.len(), 5 | 8) || bytes.get(2) != Some(&b':') || bytes.get(5).is_some_and(|byte| *byte != b':') {
        return None;
    }
    let seconds = if whole.len() == 8 { number(whole.get(6..)?)? } else { 0 };
    let (exact, beyond) = fraction.split_at_checked(6).unwrap_or((fraction, ""));
    if !beyond.bytes().all(|byte| byte == b'0') {
        return None;
    }
    let micros = if exact.is_empty() { 0 } else { number(&format!("{exact:0<6}"))? };
    NaiveTime::from_hms_opt(number(whole.get(..2)?)?, number(whole.get(3..5)?)?, seconds)?
        .with_nanosecond(micros * 1000)
}

/// Digits and nothing else.
fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::{days, micros};

    #[test]
    fn days_are_read_strictly() {
        for (text, expected) in
            [("1970-01-01", 0), ("1969-12-31", -1), ("2024-02-29", 19_782), ("0000-01-01", -719_528)]
        {
            assert_eq!(days(text), Some(expected), "{text}");
        }
        for text in
            ["", "2024-2-9", "2024-02-30", "2024-02-29 ", "2024-02-29 00:00", "24-02-2024", "+024-01-01", "２024-1"]
        {
            assert_eq!(days(text), None, "{text}");
        }
    }

    #[test]
    fn moments_are_read_strictly() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1970-01-01 00:01", 60_000_000),
            ("1970-01-01T00:00:01", 1_000_000),
            ("1970-01-01 00:00:00.5", 500_000),
            ("1970-01-01 00:00:00.000001000", 1),
            ("1970-01-01 00:00:00+00:00", 0),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("9999-12-31 23:59:59.999999", 253_402_300_799_999_999),
        ] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "1970-01-01Z",
            "1970-01-01 ",
            "1970-01-01 24:00",
            "1970-01-01 00:00:60",
            "1970-01-01 0:00",
            "1970-01-01 00:00:00.",
            "1970-01-01 00:00:00.0000001",
            "1970-01-01 00:00:00+02:00",
            "1970-01-01 00:00.5",
            "now",
            "0",
            "1970-01-01x00:00",
            "1970-01-01 00:00é",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
