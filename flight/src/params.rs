//! Parameters of prepared statements: as clients send them, and as they travel inside a handle.
//!
//! They are bound by position, since ADBC names them `0`, `1`, JDBC as the server proposed, SQLAlchemy `param_0`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array, UnionArray, new_null_array,
};
use arrow::compute::{concat_batches, interleave, take};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use engine::{Code, Error};

/// Batches of parameters as one, with plain columns `1`, `2`, ... None where they hold no value.
///
/// # Errors
/// `invalid_argument` where the batches differ, or one parameter has values of several types.
pub(crate) fn plain(batches: &[RecordBatch]) -> Result<Option<RecordBatch>, Error> {
    let batches: Vec<RecordBatch> = batches
        .iter()
        .filter(|batch| batch.num_rows() > 0 && batch.num_columns() > 0)
        .map(plain_batch)
        .collect::<Result<_, _>>()?;
    let Some(first) = batches.first() else { return Ok(None) };
    concat_batches(&first.schema(), &batches)
        .map(Some)
        .map_err(|error| invalid("Parameters must have the same types in every row.").cause(error))
}

/// The rows as bytes for a handle.
///
/// # Errors
/// `internal` where Arrow cannot write them.
pub(crate) fn write(rows: &RecordBatch) -> Result<Bytes, Error> {
    let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
    writer.write(rows)?;
    Ok(writer.into_inner()?.into())
}

/// The rows of a handle.
///
/// # Errors
/// `invalid_argument` where the bytes are not what [`write`] made.
pub(crate) fn read(bytes: &[u8]) -> Result<RecordBatch, Error> {
    let unreadable = || invalid("The parameters cannot be read.");
    let mut reader = StreamReader::try_new(bytes, None).map_err(|error| unreadable().cause(error))?;
    reader.next().ok_or_else(unreadable)?.map_err(|error| unreadable().cause(error))
}

fn plain_batch(batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let columns = batch.columns().iter().map(plain_column).collect::<Result<Vec<_>, Error>>()?;
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| Field::new((at + 1).to_string(), column.data_type().clone(), true))
        .collect();
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)?)
}

fn plain_column(column: &ArrayRef) -> Result<ArrayRef, Error> {
    match column.data_type() {
        DataType::Union(..) => of_union(column.as_union()),
        DataType::Dictionary(_, value) => Ok(arrow::compute::cast(column, value)?),
        DataType::RunEndEncoded(_, value) => Ok(arrow::compute::cast(column, value.data_type())?),
        _ => Ok(Arc::clone(column)),
    }
}

/// The values of a union as a column of the one type that they have: SQLAlchemy wraps each value in a union of five.
fn of_union(union: &UnionArray) -> Result<ArrayRef, Error> {
    let used = (0..union.len()).filter(|&row| !union.value(row).is_null(0)).map(|row| union.type_id(row));
    let used: Vec<i8> = used.collect();
    let Some(&id) = used.first() else { return Ok(new_null_array(&DataType::Null, union.len())) };
    if used.iter().any(|other| *other != id) {
        return Err(invalid("A parameter has values of several types.").hint("Bind one type per parameter."));
    }
    let child = union.child(id);
    let nulls = new_null_array(child.data_type(), 1);
    if used.len() == union.len() {
        let rows: UInt32Array = (0..union.len()).map(|row| u32::try_from(union.value_offset(row)).ok()).collect();
        return plain_column(&take(child, &rows, None)?);
    }
    let rows: Vec<(usize, usize)> = (0..union.len())
        .map(|row| if union.value(row).is_null(0) { (1, 0) } else { (0, union.value_offset(row)) })
        .collect();
    plain_column(&interleave(&[child.as_ref(), nulls.as_ref()], &rows)?)
}

fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::buffer::ScalarBuffer;
    use arrow::datatypes::{Int64Type, UnionFields};

    use super::*;

    fn union(type_ids: Vec<i8>, offsets: Vec<i32>, ints: Vec<Option<i64>>, texts: Vec<&str>) -> ArrayRef {
        let fields =
            UnionFields::from_fields([Field::new("0", DataType::Int64, true), Field::new("1", DataType::Utf8, true)]);
        let children: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ints)), Arc::new(StringArray::from(texts))];
        let offsets = Some(ScalarBuffer::from(offsets));
        Arc::new(UnionArray::try_new(fields, ScalarBuffer::from(type_ids), offsets, children).unwrap())
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn unions_and_dictionaries_become_the_type_of_their_values() {
        let words: arrow::array::DictionaryArray<arrow::datatypes::Int32Type> = vec!["a", "b"].into_iter().collect();
        let sent = batch(vec![
            ("param_0", union(vec![1, 1], vec![1, 0], vec![], vec!["x", "y"])),
            ("param_1", union(vec![0, 0], vec![0, 1], vec![Some(7), None], vec![])),
            ("param_2", Arc::new(words)),
        ]);
        let plain = plain(&[sent]).unwrap().unwrap();
        let names: Vec<&str> = plain.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["1", "2", "3"]);
        assert_eq!(plain.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["y", "x"]);
        assert_eq!(plain.column(1).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(7), None]);
        assert_eq!(plain.column(2).data_type(), &DataType::Utf8);
    }

    #[test]
    fn values_of_several_types_under_one_parameter_are_refused() {
        let sent = batch(vec![("0", union(vec![0, 1], vec![0, 0], vec![Some(1)], vec!["x"]))]);
        assert_eq!(plain(&[sent]).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn rows_travel_as_bytes_and_nothing_is_no_parameters() {
        let rows = plain(&[batch(vec![("0", Arc::new(Int64Array::from(vec![1, 2, 3])))])]).unwrap().unwrap();
        let bytes = write(&rows).unwrap();
        assert_eq!(read(&bytes).unwrap(), rows);
        assert_eq!(read(&bytes[..bytes.len() / 2]).unwrap_err().code(), Code::InvalidArgument);
        assert!(plain(&[RecordBatch::new_empty(Arc::new(Schema::empty()))]).unwrap().is_none());
        assert!(plain(&[]).unwrap().is_none());
    }
}
