//! Values of SQLite into Arrow builders, one builder per column. A value that does not fit its column is refused.

mod calendar;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use rusqlite::types::ValueRef;

use super::columns::Shape;

/// The greatest integer up to which every integer is a double.
const EXACT: u64 = 1 << 53;

/// The values of one column of the batch that is being built.
pub(super) struct Cells {
    values: Values,
    is_nullable: bool,
}

enum Values {
    Any(StringBuilder),
    Bool(BooleanBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Float(Float64Builder),
    Int(Int64Builder),
    Text(StringBuilder),
    Timestamp(TimestampMicrosecondBuilder),
}

/// Why a value has no place in its column; the words complete "holds ...".
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit(pub(super) String);

impl From<&str> for Misfit {
    fn from(what: &str) -> Self {
        Self(what.to_owned())
    }
}

impl Cells {
    /// Room for `rows` values, of `bytes` bytes altogether where they are of any length.
    pub(super) fn new(shape: Shape, is_nullable: bool, rows: usize, bytes: usize) -> Self {
        let values = match shape {
            Shape::Any => Values::Any(StringBuilder::with_capacity(rows, bytes)),
            Shape::Bool => Values::Bool(BooleanBuilder::with_capacity(rows)),
            Shape::Bytes => Values::Bytes(BinaryBuilder::with_capacity(rows, bytes)),
            Shape::Date => Values::Date(Date32Builder::with_capacity(rows)),
            Shape::Float => Values::Float(Float64Builder::with_capacity(rows)),
            Shape::Int => Values::Int(Int64Builder::with_capacity(rows)),
            Shape::Text => Values::Text(StringBuilder::with_capacity(rows, bytes)),
            Shape::Timestamp => Values::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
        };
        Self { values, is_nullable }
    }

    /// Takes a value, and tells how many bytes it added where that is not a fixed few.
    pub(super) fn take(&mut self, value: ValueRef<'_>) -> Result<usize, Misfit> {
        if value == ValueRef::Null {
            return if self.is_nullable {
                self.take_null()
            } else {
                Err("NULL, though it is declared NOT NULL".into())
            };
        }
        match &mut self.values {
            Values::Any(values) => {
                let before = values.values_slice().len();
                match value {
                    ValueRef::Integer(value) => values.append_value(value.to_string()),
                    ValueRef::Real(value) => values.append_value(format!("{value:?}")),
                    value => values.append_value(text(value)?),
                }
                return Ok(values.values_slice().len() - before);
            }
            Values::Bool(values) => values.append_value(truth(value)?),
            Values::Bytes(values) => {
                let ValueRef::Blob(bytes) = value else { return Err(instead(value, "bytes")) };
                values.append_value(bytes);
                return Ok(bytes.len());
            }
            Values::Date(values) => {
                values.append_value(calendar::days(text(value)?).ok_or_else(|| Misfit::from(NO_DAY))?)
            }
            Values::Float(values) => values.append_value(float(value)?),
            Values::Int(values) => {
                let ValueRef::Integer(value) = value else { return Err(instead(value, "integers")) };
                values.append_value(value);
            }
            Values::Text(values) => {
                let text = text(value)?;
                values.append_value(text);
                return Ok(text.len());
            }
            Values::Timestamp(values) => {
                values.append_value(calendar::micros(text(value)?).ok_or_else(|| Misfit::from(NO_MOMENT))?);
            }
        }
        Ok(0)
    }

    fn take_null(&mut self) -> Result<usize, Misfit> {
        match &mut self.values {
            Values::Any(values) | Values::Text(values) => values.append_null(),
            Values::Bool(values) => values.append_null(),
            Values::Bytes(values) => values.append_null(),
            Values::Date(values) => values.append_null(),
            Values::Float(values) => values.append_null(),
            Values::Int(values) => values.append_null(),
            Values::Timestamp(values) => values.append_null(),
        }
        Ok(0)
    }

    /// The values so far as an array.
    pub(super) fn finish(self) -> ArrayRef {
        match self.values {
            Values::Any(mut values) | Values::Text(mut values) => Arc::new(values.finish()),
            Values::Bool(mut values) => Arc::new(values.finish()),
            Values::Bytes(mut values) => Arc::new(values.finish()),
            Values::Date(mut values) => Arc::new(values.finish()),
            Values::Float(mut values) => Arc::new(values.finish()),
            Values::Int(mut values) => Arc::new(values.finish()),
            Values::Timestamp(mut values) => Arc::new(values.finish()),
        }
    }
}

const NO_DAY: &str = "text that is no date such as 2024-02-29";
const NO_MOMENT: &str = "text that is no timestamp such as 2024-02-29 12:34:56.789";

fn text(value: ValueRef<'_>) -> Result<&str, Misfit> {
    match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map_err(|_| Misfit::from("text that is not UTF-8")),
        other => Err(instead(other, "text")),
    }
}

fn truth(value: ValueRef<'_>) -> Result<bool, Misfit> {
    match value {
        ValueRef::Integer(0) => Ok(false),
        ValueRef::Integer(1) => Ok(true),
        ValueRef::Integer(_) => Err("an integer other than 0 and 1".into()),
        other => Err(instead(other, "0 and 1")),
    }
}

/// An integer counts as a number only where the number is the same: SQLite stores 2.0 as 2 to save space.
fn float(value: ValueRef<'_>) -> Result<f64, Misfit> {
    match value {
        ValueRef::Real(value) => Ok(value),
        ValueRef::Integer(value) if value.unsigned_abs() <= EXACT => Ok(value as f64),
        ValueRef::Integer(_) => Err("an integer beyond 2^53, which a floating point number does not hold".into()),
        other => Err(instead(other, "numbers")),
    }
}

/// What stands where `expected` belongs.
fn instead(value: ValueRef<'_>, expected: &str) -> Misfit {
    let found = match value {
        ValueRef::Blob(_) => "a BLOB",
        ValueRef::Integer(_) => "an integer",
        ValueRef::Null => "NULL",
        ValueRef::Real(_) => "a fraction",
        ValueRef::Text(_) => "text",
    };
    Misfit(format!("{found} instead of {expected}"))
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;
    use rusqlite::types::ValueRef;

    use super::{Cells, Misfit, Shape};

    fn taken(shape: Shape, value: ValueRef<'_>) -> Result<String, Misfit> {
        let mut cells = Cells::new(shape, true, 1, 0);
        cells.take(value)?;
        Ok(array_value_to_string(&cells.finish(), 0).unwrap())
    }

    #[test]
    fn what_fits_arrives_and_what_does_not_is_refused() {
        let (int, real, blob) = (ValueRef::Integer, ValueRef::Real, ValueRef::Blob(b"\xff"));
        let text = |text: &'static str| ValueRef::Text(text.as_bytes());
        for (shape, value, expected) in [
            (Shape::Any, int(5), Ok("5")),
            (Shape::Any, real(1.0), Ok("1.0")),
            (Shape::Any, real(f64::INFINITY), Ok("inf")),
            (Shape::Any, text("x"), Ok("x")),
            (Shape::Any, blob, Err("a BLOB instead of text")),
            (Shape::Bool, int(1), Ok("true")),
            (Shape::Bool, int(2), Err("an integer other than 0 and 1")),
            (Shape::Bool, text("t"), Err("text instead of 0 and 1")),
            (Shape::Bytes, blob, Ok("ff")),
            (Shape::Bytes, text("x"), Err("text instead of bytes")),
            (Shape::Date, text("2024-02-29"), Ok("2024-02-29")),
            (Shape::Date, text("2023-02-29"), Err("text that is no date such as 2024-02-29")),
            (Shape::Date, int(19_000), Err("an integer instead of text")),
            (Shape::Float, int(2), Ok("2.0")),
            (Shape::Float, int(-(1 << 53)), Ok("-9007199254740992.0")),
            (
                Shape::Float,
                int((1 << 53) + 1),
                Err("an integer beyond 2^53, which a floating point number does not hold"),
            ),
            (Shape::Float, int(i64::MIN), Err("an integer beyond 2^53, which a floating point number does not hold")),
            (Shape::Float, text("1,5"), Err("text instead of numbers")),
            (Shape::Int, int(i64::MIN), Ok("-9223372036854775808")),
            (Shape::Int, real(1.0), Err("a fraction instead of integers")),
            (Shape::Text, text("é\0x"), Ok("é\0x")),
            (Shape::Text, ValueRef::Text(b"\xff"), Err("text that is not UTF-8")),
            (Shape::Timestamp, text("2024-02-29T12:34:56.5Z"), Ok("2024-02-29T12:34:56.500")),
            (Shape::Timestamp, int(1_700_000_000), Err("an integer instead of text")),
        ] {
            assert_eq!(taken(shape, value), expected.map(str::to_owned).map_err(Misfit::from), "{shape:?} {value:?}");
        }
        assert_eq!(taken(Shape::Int, ValueRef::Null), Ok(String::new()));
        assert!(Cells::new(Shape::Int, false, 1, 0).take(ValueRef::Null).is_err());
    }
}
