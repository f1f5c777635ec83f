//! `text/markdown`: a pipe table, numbers to the right, then a line that says how many rows there are and what was cut.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use engine::{Error, QueryId, Summary};

use super::cell::Column;
use super::{Encoder, Format, unencodable};

/// A pipe table of all `batches`, without the line about rows.
pub fn table(schema: &Schema, batches: &[RecordBatch]) -> String {
    let mut out = Vec::new();
    write_header(schema, &mut out);
    for batch in batches {
        // A value that Arrow cannot show ends the table; no type that leaves the engine is such.
        if write_rows(batch, &mut out).is_err() {
            break;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The line about rows, cuts and notices that stands below a table.
pub fn footer(summary: &Summary) -> String {
    let rows = if summary.rows == 1 { "1 row".to_owned() } else { format!("{} rows", summary.rows) };
    let cut = if summary.truncated { ", cut: there are more" } else { "" };
    let mut line = format!("({rows}{cut})\n");
    for notice in &summary.notices {
        line.push_str(&format!("\n> {notice}\n"));
    }
    line
}

fn write_header(schema: &Schema, out: &mut Vec<u8>) {
    for field in schema.fields() {
        out.extend_from_slice(b"| ");
        write_escaped(field.name().as_bytes(), out);
        out.push(b' ');
    }
    out.extend_from_slice(b"|\n");
    for field in schema.fields() {
        out.extend_from_slice(if field.data_type().is_numeric() { b"| ---: " } else { b"| --- " });
    }
    out.extend_from_slice(b"|\n");
}

fn write_rows(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
    let columns = Column::of(batch).map_err(|error| unencodable(Format::Markdown, error))?;
    let mut text = Vec::new();
    for row in 0..batch.num_rows() {
        for column in &columns {
            out.extend_from_slice(b"| ");
            if column.is_null(row) {
                out.extend_from_slice(b"NULL");
            } else {
                text.clear();
                column.write_text(row, &mut text)?;
                write_escaped(&text, out);
            }
            out.push(b' ');
        }
        out.extend_from_slice(b"|\n");
    }
    Ok(())
}

/// Appends text so that it stays in its cell: a pipe is escaped, a line break is `<br>`.
pub(crate) fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'|' => out.extend_from_slice(b"\\|"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\r' if text.get(at + 1) == Some(&b'\n') => {}
            b'\n' | b'\r' => out.extend_from_slice(b"<br>"),
            _ => out.push(byte),
        }
    }
}

/// The encoder of `text/markdown`.
#[derive(Default)]
pub(super) struct Markdown;

impl Encoder for Markdown {
    fn begin(&mut self, _query_id: QueryId, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), Error> {
        write_header(schema, out);
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        write_rows(batch, out)
    }

    fn finish(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<(), Error> {
        out.push(b'\n');
        out.extend_from_slice(footer(summary).as_bytes());
        Ok(())
    }
}
