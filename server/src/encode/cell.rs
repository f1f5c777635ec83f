//! What one value looks like as JSON and as text: the only definition, shared by every text format and door.
//!
//! Decimals, integers beyond 2^53, NaN and infinities are strings; dates and times are ISO 8601; binary is lower-case
//! hex; a struct is an object, a list is an array, a map is an object by its keys' text.

use std::io::Write;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// Integers up to here are exact as IEEE doubles, which is all that many JSON readers have.
const EXACT: u64 = 1 << 53;

const OPTIONS: FormatOptions<'static> = FormatOptions::new();

/// The cells of one column of a batch. Made once per batch, so that the type is looked at once and not per cell.
pub(super) struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    cells: Cells<'a>,
}

enum Cells<'a> {
    Null,
    Bool(&'a arrow::array::BooleanArray),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    F16(&'a PrimitiveArray<Float16Type>),
    F32(&'a [f32]),
    F64(&'a [f64]),
    Text(&'a StringArray),
    List(&'a OffsetBuffer<i32>, Box<Column<'a>>),
    LargeList(&'a OffsetBuffer<i64>, Box<Column<'a>>),
    FixedList(usize, Box<Column<'a>>),
    Struct(Vec<(&'a str, Column<'a>)>),
    Map(&'a OffsetBuffer<i32>, Box<Column<'a>>, Box<Column<'a>>),
    /// Everything else is written as its text: decimals, dates and times, binary, and encodings that leave no door.
    Other(ArrayFormatter<'a>),
}

fn values<T: ArrowPrimitiveType>(array: &dyn Array) -> &[T::Native] {
    array.as_primitive::<T>().values()
}

impl<'a> Column<'a> {
    pub(super) fn new(array: &'a dyn Array) -> Result<Self, ArrowError> {
        let cells = match array.data_type() {
            DataType::Null => Cells::Null,
            DataType::Boolean => Cells::Bool(array.as_boolean()),
            DataType::Int8 => Cells::I8(values::<Int8Type>(array)),
            DataType::Int16 => Cells::I16(values::<Int16Type>(array)),
            DataType::Int32 => Cells::I32(values::<Int32Type>(array)),
            DataType::Int64 => Cells::I64(values::<Int64Type>(array)),
            DataType::UInt8 => Cells::U8(values::<UInt8Type>(array)),
            DataType::UInt16 => Cells::U16(values::<UInt16Type>(array)),
            DataType::UInt32 => Cells::U32(values::<UInt32Type>(array)),
            DataType::UInt64 => Cells::U64(values::<UInt64Type>(array)),
            DataType::Float16 => Cells::F16(array.as_primitive()),
            DataType::Float32 => Cells::F32(values::<Float32Type>(array)),
            DataType::Float64 => Cells::F64(values::<Float64Type>(array)),
            DataType::Utf8 => Cells::Text(array.as_string()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Cells::List(list.offsets(), Self::boxed(list.values())?)
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                Cells::LargeList(list.offsets(), Self::boxed(list.values())?)
            }
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                Cells::FixedList(usize::try_from(list.value_length()).unwrap_or(0), Self::boxed(list.values())?)
            }
            DataType::Struct(fields) => {
                let parts = fields.iter().zip(array.as_struct().columns());
                let parts = parts.map(|(field, part)| Ok((field.name().as_str(), Column::new(part.as_ref())?)));
                Cells::Struct(parts.collect::<Result<_, ArrowError>>()?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Cells::Map(map.offsets(), Self::boxed(map.keys())?, Self::boxed(map.values())?)
            }
            _ => Cells::Other(ArrayFormatter::try_new(array, &OPTIONS)?),
        };
        Ok(Self { nulls: array.nulls(), cells })
    }

    fn boxed(array: &'a ArrayRef) -> Result<Box<Self>, ArrowError> {
        Ok(Box::new(Self::new(array.as_ref())?))
    }

    /// All columns of a batch.
    pub(super) fn of(batch: &'a RecordBatch) -> Result<Vec<Self>, ArrowError> {
        batch.columns().iter().map(|array| Column::new(array.as_ref())).collect()
    }

    pub(super) fn cell(&self, row: usize) -> Cell<'_, 'a> {
        Cell { column: self, row }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        matches!(self.cells, Cells::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the cell as plain text: strings without quotes, everything nested as JSON. NULL appends nothing.
    pub(super) fn write_text(&self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.is_null(row) {
            return Ok(());
        }
        match &self.cells {
            Cells::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Cells::Other(formatter) => write!(out, "{}", formatter.value(row))?,
            Cells::I64(values) => write!(out, "{}", values[row])?,
            Cells::U64(values) => write!(out, "{}", values[row])?,
            Cells::F16(array) => write_float(f64::from(array.value(row)), out)?,
            Cells::F32(values) if !values[row].is_finite() => write_float(f64::from(values[row]), out)?,
            Cells::F64(values) => write_float(values[row], out)?,
            _ => write_json(&self.cell(row), out)?,
        }
        Ok(())
    }
}

/// Text of one value: strings without quotes, everything nested as JSON. None for NULL.
///
/// # Errors
/// Where Arrow cannot show a value of this type.
pub fn text(array: &dyn Array, row: usize) -> Result<Option<String>, ArrowError> {
    let column = Column::new(array)?;
    if column.is_null(row) {
        return Ok(None);
    }
    let mut out = Vec::new();
    column.write_text(row, &mut out)?;
    Ok(Some(String::from_utf8_lossy(&out).into_owned()))
}

/// Appends `value` as JSON.
pub(super) fn write_json(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    serde_json::to_writer(out, value).map_err(|error| ArrowError::JsonError(error.to_string()))
}

fn write_float(value: f64, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    match not_finite(value) {
        Some(word) => out.extend_from_slice(word.as_bytes()),
        None => write_json(&value, out)?,
    }
    Ok(())
}

/// The word for a float that JSON has no number for.
fn not_finite(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

/// One value, as JSON has it.
pub(super) struct Cell<'c, 'a> {
    column: &'c Column<'a>,
    row: usize,
}

impl Serialize for Cell<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let row = self.row;
        if self.column.is_null(row) {
            return to.serialize_unit();
        }
        match &self.column.cells {
            Cells::Null => to.serialize_unit(),
            Cells::Bool(array) => to.serialize_bool(array.value(row)),
            Cells::I8(values) => to.serialize_i8(values[row]),
            Cells::I16(values) => to.serialize_i16(values[row]),
            Cells::I32(values) => to.serialize_i32(values[row]),
            Cells::I64(values) if values[row].unsigned_abs() > EXACT => to.collect_str(&values[row]),
            Cells::I64(values) => to.serialize_i64(values[row]),
            Cells::U8(values) => to.serialize_u8(values[row]),
            Cells::U16(values) => to.serialize_u16(values[row]),
            Cells::U32(values) => to.serialize_u32(values[row]),
            Cells::U64(values) if values[row] > EXACT => to.collect_str(&values[row]),
            Cells::U64(values) => to.serialize_u64(values[row]),
            Cells::F16(array) => serialize_float(f64::from(array.value(row)), to),
            Cells::F32(values) if values[row].is_finite() => to.serialize_f32(values[row]),
            Cells::F32(values) => serialize_float(f64::from(values[row]), to),
            Cells::F64(values) => serialize_float(values[row], to),
            Cells::Text(array) => to.serialize_str(array.value(row)),
            Cells::List(offsets, items) => serialize_list(items, offsets[row] as usize, offsets[row + 1] as usize, to),
            Cells::LargeList(offsets, items) => {
                serialize_list(items, offsets[row] as usize, offsets[row + 1] as usize, to)
            }
            Cells::FixedList(length, items) => serialize_list(items, row * length, (row + 1) * length, to),
            Cells::Struct(parts) => {
                let mut object = to.serialize_map(Some(parts.len()))?;
                for (name, part) in parts {
                    object.serialize_entry(name, &part.cell(row))?;
                }
                object.end()
            }
            Cells::Map(offsets, keys, items) => {
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                let mut object = to.serialize_map(Some(end - start))?;
                for at in start..end {
                    let mut key = Vec::new();
                    keys.write_text(at, &mut key).map_err(serde::ser::Error::custom)?;
                    object.serialize_entry(&String::from_utf8_lossy(&key), &items.cell(at))?;
                }
                object.end()
            }
            Cells::Other(formatter) => to.collect_str(&formatter.value(row)),
        }
    }
}

fn serialize_float<S: Serializer>(value: f64, to: S) -> Result<S::Ok, S::Error> {
    match not_finite(value) {
        Some(word) => to.serialize_str(word),
        None => to.serialize_f64(value),
    }
}

fn serialize_list<S: Serializer>(items: &Column<'_>, start: usize, end: usize, to: S) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(end - start))?;
    for at in start..end {
        list.serialize_element(&items.cell(at))?;
    }
    list.end()
}

#[cfg(test)]
mod tests;
