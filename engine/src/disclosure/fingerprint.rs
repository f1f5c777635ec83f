//! A number for a row, or for a person: equal for equal values, and nothing that could be turned back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::hash_utils::{QualityRandomState, create_hashes};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The function, of one process: its seed is nobody's to know.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Fingerprint {
    seed: u64,
    signature: Signature,
}

/// A number for the values of `columns` together; NULL where all of them are.
pub(super) fn fingerprint(columns: Vec<Expr>, seed: u64) -> Expr {
    ScalarUDF::from(Fingerprint { seed, signature: Signature::variadic_any(Volatility::Immutable) }).call(columns)
}

/// The number of a text.
pub(super) fn of_text(text: &str, seed: u64) -> u64 {
    use std::hash::BuildHasher;
    QualityRandomState::with_seed(seed).hash_one(text)
}

impl ScalarUDFImpl for Fingerprint {
    fn name(&self) -> &str {
        "disclosure_fingerprint"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::UInt64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let columns: Vec<ArrayRef> =
            arguments.args.iter().map(|column| column.to_array(rows)).collect::<Result<_>>()?;
        let mut hashes = vec![0; rows];
        create_hashes(&columns, &QualityRandomState::with_seed(self.seed), &mut hashes)?;
        let is_there: Vec<bool> = (0..rows).map(|row| columns.iter().any(|column| !column.is_null(row))).collect();
        let nulls = is_there.iter().any(|is_there| !is_there).then(|| NullBuffer::from(is_there));
        Ok(ColumnarValue::Array(Arc::new(UInt64Array::new(hashes.into(), nulls))))
    }
}
