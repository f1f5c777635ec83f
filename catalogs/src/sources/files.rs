//! What `csv`, `ndjson` and `parquet` share: tables in files of a folder, opened when asked for and seen anew when a
//! file changes. A kind adds how its files are read.
//!
//! No message, plan or listing names a path of this machine: a file is named by its place below the table's folder.

mod find;
mod merge;
mod partition;
mod table;
mod text;

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Statistics};
use datafusion::datasource::physical_plan::FileSource;
use datafusion::datasource::table_schema::TableSchema;
use engine::{Code, Error, TableEntry, TableKind, TableProviderRef};
use object_store::ObjectStore;

use crate::source::{Scope, ScopedTable, Source};
pub(crate) use find::{DataFile, is_compressed, is_hidden, open, without_compression};
use find::{Found, Place};
pub(crate) use merge::Mixing;
pub(crate) use partition::date;
use table::FileTable;
pub(crate) use table::{ScannedFile, object_meta};
pub(crate) use text::{Batches, TextFormat, TextSource};

/// The schema that tables of files answer to.
pub(crate) const SCHEMA: &str = "public";

/// The metadata key under which a column keeps its type in the source.
pub(crate) const SOURCE_TYPE: &str = "weft.source_type";

/// How files of one kind are read.
#[async_trait]
pub(crate) trait Format: Debug + Send + Sync + 'static {
    /// Ends of file names, such as `csv`; `.gz` and the like may follow where the format allows it.
    fn extensions(&self) -> &'static [&'static str];

    /// Which columns of different types may become one.
    fn mixing(&self) -> Mixing;

    /// The format as one table has it; what it learns of files is the table's own.
    fn for_table(&self) -> Arc<dyn Format>;

    /// The columns of one file; each field has its source type in the metadata. No column = the file holds no rows.
    /// `of` is the number of files of the table, over which the effort of a look inside is shared.
    async fn columns(&self, store: &Arc<dyn ObjectStore>, file: &DataFile, of: usize) -> Result<SchemaRef, Error>;

    /// The types that the format's reader yields for the merged columns.
    fn readable(&self, schema: SchemaRef) -> SchemaRef {
        schema
    }

    /// What is known about one file's values without reading them: by its size alone, a rough number of rows.
    async fn statistics(&self, _: &Arc<dyn ObjectStore>, file: &DataFile, schema: &SchemaRef) -> Option<Statistics> {
        // Characters of a value, with what stands around it.
        const WIDTH: usize = 8;
        let size = usize::try_from(file.size).ok()?;
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = Precision::Inexact(size / (WIDTH * schema.fields().len().max(1)));
        statistics.total_byte_size = Precision::Inexact(size);
        Some(statistics)
    }

    /// The reader of files.
    fn reader(
        &self,
        store: &Arc<dyn ObjectStore>,
        schema: &TableSchema,
        state: &dyn Session,
    ) -> Result<Arc<dyn FileSource>, DataFusionError>;
}

/// Files as a source.
#[derive(Debug)]
pub(crate) struct Files<F> {
    id: String,
    root: PathBuf,
    path: Option<String>,
    format: F,
    tables: Mutex<HashMap<Place, Slot>>,
}

/// A table that may have been opened; the lock makes callers that come at once wait for one opening.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<FileTable>>>>;

/// A table's name and where its files are.
type Named = (String, Place);

impl<F: Format> Files<F> {
    /// Files at `path`, which starts from `root`; nothing is opened. Without a path every table has its own.
    pub(crate) fn new(id: String, root: PathBuf, path: Option<String>, format: F) -> Self {
        Self { id, root, path, format, tables: Mutex::default() }
    }

    /// The tables of `scope`, with the places of their files.
    async fn places(&self, scope: &Scope) -> Result<Vec<Named>, Error> {
        let (own, extensions) = (self.own_place(), self.format.extensions());
        if scope.tables.is_empty() {
            let Some(own) = own else { return Ok(Vec::new()) };
            let id = self.id.clone();
            return blocking(move || own.tables(&id, extensions)).await;
        }
        let (root, tables) = (self.root.clone(), scope.tables.clone());
        blocking(move || {
            let place = |table: &ScopedTable| match (&table.at, &own) {
                (None, Some(own)) => Ok(own.clone()),
                (None, None) => Ok(Place::new(&root, &table.name)),
                (Some(at), None) => Ok(Place::new(&root, at)),
                (Some(at), Some(own)) => own.below(at, extensions),
            };
            let mut places = Vec::with_capacity(tables.len());
            for table in &tables {
                places.push((table.name.clone(), place(table)?));
            }
            places.sort();
            Ok(places)
        })
        .await
    }

    fn own_place(&self) -> Option<Place> {
        self.path.as_ref().map(|path| Place::new(&self.root, path))
    }

    fn slot(&self, place: &Place) -> Slot {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(place.clone()).or_default())
    }

    /// The table at `place` as its files are now: the one that was opened before, if they are the same.
    async fn table_at(&self, place: Place) -> Result<Arc<FileTable>, Error> {
        let slot = self.slot(&place);
        let mut known = slot.lock().await;
        let extensions = self.format.extensions();
        let found: Found = blocking(move || place.find(extensions)).await?;
        if let Some(table) = known.as_ref().filter(|table| table.is_of(&found)) {
            return Ok(Arc::clone(table));
        }
        let table = FileTable::open(found, self.format.for_table(), known.take()).await?;
        Ok(Arc::clone(known.insert(Arc::new(table))))
    }

    /// Rows of the table at `place`, if it was opened before.
    fn known_rows(&self, place: &Place) -> Option<u64> {
        self.slot(place).try_lock().ok()?.as_ref()?.rows()
    }
}

#[async_trait]
impl<F: Format> Source for Files<F> {
    fn location(&self) -> String {
        self.own_place().map_or_else(|| "files".to_owned(), |place| place.name())
    }

    async fn tables(&self, scope: &Scope) -> Result<Vec<TableEntry>, Error> {
        let places = self.places(scope).await?;
        Ok(places
            .into_iter()
            .map(|(name, place)| TableEntry {
                schema: SCHEMA.to_owned(),
                row_estimate: self.known_rows(&place),
                name,
                kind: TableKind::Table,
                comment: None,
            })
            .collect())
    }

    async fn open(&self, scope: &Scope, schema: &str, table: &str) -> Result<Option<TableProviderRef>, Error> {
        if schema != SCHEMA {
            return Ok(None);
        }
        let mut places = self.places(scope).await?.into_iter().filter(|(name, _)| name == table);
        match (places.next(), places.next()) {
            (None, _) => Ok(None),
            (Some((_, place)), None) => Ok(Some(self.table_at(place).await?)),
            (Some((_, one)), Some((_, other))) => Err(Error::new(
                Code::DataInvalid,
                format!("Both \"{}\" and \"{}\" would be table \"{table}\".", one.name(), other.name()),
            )
            .hint("Rename one of them, or list the dataset's tables with their paths.")),
        }
    }

    async fn test(&self) -> Result<(), Error> {
        match self.own_place() {
            Some(place) => blocking(move || place.exists()).await,
            None => Ok(()),
        }
    }

    fn listing_lifetime(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

/// Runs file system calls where they may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let failed = |error| Error::new(Code::Internal, "Looking at files failed; the log has the cause.").cause(error);
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

/// A file that cannot be reached.
pub(crate) fn unreachable_file(name: &str, error: std::io::Error) -> Error {
    let what = match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist",
        std::io::ErrorKind::PermissionDenied => "may not be read",
        _ => "cannot be read",
    };
    Error::new(Code::SourceUnavailable, format!("\"{name}\" {what}."))
        .hint("Check the path in the dataset's file; a relative path starts from the home folder.")
        .cause(error)
}

/// A file whose content is not what its kind says.
pub(crate) fn invalid_file(name: &str, what: impl std::fmt::Display) -> Error {
    Error::new(Code::DataInvalid, format!("File \"{name}\" {what}"))
}

/// A line of a text file that is not what its kind says; None where the line is not known.
pub(crate) fn invalid_line(name: &str, line: Option<usize>, what: impl std::fmt::Display) -> Error {
    match line {
        Some(line) => Error::new(Code::DataInvalid, format!("File \"{name}\", line {line}, {what}")),
        None => invalid_file(name, what),
    }
}

/// A compressed file that cannot be unpacked, or one that went away.
pub(crate) fn unpacking_failed(file: &DataFile, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
            unreachable_file(&file.name, error.kind().into())
        }
        _ => invalid_file(&file.name, "is torn: it cannot be unpacked to its end.").hint("Write the file again."),
    }
}

/// The options of a connection as the kind's own struct; they were checked against its schema before.
pub(crate) fn options<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, Error> {
    let value = if value.is_null() { serde_json::json!({}) } else { value };
    serde_json::from_value(value).map_err(|error| Error::new(Code::InvalidArgument, error.to_string()))
}

/// The end of a path, for messages.
pub(crate) fn last_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "folder".to_owned(), |name| name.to_string_lossy().into_owned())
}
