//! `text/csv` after RFC 4180: a header, quotes where they are needed; lines end in LF, as other tools of the command line
//! write and read them.
//!
//! NULL is an empty field and the empty string is `""`, as PostgreSQL writes them. In a table of one column a NULL is
//! `""` too, since many readers skip an empty line and would lose the row.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use engine::{Error, QueryId, Summary};

use super::cell::Column;
use super::{Encoder, Format, unencodable};

/// The encoder of `text/csv`.
#[derive(Default)]
pub(super) struct Csv {
    field: Vec<u8>,
}

impl Encoder for Csv {
    fn begin(&mut self, _query_id: QueryId, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), Error> {
        for (at, field) in schema.fields().iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_field(field.name().as_bytes(), out);
        }
        out.extend_from_slice(b"\n");
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        let columns = Column::of(batch).map_err(|error| unencodable(Format::Csv, error))?;
        for row in 0..batch.num_rows() {
            for (at, column) in columns.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                if column.is_null(row) {
                    out.extend_from_slice(if columns.len() == 1 { b"\"\"" } else { b"" });
                    continue;
                }
                self.field.clear();
                column.write_text(row, &mut self.field)?;
                write_field(&self.field, out);
            }
            out.extend_from_slice(b"\n");
        }
        Ok(())
    }

    fn finish(&mut self, _summary: &Summary, _out: &mut Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}

/// Appends a field, in quotes where it is empty or holds what ends a field.
fn write_field(field: &[u8], out: &mut Vec<u8>) {
    let needs_quotes = field.is_empty() || field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
    if !needs_quotes {
        return out.extend_from_slice(field);
    }
    out.push(b'"');
    for &byte in field {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::write_field;

    fn field(text: &str) -> String {
        let mut out = Vec::new();
        write_field(text.as_bytes(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn only_what_would_end_a_field_is_quoted() {
        assert_eq!(field("plain text"), "plain text");
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(field("two\nlines"), "\"two\nlines\"");
        assert_eq!(field(""), "\"\"");
    }
}
