//! `application/json`: one object whose rows are arrays; what is known only at the end stands after them.
//!
//! An error in the middle becomes an `error` member in place of `row_count`: the text is well-formed either way.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use engine::system::type_name;
use engine::{Error, Meaning, QueryId, Summary};
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

use super::cell::{Column, write_json};
use super::{Encoder, Format, unencodable};

/// The rows of a batch as JSON values, each row an array in the order of the columns.
///
/// A value that Arrow cannot show is NULL; no type that leaves the engine is such.
pub fn rows(batch: &RecordBatch) -> Vec<Vec<Value>> {
    let Ok(columns) = Column::of(batch) else {
        return vec![vec![Value::Null; batch.num_columns()]; batch.num_rows()];
    };
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| serde_json::to_value(column.cell(row)).unwrap_or_default()).collect())
        .collect()
}

/// The rows of a batch as JSON objects by column name. Names that repeat get a number, as in NDJSON.
pub fn objects(batch: &RecordBatch) -> Vec<Map<String, Value>> {
    let names = unique_names(batch.schema_ref());
    rows(batch).into_iter().map(|row| names.iter().cloned().zip(row).collect()).collect()
}

/// A column of an answer.
#[derive(Debug, Serialize)]
pub struct Told<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    data_type: String,
    #[serde(flatten)]
    meaning: Meaning,
}

/// The columns as objects of a name and a type; what a codebook says of one is in `question`, `labels` and `order`.
pub fn columns(schema: &Schema) -> Vec<Told<'_>> {
    let told = schema.fields().iter().map(|field| Told {
        name: field.name(),
        data_type: type_name(field.data_type()),
        meaning: Meaning::of(field),
    });
    told.collect()
}

/// Column names of which no two are equal: the second `a` is `a_2`.
pub(super) fn unique_names(schema: &Schema) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut count = 1;
        while names.contains(&name) {
            count += 1;
            name = format!("{}_{count}", field.name());
        }
        names.push(name);
    }
    names
}

/// One row as an array.
struct Row<'c, 'a>(&'c [Column<'a>], usize);

impl Serialize for Row<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.0.len()))?;
        for column in self.0 {
            list.serialize_element(&column.cell(self.1))?;
        }
        list.end()
    }
}

/// One row as an object.
pub(super) struct ObjectRow<'c, 'a>(pub(super) &'c [String], pub(super) &'c [Column<'a>], pub(super) usize);

impl Serialize for ObjectRow<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(Some(self.0.len()))?;
        for (name, column) in self.0.iter().zip(self.1) {
            object.serialize_entry(name, &column.cell(self.2))?;
        }
        object.end()
    }
}

/// The encoder of `application/json`.
#[derive(Default)]
pub(super) struct Json {
    has_rows: bool,
}

/// What stands after the rows of an answer that is whole.
#[derive(Serialize)]
struct Tail<'a> {
    row_count: u64,
    truncated: bool,
    notices: &'a [String],
    elapsed_ms: f64,
}

/// What stands after the rows of an answer that broke off.
#[derive(Serialize)]
struct BrokenTail<'a> {
    error: Failure<'a>,
}

/// An error as it stands inside an answer.
#[derive(Serialize)]
struct Failure<'a> {
    code: &'a str,
    title: String,
    detail: &'a str,
    hint: Option<&'a str>,
}

/// A duration in milliseconds, to the microsecond.
pub fn milliseconds(duration: std::time::Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

impl Encoder for Json {
    fn begin(&mut self, query_id: QueryId, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(format!("{{\"query_id\":\"{query_id}\",\"columns\":").as_bytes());
        write_json(&columns(schema), out)?;
        out.extend_from_slice(b",\"rows\":[");
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        let columns = Column::of(batch).map_err(|error| unencodable(Format::Json, error))?;
        for row in 0..batch.num_rows() {
            out.extend_from_slice(if self.has_rows { b",\n" } else { b"\n" });
            self.has_rows = true;
            write_json(&Row(&columns, row), out)?;
        }
        Ok(())
    }

    fn finish(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<(), Error> {
        let tail = Tail {
            row_count: summary.rows,
            truncated: summary.truncated,
            notices: &summary.notices,
            elapsed_ms: milliseconds(summary.elapsed),
        };
        write_tail(&tail, out)
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>) -> bool {
        let failure = Failure {
            code: error.code().as_str(),
            title: title(error.code()),
            detail: error.message(),
            hint: error.hint_text(),
        };
        write_tail(&BrokenTail { error: failure }, out).is_ok()
    }
}

/// Ends the rows and writes the members of `tail` after them, inside the same object.
fn write_tail(tail: &impl Serialize, out: &mut Vec<u8>) -> Result<(), Error> {
    out.extend_from_slice(b"],");
    let brace = out.len();
    write_json(tail, out)?;
    out.remove(brace);
    out.push(b'\n');
    Ok(())
}

/// A code as a few words for people: `table_not_found` is "Table not found".
pub fn title(code: engine::Code) -> String {
    let words = code.as_str().replace('_', " ").replace("sql", "SQL");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
