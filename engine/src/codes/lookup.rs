//! Values by code, a batch at a time: what recoding and labels are made of. It never fails on a value.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{cast, interleave};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;

/// What becomes of the values of a column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lookup {
    /// Each code, which is never NULL, with what it becomes. Of a code that is there twice the first one counts.
    pub(super) entries: Vec<(ScalarValue, ScalarValue)>,
    /// The type of what comes out.
    pub(super) to: DataType,
    pub(super) others: Others,
}

/// What becomes of values that are no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Others {
    /// They stay, brought to the type of what comes out.
    Stay,
    /// They are NULL.
    Null,
}

impl Lookup {
    /// What the values of `column` become. NULL stays NULL.
    pub(super) fn find(&self, column: &ColumnarValue) -> Result<ColumnarValue> {
        match column {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(self.find_all(array)?)),
            ColumnarValue::Scalar(value) => {
                let found = self.find_all(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?))
            }
        }
    }

    fn find_all(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let others = match self.others {
            Others::Stay => cast(column, &self.to)?,
            Others::Null => new_null_array(&self.to, column.len()),
        };
        if self.entries.is_empty() || column.is_empty() {
            return Ok(others);
        }
        let plain = plain_type(column.data_type());
        let rows = RowConverter::new(vec![SortField::new(plain.clone())])?;
        let codes = ScalarValue::iter_to_array(self.entries.iter().map(|(code, _)| code.clone()))?;
        let codes = rows.convert_columns(&[cast(&codes, plain)?])?;
        let mut places = HashMap::with_capacity(self.entries.len());
        for (place, code) in codes.iter().enumerate() {
            places.entry(code).or_insert(place);
        }
        let column = rows.convert_columns(&[cast(column, plain)?])?;
        let from = column.iter().enumerate().map(|(row, code)| match places.get(&code) {
            Some(place) => (1, *place),
            None => (0, row),
        });
        let from: Vec<(usize, usize)> = from.collect();
        if from.iter().all(|(array, _)| *array == 0) {
            return Ok(others);
        }
        let values = ScalarValue::iter_to_array(self.entries.iter().map(|(_, value)| value.clone()))?;
        Ok(interleave(&[others.as_ref(), cast(&values, &self.to)?.as_ref()], &from)?)
    }
}

/// The type of values, however they are held.
pub(super) fn plain_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        other => other,
    }
}

/// A code as a value of a column's type. None where it is none.
pub(super) fn read(code: &str, data_type: &DataType) -> Option<ScalarValue> {
    let value = ScalarValue::from(code).cast_to(data_type).ok()?;
    (!value.is_null()).then_some(value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, DictionaryArray, Int64Array, StringArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    fn texts(found: &ArrayRef) -> Vec<Option<&str>> {
        found.as_string::<i32>().iter().collect()
    }

    #[test]
    fn codes_are_found_and_other_values_stay_or_go() {
        let entries =
            vec![("1".into(), "one".into()), ("9".into(), ScalarValue::Utf8(None)), ("1".into(), "no".into())];
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("1"), Some("9"), Some("2"), None]));
        let lookup = Lookup { entries, to: DataType::Utf8, others: Others::Stay };
        assert_eq!(texts(&lookup.find_all(&column).unwrap()), [Some("one"), None, Some("2"), None]);
        let lookup = Lookup { others: Others::Null, ..lookup };
        assert_eq!(texts(&lookup.find_all(&column).unwrap()), [Some("one"), None, None, None]);
    }

    #[test]
    fn the_type_of_codes_is_that_of_the_column_and_dictionaries_are_read() {
        let entries = vec![(ScalarValue::from(1_i64), "one".into())];
        let lookup = Lookup { entries, to: DataType::Utf8, others: Others::Stay };
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, -7]));
        assert_eq!(texts(&lookup.find_all(&column).unwrap()), [Some("one"), Some("-7")]);

        let lookup = Lookup { entries: vec![("A1".into(), "A".into())], ..lookup };
        let column: DictionaryArray<Int32Type> = vec![Some("A1"), Some("B"), None, Some("A1")].into_iter().collect();
        let column: ArrayRef = Arc::new(column);
        assert_eq!(texts(&lookup.find_all(&column).unwrap()), [Some("A"), Some("B"), None, Some("A")]);
    }
}
