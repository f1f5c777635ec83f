//! A weighted panel: people who stand for many others, and what they watched, used, bought and saw.
//!
//! The sample is drawn as a panel company draws one: too many from large towns and upper classes. Weights put that right.

mod events;
mod people;

use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::DemoError;

/// How many people and events were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) people: usize,
    pub(super) events: usize,
}

/// Writes `people.parquet` and `events/medium=../month=../part-0.parquet` into `folder`. There are about a
/// million events times `scale`.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write(folder: &Path, seed: u64, scale: f64) -> Result<Written, DemoError> {
    let people = people::people(seed);
    let batch = people::batch(&people).map_err(|error| DemoError::new("The panel cannot be made.").because(error))?;
    write_parquet(&folder.join("people.parquet"), &batch)?;
    let events = events::write(&folder.join("events"), seed, scale, &people)?;
    Ok(Written { people: people.len(), events })
}

/// Writes one Parquet file, and the folders above it.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write_parquet(path: &Path, batch: &RecordBatch) -> Result<(), DemoError> {
    let failed = || DemoError::new(format!("{} cannot be written.", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed().because(error))?;
    }
    let file = File::create(path).map_err(|error| failed().because(error))?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).map_err(|error| failed().because(error))?;
    writer.write(batch).map_err(|error| failed().because(error))?;
    writer.close().map_err(|error| failed().because(error))?;
    Ok(())
}
