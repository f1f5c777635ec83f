//! What the codes of a column mean: its question, labels of its values, merged categories, their order, and codes that stand
//! for no answer.
//!
//! A coded column is its recoded form wherever its table is named: queries, policies and designs see no raw code. What is said
//! of it travels in the metadata of its field.

mod decode;
mod label;
mod lookup;
mod recode;
mod table;

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::Field;
use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use decode::DecodeFilters;
pub(crate) use label::{all, resolve};
pub(crate) use table::{coded, is_coded};

/// The coded columns of a dataset: by the name of the table after `dataset.`, then by that of the column.
pub type Codebook = BTreeMap<String, BTreeMap<String, Coding>>;

/// What the codes of one column mean. Codes are written as text, and read as values of the column's type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coding {
    /// What was asked.
    pub question: Option<String>,
    /// Labels by value, as it is after merging, in the order that they are shown in.
    pub labels: Vec<(String, String)>,
    /// Categories, and the codes that each is made of.
    pub merge: Vec<(String, Vec<String>)>,
    /// Values in their order, where that is not the one of the labels.
    pub order: Vec<String>,
    /// Codes that stand for no answer, and are NULL.
    pub missing: Vec<String>,
}

impl Coding {
    /// The values in their order, as far as it is known.
    fn ordered(&self) -> Vec<&str> {
        if self.order.is_empty() {
            return self.labels.iter().map(|(value, _)| value.as_str()).filter(|value| !self.is_gone(value)).collect();
        }
        self.order.iter().map(String::as_str).collect()
    }

    /// Whether no row has `value` after recoding.
    pub fn is_gone(&self, value: &str) -> bool {
        let is_in = |codes: &[String]| codes.iter().any(|code| code == value);
        let is_recoded = is_in(&self.missing) || self.merge.iter().any(|(_, codes)| is_in(codes));
        is_recoded && !self.merge.iter().any(|(name, _)| name == value)
    }
}

/// Where a field's metadata says what was asked.
const QUESTION: &str = "weft.question";
/// Where it has labels by value, as a JSON object.
const LABELS: &str = "weft.labels";
/// Where it has the values in their order, as a JSON list.
const ORDER: &str = "weft.order";

/// What a field says of its codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Meaning {
    /// What was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Labels by value.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String, Value>,
    /// Values in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
}

impl Meaning {
    /// What `field` says of its codes. What cannot be read is as what is not said.
    pub fn of(field: &Field) -> Self {
        let [question, labels, order] = texts(field);
        Self::read(question, labels, order)
    }

    /// The same from its texts, as `system.columns` has them.
    pub fn read(question: Option<&str>, labels: Option<&str>, order: Option<&str>) -> Self {
        Self {
            question: question.map(str::to_owned),
            labels: labels.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
            order: order.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        }
    }

    fn metadata(self) -> HashMap<String, String> {
        let labels = (!self.labels.is_empty()).then(|| Value::Object(self.labels).to_string());
        let order = (!self.order.is_empty()).then(|| Value::from(self.order).to_string());
        let said = [(QUESTION, self.question), (LABELS, labels), (ORDER, order)];
        said.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))).collect()
    }
}

/// The texts of a field that say what its codes mean: question, labels and order.
pub(crate) fn texts(field: &Field) -> [Option<&str>; 3] {
    [QUESTION, LABELS, ORDER].map(|key| field.metadata().get(key).map(String::as_str))
}
