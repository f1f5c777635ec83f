//! Many floats of each row in one column: how sums cross from one level of a plan to the next.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, internal_datafusion_err};

/// The type of a column of `width` floats a row.
pub(super) fn data_type(width: usize) -> DataType {
    DataType::FixedSizeList(item(), i32::try_from(width).unwrap_or(i32::MAX))
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float64, false))
}

/// The column of rows that lie one after the other.
pub(super) fn column(floats: Vec<f64>, width: usize) -> Result<ArrayRef> {
    let size = i32::try_from(width).unwrap_or(i32::MAX);
    Ok(Arc::new(FixedSizeListArray::try_new(item(), size, Arc::new(Float64Array::from(floats)), None)?))
}

/// The rows of such a column. A row that is NULL is all zeros.
pub(super) struct Lists<'a> {
    list: &'a FixedSizeListArray,
    floats: &'a [f64],
    width: usize,
}

const NOTHING: [f64; 64] = [0.0; 64];

impl<'a> Lists<'a> {
    pub(super) fn of(column: &'a ArrayRef) -> Result<Self> {
        let wrong = || internal_datafusion_err!("the sums of a survey estimate are {}", column.data_type());
        let list = column.as_fixed_size_list_opt().ok_or_else(wrong)?;
        let floats = list.values().as_primitive_opt::<Float64Type>().ok_or_else(wrong)?.values();
        let width = usize::try_from(list.value_length()).unwrap_or_default();
        Ok(Self { list, floats, width })
    }

    pub(super) fn row(&self, row: usize) -> &'a [f64] {
        let start = usize::try_from(self.list.value_offset(row)).unwrap_or_default();
        match self.floats.get(start..start + self.width) {
            Some(floats) if self.list.is_valid(row) => floats,
            _ => &NOTHING[..self.width.min(NOTHING.len())],
        }
    }
}
