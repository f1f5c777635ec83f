//! Parameters of a statement: JSON scalars in, a batch of one row out.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray, UInt64Array,
};
use engine::Error;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer beyond the signed ones.
    UInt(u64),
    Float(f64),
    Text(String),
    /// A NULL that is known to be text.
    NoText,
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Scalar::Text(text.to_owned())
    }
}

impl From<Option<String>> for Scalar {
    fn from(text: Option<String>) -> Self {
        text.map_or(Scalar::NoText, Scalar::Text)
    }
}

/// Parameters by position as the engine takes them; None where there are none.
pub(crate) fn batch(params: Vec<Scalar>) -> Result<Option<RecordBatch>, Error> {
    if params.is_empty() {
        return Ok(None);
    }
    let columns = params.into_iter().zip(1..).map(|(value, position)| (position.to_string(), array(value), true));
    Ok(Some(RecordBatch::try_from_iter_with_nullable(columns)?))
}

fn array(value: Scalar) -> ArrayRef {
    match value {
        Scalar::Null => Arc::new(NullArray::new(1)),
        Scalar::Bool(value) => Arc::new(BooleanArray::from(vec![value])),
        Scalar::Int(value) => Arc::new(Int64Array::from(vec![value])),
        Scalar::UInt(value) => Arc::new(UInt64Array::from(vec![value])),
        Scalar::Float(value) => Arc::new(Float64Array::from(vec![value])),
        Scalar::Text(value) => Arc::new(StringArray::from(vec![value])),
        Scalar::NoText => Arc::new(StringArray::new_null(1)),
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a parameter that is null, true, false, a number or text")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(value).map_or(Scalar::UInt(value), Scalar::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Scalar, E> {
        Ok(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_scalars_keep_their_types() -> Result<(), Box<dyn std::error::Error>> {
        let text = r#"[null, true, -3, 18446744073709551615, 1.5, "x"]"#;
        let batch = batch(serde_json::from_str(text)?)?.ok_or("no batch")?;
        let types: Vec<String> = batch.schema().fields().iter().map(|field| field.data_type().to_string()).collect();
        assert_eq!(types, ["Null", "Boolean", "Int64", "UInt64", "Float64", "Utf8"]);
        assert_eq!((batch.num_rows(), batch.schema().field(5).name().as_str()), (1, "6"));
        assert!(serde_json::from_str::<Scalar>("[1]").is_err());
        Ok(())
    }
}
