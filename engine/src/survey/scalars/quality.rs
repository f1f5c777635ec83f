//! `svy_quality(s)`: what to do with an estimate, by the thresholds of the settings.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    self as datafusion_doc, ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::quality::{Grade, Quality};

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "Whether an estimate can be used: `reliable`, `use with caution` or `suppress`, by its relative standard error and by how many people it is of. Thresholds are set in `weft.yaml`, under `quality`. A difference is judged by its people alone. NULL where there is no estimate, or its error is not known.",
    syntax_example = "svy_quality(s)",
    sql_example = "SELECT town_class, svy_quality(svy_mean(age)) FROM panel.people GROUP BY town_class",
    argument(name = "s", description = "What a survey function gives."),
    related_udf(name = "svy_rse")
)]
#[derive(Debug)]
pub(super) struct SvyQuality {
    quality: Quality,
    signature: Signature,
}

impl SvyQuality {
    pub(super) fn new(quality: Quality) -> Self {
        Self { quality, signature: Signature::variadic_any(Volatility::Immutable) }
    }

    fn key(&self) -> (u64, u64, u64) {
        (self.quality.caution.to_bits(), self.quality.suppress.to_bits(), self.quality.min_n)
    }
}

impl PartialEq for SvyQuality {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for SvyQuality {}

impl Hash for SvyQuality {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl ScalarUDFImpl for SvyQuality {
    fn name(&self) -> &str {
        "svy_quality"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        super::check(self.name(), given)?;
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let judged = super::judged(&args)?.into_iter();
        let grades = judged.map(|judged| judged.and_then(|judged| self.quality.grade(&judged)).map(Grade::as_str));
        Ok(ColumnarValue::Array(Arc::new(grades.collect::<StringArray>())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
