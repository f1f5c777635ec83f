//! One schema for the files of a table: columns are matched by name, and types grow where no value is lost.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use engine::{Code, Error};

/// Which columns of different types may become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mixing {
    /// Types are declared: only those that grow without loss.
    Declared,
    /// Types are guesses from text: what does not grow is text.
    Guessed,
}

/// The schema of a table whose files have the given schemas. A column that some file lacks is NULL there.
///
/// # Errors
/// `schema_changed` with the file whose columns do not fit, and those of the first.
pub(crate) fn merge<'a>(
    files: impl Iterator<Item = (&'a str, &'a SchemaRef)>,
    mixing: Mixing,
) -> Result<SchemaRef, Error> {
    let mut merged: Vec<(FieldRef, &str)> = Vec::new();
    for (count, (name, schema)) in files.enumerate() {
        let shared =
            schema.fields().iter().filter(|field| merged.iter().any(|(known, _)| known.name() == field.name()));
        if count > 0 && shared.count() == 0 {
            return Err(no_column_in_common(name, schema, merged.first().map_or("", |(_, first)| first), &merged));
        }
        for known in &mut merged {
            if schema.field_with_name(known.0.name()).is_err() {
                known.0 = Arc::new(known.0.as_ref().clone().with_nullable(true));
            }
        }
        for field in schema.fields() {
            match merged.iter_mut().find(|(known, _)| known.name() == field.name()) {
                None => {
                    let nullable = field.is_nullable() || count > 0;
                    merged.push((Arc::new(field.as_ref().clone().with_nullable(nullable)), name));
                }
                Some((known, first)) => match grown(known.data_type(), field.data_type(), mixing) {
                    Some(data_type) => {
                        let nullable = known.is_nullable() || field.is_nullable();
                        *known = Arc::new(known.as_ref().clone().with_data_type(data_type).with_nullable(nullable));
                    }
                    None => return Err(other_type(name, field, first, known)),
                },
            }
        }
    }
    Ok(Arc::new(Schema::new(merged.into_iter().map(|(field, _)| field).collect::<Fields>())))
}

fn no_column_in_common(name: &str, schema: &SchemaRef, first: &str, merged: &[(FieldRef, &str)]) -> Error {
    let names = |fields: Vec<&str>| engine::names::listing(fields);
    let here = names(schema.fields().iter().map(|field| field.name().as_str()).collect());
    let there = names(merged.iter().map(|(field, _)| field.name().as_str()).collect());
    let text = format!("File \"{name}\" has other columns ({here}) than \"{first}\" of the same table ({there}).");
    Error::new(Code::SchemaChanged, text).hint("Move it to a table of its own.")
}

fn other_type(name: &str, field: &Field, first: &str, known: &Field) -> Error {
    let text = format!(
        "Column \"{}\" is {} in file \"{name}\" and {} in \"{first}\" of the same table.",
        field.name(),
        field.data_type(),
        known.data_type()
    );
    Error::new(Code::SchemaChanged, text).hint("Write one of the files again with the type of the other.")
}

/// A type that holds every value of both.
fn grown(one: &DataType, other: &DataType, mixing: Mixing) -> Option<DataType> {
    use DataType::{
        Date32, Decimal128, Dictionary, Float16, Float32, Float64, LargeList, LargeUtf8, List, Null, Struct, Timestamp,
        Utf8, Utf8View,
    };
    match (one, other) {
        _ if one == other => Some(one.clone()),
        (Null, known) | (known, Null) => Some(known.clone()),
        (Dictionary(_, value), known) | (known, Dictionary(_, value)) => grown(value, known, mixing),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => Some(Utf8),
        (DataType::Binary | DataType::LargeBinary | DataType::BinaryView, DataType::Binary)
        | (DataType::Binary, DataType::LargeBinary | DataType::BinaryView) => Some(DataType::Binary),
        _ if one.is_integer() && other.is_integer() => integer(one, other),
        (Float16 | Float32 | Float64, Float16 | Float32 | Float64) => Some(Float64),
        (number, Float32 | Float64) | (Float32 | Float64, number)
            if number.is_integer() && (mixing == Mixing::Guessed || integer_bits(number) <= 32) =>
        {
            Some(Float64)
        }
        (Decimal128(p, s), Decimal128(q, t)) => {
            let scale = *s.max(t);
            let whole = (i16::from(*p) - i16::from(*s)).max(i16::from(*q) - i16::from(*t));
            let precision = u8::try_from(whole + i16::from(scale)).ok().filter(|precision| *precision <= 38)?;
            Some(Decimal128(precision, scale))
        }
        (Timestamp(unit, zone), Timestamp(unit2, zone2)) if zone == zone2 => {
            let fine = |unit: &TimeUnit| *unit == TimeUnit::Nanosecond;
            let unit = if fine(unit) || fine(unit2) { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
            Some(Timestamp(unit, zone.clone()))
        }
        (Date32, time @ Timestamp(_, None)) | (time @ Timestamp(_, None), Date32) if mixing == Mixing::Guessed => {
            Some(time.clone())
        }
        (List(one), List(other)) | (LargeList(one), LargeList(other)) => {
            let item = grown(one.data_type(), other.data_type(), mixing)?;
            Some(List(Arc::new(Field::new(one.name(), item, true))))
        }
        (Struct(one), Struct(other)) => structs(one, other, mixing),
        _ if mixing == Mixing::Guessed && !one.is_nested() && !other.is_nested() => Some(Utf8),
        _ => None,
    }
}

fn structs(one: &Fields, other: &Fields, mixing: Mixing) -> Option<DataType> {
    let mut fields: Vec<Field> = one.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    for field in other {
        match fields.iter_mut().find(|known| known.name() == field.name()) {
            Some(known) => *known = known.clone().with_data_type(grown(known.data_type(), field.data_type(), mixing)?),
            None => fields.push(field.as_ref().clone().with_nullable(true)),
        }
    }
    Some(DataType::Struct(fields.into()))
}

fn integer(one: &DataType, other: &DataType) -> Option<DataType> {
    let bits = integer_bits(one).max(integer_bits(other));
    let (signed, bits) = match (one.is_signed_integer(), other.is_signed_integer()) {
        (true, true) => (true, bits),
        (false, false) => (false, bits),
        (true, false) => (true, integer_bits(one).max(2 * integer_bits(other))),
        (false, true) => (true, integer_bits(other).max(2 * integer_bits(one))),
    };
    Some(match (signed, bits) {
        (true, 8) => DataType::Int8,
        (true, 16) => DataType::Int16,
        (true, 32) => DataType::Int32,
        (true, 64) => DataType::Int64,
        (false, 8) => DataType::UInt8,
        (false, 16) => DataType::UInt16,
        (false, 32) => DataType::UInt32,
        (false, 64) => DataType::UInt64,
        // An unsigned 64-bit number next to a signed one fits no integer.
        _ => return None,
    })
}

fn integer_bits(data_type: &DataType) -> usize {
    data_type.primitive_width().unwrap_or(8) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
        let fields = fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), false));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    #[test]
    fn a_column_that_a_file_lacks_is_nullable() {
        let a = schema(&[("id", DataType::Int32), ("old", DataType::Int32)]);
        let b = schema(&[("id", DataType::Int64), ("new", DataType::Utf8)]);
        let merged = merge([("a", &a), ("b", &b)].into_iter(), Mixing::Declared).unwrap();
        let shape: Vec<_> =
            merged.fields().iter().map(|f| (f.name().as_str(), f.data_type().clone(), f.is_nullable())).collect();
        assert_eq!(
            shape,
            [("id", DataType::Int64, false), ("old", DataType::Int32, true), ("new", DataType::Utf8, true)]
        );
    }

    #[test]
    fn declared_types_that_would_lose_values_are_refused_with_both_files() {
        let a = schema(&[("id", DataType::Int64)]);
        let b = schema(&[("id", DataType::Utf8)]);
        let error = merge([("a.parquet", &a), ("b.parquet", &b)].into_iter(), Mixing::Declared).unwrap_err();
        assert_eq!(error.code(), Code::SchemaChanged);
        assert_eq!(
            error.message(),
            "Column \"id\" is Utf8 in file \"b.parquet\" and Int64 in \"a.parquet\" of the same table."
        );
    }

    #[test]
    fn guessed_types_become_text() {
        let a = schema(&[("id", DataType::Int64)]);
        let b = schema(&[("id", DataType::Utf8)]);
        let merged = merge([("a", &a), ("b", &b)].into_iter(), Mixing::Guessed).unwrap();
        assert_eq!(merged.field(0).data_type(), &DataType::Utf8);
    }

    #[test]
    fn a_file_without_a_common_column_is_no_part_of_the_table() {
        let a = schema(&[("id", DataType::Int64)]);
        let b = schema(&[("x", DataType::Utf8)]);
        let error = merge([("a", &a), ("b", &b)].into_iter(), Mixing::Guessed).unwrap_err();
        assert_eq!(error.message(), "File \"b\" has other columns (x) than \"a\" of the same table (id).");
    }

    #[test]
    fn integers_grow_and_unsigned_ones_keep_their_range() {
        for (one, other, expected) in [
            (DataType::Int8, DataType::Int32, Some(DataType::Int32)),
            (DataType::UInt8, DataType::Int8, Some(DataType::Int16)),
            (DataType::UInt32, DataType::Int32, Some(DataType::Int64)),
            (DataType::UInt64, DataType::Int64, None),
            (DataType::Int64, DataType::Float64, None),
            (DataType::Int32, DataType::Float32, Some(DataType::Float64)),
        ] {
            assert_eq!(grown(&one, &other, Mixing::Declared), expected, "{one} {other}");
        }
    }
}
