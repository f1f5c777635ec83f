//! SQLite's columns as Arrow's: what a declared type says of the values, and what compares as it does in Arrow.
//!
//! Any value may stand in any column, so a type is a claim. Every value is checked against it as it is read: one that does
//! not fit is an error that names the column, never another value and never NULL. Types come from declarations alone,
//! so that they do not change with the rows. Only where nothing is declared, as for the expressions of a view, some rows
//! are looked at.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

use super::dialect;
use crate::sources::files::SOURCE_TYPE;
use crate::sources::remote::RemoteColumn;

/// One column of a table.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) declared: Declared,
    pub(super) field: FieldRef,
    pub(super) shape: Shape,
    pub(super) compare: Compare,
}

/// What the database's schema says of a column: what a plan depends on, and is checked again when its rows are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: String,
    /// The type as it is written. None where none is.
    pub(super) declared_type: Option<String>,
    pub(super) is_not_null: bool,
    pub(super) of: Of,
    /// Whether the database holds text as UTF-8, whose bytes compare as they do in Arrow.
    pub(super) is_utf8: bool,
}

/// What a column is a column of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Table,
    /// A table whose values are of the declared types, as SQLite itself sees to.
    StrictTable,
    View,
    /// A module stands between us and the values, and may compare as it likes.
    VirtualTable,
}

/// What the values of a column are, and what becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Text and numbers, as text.
    Any,
    /// 0 and 1.
    Bool,
    Bytes,
    /// `YYYY-MM-DD`, which is how SQLite's own functions write a day. A day number or seconds of some epoch do not tell
    /// which they are, so they do not fit.
    Date,
    /// Numbers. `DECIMAL(p,s)` is no more in SQLite: the digits are gone when it stores them.
    Float,
    Int,
    Text,
    /// `YYYY-MM-DD HH:MM:SS` with up to six digits more, in UTC as SQLite's own functions take it.
    Timestamp,
}

/// How a comparison with a literal is written in SQL so that it keeps exactly the rows that Arrow would keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    /// As numbers, or as truth values.
    Native,
    /// As days that are written as text.
    Day,
    /// As text that is no number, and without an order.
    Label,
    /// As bytes.
    Text,
    /// As bytes, where the literal is no number: what an expression does to one is not known.
    Words,
    /// Not at all.
    Never,
}

impl Column {
    pub(super) fn new(declared: Declared, shape: Shape) -> Self {
        let written = declared.declared_type.as_deref().unwrap_or("ANY").to_owned();
        let field = Field::new(&declared.name, shape.data_type(), !declared.is_not_null)
            .with_metadata(HashMap::from([(SOURCE_TYPE.to_owned(), written)]));
        Self { field: Arc::new(field), compare: compare(&declared, shape), declared, shape }
    }

    /// The column as a name.
    pub(super) fn name(&self) -> String {
        dialect::identifier(self.field.name())
    }
}

impl RemoteColumn for Column {
    fn field(&self) -> &FieldRef {
        &self.field
    }

    fn selected(&self) -> String {
        self.name()
    }

    fn truth(&self) -> Option<String> {
        (self.shape == Shape::Bool && self.compare == Compare::Native).then(|| self.name())
    }

    fn width(&self) -> usize {
        match self.shape {
            Shape::Bool => 1,
            Shape::Date => 4,
            Shape::Float | Shape::Int | Shape::Timestamp => 8,
            Shape::Any | Shape::Bytes | Shape::Text => 32,
        }
    }

    fn is_certain(&self) -> bool {
        self.declared.of == Of::StrictTable && matches!(self.shape, Shape::Int | Shape::Float)
    }
}

impl Shape {
    pub(super) fn data_type(self) -> DataType {
        match self {
            Shape::Any | Shape::Text => DataType::Utf8,
            Shape::Bool => DataType::Boolean,
            Shape::Bytes => DataType::Binary,
            Shape::Date => DataType::Date32,
            Shape::Float => DataType::Float64,
            Shape::Int => DataType::Int64,
            Shape::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }

    /// Whether values are of any length.
    pub(super) fn is_open_ended(self) -> bool {
        matches!(self, Shape::Any | Shape::Bytes | Shape::Text)
    }

    /// The shape that a declared type claims. None where it claims nothing.
    pub(super) fn of_type(declared_type: Option<&str>) -> Option<Self> {
        let declared = declared_type?.to_ascii_uppercase();
        let name = declared.split('(').next().unwrap_or_default().trim();
        Some(match name {
            "" | "ANY" => return None,
            "BOOL" | "BOOLEAN" => Shape::Bool,
            "DATE" => Shape::Date,
            "DATETIME" | "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => Shape::Timestamp,
            name if GEOMETRIES.contains(&name) => Shape::Bytes,
            _ => match Affinity::of(&declared) {
                Affinity::Integer if is_integer(name) => Shape::Int,
                // "FLOATING POINT" has an INT in it.
                Affinity::Integer if Affinity::of(&declared.replace("INT", "")) == Affinity::Real => Shape::Float,
                Affinity::Text => Shape::Text,
                Affinity::Blob => Shape::Bytes,
                Affinity::Real => Shape::Float,
                Affinity::Numeric if DECIMALS.contains(&name) => Shape::Float,
                // JSON, UUID, STRING, TIME and whatever else somebody thought of: text to SQLite, and often numbers.
                Affinity::Integer | Affinity::Numeric => Shape::Any,
            },
        })
    }
}

/// Names of types that hold geometries in GeoPackage and SpatiaLite, whatever affinity they happen to have.
const GEOMETRIES: [&str; 10] = [
    "CURVE",
    "GEOMETRY",
    "GEOMETRYCOLLECTION",
    "LINESTRING",
    "MULTILINESTRING",
    "MULTIPOINT",
    "MULTIPOLYGON",
    "POINT",
    "POLYGON",
    "SURFACE",
];
/// Names of types of numbers that may have a fraction.
const DECIMALS: [&str; 8] = ["CURRENCY", "DEC", "DECIMAL", "FIXED", "MONEY", "NUM", "NUMBER", "NUMERIC"];

/// Whether a type with `INT` in its name is one of integers: INTERVAL is not.
fn is_integer(name: &str) -> bool {
    let is_word = |word: &str| {
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
        word.ends_with("INTEGER") || (word.ends_with("INT") && !word.ends_with("POINT"))
    };
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(is_word)
}

/// What SQLite does to values as it stores them, by its own rules, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    fn of(declared: &str) -> Self {
        let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
        if has(&["INT"]) {
            Affinity::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Affinity::Text
        } else if has(&["BLOB"]) {
            Affinity::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }
}

fn compare(declared: &Declared, shape: Shape) -> Compare {
    match (declared.of, shape) {
        (Of::VirtualTable, _) | (_, Shape::Bytes | Shape::Timestamp) => Compare::Never,
        (_, Shape::Bool | Shape::Float | Shape::Int) => Compare::Native,
        // Text compares by its stored bytes, and those of UTF-16 have another order.
        _ if !declared.is_utf8 => Compare::Never,
        (_, Shape::Any) => Compare::Label,
        (_, Shape::Date) => Compare::Day,
        (Of::View, Shape::Text) => Compare::Words,
        // What an option calls text may have any affinity.
        (_, Shape::Text) => match declared.declared_type.as_deref().map(|of| Affinity::of(&of.to_ascii_uppercase())) {
            Some(Affinity::Text) => Compare::Text,
            _ => Compare::Words,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Compare, Declared, Of, Shape, compare};

    #[test]
    fn declared_types_say_what_their_columns_hold() {
        for (declared, shape) in [
            ("INTEGER", Shape::Int),
            ("bigint unsigned", Shape::Int),
            ("INT8", Shape::Int),
            ("int(11)", Shape::Int),
            ("UNSIGNED BIG INT", Shape::Int),
            ("VARCHAR(20)", Shape::Text),
            ("NATIVE CHARACTER(70)", Shape::Text),
            ("CLOB", Shape::Text),
            ("BLOB", Shape::Bytes),
            ("POINT", Shape::Bytes),
            ("MULTIPOLYGON", Shape::Bytes),
            ("double precision", Shape::Float),
            ("FLOAT", Shape::Float),
            ("FLOATING POINT", Shape::Float),
            ("DECIMAL(10,2)", Shape::Float),
            ("NUM", Shape::Float),
            ("Boolean", Shape::Bool),
            ("DATE", Shape::Date),
            ("datetime(6)", Shape::Timestamp),
            ("TIMESTAMP", Shape::Timestamp),
            ("TIMESTAMP WITH TIME ZONE", Shape::Any),
            ("TIME", Shape::Any),
            ("INTERVAL", Shape::Any),
            ("JSON", Shape::Any),
            ("UUID", Shape::Any),
            ("STRING", Shape::Any),
        ] {
            assert_eq!(Shape::of_type(Some(declared)), Some(shape), "{declared}");
        }
        for declared in [None, Some(""), Some(" "), Some("any")] {
            assert_eq!(Shape::of_type(declared), None, "{declared:?}");
        }
    }

    #[test]
    fn text_compares_only_where_its_bytes_do() {
        let column = |declared_type: Option<&str>, of, is_utf8| Declared {
            name: "c".to_owned(),
            declared_type: declared_type.map(str::to_owned),
            is_not_null: false,
            of,
            is_utf8,
        };
        for (declared, shape, expected) in [
            (column(Some("TEXT"), Of::Table, true), Shape::Text, Compare::Text),
            (column(Some("TEXT"), Of::StrictTable, true), Shape::Text, Compare::Text),
            (column(Some("TEXT"), Of::View, true), Shape::Text, Compare::Words),
            (column(Some("INTEGER"), Of::Table, true), Shape::Text, Compare::Words),
            (column(Some("TEXT"), Of::Table, false), Shape::Text, Compare::Never),
            (column(Some("TEXT"), Of::VirtualTable, true), Shape::Text, Compare::Never),
            (column(None, Of::Table, true), Shape::Any, Compare::Label),
            (column(Some("INTEGER"), Of::Table, false), Shape::Int, Compare::Native),
            (column(Some("BLOB"), Of::Table, true), Shape::Bytes, Compare::Never),
        ] {
            assert_eq!(compare(&declared, shape), expected, "{declared:?}");
        }
    }
}
