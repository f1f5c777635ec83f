//! Groups on disk: the states of a table, in files by unit, so that each file holds all there is of its units.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_arrays;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::spill_file::SpillFile;
use datafusion::physical_plan::SpillManager;

use super::table::Table;

/// Files that the units are spread over: what did not fit is read again in so many parts.
const FILES: usize = 64;
/// Rows of a batch on disk.
const ROWS: usize = 8192;

/// Appends a batch to a file; without one, ends it, and gives it if it holds anything.
type Append = Box<dyn FnMut(Option<RecordBatch>) -> Result<Option<Arc<dyn SpillFile>>> + Send>;

/// The files, as long as they are written.
pub(super) struct Spill {
    schema: SchemaRef,
    /// How often the units have been spread before: each time by another hash.
    depth: u64,
    files: Vec<Append>,
}

impl Spill {
    pub(super) fn create(manager: &SpillManager, depth: u64) -> Result<Self> {
        let file = |_| {
            let mut file = manager.create_in_progress_file("ByUnitExec")?;
            let append = move |batch: Option<RecordBatch>| match batch {
                Some(batch) => file.append_batch(&batch).map(|_| None),
                None => file.finish(),
            };
            Ok(Box::new(append) as Append)
        };
        Ok(Self { schema: Arc::clone(manager.schema()), depth, files: (0..FILES).map(file).collect::<Result<_>>()? })
    }

    /// Writes what a table knows.
    pub(super) fn write(&mut self, table: Table) -> Result<()> {
        let known = table.take_states(FILES, self.depth)?;
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); FILES];
        for (row, part) in (0..).zip(&known.parts) {
            rows[*part].push(row);
        }
        for (append, rows) in self.files.iter_mut().zip(rows) {
            for rows in rows.chunks(ROWS) {
                let columns: Vec<ArrayRef> = take_arrays(&known.columns, &UInt32Array::from(rows.to_vec()), None)?;
                append(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))?;
            }
        }
        Ok(())
    }

    /// The files that hold something.
    pub(super) fn finish(self) -> Result<Vec<Arc<dyn SpillFile>>> {
        let files = self.files.into_iter().map(|mut append| append(None));
        files.filter_map(Result::transpose).collect()
    }
}
