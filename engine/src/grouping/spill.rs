//! Groups on disk: what a table knows of them, or rows that it has not seen, in files by unit, so that each file holds all there is
//! of its units.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{BatchCoalescer, take_arrays};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::spill_file::SpillFile;
use datafusion::physical_plan::SpillManager;

use super::table::{Table, parts_of};

/// Files that the units are spread over: what did not fit is read again in so many parts.
const FILES: usize = 32;
/// Rows of a batch on disk.
const ROWS: usize = 4096;

/// Where states and rows are written to.
pub(super) struct Managers {
    pub(super) states: SpillManager,
    pub(super) rows: SpillManager,
}

/// All there is of some units.
pub(super) struct Part {
    pub(super) states: Option<Arc<dyn SpillFile>>,
    pub(super) rows: Option<Arc<dyn SpillFile>>,
}

/// The files, as long as they are written.
pub(super) struct Spill {
    /// How often the units have been spread before: each time by another hash.
    depth: u64,
    states: Vec<Appended>,
    /// Files for rows as they come, where to add them up first would make them no fewer.
    rows: Vec<Appended>,
    takes_rows: bool,
}

impl Spill {
    pub(super) fn create(managers: &Managers, depth: u64) -> Result<Self> {
        Ok(Self { depth, states: files(&managers.states)?, rows: Vec::new(), takes_rows: false })
    }

    pub(super) fn takes_rows(&self) -> bool {
        self.takes_rows
    }

    /// Writes what a table knows.
    pub(super) fn write(&mut self, table: Table, managers: &Managers) -> Result<()> {
        /// With fewer rows for each group, the states take more than the rows.
        const MANY: usize = 4;
        self.takes_rows = table.rows() < MANY * table.len();
        if self.takes_rows && self.rows.is_empty() {
            self.rows = files(&managers.rows)?;
        }
        let known = table.take_states(FILES, self.depth)?;
        append(&mut self.states, &known.columns, &known.parts)?;
        self.states.iter_mut().try_for_each(Appended::flush)
    }

    /// Writes rows, of the units by these keys.
    pub(super) fn write_rows(&mut self, rows: &RecordBatch, units: &[ArrayRef]) -> Result<()> {
        append(&mut self.rows, rows.columns(), &parts_of(units, rows.num_rows(), FILES, self.depth)?)
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.rows.iter_mut().try_for_each(Appended::flush)
    }

    /// What waits to be written.
    pub(super) fn size(&self) -> usize {
        self.rows.iter().map(|file| file.waiting.size()).sum()
    }

    /// The parts that hold something.
    pub(super) fn finish(self) -> Result<Vec<Part>> {
        let mut rows = self.rows.into_iter();
        let parts = self.states.into_iter().map(|states| {
            let rows = rows.next().map(Appended::finish).transpose()?.flatten();
            let part = Part { states: states.finish()?, rows };
            Ok((part.states.is_some() || part.rows.is_some()).then_some(part))
        });
        parts.filter_map(Result::transpose).collect()
    }
}

fn files(manager: &SpillManager) -> Result<Vec<Appended>> {
    (0..FILES).map(|_| Appended::create(manager)).collect()
}

/// Appends each row to the file of its part.
fn append(files: &mut [Appended], columns: &[ArrayRef], parts: &[usize]) -> Result<()> {
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); files.len()];
    for (row, part) in (0..).zip(parts) {
        rows[*part].push(row);
    }
    for (file, rows) in files.iter_mut().zip(rows) {
        for rows in rows.chunks(ROWS) {
            file.append(take_arrays(columns, &UInt32Array::from(rows.to_vec()), None)?)?;
        }
    }
    Ok(())
}

/// Appends a batch to a file; without one, ends it, and gives it if it holds anything.
type Append = Box<dyn FnMut(Option<RecordBatch>) -> Result<Option<Arc<dyn SpillFile>>> + Send>;

/// A file, and the rows that wait for enough others.
struct Appended {
    file: Append,
    schema: SchemaRef,
    waiting: BatchCoalescer,
}

impl Appended {
    fn create(manager: &SpillManager) -> Result<Self> {
        let mut file = manager.create_in_progress_file("ByUnitExec")?;
        let file = move |batch: Option<RecordBatch>| match batch {
            Some(batch) => file.append_batch(&batch).map(|_| None),
            None => file.finish(),
        };
        let schema = Arc::clone(manager.schema());
        Ok(Self { file: Box::new(file), waiting: BatchCoalescer::new(Arc::clone(&schema), ROWS), schema })
    }

    fn append(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        self.waiting.push_batch(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        while let Some(batch) = self.waiting.next_completed_batch() {
            (self.file)(Some(batch))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.waiting.finish_buffered_batch()?;
        self.write()
    }

    fn finish(mut self) -> Result<Option<Arc<dyn SpillFile>>> {
        self.flush()?;
        (self.file)(None)
    }
}
