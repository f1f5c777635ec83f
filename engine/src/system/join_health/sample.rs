//! Which keys of large tables are measured: those whose hash falls into the first buckets. It depends on the key alone, so
//! both sides take the same keys, and what is said of their overlap stays true.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// Rows that are measured whole.
const WHOLE: u64 = 1_000_000;

/// Buckets that keys fall into.
const BUCKETS: u64 = 1 << 16;

/// A part of all keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    kept: u64,
}

impl Sample {
    /// The half, quarter, .. of the keys of a table of so many rows that leaves about a million of them.
    pub(super) fn of_rows(rows: u64) -> Self {
        let mut kept = BUCKETS;
        while kept > 1 && u128::from(rows) * u128::from(kept) > u128::from(WHOLE) * u128::from(BUCKETS) {
            kept /= 2;
        }
        Self { kept }
    }

    /// The share of all keys, up to 1.
    pub(super) fn share(self) -> f64 {
        self.kept as f64 / BUCKETS as f64
    }

    /// The condition, on a key and the text that its bucket is found by. Rows without a key stay: they are counted.
    pub(super) fn condition(self, key: &str, text: &str) -> Option<String> {
        (self.kept < BUCKETS).then(|| format!("{key} IS NULL OR {BUCKET}({text}) < {}", self.kept))
    }
}

/// The name of the function that gives the bucket.
const BUCKET: &str = "key_bucket";

/// The bucket of a text. Only the queries of this table know it.
pub(super) fn bucket() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Bucket { signature: Signature::string(1, Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bucket {
    signature: Signature,
}

impl ScalarUDFImpl for Bucket {
    fn name(&self) -> &str {
        BUCKET
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = ColumnarValue::values_to_arrays(&args.args)?;
        let texts = texts.iter().map(|texts| cast(texts, &DataType::Utf8)).collect::<Result<Vec<_>, _>>()?;
        let buckets = texts.iter().flat_map(|texts| texts.as_string::<i32>()).map(|text| text.map(of_text));
        Ok(ColumnarValue::Array(Arc::new(buckets.collect::<Int64Array>())))
    }
}

fn of_text(text: &str) -> i64 {
    let hash = blake3::hash(text.as_bytes());
    let [high, low, ..] = hash.as_bytes();
    i64::from(u16::from_be_bytes([*high, *low]))
}
