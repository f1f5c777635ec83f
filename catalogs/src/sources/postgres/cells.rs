//! Values off the wire into Arrow builders, one builder per column.
//!
//! connectorx parses the binary COPY into cells. Dates, times and numerics are taken as the integers and bytes that they
//! are on the wire, so that no calendar or 96-bit decimal stands between PostgreSQL's range and Arrow's.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, ListArray, NullBufferBuilder, StringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::FieldRef;
use arrow::error::ArrowError;
use connectorx::sources::Produce;
use connectorx::sources::postgres::{PostgresBinarySourcePartitionParser, PostgresSourceError, PostgresTypeSystem};
use postgres::types::Type;

use super::columns::Shape;
use super::numeric::{self, NotDecimal};

type Parser<'a> = PostgresBinarySourcePartitionParser<'a>;

/// Days and microseconds from Arrow's epoch, 1970, to PostgreSQL's, 2000.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

/// Why a cell could not be read.
#[derive(Debug)]
pub(super) enum CellError {
    Wire(PostgresSourceError),
    /// The value has no place in the column's Arrow type; the words complete "holds ...".
    Value(&'static str),
    /// The value is not of the type that the column had when the query was planned.
    Changed,
}

impl From<PostgresSourceError> for CellError {
    fn from(error: PostgresSourceError) -> Self {
        CellError::Wire(error)
    }
}

/// The values of one column of the batch that is being built.
pub(super) enum Cells {
    Bool(BooleanBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Decimal { values: Decimal128Builder, precision: u8, scale: i8 },
    Float4(Float32Builder),
    Float8(Float64Builder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    List(Box<ListCells>),
    Text(StringBuilder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
}

/// Lists: where each one ends, which are NULL, and their items.
pub(super) struct ListCells {
    field: FieldRef,
    lengths: Vec<usize>,
    nulls: NullBufferBuilder,
    items: Cells,
}

impl Shape {
    /// The types under which connectorx takes the wire's bytes.
    pub(super) fn wire(&self) -> (PostgresTypeSystem, Type) {
        match self {
            Shape::Bool => (PostgresTypeSystem::Bool(true), Type::BOOL),
            Shape::Bytes | Shape::Decimal { .. } | Shape::List(_) => (PostgresTypeSystem::ByteA(true), Type::BYTEA),
            Shape::Date | Shape::Int4 => (PostgresTypeSystem::Int4(true), Type::INT4),
            Shape::Float4 => (PostgresTypeSystem::Float4(true), Type::FLOAT4),
            Shape::Float8 => (PostgresTypeSystem::Float8(true), Type::FLOAT8),
            Shape::Int2 => (PostgresTypeSystem::Int2(true), Type::INT2),
            Shape::Int8 | Shape::Time | Shape::Timestamp | Shape::TimestampTz => {
                (PostgresTypeSystem::Int8(true), Type::INT8)
            }
            Shape::Text => (PostgresTypeSystem::Text(true), Type::TEXT),
        }
    }
}

impl Cells {
    /// Room for `rows` values, of `bytes` bytes altogether where they are of any length.
    pub(super) fn new(shape: &Shape, rows: usize, bytes: usize) -> Self {
        match shape {
            Shape::Bool => Cells::Bool(BooleanBuilder::with_capacity(rows)),
            Shape::Bytes => Cells::Bytes(BinaryBuilder::with_capacity(rows, bytes)),
            Shape::Date => Cells::Date(Date32Builder::with_capacity(rows)),
            Shape::Decimal { precision, scale } => Cells::Decimal {
                values: Decimal128Builder::with_capacity(rows).with_data_type(shape.data_type()),
                precision: *precision,
                scale: *scale,
            },
            Shape::Float4 => Cells::Float4(Float32Builder::with_capacity(rows)),
            Shape::Float8 => Cells::Float8(Float64Builder::with_capacity(rows)),
            Shape::Int2 => Cells::Int2(Int16Builder::with_capacity(rows)),
            Shape::Int4 => Cells::Int4(Int32Builder::with_capacity(rows)),
            Shape::Int8 => Cells::Int8(Int64Builder::with_capacity(rows)),
            Shape::List(item) => Cells::List(Box::new(ListCells {
                field: item.list_field(),
                lengths: Vec::with_capacity(rows),
                nulls: NullBufferBuilder::new(rows),
                items: Cells::new(item, rows, bytes),
            })),
            Shape::Text => Cells::Text(StringBuilder::with_capacity(rows, bytes)),
            Shape::Time => Cells::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            Shape::Timestamp | Shape::TimestampTz => {
                Cells::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(shape.data_type()))
            }
        }
    }

    /// Takes the next cell of the parser, and tells how many bytes it added where that is not a fixed few.
    pub(super) fn take(&mut self, parser: &mut Parser<'_>) -> Result<usize, CellError> {
        match self {
            Cells::Bool(values) => values.append_option(Produce::<Option<bool>>::produce(parser)?),
            Cells::Bytes(values) => {
                let bytes = Produce::<Option<Vec<u8>>>::produce(parser)?;
                values.append_option(bytes.as_deref());
                return Ok(bytes.map_or(0, |bytes| bytes.len()));
            }
            Cells::Date(values) => {
                let day = Produce::<Option<i32>>::produce(parser)?;
                values.append_option(day.map(date).transpose()?);
            }
            Cells::Decimal { values, precision, scale } => {
                let bytes = Produce::<Option<Vec<u8>>>::produce(parser)?;
                values.append_option(bytes.map(|bytes| decimal(&bytes, *precision, *scale)).transpose()?);
            }
            Cells::Float4(values) => values.append_option(Produce::<Option<f32>>::produce(parser)?.map(one_nan_f32)),
            Cells::Float8(values) => values.append_option(Produce::<Option<f64>>::produce(parser)?.map(one_nan_f64)),
            Cells::Int2(values) => values.append_option(Produce::<Option<i16>>::produce(parser)?),
            Cells::Int4(values) => values.append_option(Produce::<Option<i32>>::produce(parser)?),
            Cells::Int8(values) => values.append_option(Produce::<Option<i64>>::produce(parser)?),
            Cells::List(lists) => {
                let bytes = Produce::<Option<Vec<u8>>>::produce(parser)?;
                lists.append(bytes.as_deref())?;
                return Ok(bytes.map_or(0, |bytes| bytes.len()));
            }
            Cells::Text(values) => {
                let text = Produce::<Option<&str>>::produce(parser)?;
                values.append_option(text);
                return Ok(text.map_or(0, str::len));
            }
            Cells::Time(values) => {
                let micros = Produce::<Option<i64>>::produce(parser)?;
                values.append_option(micros.map(time).transpose()?);
            }
            Cells::Timestamp(values) => {
                let micros = Produce::<Option<i64>>::produce(parser)?;
                values.append_option(micros.map(timestamp).transpose()?);
            }
        }
        Ok(0)
    }

    /// Takes a value from the bytes of its binary form, as they are in a row of COPY and in a list.
    pub(super) fn take_bytes(&mut self, item: Option<&[u8]>) -> Result<(), CellError> {
        match self {
            Cells::Bool(values) => {
                values.append_option(item.map(|bytes| fixed::<1>(bytes).map(|[b]| b != 0)).transpose()?)
            }
            Cells::Bytes(values) => values.append_option(item),
            Cells::Date(values) => {
                values.append_option(item.map(|bytes| date(i32::from_be_bytes(fixed(bytes)?))).transpose()?);
            }
            Cells::Decimal { values, precision, scale } => {
                values.append_option(item.map(|bytes| decimal(bytes, *precision, *scale)).transpose()?);
            }
            Cells::Float4(values) => {
                let value = item.map(|bytes| fixed(bytes).map(f32::from_be_bytes)).transpose()?;
                values.append_option(value.map(one_nan_f32));
            }
            Cells::Float8(values) => {
                let value = item.map(|bytes| fixed(bytes).map(f64::from_be_bytes)).transpose()?;
                values.append_option(value.map(one_nan_f64));
            }
            Cells::Int2(values) => {
                values.append_option(item.map(|bytes| fixed(bytes).map(i16::from_be_bytes)).transpose()?)
            }
            Cells::Int4(values) => {
                values.append_option(item.map(|bytes| fixed(bytes).map(i32::from_be_bytes)).transpose()?)
            }
            Cells::Int8(values) => {
                values.append_option(item.map(|bytes| fixed(bytes).map(i64::from_be_bytes)).transpose()?)
            }
            Cells::List(lists) => lists.append(item)?,
            Cells::Text(values) => {
                let text = item.map(std::str::from_utf8).transpose();
                values.append_option(text.map_err(|_| CellError::Value("text that is not UTF-8"))?);
            }
            Cells::Time(values) => {
                values.append_option(item.map(|bytes| time(i64::from_be_bytes(fixed(bytes)?))).transpose()?);
            }
            Cells::Timestamp(values) => {
                values.append_option(item.map(|bytes| timestamp(i64::from_be_bytes(fixed(bytes)?))).transpose()?);
            }
        }
        Ok(())
    }

    /// The values so far as an array.
    pub(super) fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Cells::Bool(mut values) => Arc::new(values.finish()),
            Cells::Bytes(mut values) => Arc::new(values.finish()),
            Cells::Date(mut values) => Arc::new(values.finish()),
            Cells::Decimal { mut values, .. } => Arc::new(values.finish()),
            Cells::Float4(mut values) => Arc::new(values.finish()),
            Cells::Float8(mut values) => Arc::new(values.finish()),
            Cells::Int2(mut values) => Arc::new(values.finish()),
            Cells::Int4(mut values) => Arc::new(values.finish()),
            Cells::Int8(mut values) => Arc::new(values.finish()),
            Cells::List(lists) => lists.finish()?,
            Cells::Text(mut values) => Arc::new(values.finish()),
            Cells::Time(mut values) => Arc::new(values.finish()),
            Cells::Timestamp(mut values) => Arc::new(values.finish()),
        })
    }
}

impl ListCells {
    /// Takes a list from PostgreSQL's binary array: dimensions, flags, type, length and lower bound, items.
    fn append(&mut self, array: Option<&[u8]>) -> Result<(), CellError> {
        let Some(mut rest) = array else {
            self.lengths.push(0);
            self.nulls.append_null();
            return Ok(());
        };
        let dimensions = word(&mut rest)?;
        let _flags = word(&mut rest)?;
        let _element = word(&mut rest)?;
        let length = match dimensions {
            0 => 0,
            1 => {
                let length = usize::try_from(word(&mut rest)?).map_err(|_| CellError::Changed)?;
                let _lower_bound = word(&mut rest)?;
                length
            }
            _ => return Err(CellError::Value("an array of more than one dimension, though it is not declared so")),
        };
        for _ in 0..length {
            let item = match usize::try_from(word(&mut rest)?) {
                Ok(size) => {
                    let (item, tail) = rest.split_at_checked(size).ok_or(CellError::Changed)?;
                    rest = tail;
                    Some(item)
                }
                Err(_) => None,
            };
            self.items.take_bytes(item)?;
        }
        self.lengths.push(length);
        self.nulls.append_non_null();
        Ok(())
    }

    fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Ok(Arc::new(ListArray::try_new(self.field, offsets, self.items.finish()?, self.nulls.finish())?))
    }
}

fn word(bytes: &mut &[u8]) -> Result<i32, CellError> {
    let (word, rest) = bytes.split_first_chunk::<4>().ok_or(CellError::Changed)?;
    *bytes = rest;
    Ok(i32::from_be_bytes(*word))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], CellError> {
    bytes.try_into().map_err(|_| CellError::Changed)
}

fn decimal(bytes: &[u8], precision: u8, scale: i8) -> Result<i128, CellError> {
    numeric::unscaled(bytes, precision, scale).map_err(|error| match error {
        NotDecimal::NotFinite => CellError::Value("NaN, which a decimal cannot be"),
        NotDecimal::TooWide | NotDecimal::Malformed => CellError::Changed,
    })
}

fn date(day: i32) -> Result<i32, CellError> {
    match day {
        i32::MAX | i32::MIN => Err(CellError::Value("an infinite date")),
        day => day.checked_add(EPOCH_DAYS).ok_or(CellError::Value("a date beyond the range of Date32")),
    }
}

fn time(micros: i64) -> Result<i64, CellError> {
    if (0..DAY_MICROS).contains(&micros) { Ok(micros) } else { Err(CellError::Value("the time 24:00:00")) }
}

fn timestamp(micros: i64) -> Result<i64, CellError> {
    match micros {
        i64::MAX | i64::MIN => Err(CellError::Value("an infinite timestamp")),
        micros => micros
            .checked_add(EPOCH_MICROS)
            .ok_or(CellError::Value("a timestamp after the year 294246, the last one in microseconds")),
    }
}

/// PostgreSQL holds every NaN for the same; Arrow orders them by sign and bits.
fn one_nan_f32(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value }
}

fn one_nan_f64(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}
