//! What a codebook says of a column: what was asked, what its values mean, and how they follow on each other.

use std::collections::BTreeMap;

use engine::Meaning;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// What a codebook says of a column.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Codes {
    /// What was asked
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<String>,
    /// Labels by value; label(column) gives them in SQL
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    labels: Map<String, Value>,
    /// The values in their order, as ORDER BY label_order(column) has them
    #[serde(skip_serializing_if = "Vec::is_empty")]
    order: Vec<String>,
}

impl From<Meaning> for Codes {
    fn from(Meaning { question, labels, order }: Meaning) -> Self {
        Self { question, labels, order }
    }
}

impl Codes {
    /// In one line; empty where nothing is said.
    pub(super) fn text(&self) -> String {
        let labeled = self.labels.iter().map(|(value, label)| match label.as_str() {
            Some(label) => format!("{value} = {label}"),
            None => value.clone(),
        });
        let order: Vec<String> = self.order.iter().filter(|value| !self.labels.contains_key(*value)).cloned().collect();
        let values = labeled.chain(order).collect::<Vec<_>>().join(", ");
        let parts = [self.question.clone().unwrap_or_default(), values];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ").replace(['\n', '\r'], " ")
    }
}
