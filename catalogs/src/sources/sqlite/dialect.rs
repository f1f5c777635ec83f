//! How SQLite writes what it is asked, and what compares there as it does in Arrow.
//!
//! SQLite compares by storage class first, so a comparison is only asked of columns whose values, where they are values
//! of the column's type at all, have one class; a row that a comparison keeps is read, and one that holds anything else
//! fails there. Affinity changes literals, so text is only asked where a literal stays what it is. Collations are always
//! named: a column's own may fold case.

use chrono::{Datelike, NaiveDate, TimeDelta};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

use super::columns::{Column, Compare};

/// A name, quoted so that it means itself. In double quotes a name that is not there would be a string instead of an error.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The column as the left side of a comparison.
pub(super) fn operand(column: &Column) -> Option<String> {
    match column.compare {
        Compare::Native => Some(column.name()),
        Compare::Day | Compare::Label | Compare::Text | Compare::Words => {
            Some(format!("{} COLLATE BINARY", column.name()))
        }
        Compare::Never => None,
    }
}

/// `value` as a literal that compares with `column` by `op` as Arrow compares.
pub(super) fn literal(column: &Column, op: Operator, value: &ScalarValue) -> Option<String> {
    match column.compare {
        Compare::Native if value.data_type() == *column.field.data_type() => native(op, value),
        Compare::Native | Compare::Never => None,
        Compare::Day => match value {
            ScalarValue::Date32(Some(days)) => day(*days),
            _ => None,
        },
        Compare::Label => {
            let is_equality = matches!(op, Operator::Eq | Operator::NotEq);
            text(value).filter(|text| is_equality && is_never_number(text)).and_then(quoted)
        }
        Compare::Text => text(value).and_then(quoted),
        Compare::Words => text(value).filter(|text| is_never_number(text)).and_then(quoted),
    }
}

fn native(op: Operator, value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Boolean(Some(value)) => Some(i32::from(*value).to_string()),
        ScalarValue::Int64(Some(value)) => Some(value.to_string()),
        ScalarValue::Float64(Some(value)) => float(op, *value),
        _ => None,
    }
}

/// SQLite holds the two zeros for equal; Arrow has -0 before 0. Only the comparisons that do not part them can be asked.
fn float(op: Operator, value: f64) -> Option<String> {
    let parts_zeros = if value.is_sign_negative() {
        !matches!(op, Operator::Lt | Operator::GtEq)
    } else {
        !matches!(op, Operator::Gt | Operator::LtEq)
    };
    match value {
        value if value.is_nan() || (value == 0.0 && parts_zeros) => None,
        f64::INFINITY => Some("9e999".to_owned()),
        f64::NEG_INFINITY => Some("-9e999".to_owned()),
        // The shortest digits that mean this number; there are 17 at most, and SQLite rounds up to 19 right.
        value => Some(format!("{value:?}")),
    }
}

/// Days as columns hold them: ten characters, whose order is that of the days.
fn day(days: i32) -> Option<String> {
    let day = NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(TimeDelta::days(days.into()))?;
    (0..=9999).contains(&day.year()).then(|| format!("'{}'", day.format("%Y-%m-%d")))
}

fn text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        _ => None,
    }
}

/// A string. None where it holds the character that ends a statement for SQLite.
fn quoted(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| format!("'{}'", text.replace('\'', "''")))
}

/// Whether no affinity takes the text for a number, and no number is written like it.
fn is_never_number(text: &str) -> bool {
    let is_of_number = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_whitespace() || b"+-.eE\x0b".contains(&byte);
    !text.bytes().all(is_of_number) && !matches!(text, "inf" | "-inf")
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::Operator;
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::{day, float, identifier, is_never_number, native, quoted};

    #[test]
    fn names_and_values_mean_themselves() {
        assert_eq!(identifier(r#"we"ird.`Name"#), r#"`we"ird.``Name`"#);
        assert_eq!(quoted("it's").as_deref(), Some("'it''s'"));
        assert_eq!(quoted("nul\0"), None);
        assert_eq!(day(19_782).as_deref(), Some("'2024-02-29'"));
        assert_eq!(day(i32::MAX), None);
        assert!(
            is_never_number("a1") && is_never_number("12ab-") && is_never_number("1_000") && is_never_number("0x1")
        );
        for text in ["1", " 1.5 ", "-1e5", "", "+.", "inf", "e"] {
            assert!(!is_never_number(text), "{text}");
        }
        assert_eq!(float(Operator::Eq, 0.0), None);
        assert_eq!(float(Operator::Gt, -0.0), None);
        assert_eq!(float(Operator::Gt, 0.0).as_deref(), Some("0.0"));
        assert_eq!(float(Operator::Eq, f64::NAN), None);
    }

    /// What SQLite makes of a literal.
    fn read<T: rusqlite::types::FromSql>(literal: &str) -> T {
        let connection = Connection::open_in_memory().unwrap();
        connection.query_row(&format!("SELECT {literal}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_ends_of_numbers_mean_themselves() {
        for value in [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1, 1e22, 1e23, -1.5] {
            assert_eq!(read::<f64>(&float(Operator::Eq, value).unwrap()).to_bits(), value.to_bits(), "{value:?}");
        }
        for value in [i64::MIN, i64::MAX, 0, -1] {
            assert_eq!(read::<i64>(&native(Operator::Eq, &ScalarValue::from(value)).unwrap()), value);
        }
    }

    #[test]
    fn numbers_mean_themselves() {
        let connection = Connection::open_in_memory().unwrap();
        let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(bits in proptest::collection::vec(any::<u64>(), 200))| {
            let values: Vec<f64> =
                bits.into_iter().map(f64::from_bits).filter(|value| value.is_finite() && *value != 0.0).collect();
            let literals: Vec<String> = values.iter().map(|value| float(Operator::Eq, *value).unwrap()).collect();
            let sql = format!("VALUES ({})", literals.join("), ("));
            let mut statement = connection.prepare(&sql).unwrap();
            let read: Vec<f64> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(read, values);
        });
    }

    proptest! {
        #[test]
        fn text_means_itself(text in "[^\0]*") {
            prop_assert_eq!(read::<String>(&quoted(&text).unwrap()), text);
        }
    }
}
