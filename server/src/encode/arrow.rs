//! `application/vnd.apache.arrow.stream`: the Arrow IPC stream, a message per batch.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use engine::{Error, QueryId, Summary};

use super::{Encoder, Format, unencodable};

/// The encoder of the Arrow IPC stream.
#[derive(Default)]
pub(super) struct ArrowStream {
    writer: Option<StreamWriter<Vec<u8>>>,
}

impl Encoder for ArrowStream {
    fn begin(&mut self, _query_id: QueryId, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut writer =
            StreamWriter::try_new(Vec::new(), schema).map_err(|error| unencodable(Format::Arrow, error))?;
        out.append(writer.get_mut());
        self.writer = Some(writer);
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(writer) = &mut self.writer {
            writer.write(batch).map_err(|error| unencodable(Format::Arrow, error))?;
            out.append(writer.get_mut());
        }
        Ok(())
    }

    fn finish(&mut self, _summary: &Summary, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(mut writer) = self.writer.take() {
            writer.finish()?;
            out.append(writer.get_mut());
        }
        Ok(())
    }
}
