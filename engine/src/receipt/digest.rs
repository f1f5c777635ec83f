//! What an answer was, in a few numbers: equal answers have equal ones, in whatever order their rows came.
//!
//! Floats are compared to nine digits, since the order in which parts are added changes the last ones.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// Answers of more rows are not looked at.
const MOST_ROWS: u64 = 100_000;

/// What an answer was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerDigest {
    /// Rows.
    pub rows: u64,
    /// Of all rows, each as a whole.
    pub digest: String,
    /// Its columns.
    pub columns: Vec<ColumnDigest>,
}

/// What a column of an answer was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDigest {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Rows without a value.
    pub nulls: u64,
    /// Of its values.
    pub digest: String,
}

/// Looks at an answer as it leaves.
#[derive(Debug)]
pub(crate) struct Digesting {
    schema: SchemaRef,
    rows: u64,
    all: u64,
    columns: Vec<(u64, u64)>,
}

impl Digesting {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let columns = vec![(0, 0); schema.fields().len()];
        Self { schema, rows: 0, all: 0, columns }
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        if self.rows > MOST_ROWS {
            return;
        }
        let mut of_rows = vec![0_u64; batch.num_rows()];
        let mut bytes = Vec::new();
        for (column, (nulls, digest)) in batch.columns().iter().zip(&mut self.columns) {
            let options = FormatOptions::default();
            let mut cells = Cells::of(column, &options);
            *nulls += column.null_count() as u64;
            for (row, of_row) in of_rows.iter_mut().enumerate() {
                bytes.clear();
                cells.write(row, &mut bytes);
                let hash = XxHash3_64::oneshot(&bytes);
                *digest = digest.wrapping_add(hash);
                *of_row = XxHash3_64::oneshot_with_seed(*of_row, &bytes);
            }
        }
        self.all = of_rows.into_iter().fold(self.all, u64::wrapping_add);
    }

    /// None of an answer that has too many rows.
    pub(crate) fn done(self) -> Option<AnswerDigest> {
        if self.rows > MOST_ROWS {
            return None;
        }
        let columns = self.schema.fields().iter().zip(self.columns).map(|(field, (nulls, digest))| ColumnDigest {
            name: field.name().clone(),
            data_type: crate::system::type_name(field.data_type()),
            nulls,
            digest: format!("{digest:016x}"),
        });
        Some(AnswerDigest { rows: self.rows, digest: format!("{:016x}", self.all), columns: columns.collect() })
    }
}

/// The values of a column, as bytes.
enum Cells<'a> {
    Floats(Box<dyn Fn(usize) -> Option<f64> + 'a>),
    Struct(&'a dyn Array, Vec<Cells<'a>>),
    Text(&'a dyn Array, Option<ArrayFormatter<'a>>),
}

impl<'a> Cells<'a> {
    fn of(column: &'a ArrayRef, options: &'a FormatOptions<'a>) -> Self {
        match column.data_type() {
            DataType::Float64 => {
                let floats = column.as_primitive::<Float64Type>();
                Cells::Floats(Box::new(move |row| floats.is_valid(row).then(|| floats.value(row))))
            }
            DataType::Float32 => {
                let floats = column.as_primitive::<Float32Type>();
                Cells::Floats(Box::new(move |row| floats.is_valid(row).then(|| f64::from(floats.value(row)))))
            }
            DataType::Struct(_) => {
                let children = column.as_struct().columns().iter().map(|child| Self::of(child, options));
                Cells::Struct(column, children.collect())
            }
            _ => Cells::Text(column, ArrayFormatter::try_new(column, options).ok()),
        }
    }

    fn write(&mut self, row: usize, bytes: &mut Vec<u8>) {
        match self {
            Cells::Floats(value) => match value(row) {
                Some(value) => {
                    bytes.push(1);
                    bytes.extend(nine_digits(value).to_le_bytes());
                }
                None => bytes.push(0),
            },
            Cells::Struct(column, children) => {
                bytes.push(u8::from(column.is_valid(row)));
                if column.is_valid(row) {
                    children.iter_mut().for_each(|child| child.write(row, bytes));
                }
            }
            Cells::Text(column, formatter) => match formatter {
                Some(formatter) if column.is_valid(row) => {
                    let text = formatter.value(row).to_string();
                    bytes.push(1);
                    bytes.extend((text.len() as u64).to_le_bytes());
                    bytes.extend(text.as_bytes());
                }
                _ => bytes.push(0),
            },
        }
    }
}

/// The bits of a float without those behind the ninth digit.
fn nine_digits(value: f64) -> u64 {
    const REST: u32 = 22;
    if value == 0.0 {
        return 0;
    }
    if value.is_nan() {
        return f64::NAN.to_bits();
    }
    (value.to_bits().wrapping_add(1 << (REST - 1)) >> REST) << REST
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    type Row = (Option<&'static str>, Option<f64>, i64);

    fn digest(batches: &[Vec<Row>]) -> AnswerDigest {
        let fields = [("a", DataType::Utf8), ("b", DataType::Float64), ("c", DataType::Int64)];
        let schema = Arc::new(Schema::new(fields.map(|(name, of)| Field::new(name, of, true)).to_vec()));
        let mut digesting = Digesting::new(Arc::clone(&schema));
        for rows in batches {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
                Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
                Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>()),
            ];
            digesting.add(&RecordBatch::try_new(Arc::clone(&schema), columns).unwrap());
        }
        digesting.done().unwrap()
    }

    #[test]
    fn equal_answers_are_equal_in_any_order_and_to_nine_digits() {
        let (one, two, three) = ((Some("x"), Some(0.1 + 0.2), 1), (None, None, 2), (Some(""), Some(-0.0), 3));
        let whole = digest(&[vec![one, two, three]]);
        assert_eq!(whole, digest(&[vec![three], vec![], vec![(Some("x"), Some(0.3), 1), two]]));
        assert_eq!(whole.columns.iter().map(|column| column.nulls).collect::<Vec<_>>(), [1, 1, 0]);
        for other in [(Some("y"), one.1, 1), (one.0, Some(0.3000001), 1), (one.0, one.1, 2), (None, one.1, 1)] {
            let other = digest(&[vec![other, two, three]]);
            assert_ne!(whole.digest, other.digest);
            assert_eq!(whole.columns.iter().zip(&other.columns).filter(|(one, other)| one != other).count(), 1);
        }
        // The same values of each column, in other rows.
        let crossed = digest(&[vec![(one.0, two.1, 1), (two.0, one.1, 2), three]]);
        assert_eq!(whole.columns, crossed.columns);
        assert_ne!(whole.digest, crossed.digest);
    }
}
