//! How PostgreSQL writes what it is asked, and what compares there as it does in Arrow.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

use super::columns::{Column, Compare, Shape};
use super::quote;
use crate::sources::remote::{Call, Order, RemoteColumn, between_columns};

/// The column as the left side of a comparison.
pub(super) fn operand(column: &Column, op: Operator) -> Option<String> {
    // The order of text is that of its bytes in Arrow. Equality needs no collation, and keeps the index without one.
    let is_ordered = !matches!(op, Operator::Eq | Operator::NotEq);
    match column.compare {
        Compare::Never => None,
        Compare::Label => Some(column.selected()),
        Compare::Text { .. } if is_ordered => Some(format!("{} COLLATE \"C\"", column.name())),
        Compare::Native | Compare::Text { .. } | Compare::Uuid => Some(column.name()),
    }
}

/// Membership in one array: it is hashed once, where a long IN is a chain of comparisons for the planner.
pub(super) fn one_of(column: &Column, values: &[&ScalarValue]) -> Option<String> {
    let mut data_type = "";
    let mut items = Vec::with_capacity(values.len());
    for value in values {
        let (item, of) = constant(column, Operator::Eq, value)?;
        data_type = of;
        items.push(format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    let array = quote::literal(&format!("{{{}}}", items.join(",")))?;
    Some(format!("({} = ANY({array}::{data_type}[]))", operand(column, Operator::Eq)?))
}

/// `LIKE` goes by characters on both sides where the database holds UTF-8 and its collation compares bytes.
pub(super) fn like(column: &Column, pattern: &str) -> Option<String> {
    match column.compare {
        Compare::Text { utf8: true } => Some(format!("({} LIKE {})", column.name(), typed(pattern, "text")?)),
        _ => None,
    }
}

/// A column whose groups are Arrow's: equal values are the same bytes.
pub(super) fn key(column: &Column) -> Option<String> {
    match column.compare {
        // The two zeros are one group there, and two here.
        Compare::Native if column.field.data_type().is_floating() => None,
        Compare::Native | Compare::Text { .. } => Some(column.name()),
        Compare::Label | Compare::Uuid | Compare::Never => None,
    }
}

/// Two columns of one table: values of one kind of number, moments of one type, and text by its bytes.
pub(super) fn compared(left: &Column, op: Operator, right: &Column) -> Option<String> {
    let is_exact = |column: &Column| {
        let data_type = column.field.data_type();
        data_type.is_integer() || matches!(data_type, DataType::Decimal128(..))
    };
    match (left.compare, right.compare) {
        (Compare::Text { utf8: true }, Compare::Text { utf8: true }) => {
            let by_bytes = |column: &Column| format!("{} COLLATE \"C\"", column.name());
            between_columns(&by_bytes(left), op, &by_bytes(right))
        }
        (Compare::Native, Compare::Native) => {
            let (one, other) = (left.field.data_type(), right.field.data_type());
            let is_same = one == other && !one.is_floating();
            (is_same || (is_exact(left) && is_exact(right)))
                .then(|| between_columns(&left.name(), op, &right.name()))?
        }
        _ => None,
    }
}

/// A date moved by months and days, or a moment without a zone also by less: both end a month that is too short at its last
/// day.
pub(super) fn moved(column: &Column, sum: Operator, by: IntervalMonthDayNano) -> Option<String> {
    let sign = if sum == Operator::Minus { "-" } else { "+" };
    let micros = by.nanoseconds / 1000;
    let interval = format!("interval '{} months {} days {micros} microseconds'", by.months, by.days);
    match column.shape {
        Shape::Date if by.nanoseconds == 0 => Some(format!("CAST({} {sign} {interval} AS date)", column.name())),
        Shape::Timestamp if by.nanoseconds % 1000 == 0 => Some(format!("({} {sign} {interval})", column.name())),
        _ => None,
    }
}

/// Two columns as keys of a join: equal are values of one type, and text of the same bytes.
pub(super) fn matched(left: &Column, right: &Column) -> Option<String> {
    let (one, other) = (key(left)?, key(right)?);
    match (left.compare, right.compare) {
        (Compare::Text { .. }, Compare::Text { .. }) => Some(format!("{one} COLLATE \"C\" = {other} COLLATE \"C\"")),
        _ if left.field.data_type() == right.field.data_type() => Some(format!("{one} = {other}")),
        _ => None,
    }
}

/// A column whose order is Arrow's: that of its bytes, if it is text. Both hold NULL for no value.
pub(super) fn ordered(column: &Column, order: Order) -> Option<String> {
    let is_ordered = match column.compare {
        Compare::Native => !column.field.data_type().is_floating(),
        Compare::Text { utf8 } => utf8,
        Compare::Label | Compare::Uuid | Compare::Never => false,
    };
    let direction = if order.is_descending { "DESC" } else { "ASC" };
    let nulls = if order.has_nulls_first { "FIRST" } else { "LAST" };
    Some(format!("{} {direction} NULLS {nulls}", operand(column, Operator::Lt).filter(|_| is_ordered)?))
}

/// A call of an aggregate function, with a value of exactly `data_type`.
pub(super) fn aggregate(call: &Call, column: Option<&Column>, data_type: &DataType) -> Option<String> {
    let Some(column) = column else {
        return (call.function == "count").then(|| "count(*)".to_owned());
    };
    let from = column.field.data_type();
    let is_widened = call.cast.as_ref().is_none_or(|to| from.is_integer() && to.is_integer());
    match (call.function.as_str(), call.distinct) {
        ("count", true) => Some(format!("count(DISTINCT {})", key(column).filter(|_| call.cast.is_none())?)),
        ("count", false) if is_widened => Some(format!("count({})", column.name())),
        ("sum", false) if from.is_integer() && is_widened && *data_type == DataType::Int64 => {
            Some(format!("sum({})::int8", column.name()))
        }
        ("sum", false) if call.cast.is_none() => match (from, data_type) {
            (DataType::Float64, DataType::Float64) => Some(format!("sum({})", column.name())),
            (DataType::Decimal128(..), DataType::Decimal128(precision, scale)) => {
                Some(format!("sum({})::numeric({precision},{scale})", column.name()))
            }
            _ => None,
        },
        ("avg", false) if from.is_integer() && is_widened && *data_type == DataType::Float64 => {
            Some(format!("avg({})::float8", column.name()))
        }
        ("avg", false) if call.cast.is_none() && (from, data_type) == (&DataType::Float64, &DataType::Float64) => {
            Some(format!("avg({})", column.name()))
        }
        ("min" | "max", _) if call.cast.is_none() && from == data_type => {
            let function = &call.function;
            match column.compare {
                Compare::Text { utf8: true } => Some(format!("{function}({} COLLATE \"C\")", column.name())),
                Compare::Native if !from.is_floating() && *from != DataType::Boolean => {
                    // The function forgets the precision and scale that the column declares.
                    let cast = match data_type {
                        DataType::Decimal128(precision, scale) => format!("::numeric({precision},{scale})"),
                        _ => String::new(),
                    };
                    Some(format!("{function}({}){cast}", column.name()))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// `value` as a literal that compares with `column` by `op` as Arrow compares.
pub(super) fn literal(column: &Column, op: Operator, value: &ScalarValue) -> Option<String> {
    let (text, of) = constant(column, op, value)?;
    match of {
        "bool" => Some(text),
        of => typed(text, of),
    }
}

/// A value as PostgreSQL reads it, and its type there.
fn constant(column: &Column, op: Operator, value: &ScalarValue) -> Option<(String, &'static str)> {
    let is_equality = matches!(op, Operator::Eq | Operator::NotEq);
    match column.compare {
        Compare::Never => None,
        Compare::Native
            if value.data_type().equals_datatype(column.field.data_type()) || is_same_instant(column, value) =>
        {
            native(op, value)
        }
        Compare::Native => None,
        Compare::Label => Some((text(value)?.to_owned(), "text")).filter(|_| is_equality),
        // Text that the database's encoding lacks would be an error there, and is merely unequal here. Where the order
        // of encoded bytes is not that of UTF-8, nothing can be said of it.
        Compare::Text { utf8 } => {
            let text = text(value)?;
            Some((text.to_owned(), "text")).filter(|_| utf8 || (is_equality && text.is_ascii()))
        }
        Compare::Uuid => {
            Some((text(value).filter(|text| is_canonical_uuid(text))?.to_owned(), "uuid")).filter(|_| is_equality)
        }
    }
}

/// Timestamps with a zone are instants, whatever the zone is called.
fn is_same_instant(column: &Column, value: &ScalarValue) -> bool {
    matches!(
        (column.field.data_type(), value),
        (DataType::Timestamp(_, Some(_)), ScalarValue::TimestampMicrosecond(_, Some(_)))
    )
}

fn text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        _ => None,
    }
}

fn typed(value: impl AsRef<str>, of: &str) -> Option<String> {
    Some(format!("{}::{of}", quote::literal(value.as_ref())?))
}

fn native(op: Operator, value: &ScalarValue) -> Option<(String, &'static str)> {
    Some(match value {
        ScalarValue::Boolean(Some(value)) => (value.to_string(), "bool"),
        ScalarValue::Int16(Some(value)) => (value.to_string(), "int2"),
        ScalarValue::Int32(Some(value)) => (value.to_string(), "int4"),
        ScalarValue::Int64(Some(value)) => (value.to_string(), "int8"),
        ScalarValue::Float32(Some(value)) => (float(op, f64::from(*value), value.to_string())?, "float4"),
        ScalarValue::Float64(Some(value)) => (float(op, *value, value.to_string())?, "float8"),
        ScalarValue::Decimal128(Some(value), _, scale) => (decimal(*value, *scale)?, "numeric"),
        ScalarValue::Date32(Some(days)) => {
            let day =
                NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(chrono::TimeDelta::days((*days).into()))?;
            (date(day)?, "date")
        }
        ScalarValue::Time64Microsecond(Some(micros)) => {
            let seconds = u32::try_from(micros.div_euclid(1_000_000)).ok()?;
            let nanos = u32::try_from(micros.rem_euclid(1_000_000)).ok()? * 1000;
            let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?;
            (time.format("%H:%M:%S%.6f").to_string(), "time")
        }
        ScalarValue::TimestampMicrosecond(Some(micros), None) => (timestamp(*micros)?, "timestamp"),
        ScalarValue::TimestampMicrosecond(Some(micros), Some(_)) => {
            (format!("{}+00", timestamp(*micros)?), "timestamptz")
        }
        _ => return None,
    })
}

/// PostgreSQL holds the two zeros for equal; Arrow has -0 before 0. Only the comparisons that do not part them can be asked.
fn float(op: Operator, value: f64, text: String) -> Option<String> {
    let parts_zeros = if value.is_sign_negative() {
        !matches!(op, Operator::Lt | Operator::GtEq)
    } else {
        !matches!(op, Operator::Gt | Operator::LtEq)
    };
    if value.is_nan() || (value == 0.0 && parts_zeros) {
        return None;
    }
    Some(match value {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => text,
    })
}

fn decimal(value: i128, scale: i8) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let digits = value.unsigned_abs().to_string();
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - scale)?;
    let sign = if value < 0 { "-" } else { "" };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Years of four digits: what lies beyond is written in other ways, and is not worth them.
fn date(day: NaiveDate) -> Option<String> {
    (1..=9999).contains(&day.year()).then(|| day.format("%Y-%m-%d").to_string())
}

fn timestamp(micros: i64) -> Option<String> {
    let moment: NaiveDateTime = DateTime::from_timestamp_micros(micros)?.naive_utc();
    Some(format!("{} {}", date(moment.date())?, moment.format("%H:%M:%S%.6f")))
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
