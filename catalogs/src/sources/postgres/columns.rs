//! PostgreSQL's types as Arrow's, and how a column of each type is asked for and compared.
//!
//! Types that keep their meaning in Arrow arrive natively; every other one arrives as the text that PostgreSQL itself
//! writes. No column is ever left out.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use postgres::types::Type;

use super::quote;
use crate::sources::remote::RemoteColumn;

/// One column of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) field: FieldRef,
    pub(super) shape: Shape,
    pub(super) compare: Compare,
    /// Cast in the server, to text or to an array of text.
    cast: Option<&'static str>,
    /// The type modifier that a reader depends on: a numeric's precision and scale.
    pub(super) modifier: i32,
}

/// How a value of a column crosses the wire, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Bool,
    Bytes,
    Date,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Float4,
    Float8,
    Int2,
    Int4,
    Int8,
    List(Box<Shape>),
    /// Text as it stands, also padded text.
    Text,
    Time,
    Timestamp,
    TimestampTz,
}

/// How a comparison with a literal is written in SQL so that it keeps exactly the rows that Arrow would keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    /// As the literal's own type compares.
    Native,
    /// As text without an order: an enumeration.
    Label,
    /// As bytes: text under a deterministic collation. Whether the database holds UTF-8 decides what can be asked.
    Text { utf8: bool },
    /// As a UUID, where the literal is one in its canonical spelling.
    Uuid,
    /// Not at all.
    Never,
}

/// What the source's catalog says of a column.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) name: String,
    /// The type as PostgreSQL writes it.
    pub(super) type_name: String,
    pub(super) comment: Option<String>,
    pub(super) nullable: bool,
    /// The number of the type, or of a domain's base type.
    pub(super) base: u32,
    pub(super) is_enumeration: bool,
    /// The number of the type of an array's elements.
    pub(super) element: Option<u32>,
    pub(super) modifier: i32,
    pub(super) dimensions: i32,
    /// Whether equal text is equal bytes under the column's collation.
    pub(super) is_deterministic: bool,
    pub(super) is_utf8: bool,
}

impl Column {
    pub(super) fn new(described: &Described) -> Self {
        let (shape, cast) = shape(described);
        let mut metadata = HashMap::from([("weft.source_type".to_owned(), described.type_name.clone())]);
        if let Some(comment) = &described.comment {
            metadata.insert("weft.comment".to_owned(), comment.clone());
        }
        let field = Field::new(&described.name, shape.data_type(), described.nullable).with_metadata(metadata);
        let modifier = if shape.is_decimal() { described.modifier } else { -1 };
        Self { field: Arc::new(field), compare: compare(described, &shape, cast), shape, cast, modifier }
    }

    /// A column that the server computes, which arrives in the shape of its type. None where no shape has that type.
    pub(super) fn derived(field: &FieldRef, origin: Option<&Column>) -> Option<Self> {
        let (shape, modifier) = match field.data_type() {
            DataType::Boolean => (Shape::Bool, -1),
            DataType::Date32 => (Shape::Date, -1),
            DataType::Decimal128(precision, scale) if (0..=38).contains(scale) => {
                let packed = (i32::from(*precision) << 16) | i32::from(*scale);
                (Shape::Decimal { precision: *precision, scale: *scale }, packed + 4)
            }
            DataType::Float32 => (Shape::Float4, -1),
            DataType::Float64 => (Shape::Float8, -1),
            DataType::Int16 => (Shape::Int2, -1),
            DataType::Int32 => (Shape::Int4, -1),
            DataType::Int64 => (Shape::Int8, -1),
            DataType::Timestamp(TimeUnit::Microsecond, None) => (Shape::Timestamp, -1),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => (Shape::TimestampTz, -1),
            DataType::Utf8 => (Shape::Text, -1),
            _ => return None,
        };
        let compare = match (&shape, origin) {
            (_, Some(origin)) => origin.compare,
            (Shape::Text, None) => Compare::Never,
            (_, None) => Compare::Native,
        };
        Some(Self { field: Arc::clone(field), shape, compare, cast: None, modifier })
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
    pub(super) fn is_announced_as(&self, oid: u32, modifier: i32) -> bool {
        let same_type = match (&self.shape, self.cast) {
            (_, Some("text")) => oid == Type::TEXT.oid(),
            (_, Some(_)) => oid == Type::TEXT_ARRAY.oid(),
            (Shape::Text, None) => {
                matches!(Type::from_oid(oid), Some(Type::TEXT | Type::VARCHAR | Type::BPCHAR))
            }
            (Shape::List(item), None) => matches!(
                Type::from_oid(oid).map(|list| list.kind().clone()),
                Some(postgres::types::Kind::Array(of)) if native(of.oid(), self.modifier).as_ref() == Some(&**item)
            ),
            (shape, None) => native(oid, modifier).as_ref() == Some(shape),
        };
        same_type && (self.modifier == -1 || self.modifier == modifier)
    }
}

impl RemoteColumn for Column {
    fn field(&self) -> &FieldRef {
        &self.field
    }

    /// A row value of nothing but NULLs "is null" in SQL, though it arrives as text.
    fn selected(&self) -> String {
        match self.cast {
            Some(to) => format!("{}::{to}", self.name()),
            None => self.name(),
        }
    }

    fn truth(&self) -> Option<String> {
        matches!(self.shape, Shape::Bool).then(|| self.name())
    }

    fn width(&self) -> usize {
        self.shape.width()
    }
}

impl Shape {
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Shape::Bool => DataType::Boolean,
            Shape::Bytes => DataType::Binary,
            Shape::Date => DataType::Date32,
            Shape::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Shape::Float4 => DataType::Float32,
            Shape::Float8 => DataType::Float64,
            Shape::Int2 => DataType::Int16,
            Shape::Int4 => DataType::Int32,
            Shape::Int8 => DataType::Int64,
            Shape::List(item) => DataType::List(item.list_field()),
            Shape::Text => DataType::Utf8,
            Shape::Time => DataType::Time64(TimeUnit::Microsecond),
            Shape::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Shape::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// The field of a list's items. An item can always be NULL.
    pub(super) fn list_field(&self) -> FieldRef {
        Arc::new(Field::new_list_field(self.data_type(), true))
    }

    /// Bytes of one value, roughly: what statistics multiply rows with.
    pub(super) fn width(&self) -> usize {
        match self {
            Shape::Bool => 1,
            Shape::Int2 => 2,
            Shape::Date | Shape::Float4 | Shape::Int4 => 4,
            Shape::Float8 | Shape::Int8 | Shape::Time | Shape::Timestamp | Shape::TimestampTz => 8,
            Shape::Decimal { .. } => 16,
            Shape::Bytes | Shape::List(_) | Shape::Text => 32,
        }
    }

    /// Whether values are of any length.
    pub(super) fn is_open_ended(&self) -> bool {
        matches!(self, Shape::Bytes | Shape::List(_) | Shape::Text)
    }

    fn is_decimal(&self) -> bool {
        match self {
            Shape::Decimal { .. } => true,
            Shape::List(item) => item.is_decimal(),
            _ => false,
        }
    }
}

/// The shape of a column, and the cast that gives it that shape.
fn shape(described: &Described) -> (Shape, Option<&'static str>) {
    match described.element {
        // Only the declaration tells of more dimensions; a list of lists is not what a list column holds.
        Some(_) if described.dimensions > 1 => (Shape::Text, Some("text")),
        Some(element) => match native(element, described.modifier) {
            Some(item) => (Shape::List(Box::new(item)), None),
            None => (Shape::List(Box::new(Shape::Text)), Some("text[]")),
        },
        None => match native(described.base, described.modifier) {
            Some(shape) => (shape, None),
            None => (Shape::Text, Some("text")),
        },
    }
}

/// The shape of a type that arrives natively.
fn native(oid: u32, modifier: i32) -> Option<Shape> {
    Some(match Type::from_oid(oid)? {
        Type::BOOL => Shape::Bool,
        Type::BYTEA => Shape::Bytes,
        Type::DATE => Shape::Date,
        Type::FLOAT4 => Shape::Float4,
        Type::FLOAT8 => Shape::Float8,
        Type::INT2 => Shape::Int2,
        Type::INT4 => Shape::Int4,
        Type::INT8 => Shape::Int8,
        Type::NUMERIC => return decimal(modifier),
        Type::BPCHAR | Type::TEXT | Type::VARCHAR => Shape::Text,
        Type::TIME => Shape::Time,
        Type::TIMESTAMP => Shape::Timestamp,
        Type::TIMESTAMPTZ => Shape::TimestampTz,
        _ => return None,
    })
}

/// `numeric(p, s)` as PostgreSQL packs it into a type modifier. None where it is unconstrained or too wide.
///
/// A negative scale means that many zeros before the point: they are digits of an integer here. A scale beyond the
/// precision means zeros after the point: the decimal gets room for them.
fn decimal(modifier: i32) -> Option<Shape> {
    const HEADER: i32 = 4;
    let packed = modifier.checked_sub(HEADER).filter(|packed| *packed >= 0)?;
    let precision = (packed >> 16) & 0xffff;
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    let precision = if scale < 0 { precision - scale } else { precision.max(scale) };
    match (u8::try_from(precision), i8::try_from(scale.max(0))) {
        (Ok(precision @ 1..=38), Ok(scale)) => Some(Shape::Decimal { precision, scale }),
        _ => None,
    }
}

fn compare(described: &Described, shape: &Shape, cast: Option<&'static str>) -> Compare {
    let base = Type::from_oid(described.base);
    match (shape, cast) {
        (Shape::List(_) | Shape::Bytes, _) => Compare::Never,
        (_, Some(_)) if base == Some(Type::UUID) => Compare::Uuid,
        (_, Some(_)) if described.is_enumeration => Compare::Label,
        (_, Some(_)) => Compare::Never,
        // Trailing blanks mean nothing in bpchar, and something in Arrow.
        (Shape::Text, None) if matches!(base, Some(Type::TEXT | Type::VARCHAR)) && described.is_deterministic => {
            Compare::Text { utf8: described.is_utf8 }
        }
        (Shape::Text, None) => Compare::Never,
        _ => Compare::Native,
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, decimal};

    fn modifier(precision: i32, scale: i32) -> i32 {
        ((precision << 16) | (scale & 0x7ff)) + 4
    }

    #[test]
    fn precision_and_scale_of_numeric_fit_arrow_or_become_text() {
        assert_eq!(decimal(modifier(12, 2)), Some(Shape::Decimal { precision: 12, scale: 2 }));
        assert_eq!(decimal(modifier(38, 38)), Some(Shape::Decimal { precision: 38, scale: 38 }));
        assert_eq!(decimal(modifier(2, 5)), Some(Shape::Decimal { precision: 5, scale: 5 }));
        assert_eq!(decimal(modifier(5, -3)), Some(Shape::Decimal { precision: 8, scale: 0 }));
        assert_eq!(decimal(modifier(39, 0)), None);
        assert_eq!(decimal(modifier(1000, 1000)), None);
        assert_eq!(decimal(modifier(30, -20)), None);
        assert_eq!(decimal(-1), None);
    }
}
