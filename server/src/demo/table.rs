//! A table while it is made: columns with SQL types, and rows as CSV, which COPY takes and Arrow reads.

use std::fmt::{self, Display, Write};
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use chrono::NaiveDateTime;

/// A table with its rows.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) comment: &'static str,
    /// Columns with their SQL type and constraints, as CREATE TABLE takes them.
    pub(super) columns: &'static [(&'static str, &'static str)],
    /// The rows, without a header; an empty cell is NULL.
    pub(super) csv: String,
    pub(super) rows: usize,
}

impl Table {
    pub(super) fn new(
        name: &'static str,
        comment: &'static str,
        columns: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { name, comment, columns, csv: String::new(), rows: 0 }
    }

    /// Adds a row: a cell for each column.
    pub(super) fn row<const N: usize>(&mut self, cells: [&dyn Display; N]) {
        debug_assert_eq!(N, self.columns.len(), "{}", self.name);
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                self.csv.push(',');
            }
            // Writing to a string cannot fail, and no cell holds a comma, a quote or a line break.
            let _ = write!(self.csv, "{cell}");
        }
        self.csv.push('\n');
        self.rows += 1;
    }

    /// The names of the columns, as the first line of a CSV file.
    pub(super) fn header(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(",")
    }

    /// The rows as Arrow, typed as the SQL types say.
    ///
    /// # Errors
    /// A SQL type that has no Arrow type here, or a cell that is not of its type.
    pub(super) fn batch(&self) -> Result<RecordBatch, ArrowError> {
        let fields = self.columns.iter().map(|(name, sql)| {
            Ok(Field::new(*name, arrow_type(sql)?, !sql.contains("NOT NULL") && !sql.contains("PRIMARY KEY")))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>, ArrowError>>()?));
        let reader = arrow::csv::ReaderBuilder::new(schema.clone())
            .with_batch_size(self.rows.max(1))
            .build(Cursor::new(self.csv.as_bytes()))?;
        arrow::compute::concat_batches(&schema, &reader.collect::<Result<Vec<_>, _>>()?)
    }
}

/// The Arrow type of a column declared as `sql`.
fn arrow_type(sql: &str) -> Result<DataType, ArrowError> {
    let word = sql.split(' ').next().unwrap_or_default();
    Ok(match word {
        "bigint" => DataType::Int64,
        "boolean" => DataType::Boolean,
        "date" => DataType::Date32,
        "double" => DataType::Float64,
        "integer" => DataType::Int32,
        "text" => DataType::Utf8,
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => {
            let digits = word.strip_prefix("numeric(").and_then(|rest| rest.strip_suffix(')'));
            let parsed = digits.and_then(|digits| digits.split_once(',')).and_then(|(precision, scale)| {
                Some(DataType::Decimal128(precision.parse().ok()?, scale.parse().ok()?))
            });
            return parsed.ok_or_else(|| ArrowError::SchemaError(format!("no Arrow type for {word}")));
        }
    })
}

/// A moment, written in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub(super) NaiveDateTime);

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// An amount in hundredths, written as a decimal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Money(pub(super) i64);

impl Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

/// A value, or nothing: NULL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<T: Display> Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |value| value.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Decimal128Type, Int64Type};

    use super::*;

    #[test]
    fn rows_become_arrow_of_the_declared_types() {
        let mut table = Table::new(
            "t",
            "",
            &[("id", "bigint PRIMARY KEY"), ("paid", "numeric(14,2)"), ("at", "timestamptz NOT NULL"), ("who", "text")],
        );
        let at = Moment(NaiveDateTime::default());
        table.row([&1, &Money(-1205), &at, &"a"]);
        table.row([&2, &Maybe(None::<Money>), &at, &Maybe(None::<i64>)]);
        assert_eq!(table.csv, "1,-12.05,1970-01-01T00:00:00Z,a\n2,,1970-01-01T00:00:00Z,\n");

        let batch = table.batch().unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
        let paid = batch.column(1).as_primitive::<Decimal128Type>();
        assert_eq!((paid.value(0), paid.scale(), paid.is_null(1)), (-1205, 2, true));
        assert!(!batch.schema().field(2).is_nullable());
    }

    #[test]
    fn an_unknown_type_is_an_error() {
        assert!(arrow_type("money").is_err());
    }
}
