//! What `csv`, `ndjson` and `parquet` share: tables in files of a folder or of a store, opened when asked for and seen anew
//! when a file changes. A kind adds how its files are read.
//!
//! No message, plan or listing names a path of this machine: a file is named by its place below the table's folder.

mod find;
mod learned;
mod merge;
mod partition;
mod prune;
mod store;
mod table;
mod text;

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
pub(crate) use find::{DataFile, is_compressed, is_hidden, open, open_as_found, without_compression};
use find::{Found, Place};
pub(crate) use merge::Mixing;
pub(crate) use partition::date;
use store::{Address, LISTING_LIFETIME, Stores};
pub(crate) use store::{Steady, StoreOptions, is_stored};
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
pub(crate) struct Files<F> {
    id: String,
    root: PathBuf,
    path: Option<String>,
    stores: Stores,
    format: F,
    tables: Mutex<HashMap<Site, Slot>>,
}

/// Where a table's files are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Site {
    /// On this machine.
    Local(Place),
    /// In a store, or behind `https://`.
    Stored(Address),
}

impl Site {
    fn name(&self) -> String {
        match self {
            Site::Local(place) => place.name(),
            Site::Stored(address) => address.name(),
        }
    }
}

/// A table that may have been opened; the lock makes callers that come at once wait for one opening.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<FileTable>>>>;

/// A table's name and where its files are.
type Named = (String, Site);

impl<F: Format> Files<F> {
    /// Files at `path`, which starts from `root` or is in a store; nothing is opened. Without a path every table has its own.
    ///
    /// # Errors
    /// `invalid_argument` where the path or an option of the store cannot be meant.
    pub(crate) fn new(
        id: String,
        root: PathBuf,
        path: Option<String>,
        options: StoreOptions,
        format: F,
    ) -> Result<Self, Error> {
        let stores = Stores::new(root.clone(), path.as_deref(), options)?;
        Ok(Self { id, root, path, stores, format, tables: Mutex::default() })
    }

    /// The tables of `scope`, with the places of their files.
    async fn places(&self, scope: &Scope) -> Result<Vec<Named>, Error> {
        let extensions = self.format.extensions();
        let own = self.own_site()?;
        if scope.tables.is_empty() {
            return match own {
                None => Ok(Vec::new()),
                Some(Site::Local(own)) => {
                    let id = self.id.clone();
                    let tables = blocking(move || own.tables(&id, extensions)).await?;
                    Ok(tables.into_iter().map(|(name, place)| (name, Site::Local(place))).collect())
                }
                Some(Site::Stored(own)) => self.stored_tables(&own).await,
            };
        }
        let mut places = Vec::with_capacity(scope.tables.len());
        let is_stored = |table: &ScopedTable| table.at.as_deref().is_some_and(is_stored);
        match own {
            Some(Site::Local(own)) if !scope.tables.iter().any(is_stored) => {
                let tables = scope.tables.clone();
                let below = move |table: ScopedTable| {
                    let at = table.at.as_ref();
                    let place = at.map_or_else(|| Ok(own.clone()), |at| own.below(at, extensions))?;
                    Ok((table.name, Site::Local(place)))
                };
                places = blocking(move || tables.into_iter().map(below).collect()).await?;
            }
            own => {
                for table in &scope.tables {
                    places.push((table.name.clone(), self.site_of(table, own.as_ref()).await?));
                }
            }
        }
        places.sort();
        Ok(places)
    }

    /// Where the files of a table are that a dataset names.
    async fn site_of(&self, table: &ScopedTable, own: Option<&Site>) -> Result<Site, Error> {
        let at = table.at.as_ref();
        match (at, own) {
            (None, Some(own)) => Ok(own.clone()),
            (Some(at), Some(Site::Local(own))) if !is_stored(at) => {
                let (own, at, extensions) = (own.clone(), at.clone(), self.format.extensions());
                Ok(Site::Local(blocking(move || own.below(&at, extensions)).await?))
            }
            (Some(at), Some(Site::Stored(own))) => {
                let address = own.below(at)?;
                if address.is_pattern() || at.contains(['/', '.']) || address.is_http() {
                    return Ok(Site::Stored(address));
                }
                // A folder's name, or the name of a table as a file's name without its end.
                let tables = self.stored_tables(own).await?;
                let named = tables.into_iter().find(|(name, _)| name == at);
                Ok(named.map_or(Site::Stored(address), |(_, site)| site))
            }
            (at, _) => self.site(at.unwrap_or(&table.name)),
        }
    }

    async fn stored_tables(&self, own: &Address) -> Result<Vec<Named>, Error> {
        let bucket = self.stores.bucket(own).await?;
        let tables = store::tables(&bucket, own, &self.id, self.format.extensions()).await?;
        Ok(tables.into_iter().map(|(name, address)| (name, Site::Stored(address))).collect())
    }

    fn own_site(&self) -> Result<Option<Site>, Error> {
        self.path.as_ref().map(|path| self.site(path)).transpose()
    }

    fn site(&self, path: &str) -> Result<Site, Error> {
        Ok(match Address::parse(path)? {
            Some(address) => Site::Stored(address),
            None => Site::Local(Place::new(&self.root, path)),
        })
    }

    fn slot(&self, site: &Site) -> Slot {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(site.clone()).or_default())
    }

    /// The table at `site` as its files are now: the one that was opened before, if they are the same.
    async fn table_at(&self, site: Site) -> Result<Arc<FileTable>, Error> {
        let slot = self.slot(&site);
        let mut known = slot.lock().await;
        let extensions = self.format.extensions();
        let address = match site {
            Site::Local(place) => {
                let found: Found = blocking(move || place.find(extensions)).await?;
                return self.table_of(found, &mut known).await;
            }
            Site::Stored(address) => address,
        };
        let bucket = self.stores.bucket(&address).await?;
        let found = store::find(&bucket, &address, extensions).await?;
        match self.table_of(found, &mut known).await {
            // The listing may have been some seconds old.
            Err(error) if error.code() == Code::SchemaChanged => {
                bucket.forget();
                let found = store::find(&bucket, &address, extensions).await?;
                self.table_of(found, &mut known).await
            }
            opened => opened,
        }
    }

    async fn table_of(&self, found: Found, known: &mut Option<Arc<FileTable>>) -> Result<Arc<FileTable>, Error> {
        if let Some(table) = known.as_ref().filter(|table| table.is_of(&found)) {
            return Ok(Arc::clone(table));
        }
        let table = FileTable::open(self.id.as_str().into(), found, self.format.for_table(), known.clone()).await?;
        Ok(Arc::clone(known.insert(Arc::new(table))))
    }

    /// Rows of the table at `site`, if it was opened before.
    fn known_rows(&self, site: &Site) -> Option<u64> {
        self.slot(site).try_lock().ok()?.as_ref()?.rows()
    }
}

impl<F: Format> Debug for Files<F> {
    /// Without the path, whose query may be a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("id", &self.id).field("location", &self.location()).finish_non_exhaustive()
    }
}

#[async_trait]
impl<F: Format> Source for Files<F> {
    fn location(&self) -> String {
        match self.own_site() {
            Ok(Some(Site::Local(place))) => place.name(),
            Ok(Some(Site::Stored(address))) => address.display(),
            _ => "files".to_owned(),
        }
    }

    async fn tables(&self, scope: &Scope) -> Result<Vec<TableEntry>, Error> {
        let places = self.places(scope).await?;
        Ok(places
            .into_iter()
            .map(|(name, site)| TableEntry {
                schema: SCHEMA.to_owned(),
                row_estimate: self.known_rows(&site),
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
            (Some((_, site)), None) => Ok(Some(self.table_at(site).await?)),
            (Some((_, one)), Some((_, other))) => Err(Error::new(
                Code::DataInvalid,
                format!("Both \"{}\" and \"{}\" would be table \"{table}\".", one.name(), other.name()),
            )
            .hint("Rename one of them, or list the dataset's tables with their paths.")),
        }
    }

    async fn test(&self) -> Result<(), Error> {
        match self.own_site()? {
            Some(Site::Local(place)) => blocking(move || place.exists()).await,
            Some(Site::Stored(address)) => {
                let bucket = self.stores.bucket(&address).await?;
                store::exists(&bucket, &address, self.format.extensions()).await
            }
            None => Ok(()),
        }
    }

    fn listing_lifetime(&self) -> Duration {
        let is_stored = self.path.as_deref().is_some_and(is_stored);
        if is_stored { LISTING_LIFETIME } else { Duration::ZERO }
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

/// A file that is another one than when it was found.
pub(crate) fn changed_file(name: &str) -> Error {
    Error::new(Code::SchemaChanged, format!("File \"{name}\" changed while it was read.")).hint("Ask again.")
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

/// Why the last read of `file` ended, if its store was the reason: readers of text pass on words only.
pub(crate) fn interrupted(file: &DataFile) -> Option<Error> {
    file.stored.as_ref()?.take_note()
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
