//! `application/vnd.apache.parquet`: a Parquet file whose row groups leave as they close.
//!
//! The format needs a whole row group before its first byte can be written, so this much is held, and never more.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use engine::{Error, QueryId, Summary};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{Encoder, Format, unencodable};

/// Encoded bytes after which a row group closes: what one answer may hold in memory.
const ROW_GROUP_BYTES: usize = 16 << 20;

/// The encoder of Parquet.
#[derive(Default)]
pub(super) struct Parquet {
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl Encoder for Parquet {
    fn begin(&mut self, _query_id: QueryId, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), Error> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = ArrowWriter::try_new(Vec::new(), SchemaRef::clone(schema), Some(properties))
            .map_err(|error| unencodable(Format::Parquet, error))?;
        drain(self.writer.insert(writer), out)
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write(batch).map_err(|error| unencodable(Format::Parquet, error))?;
        if writer.in_progress_size() >= ROW_GROUP_BYTES {
            writer.flush().map_err(|error| unencodable(Format::Parquet, error))?;
        }
        drain(writer, out)
    }

    fn finish(&mut self, _summary: &Summary, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(mut writer) = self.writer.take() {
            writer.finish().map_err(|error| unencodable(Format::Parquet, error))?;
            drain(&mut writer, out)?;
        }
        Ok(())
    }
}

/// Moves what the writer has written so far to `out`. The writer counts its own bytes, so offsets stay right.
fn drain(writer: &mut ArrowWriter<Vec<u8>>, out: &mut Vec<u8>) -> Result<(), Error> {
    writer.sync().map_err(|error| unencodable(Format::Parquet, error))?;
    out.append(writer.inner_mut());
    Ok(())
}
