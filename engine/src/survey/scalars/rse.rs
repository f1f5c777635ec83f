//! `svy_rse(s)`: how large the error of an estimate is next to the estimate.

use std::sync::Arc;

use arrow::array::Float64Array;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    self as datafusion_doc, ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

#[user_doc(
    doc_section(label = "Survey functions"),
    description = "The relative standard error of an estimate: `se / |estimate|`, also called its coefficient of variation. NULL where either is NULL, or the estimate is 0.",
    syntax_example = "svy_rse(s)",
    sql_example = "SELECT town_class, svy_rse(svy_mean(age)) FROM panel.people GROUP BY town_class",
    argument(name = "s", description = "What a survey function gives."),
    related_udf(name = "svy_quality")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SvyRse {
    signature: Signature,
}

impl SvyRse {
    pub(super) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SvyRse {
    fn name(&self) -> &str {
        "svy_rse"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        super::check(self.name(), given)?;
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let errors = super::judged(&args)?.into_iter().map(|judged| judged.and_then(|judged| judged.relative_error()));
        Ok(ColumnarValue::Array(Arc::new(errors.collect::<Float64Array>())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
