//! `application/x-ndjson`: one JSON object per row and line, and nothing else.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use engine::{Error, QueryId, Summary};

use super::cell::{Column, write_json};
use super::json::{ObjectRow, unique_names};
use super::{Encoder, Format, unencodable};

/// The encoder of `application/x-ndjson`.
#[derive(Default)]
pub(super) struct Ndjson {
    names: Vec<String>,
}

impl Encoder for Ndjson {
    fn begin(&mut self, _query_id: QueryId, schema: &SchemaRef, _out: &mut Vec<u8>) -> Result<(), Error> {
        self.names = unique_names(schema);
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        let columns = Column::of(batch).map_err(|error| unencodable(Format::Ndjson, error))?;
        for row in 0..batch.num_rows() {
            write_json(&ObjectRow(&self.names, &columns, row), out)?;
            out.push(b'\n');
        }
        Ok(())
    }

    fn finish(&mut self, _summary: &Summary, _out: &mut Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}
