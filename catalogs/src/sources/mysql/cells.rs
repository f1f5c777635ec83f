//! Values off the wire into Arrow builders, one builder per column.
//!
//! They are taken from the client's rows and not through connectorx's parser over the same rows: that parser panics on a zero date, on a
//! time beyond 24 hours and on a decimal beyond 96 bits, and parses JSON only to print it again.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int8Builder,
    Int16Builder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder, UInt8Builder, UInt16Builder,
    UInt32Builder, UInt64Builder,
};
use chrono::{Datelike, NaiveDate};
use mysql::Value;

use super::columns::Shape;

/// Days from the first day of the year 1 to Arrow's epoch, 1970.
const EPOCH_DAYS: i32 = 719_163;

/// Why a cell could not be read.
#[derive(Debug)]
pub(super) enum CellError {
    /// The value has no place in the column's Arrow type; the words complete "holds ...".
    Value(&'static str),
    /// The value is not of the type that the column had when the query was planned.
    Changed,
}

/// The values of one column of the batch that is being built.
pub(super) enum Cells {
    Bits(UInt64Builder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Decimal { values: Decimal128Builder, precision: u8, scale: i8 },
    Double(Float64Builder),
    Float(Float32Builder),
    Int1(Int8Builder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Text(StringBuilder),
    Time { values: StringBuilder, digits: u8 },
    Timestamp(TimestampMicrosecondBuilder),
    UInt1(UInt8Builder),
    UInt2(UInt16Builder),
    UInt4(UInt32Builder),
    UInt8(UInt64Builder),
}

impl Cells {
    /// Room for `rows` values, of `bytes` bytes altogether where they are of any length.
    pub(super) fn new(shape: Shape, rows: usize, bytes: usize) -> Self {
        match shape {
            Shape::Bits => Cells::Bits(UInt64Builder::with_capacity(rows)),
            Shape::Bytes => Cells::Bytes(BinaryBuilder::with_capacity(rows, bytes)),
            Shape::Date => Cells::Date(Date32Builder::with_capacity(rows)),
            Shape::Datetime | Shape::Timestamp => {
                Cells::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(shape.data_type()))
            }
            Shape::Decimal { precision, scale } => Cells::Decimal {
                values: Decimal128Builder::with_capacity(rows).with_data_type(shape.data_type()),
                precision,
                scale,
            },
            Shape::Double => Cells::Double(Float64Builder::with_capacity(rows)),
            Shape::Float => Cells::Float(Float32Builder::with_capacity(rows)),
            Shape::Int1 => Cells::Int1(Int8Builder::with_capacity(rows)),
            Shape::Int2 | Shape::Year => Cells::Int2(Int16Builder::with_capacity(rows)),
            Shape::Int4 => Cells::Int4(Int32Builder::with_capacity(rows)),
            Shape::Int8 => Cells::Int8(Int64Builder::with_capacity(rows)),
            Shape::Text | Shape::Wide { .. } => Cells::Text(StringBuilder::with_capacity(rows, bytes)),
            Shape::Time { digits } => Cells::Time { values: StringBuilder::with_capacity(rows, bytes), digits },
            Shape::UInt1 => Cells::UInt1(UInt8Builder::with_capacity(rows)),
            Shape::UInt2 => Cells::UInt2(UInt16Builder::with_capacity(rows)),
            Shape::UInt4 => Cells::UInt4(UInt32Builder::with_capacity(rows)),
            Shape::UInt8 => Cells::UInt8(UInt64Builder::with_capacity(rows)),
        }
    }

    /// Takes a cell, and tells how many bytes it added where that is not a fixed few.
    pub(super) fn take(&mut self, value: Value) -> Result<usize, CellError> {
        let value = match value {
            Value::NULL => None,
            value => Some(value),
        };
        match self {
            Cells::Bits(values) => values.append_option(value.map(bits).transpose()?),
            Cells::Bytes(values) => {
                let bytes = value.map(bytes).transpose()?;
                values.append_option(bytes.as_deref());
                return Ok(bytes.map_or(0, |bytes| bytes.len()));
            }
            Cells::Date(values) => values.append_option(value.map(date).transpose()?),
            Cells::Decimal { values, precision, scale } => {
                let unscaled = value.map(|value| decimal(&bytes(value)?, *precision, *scale)).transpose()?;
                values.append_option(unscaled);
            }
            Cells::Double(values) => values.append_option(value.map(double).transpose()?),
            Cells::Float(values) => values.append_option(value.map(float).transpose()?),
            Cells::Int1(values) => values.append_option(value.map(integer).transpose()?),
            Cells::Int2(values) => values.append_option(value.map(integer).transpose()?),
            Cells::Int4(values) => values.append_option(value.map(integer).transpose()?),
            Cells::Int8(values) => values.append_option(value.map(integer).transpose()?),
            Cells::Text(values) => {
                let bytes = value.map(bytes).transpose()?;
                let text = bytes.as_deref().map(std::str::from_utf8).transpose();
                values.append_option(text.map_err(|_| CellError::Value("text that is not UTF-8"))?);
                return Ok(bytes.map_or(0, |bytes| bytes.len()));
            }
            Cells::Time { values, digits } => {
                values.append_option(value.map(|value| time(value, *digits)).transpose()?)
            }
            Cells::Timestamp(values) => values.append_option(value.map(moment).transpose()?),
            Cells::UInt1(values) => values.append_option(value.map(integer).transpose()?),
            Cells::UInt2(values) => values.append_option(value.map(integer).transpose()?),
            Cells::UInt4(values) => values.append_option(value.map(integer).transpose()?),
            Cells::UInt8(values) => values.append_option(value.map(integer).transpose()?),
        }
        Ok(0)
    }

    /// The values so far as an array.
    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Cells::Bits(mut values) | Cells::UInt8(mut values) => Arc::new(values.finish()),
            Cells::Bytes(mut values) => Arc::new(values.finish()),
            Cells::Date(mut values) => Arc::new(values.finish()),
            Cells::Decimal { mut values, .. } => Arc::new(values.finish()),
            Cells::Double(mut values) => Arc::new(values.finish()),
            Cells::Float(mut values) => Arc::new(values.finish()),
            Cells::Int1(mut values) => Arc::new(values.finish()),
            Cells::Int2(mut values) => Arc::new(values.finish()),
            Cells::Int4(mut values) => Arc::new(values.finish()),
            Cells::Int8(mut values) => Arc::new(values.finish()),
            Cells::Text(mut values) | Cells::Time { mut values, .. } => Arc::new(values.finish()),
            Cells::Timestamp(mut values) => Arc::new(values.finish()),
            Cells::UInt1(mut values) => Arc::new(values.finish()),
            Cells::UInt2(mut values) => Arc::new(values.finish()),
            Cells::UInt4(mut values) => Arc::new(values.finish()),
        }
    }
}

fn integer<T: TryFrom<i64> + TryFrom<u64>>(value: Value) -> Result<T, CellError> {
    match value {
        Value::Int(number) => T::try_from(number).map_err(|_| CellError::Changed),
        Value::UInt(number) => T::try_from(number).map_err(|_| CellError::Changed),
        _ => Err(CellError::Changed),
    }
}

fn float(value: Value) -> Result<f32, CellError> {
    match value {
        Value::Float(number) => Ok(number),
        _ => Err(CellError::Changed),
    }
}

fn double(value: Value) -> Result<f64, CellError> {
    match value {
        Value::Double(number) => Ok(number),
        _ => Err(CellError::Changed),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, CellError> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(CellError::Changed),
    }
}

/// The number that the bits make, the last one counting one.
fn bits(value: Value) -> Result<u64, CellError> {
    let bytes = bytes(value)?;
    if bytes.len() > 8 {
        return Err(CellError::Changed);
    }
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A decimal's digits as one integer, from the text that the wire holds.
fn decimal(text: &[u8], precision: u8, scale: i8) -> Result<i128, CellError> {
    let (is_negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    };
    let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let fraction = digits.len().saturating_sub(point + 1);
    let missing =
        usize::try_from(scale).ok().and_then(|scale| scale.checked_sub(fraction)).ok_or(CellError::Changed)?;
    let limit = 10_i128.pow(u32::from(precision));
    let mut unscaled = 0_i128;
    for byte in digits.iter().filter(|byte| **byte != b'.').copied().chain(std::iter::repeat_n(b'0', missing)) {
        if !byte.is_ascii_digit() {
            return Err(CellError::Changed);
        }
        let next = unscaled.checked_mul(10).and_then(|tens| tens.checked_add(i128::from(byte - b'0')));
        unscaled = next.filter(|unscaled| *unscaled < limit).ok_or(CellError::Changed)?;
    }
    Ok(if is_negative { -unscaled } else { unscaled })
}

/// MySQL takes dates that no calendar has, such as the zero date: they are no value here, and not NULL either.
const NO_DATE: CellError = CellError::Value("a date that no calendar has, such as 0000-00-00");

fn day(year: u16, month: u8, day: u8) -> Result<i32, CellError> {
    if year == 0 {
        return Err(NO_DATE);
    }
    let day = NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day)).ok_or(NO_DATE)?;
    Ok(day.num_days_from_ce() - EPOCH_DAYS)
}

fn date(value: Value) -> Result<i32, CellError> {
    match value {
        Value::Date(year, month, date, ..) => day(year, month, date),
        _ => Err(CellError::Changed),
    }
}

/// Microseconds since 1970.
fn moment(value: Value) -> Result<i64, CellError> {
    let Value::Date(year, month, date, hour, minute, second, micros) = value else { return Err(CellError::Changed) };
    let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    Ok((i64::from(day(year, month, date)?) * 86_400 + seconds) * 1_000_000 + i64::from(micros))
}

/// A span as MySQL writes it.
fn time(value: Value, digits: u8) -> Result<String, CellError> {
    let Value::Time(is_negative, days, hours, minutes, seconds, micros) = value else { return Err(CellError::Changed) };
    let hours = u64::from(days) * 24 + u64::from(hours);
    let sign = if is_negative { "-" } else { "" };
    let mut text = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}");
    let fraction = format!("{micros:06}");
    let (shown, cut) = fraction.split_at_checked(usize::from(digits)).ok_or(CellError::Changed)?;
    if cut.bytes().any(|digit| digit != b'0') {
        return Err(CellError::Changed);
    }
    if !shown.is_empty() {
        text.push('.');
        text.push_str(shown);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use mysql::Value;

    use super::{bits, date, decimal, integer, moment, time};

    #[test]
    fn decimals_keep_every_digit() {
        assert_eq!(decimal(b"-0.01", 12, 2).unwrap(), -1);
        assert_eq!(decimal(b"12", 12, 2).unwrap(), 1200);
        assert_eq!(decimal(b"0000012.50", 12, 2).unwrap(), 1250);
        assert_eq!(decimal(b"99999999999999999999999999999999999999", 38, 0).unwrap(), 10_i128.pow(38) - 1);
        assert!(decimal(b"1.234", 12, 2).is_err());
        assert!(decimal(b"1000", 3, 0).is_err());
        assert!(decimal(b"1e3", 12, 2).is_err());
    }

    #[test]
    fn dates_that_no_calendar_has_are_refused() {
        assert_eq!(date(Value::Date(1970, 1, 2, 0, 0, 0, 0)).unwrap(), 1);
        assert_eq!(moment(Value::Date(1969, 12, 31, 23, 59, 59, 999_999)).unwrap(), -1);
        for (year, month, day) in [(0, 0, 0), (0, 1, 1), (2024, 0, 10), (2024, 2, 30), (2024, 10, 0)] {
            assert!(date(Value::Date(year, month, day, 0, 0, 0, 0)).is_err(), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn spans_and_bits_keep_their_size() {
        assert_eq!(time(Value::Time(true, 34, 22, 59, 59, 0), 0).unwrap(), "-838:59:59");
        assert_eq!(time(Value::Time(false, 0, 0, 0, 1, 500_000), 3).unwrap(), "00:00:01.500");
        assert!(time(Value::Time(false, 0, 0, 0, 1, 500_000), 0).is_err());
        assert_eq!(bits(Value::Bytes(vec![255; 8])).unwrap(), u64::MAX);
        assert_eq!(integer::<u64>(Value::UInt(u64::MAX)).unwrap(), u64::MAX);
        assert!(integer::<i64>(Value::UInt(u64::MAX)).is_err());
    }
}
