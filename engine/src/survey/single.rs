//! Where each row is a sampling unit of its own: a row to its part, without a level of groups.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};

use super::lists;
use super::rows::{OfRows, width};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Single {
    of: OfRows,
    signature: Signature,
}

/// The part of each row. `keep` says which rows are of the domain.
pub(super) fn call(of: OfRows, mut arguments: Vec<Expr>, keep: Expr) -> Expr {
    let function = ScalarUDF::from(Single { of, signature: Signature::variadic_any(Volatility::Immutable) });
    arguments.push(cast(keep, DataType::Boolean));
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), arguments))
}

impl ScalarUDFImpl for Single {
    fn name(&self) -> &str {
        "svy_row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(lists::data_type(width(self.of.variables)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns =
            args.args.iter().map(|argument| argument.to_array(args.number_rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let (keep, values) = columns.split_last().ok_or_else(|| internal_datafusion_err!("a row without columns"))?;
        Ok(ColumnarValue::Array(self.of.each(values, Some(keep.as_boolean()))?))
    }
}
