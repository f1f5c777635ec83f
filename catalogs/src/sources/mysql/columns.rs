//! MySQL's types as Arrow's, and how a column of each type is asked for and compared.
//!
//! Types that keep their meaning in Arrow arrive natively; every other one arrives as the text that the server itself
//! writes. No column is ever left out. Three choices are to be known:
//!
//! - `tinyint(1)`, also spelt `boolean`, is an `Int8`: it holds any number from -128 to 127, and a truth value would lose it.
//! - `time` is text: it is a span of up to 838 hours, of either sign, and no time of a day.
//! - `bit` is a `UInt64`: the number that its bits make.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use mysql::consts::{ColumnFlags, ColumnType};

use super::quote;
use crate::sources::remote::RemoteColumn;

/// The number of the character set of bytes that are no text.
const BINARY: u16 = 63;

/// One column of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) field: FieldRef,
    pub(super) shape: Shape,
    pub(super) compare: Compare,
}

/// How a value of a column crosses the wire, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Bits,
    Bytes,
    Date,
    Datetime,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Double,
    Float,
    Int1,
    Int2,
    Int4,
    Int8,
    Text,
    /// With so many digits of a second.
    Time {
        digits: u8,
    },
    Timestamp,
    UInt1,
    UInt2,
    UInt4,
    UInt8,
    /// A decimal that is too wide for Arrow, as text.
    Wide {
        scale: u8,
    },
    Year,
}

/// How a comparison with a literal is written in SQL so that it keeps exactly the rows that Arrow would keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    /// As numbers, bytes or dates compare.
    Native,
    /// As moments, written with so many digits of a second: the server cuts a literal that has more.
    Moment { digits: u8 },
    /// As text by its bytes: a collation has 'a' equal 'A', and 'a' equal 'a '.
    Text(Charset),
    /// As a UUID, where the literal is one in its canonical spelling.
    Uuid,
    /// Not at all.
    Never,
}

/// What the bytes of a text column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    /// UTF-8.
    Utf8mb4,
    /// UTF-8 without the characters beyond 16 bits, or ASCII.
    Narrow,
    /// One byte for a character.
    Latin1,
    /// Bytes that say nothing, or no plain text column.
    Other,
}

/// What the source's catalog says of a column.
#[derive(Debug, Clone, Default)]
pub(super) struct Described {
    pub(super) name: String,
    /// The type as MySQL writes it.
    pub(super) type_name: String,
    /// The type without length and attributes.
    pub(super) base: String,
    pub(super) comment: Option<String>,
    pub(super) nullable: bool,
    pub(super) precision: Option<u64>,
    pub(super) scale: Option<u64>,
    /// Digits of a second.
    pub(super) digits: Option<u64>,
    pub(super) charset: Option<String>,
}

impl Column {
    pub(super) fn new(described: &Described) -> Self {
        let shape = shape(described);
        let mut metadata = HashMap::from([("weft.source_type".to_owned(), described.type_name.clone())]);
        if let Some(comment) = &described.comment {
            metadata.insert("weft.comment".to_owned(), comment.clone());
        }
        let field = Field::new(&described.name, shape.data_type(), described.nullable).with_metadata(metadata);
        Self { field: Arc::new(field), compare: compare(described, shape), shape }
    }

    /// A column that the server computes, of integers, decimals or doubles. None of another type.
    pub(super) fn derived(field: &FieldRef) -> Option<Self> {
        let shape = match field.data_type() {
            DataType::Decimal128(precision, scale) if (0..=38).contains(scale) => {
                Shape::Decimal { precision: *precision, scale: *scale }
            }
            DataType::Float64 => Shape::Double,
            DataType::Int8 => Shape::Int1,
            DataType::Int16 => Shape::Int2,
            DataType::Int32 => Shape::Int4,
            DataType::Int64 => Shape::Int8,
            DataType::UInt8 => Shape::UInt1,
            DataType::UInt16 => Shape::UInt2,
            DataType::UInt32 => Shape::UInt4,
            DataType::UInt64 => Shape::UInt8,
            _ => return None,
        };
        Some(Self { field: Arc::clone(field), shape, compare: Compare::Native })
    }

    /// The same column, called as `field` is.
    pub(super) fn renamed(&self, field: FieldRef) -> Self {
        Self { field, ..self.clone() }
    }

    /// The column as a name.
    pub(super) fn name(&self) -> String {
        quote::identifier(self.field.name())
    }

    /// Whether the result column that the server announces is the one that was planned.
    pub(super) fn is_announced_as(&self, now: &mysql::Column) -> bool {
        let is_unsigned = now.flags().contains(ColumnFlags::UNSIGNED_FLAG);
        let is_binary = now.character_set() == BINARY;
        let is_open_ended = matches!(
            now.column_type(),
            ColumnType::MYSQL_TYPE_STRING
                | ColumnType::MYSQL_TYPE_VAR_STRING
                | ColumnType::MYSQL_TYPE_VARCHAR
                | ColumnType::MYSQL_TYPE_TINY_BLOB
                | ColumnType::MYSQL_TYPE_BLOB
                | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
                | ColumnType::MYSQL_TYPE_LONG_BLOB
        );
        match (self.shape, now.column_type()) {
            (Shape::Int1, ColumnType::MYSQL_TYPE_TINY)
            | (Shape::Int2, ColumnType::MYSQL_TYPE_SHORT)
            | (Shape::Int4, ColumnType::MYSQL_TYPE_LONG | ColumnType::MYSQL_TYPE_INT24)
            | (Shape::Int8, ColumnType::MYSQL_TYPE_LONGLONG) => !is_unsigned,
            (Shape::UInt1, ColumnType::MYSQL_TYPE_TINY)
            | (Shape::UInt2, ColumnType::MYSQL_TYPE_SHORT)
            | (Shape::UInt4, ColumnType::MYSQL_TYPE_LONG | ColumnType::MYSQL_TYPE_INT24)
            | (Shape::UInt8, ColumnType::MYSQL_TYPE_LONGLONG) => is_unsigned,
            (Shape::Bits, ColumnType::MYSQL_TYPE_BIT)
            | (Shape::Date, ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE)
            | (Shape::Datetime, ColumnType::MYSQL_TYPE_DATETIME)
            | (Shape::Double, ColumnType::MYSQL_TYPE_DOUBLE)
            | (Shape::Float, ColumnType::MYSQL_TYPE_FLOAT)
            | (Shape::Time { .. }, ColumnType::MYSQL_TYPE_TIME)
            | (Shape::Timestamp, ColumnType::MYSQL_TYPE_TIMESTAMP)
            | (Shape::Year, ColumnType::MYSQL_TYPE_YEAR)
            | (Shape::Bytes, ColumnType::MYSQL_TYPE_GEOMETRY)
            | (Shape::Text, ColumnType::MYSQL_TYPE_JSON) => true,
            (Shape::Decimal { scale, .. }, ColumnType::MYSQL_TYPE_NEWDECIMAL) => {
                i8::try_from(now.decimals()) == Ok(scale)
            }
            (Shape::Wide { scale }, ColumnType::MYSQL_TYPE_NEWDECIMAL) => now.decimals() == scale,
            (Shape::Text, ColumnType::MYSQL_TYPE_ENUM | ColumnType::MYSQL_TYPE_SET) => true,
            (Shape::Text, _) => is_open_ended && !is_binary,
            (Shape::Bytes, _) => is_open_ended && is_binary,
            _ => false,
        }
    }
}

impl RemoteColumn for Column {
    fn field(&self) -> &FieldRef {
        &self.field
    }

    fn selected(&self) -> String {
        self.name()
    }

    /// No column of MySQL is a truth value.
    fn truth(&self) -> Option<String> {
        None
    }

    fn width(&self) -> usize {
        match self.shape {
            Shape::Int1 | Shape::UInt1 => 1,
            Shape::Int2 | Shape::UInt2 | Shape::Year => 2,
            Shape::Date | Shape::Float | Shape::Int4 | Shape::UInt4 => 4,
            Shape::Bits | Shape::Datetime | Shape::Double | Shape::Int8 | Shape::Timestamp | Shape::UInt8 => 8,
            Shape::Decimal { .. } | Shape::Time { .. } => 16,
            Shape::Bytes | Shape::Text | Shape::Wide { .. } => 32,
        }
    }
}

impl Shape {
    pub(super) fn data_type(self) -> DataType {
        match self {
            Shape::Bits | Shape::UInt8 => DataType::UInt64,
            Shape::Bytes => DataType::Binary,
            Shape::Date => DataType::Date32,
            Shape::Datetime => DataType::Timestamp(TimeUnit::Microsecond, None),
            Shape::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Shape::Double => DataType::Float64,
            Shape::Float => DataType::Float32,
            Shape::Int1 => DataType::Int8,
            Shape::Int2 | Shape::Year => DataType::Int16,
            Shape::Int4 => DataType::Int32,
            Shape::Int8 => DataType::Int64,
            Shape::Text | Shape::Time { .. } | Shape::Wide { .. } => DataType::Utf8,
            Shape::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Shape::UInt1 => DataType::UInt8,
            Shape::UInt2 => DataType::UInt16,
            Shape::UInt4 => DataType::UInt32,
        }
    }

    /// Whether values are integers, with a sign or without.
    pub(super) fn is_integer(self) -> bool {
        self.is_short() || matches!(self, Shape::Int8 | Shape::UInt8)
    }

    /// Whether values are integers of 32 bits at most.
    pub(super) fn is_short(self) -> bool {
        matches!(self, Shape::Int1 | Shape::Int2 | Shape::Int4 | Shape::UInt1 | Shape::UInt2 | Shape::UInt4)
    }

    /// Whether values are of any length.
    pub(super) fn is_open_ended(self) -> bool {
        matches!(self, Shape::Bytes | Shape::Text | Shape::Time { .. } | Shape::Wide { .. })
    }
}

fn shape(described: &Described) -> Shape {
    let is_unsigned = described.type_name.contains("unsigned");
    let by_sign = |signed, unsigned| if is_unsigned { unsigned } else { signed };
    match described.base.as_str() {
        "tinyint" => by_sign(Shape::Int1, Shape::UInt1),
        "smallint" => by_sign(Shape::Int2, Shape::UInt2),
        "mediumint" | "int" => by_sign(Shape::Int4, Shape::UInt4),
        "bigint" => by_sign(Shape::Int8, Shape::UInt8),
        "bit" => Shape::Bits,
        "date" => Shape::Date,
        "datetime" => Shape::Datetime,
        "decimal" => decimal(described),
        "double" => Shape::Double,
        "float" => Shape::Float,
        "time" => Shape::Time { digits: digits(described) },
        "timestamp" => Shape::Timestamp,
        "year" => Shape::Year,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Shape::Bytes,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" | "vector" => Shape::Bytes,
        _ => Shape::Text,
    }
}

fn decimal(described: &Described) -> Shape {
    let (precision, scale) = (described.precision.unwrap_or(u64::MAX), described.scale.unwrap_or(0));
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) => Shape::Decimal { precision, scale },
        _ => Shape::Wide { scale: u8::try_from(scale).unwrap_or(u8::MAX) },
    }
}

fn digits(described: &Described) -> u8 {
    described.digits.and_then(|digits| u8::try_from(digits).ok()).unwrap_or(0).min(6)
}

fn compare(described: &Described, shape: Shape) -> Compare {
    match (shape, described.base.as_str()) {
        (Shape::Time { .. } | Shape::Wide { .. }, _) => Compare::Never,
        (Shape::Datetime | Shape::Timestamp, _) => Compare::Moment { digits: digits(described) },
        (Shape::Bytes, "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob") => Compare::Native,
        (Shape::Bytes, _) => Compare::Never,
        (Shape::Text, "uuid") => Compare::Uuid,
        (Shape::Text, "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext") => {
            Compare::Text(match described.charset.as_deref() {
                Some("utf8mb4") => Charset::Utf8mb4,
                Some("utf8mb3" | "utf8" | "ascii") => Charset::Narrow,
                Some("latin1") => Charset::Latin1,
                _ => Charset::Other,
            })
        }
        // Compared as the text that they arrive as, and not as the numbers that they are within.
        (Shape::Text, "enum" | "set") => Compare::Text(Charset::Other),
        (Shape::Text, _) => Compare::Never,
        _ => Compare::Native,
    }
}

#[cfg(test)]
mod tests {
    use super::{Described, Shape, shape};

    fn decimal(precision: u64, scale: u64) -> Shape {
        let described = Described {
            base: "decimal".to_owned(),
            precision: Some(precision),
            scale: Some(scale),
            ..Described::default()
        };
        shape(&described)
    }

    #[test]
    fn precision_and_scale_fit_arrow_or_become_text() {
        assert_eq!(decimal(12, 2), Shape::Decimal { precision: 12, scale: 2 });
        assert_eq!(decimal(38, 38), Shape::Decimal { precision: 38, scale: 38 });
        assert_eq!(decimal(39, 0), Shape::Wide { scale: 0 });
        assert_eq!(decimal(65, 30), Shape::Wide { scale: 30 });
    }

    #[test]
    fn a_type_of_a_later_server_is_text() {
        assert_eq!(shape(&Described { base: "novelty".to_owned(), ..Described::default() }), Shape::Text);
    }
}
