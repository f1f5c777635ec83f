//! How MySQL writes what it is asked, and what compares there as it does in Arrow.
//!
//! Text is compared by its bytes: default collations have 'a' equal 'A' and 'a '. A comparison with bytes is exact under every
//! collation, and an index serves its equality. Text in another encoding than UTF-8 is converted first.

use arrow::datatypes::DataType;
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

use super::columns::{Charset, Column, Compare, Shape};
use super::quote;
use crate::sources::remote::{Call, Order, between_columns};

/// Beyond so many bytes a list of keys is not sent: servers refuse long statements.
const LONGEST_LIST: usize = 1 << 20;

/// The column as the left side of a comparison.
pub(super) fn operand(column: &Column, op: Operator) -> Option<String> {
    match column.compare {
        Compare::Never => None,
        Compare::Uuid => is_equality(op).then(|| column.name()),
        Compare::Text(Charset::Utf8mb4 | Charset::Narrow) => Some(column.name()),
        // The bytes of Windows-1252 are equal where the text is, and not in its order.
        Compare::Text(Charset::Latin1) if is_equality(op) => Some(column.name()),
        Compare::Text(Charset::Latin1 | Charset::Other) => Some(converted(column)),
        // A year that is compared with a small number is not compared as numbers are: 99 means 1999.
        Compare::Native if column.shape == Shape::Year => Some(format!("({} + 0)", column.name())),
        Compare::Native | Compare::Moment { .. } => Some(column.name()),
    }
}

/// Membership in a list.
pub(super) fn one_of(column: &Column, values: &[&ScalarValue]) -> Option<String> {
    let mut list = String::new();
    for value in values {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(&literal(column, Operator::Eq, value)?);
        if list.len() > LONGEST_LIST {
            return None;
        }
    }
    Some(format!("({} IN ({list}))", operand(column, Operator::Eq)?))
}

/// `LIKE` goes by characters on both sides where the collation compares code points. Its escape is written out, since the
/// backslash is none under `NO_BACKSLASH_ESCAPES`.
pub(super) fn like(column: &Column, pattern: &str) -> Option<String> {
    let operand = match column.compare {
        Compare::Text(Charset::Utf8mb4) => column.name(),
        Compare::Text(_) => converted(column),
        _ => return None,
    };
    let mut escaped = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                wild @ ('%' | '_' | '|') => escaped.extend(['|', wild]),
                other => escaped.push(other),
            },
            '|' => escaped.push_str("||"),
            other => escaped.push(other),
        }
    }
    Some(format!("({operand} LIKE {} COLLATE utf8mb4_bin ESCAPE '|')", quote::text(&escaped)))
}

/// A column whose groups are Arrow's: integers and decimals. Dates may be ones that there are not, and text is grouped by its
/// collation.
pub(super) fn key(column: &Column) -> Option<String> {
    let is_exact = column.shape.is_integer() || matches!(column.shape, Shape::Decimal { .. });
    (is_exact && column.compare == Compare::Native).then(|| column.name())
}

/// A column whose order is Arrow's. NULL is the least there.
pub(super) fn ordered(column: &Column, order: Order) -> Option<String> {
    let key = key(column)?;
    let direction = if order.is_descending { "DESC" } else { "ASC" };
    // Without what it does by itself, an index serves the order.
    Some(match (order.is_descending, order.has_nulls_first) {
        (false, true) | (true, false) => format!("{key} {direction}"),
        (false, false) => format!("{key} IS NULL, {key} {direction}"),
        (true, true) => format!("{key} IS NOT NULL, {key} {direction}"),
    })
}

/// Two columns of one table: integers and decimals. Dates may be ones that there are not.
pub(super) fn compared(left: &Column, op: Operator, right: &Column) -> Option<String> {
    match (key(left), key(right)) {
        (Some(one), Some(other)) => between_columns(&one, op, &other),
        _ => None,
    }
}

/// Two columns as keys of a join.
pub(super) fn matched(left: &Column, right: &Column) -> Option<String> {
    let is_same = left.field.data_type() == right.field.data_type();
    Some(format!("{} = {}", key(left)?, key(right).filter(|_| is_same)?))
}

/// A call of an aggregate function, with a value of exactly `data_type`.
pub(super) fn aggregate(call: &Call, column: Option<&Column>, data_type: &DataType) -> Option<String> {
    let Some(column) = column else {
        return (call.function == "count").then(|| "count(*)".to_owned());
    };
    let name = key(column)?;
    let is_integer = column.shape.is_integer();
    let is_widened =
        call.cast.as_ref().is_none_or(|to| is_integer && (to.is_signed_integer() || to.is_unsigned_integer()));
    if !is_widened {
        return None;
    }
    match (call.function.as_str(), data_type) {
        ("count", _) if call.distinct => Some(format!("count(DISTINCT {name})")),
        ("count", _) => Some(format!("count({name})")),
        // A cast of more than 64 bits would cut them off, which no sum of 32 bits reaches.
        ("sum", DataType::Int64) if column.shape.is_short() && !call.distinct => {
            Some(format!("CAST(sum({name}) AS SIGNED)"))
        }
        ("sum", DataType::UInt64) if column.shape.is_short() && !call.distinct => {
            Some(format!("CAST(sum({name}) AS UNSIGNED)"))
        }
        ("sum", DataType::Decimal128(..)) if !is_integer && !call.distinct => Some(format!("sum({name})")),
        // Its own average of integers has four places.
        ("avg", DataType::Float64) if is_integer && !call.distinct => {
            Some(format!("(sum({name}) * 1e0 / count({name}))"))
        }
        ("min" | "max", to) if to == column.field.data_type() => Some(format!("{}({name})", call.function)),
        _ => None,
    }
}

/// `value` as a literal that compares with `column` by `op` as Arrow compares.
pub(super) fn literal(column: &Column, op: Operator, value: &ScalarValue) -> Option<String> {
    match column.compare {
        Compare::Never => None,
        Compare::Uuid => {
            let text = text(value).filter(|text| is_equality(op) && is_canonical_uuid(text))?;
            Some(format!("'{text}'"))
        }
        Compare::Text(Charset::Latin1) if is_equality(op) => Some(quote::bytes(&latin1(text(value)?)?)),
        Compare::Text(_) => Some(quote::bytes_of(text(value)?)),
        Compare::Moment { digits } if is_same_moment(column, value) => match value {
            ScalarValue::TimestampMicrosecond(Some(micros), _) => moment(*micros, digits),
            _ => None,
        },
        Compare::Native if value.data_type().equals_datatype(column.field.data_type()) => native(op, value),
        Compare::Native | Compare::Moment { .. } => None,
    }
}

fn is_equality(op: Operator) -> bool {
    matches!(op, Operator::Eq | Operator::NotEq)
}

fn converted(column: &Column) -> String {
    format!("CONVERT({} USING utf8mb4)", column.name())
}

/// Timestamps with a zone are instants, whatever the zone is called.
fn is_same_moment(column: &Column, value: &ScalarValue) -> bool {
    let has_zone = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
    has_zone(column.field.data_type()) == has_zone(&value.data_type())
}

fn text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        _ => None,
    }
}

/// The characters whose byte is their number. MySQL's latin1 is Windows-1252, which differs in 32 others.
fn latin1(text: &str) -> Option<Vec<u8>> {
    let byte = |character: char| match character {
        '\0'..='\x7f' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(character)).ok(),
        _ => None,
    };
    text.chars().map(byte).collect()
}

fn native(op: Operator, value: &ScalarValue) -> Option<String> {
    Some(match value {
        ScalarValue::Int8(Some(value)) => value.to_string(),
        ScalarValue::Int16(Some(value)) => value.to_string(),
        ScalarValue::Int32(Some(value)) => value.to_string(),
        ScalarValue::Int64(Some(value)) => value.to_string(),
        ScalarValue::UInt8(Some(value)) => value.to_string(),
        ScalarValue::UInt16(Some(value)) => value.to_string(),
        ScalarValue::UInt32(Some(value)) => value.to_string(),
        ScalarValue::UInt64(Some(value)) => value.to_string(),
        ScalarValue::Float32(Some(value)) => float(op, f64::from(*value))?,
        ScalarValue::Float64(Some(value)) => float(op, *value)?,
        ScalarValue::Decimal128(Some(value), _, scale) => decimal(*value, *scale)?,
        ScalarValue::Date32(Some(days)) => {
            let day = NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(TimeDelta::days((*days).into()))?;
            format!("DATE'{}'", date(day)?)
        }
        ScalarValue::Binary(Some(value)) => quote::bytes(value),
        _ => return None,
    })
}

/// With an exponent it is a double; without one it would be a decimal.
///
/// MySQL holds the two zeros for equal; Arrow has -0 before 0. Only the comparisons that do not part them can be asked.
fn float(op: Operator, value: f64) -> Option<String> {
    let parts_zeros = if value.is_sign_negative() {
        !matches!(op, Operator::Lt | Operator::GtEq)
    } else {
        !matches!(op, Operator::Gt | Operator::LtEq)
    };
    match value {
        0.0 if parts_zeros => None,
        0.0 => Some("0e0".to_owned()),
        value if value.is_normal() => Some(format!("{value:e}")),
        _ => None,
    }
}

fn decimal(value: i128, scale: i8) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let digits = value.unsigned_abs().to_string();
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - scale)?;
    let sign = if value < 0 { "-" } else { "" };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// The years that MySQL promises to keep.
fn date(day: NaiveDate) -> Option<String> {
    (1000..=9999).contains(&day.year()).then(|| day.format("%Y-%m-%d").to_string())
}

/// A moment that a column of so many digits of a second can hold: the server cuts a literal that has more, and then has
/// it equal what it is not.
fn moment(micros: i64, digits: u8) -> Option<String> {
    let unit = 10_i64.checked_pow(6_u32.checked_sub(digits.into())?)?;
    if micros.rem_euclid(unit) != 0 {
        return None;
    }
    let moment = DateTime::from_timestamp_micros(micros)?.naive_utc();
    Some(format!("TIMESTAMP'{} {}'", date(moment.date())?, moment.format("%H:%M:%S%.6f")))
}

fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests;
