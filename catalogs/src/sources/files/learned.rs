//! What scans of a partitioned folder learn beyond the sample that its columns came from. It is kept for the next opening
//! of the table, whose columns then hold it too.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::datatypes::{Field, FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use engine::{Code, Error};

use super::find::DataFile;
use super::merge::{self, Mixing};
use super::partition;
use super::store::Hive;
use super::table::{ScannedFile, without};

/// Files that are remembered; beyond this, all are forgotten and looked into again.
const MOST: usize = 100_000;

/// What was learned.
#[derive(Debug, Default)]
pub(super) struct Learned(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    files: HashMap<PathBuf, ScannedFile>,
    /// Columns that files have beyond the table's, or of a wider type, with the name of such a file.
    columns: Vec<(String, SchemaRef)>,
    /// Values of the key with this number that are of another type than its column.
    values: HashMap<usize, BTreeSet<String>>,
    is_outgrown: bool,
}

impl Learned {
    /// The columns and values of it, for the next opening of the table.
    pub(super) fn again(&self) -> Self {
        let known = self.known_now();
        let (columns, values) = (known.columns.clone(), known.values.clone());
        Self(Mutex::new(Known { columns, values, ..Known::default() }))
    }

    /// Takes over what `before` knows of files. The table must have the same columns.
    pub(super) fn take_files(&self, before: &Self) {
        let files = before.known_now().files.clone();
        self.known_now().files = files;
    }

    /// Whether the table lacks room for what was learned.
    pub(super) fn is_outgrown(&self) -> bool {
        self.known_now().is_outgrown
    }

    /// What is known of a file that is still the same.
    pub(super) fn known(&self, file: &DataFile) -> Option<ScannedFile> {
        self.known_now().files.get(&file.path).filter(|known| known.file == *file).cloned()
    }

    pub(super) fn keep(&self, file: &ScannedFile) {
        let mut known = self.known_now();
        if known.files.len() >= MOST {
            known.files.clear();
        }
        known.files.insert(file.file.path.clone(), file.clone());
    }

    /// Columns that files have beyond those of the sample.
    pub(super) fn columns(&self) -> Vec<(String, SchemaRef)> {
        self.known_now().columns.clone()
    }

    /// The partition columns of a folder, typed by all values that were seen, and the values of `files`.
    pub(super) fn partitions(&self, hive: &Hive, files: &[DataFile]) -> (Vec<Field>, Vec<Vec<ScalarValue>>) {
        let known = self.known_now();
        let column = |(at, key): (usize, &String)| {
            let more = known.values.get(&at).into_iter().flatten();
            partition::column(key, &hive.seen(at).iter().chain(more).map(String::as_str).collect::<Vec<_>>())
        };
        let fields: Vec<Field> = hive.keys().iter().enumerate().map(column).collect();
        let values = files.iter().map(|file| partition::values(file, &fields)).collect();
        (fields, values)
    }

    /// Checks that the values of `files` are of the types of the partition columns.
    pub(super) fn check_values(&self, files: &[DataFile], fields: &[Field]) -> Result<(), Error> {
        let mut misfit = None;
        for file in files {
            for (at, ((_, text), field)) in file.partitions.iter().zip(fields).enumerate() {
                if !partition::fits(text, field.data_type()) {
                    let mut known = self.known_now();
                    known.values.entry(at).or_default().insert(text.clone());
                    known.is_outgrown = true;
                    misfit.get_or_insert((file, field.name()));
                }
            }
        }
        match misfit {
            Some((file, column)) => Err(outgrown(&file.name, column)),
            None => Ok(()),
        }
    }

    /// Checks that the columns of `files` fit the table, whose first file and columns are given.
    ///
    /// # Errors
    /// `schema_changed` where a file has values that a column of the table has no room for.
    pub(super) fn check_columns(
        &self,
        files: &[ScannedFile],
        partitions: &[Field],
        (first, columns): (&str, &SchemaRef),
        mixing: Mixing,
    ) -> Result<(), Error> {
        for file in files {
            let (name, own) = (file.file.name.as_str(), without(&file.columns, partitions));
            let is_within = |field: &FieldRef| {
                columns.field_with_name(field.name()).is_ok_and(|known| known.data_type() == field.data_type())
            };
            if own.fields().iter().all(is_within) {
                continue;
            }
            let merged = merge::merge([(first, columns), (name, &own)].into_iter(), mixing)?;
            let types = columns.fields().iter().zip(merged.fields());
            let grown = types.clone().find(|(before, after)| before.data_type() != after.data_type());
            if grown.is_some() || merged.fields().len() > columns.fields().len() {
                let mut known = self.known_now();
                known.is_outgrown = true;
                if !known.columns.iter().any(|(_, other)| *other == own) {
                    known.columns.push((name.to_owned(), own));
                }
            }
            if let Some((column, _)) = grown {
                return Err(outgrown(name, column.name()));
            }
        }
        Ok(())
    }

    fn known_now(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn outgrown(name: &str, column: &str) -> Error {
    let text = format!("File \"{name}\" has values of another type in column \"{column}\" than the files seen before.");
    Error::new(Code::SchemaChanged, text).hint("Ask again: the column now has a type that holds them all.")
}
