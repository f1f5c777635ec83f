//! Attributes as a policy file writes them: a value, or a list of values, of text, numbers or booleans.

use serde::{Deserialize, Deserializer};

use crate::Attributes;

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(Value),
    Several(Vec<Value>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Truth(bool),
    Whole(i64),
    Number(f64),
}

impl Value {
    fn text(self) -> String {
        match self {
            Value::Text(text) => text,
            Value::Truth(truth) => truth.to_string(),
            Value::Whole(whole) => whole.to_string(),
            Value::Number(number) => number.to_string(),
        }
    }
}

pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Attributes, D::Error> {
    let written = std::collections::BTreeMap::<String, Values>::deserialize(from)?;
    let values = |values| match values {
        Values::One(value) => vec![value.text()],
        Values::Several(values) => values.into_iter().map(Value::text).collect(),
    };
    Ok(written.into_iter().map(|(name, written)| (name, values(written))).collect())
}
