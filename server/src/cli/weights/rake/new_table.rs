//! The new table: all columns of the rows and the new weight, and the margins beside it. Both appear whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use csv::Writer;
use engine::Error;
use engine::raking::Raked;

use super::rows::{Rows, slices};
use crate::cli::failure::Failure;
use crate::cli::format::Shape;
use crate::cli::output::Target;
use crate::encode::{self, Format};

/// Where the new table goes.
#[derive(Debug)]
pub(super) struct NewTable {
    format: Format,
    /// The table.
    pub(super) file: PathBuf,
    /// The margins that it was raked to, as `--margins` reads them.
    pub(super) margins: PathBuf,
}

impl NewTable {
    /// The new table in `file`.
    ///
    /// # Errors
    /// A usage failure where the name says no format, or a file is there and may not be replaced.
    pub(super) fn at(file: PathBuf, replace: bool) -> Result<Self, Failure> {
        let Ok(Shape::Encoded(format @ (Format::Csv | Format::Parquet))) = Shape::of_file(None, &file) else {
            return Err(Failure::usage(format!("The name {} says neither Parquet nor CSV.", file.display()))
                .hint("End it in .parquet or .csv."));
        };
        let margins = file.with_extension("margins.csv");
        let taken = |path: &&Path| !replace && path.symlink_metadata().is_ok();
        if let Some(taken) = [file.as_path(), margins.as_path()].iter().find(|path| taken(path)) {
            return Err(Failure::usage(format!("The file {} exists.", taken.display()))
                .hint("--force replaces it; or choose another name."));
        }
        Ok(Self { format, file, margins })
    }

    /// Writes both files.
    ///
    /// # Errors
    /// What a file cannot hold or the disk does not take.
    pub(super) fn write(&self, rows: &Rows, raked: &Raked) -> Result<(), Failure> {
        let table = Target::of(Some(self.file.clone()));
        let mut out = table.open()?;
        let weight = Field::new(&rows.name, DataType::Float64, false);
        let fields = rows.schema.fields().iter().cloned().chain([Arc::new(weight)]);
        let schema = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), rows.schema.metadata().clone()));
        let batches = slices(&rows.batches, &raked.weights).map(|(batch, weights)| {
            let columns = batch.columns().iter().cloned().chain([weights]).collect();
            RecordBatch::try_new(Arc::clone(&schema), columns).map_err(Error::from)
        });
        encode::write(self.format, (rows.id, &rows.summary), &schema, batches, |piece| {
            out.write_all(piece).map_err(|error| table.failed(error))
        })?;
        let beside = Target::of(Some(self.margins.clone()));
        let mut margins = beside.open()?;
        let bytes = margins_csv(rows, raked).map_err(|error| beside.failed(error.into()))?;
        margins.write_all(&bytes).map_err(|error| beside.failed(error))?;
        margins.finish().map_err(|error| beside.failed(error))?;
        out.finish().map_err(|error| table.failed(error))
    }
}

/// The margins with the counts that the weights add up to.
fn margins_csv(rows: &Rows, raked: &Raked) -> Result<Vec<u8>, csv::Error> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(["variable", "category", "population"])?;
    for (margin, fitted) in rows.margins.iter().zip(&raked.fitted) {
        for (category, fitted) in margin.categories.iter().zip(fitted) {
            writer.write_record([&margin.variable, &category.name, &fitted.target.to_string()])?;
        }
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}
