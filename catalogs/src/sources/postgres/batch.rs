//! The batch that a reader is building, from either driver's cells.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use engine::Error;

use super::cells::{CellError, Cells};
use super::columns::Column;

/// A batch is complete when it holds so many bytes of text, even if it has few rows.
const BATCH_BYTES: usize = 1 << 20;

/// Columns that grow row by row.
pub(super) struct Batch {
    pub(super) cells: Vec<Cells>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// The signature with which binary COPY begins, before its flags and extension.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

impl Batch {
    /// An empty one, with room for as much as the last one held.
    pub(super) fn new(columns: &[Column], rows: usize, bytes: usize) -> Self {
        let open_ended = columns.iter().filter(|column| column.shape.is_open_ended()).count();
        let bytes = bytes / open_ended.max(1);
        Self { cells: columns.iter().map(|column| Cells::new(&column.shape, rows, bytes)).collect(), rows: 0, bytes: 0 }
    }

    /// So many rows without columns.
    pub(super) fn counted(rows: usize) -> Self {
        Self { cells: Vec::new(), rows, bytes: 0 }
    }

    /// Takes the rows of one message of binary COPY. A cell that cannot be read is told with the place of its column.
    pub(super) fn take_message(&mut self, mut message: &[u8]) -> Result<(), (usize, CellError)> {
        if let Some(header) = message.strip_prefix(SIGNATURE) {
            let (_flags, rest) = header.split_first_chunk::<4>().ok_or((0, CellError::Changed))?;
            let (extension, rest) = length(rest).ok_or((0, CellError::Changed))?;
            message = rest.get(usize::try_from(extension).unwrap_or(0)..).ok_or((0, CellError::Changed))?;
        }
        while let Some((count, rest)) = message.split_first_chunk::<2>() {
            message = rest;
            match usize::try_from(i16::from_be_bytes(*count)) {
                Ok(count) if count == self.cells.len() => {}
                // The trailer.
                Err(_) => break,
                Ok(_) => return Err((0, CellError::Changed)),
            }
            for (at, cells) in self.cells.iter_mut().enumerate() {
                let (size, rest) = length(message).ok_or((at, CellError::Changed))?;
                message = rest;
                let value = match usize::try_from(size) {
                    Ok(size) => {
                        let (value, rest) = message.split_at_checked(size).ok_or((at, CellError::Changed))?;
                        message = rest;
                        Some(value)
                    }
                    Err(_) => None,
                };
                cells.take_bytes(value).map_err(|error| (at, error))?;
                self.bytes += value.map_or(0, <[u8]>::len);
            }
            self.rows += 1;
        }
        Ok(())
    }

    /// Whether it should go, with batches of `rows` wanted.
    pub(super) fn is_full(&self, rows: usize) -> bool {
        self.rows >= rows || self.bytes >= BATCH_BYTES
    }

    pub(super) fn finish(self, schema: &SchemaRef) -> Result<RecordBatch, Error> {
        let arrays = self.cells.into_iter().map(Cells::finish).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
    }
}

fn length(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*size), rest))
}
