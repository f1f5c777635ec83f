//! A table of files, as DataFusion scans it: the set of files is the one that was found when the table was opened.
//!
//! It lists files itself, as DataFusion's `ListingTable` keeps its listings forever, knows no NULL partitions, and puts
//! absolute paths into plans.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DataFusionError, ScalarValue, Statistics, project_schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use engine::{Code, Error};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectMeta, ObjectStore};

use super::find::{DataFile, Found};
use super::learned::Learned;
use super::prune::{PartitionFilters, is_on};
use super::store::{Hive, Stored};
use super::{Format, Mixing, invalid_file, merge, partition, unreachable_file};

/// Files that are looked into at once.
const AT_ONCE: usize = 16;

/// A table of files.
#[derive(Debug)]
pub(crate) struct FileTable {
    source: Arc<str>,
    found: Found,
    files: Vec<ScannedFile>,
    format: Arc<dyn Format>,
    schema: TableSchema,
    /// The columns of the files, before the reader's own types.
    merged: SchemaRef,
    partitions: Vec<Field>,
    store: Arc<dyn ObjectStore>,
    url: ObjectStoreUrl,
    statistics: Statistics,
    learned: Learned,
}

/// One file with what was learned about it.
#[derive(Debug, Clone)]
pub(crate) struct ScannedFile {
    /// The id of its source.
    pub(crate) source: Arc<str>,
    pub(crate) file: DataFile,
    /// The file's own columns, in its own order.
    pub(crate) columns: SchemaRef,
    meta: ObjectMeta,
    pub(super) values: Vec<ScalarValue>,
    statistics: Option<Arc<Statistics>>,
}

impl FileTable {
    /// Looks into the files far enough to know their columns. What `before` knows of files that are still the same is
    /// taken over.
    pub(crate) async fn open(
        source: Arc<str>,
        found: Found,
        format: Arc<dyn Format>,
        before: Option<Arc<FileTable>>,
    ) -> Result<Self, Error> {
        let store = folder_store(&found)?;
        let count = found.files.len();
        let columns: Vec<SchemaRef> = futures::stream::iter(found.files.clone())
            .map(|file| {
                let (store, format, known) = (Arc::clone(&store), Arc::clone(&format), known(&before, &file));
                async move {
                    match known {
                        Some(known) => Ok::<_, Error>(known.columns),
                        None => format.columns(&store_of(&store, &file), &file, count).await,
                    }
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let learned = before.as_ref().map(|before| before.learned.again()).unwrap_or_default();
        let (partitions, values) = match &found.hive {
            None => partition::columns(&found.files)?,
            Some(hive) => learned.partitions(hive, &found.files),
        };
        let merged = file_schema(&found, &columns, &learned.columns(), &partitions, format.mixing())?;
        let schema = format.readable(Arc::clone(&merged));
        let mut files = Vec::with_capacity(count);
        for ((file, columns), values) in found.files.iter().zip(columns).zip(values) {
            if columns.fields().is_empty() {
                continue; // An empty file has no rows.
            }
            let (source, meta) = (Arc::clone(&source), object_meta(file)?);
            files.push(ScannedFile { source, meta, file: file.clone(), columns, values, statistics: None });
        }
        let schema = TableSchema::builder(schema)
            .with_table_partition_cols(partitions.iter().cloned().map(Arc::new).collect::<Vec<_>>())
            .build();
        let url = store_url(&found)?;
        let statistics = Statistics::new_unknown(schema.table_schema());
        let mut table =
            Self { source, found, files, format, schema, merged, partitions, store, url, statistics, learned };
        table.learn_statistics(&before).await;
        if let Some(before) = before.filter(|before| before.schema.table_schema() == table.schema.table_schema()) {
            table.learned.take_files(&before.learned);
        }
        Ok(table)
    }

    /// Whether it is the table of these files.
    pub(crate) fn is_of(&self, found: &Found) -> bool {
        self.found == *found && !self.learned.is_outgrown()
    }

    /// How many rows it holds, where the files say so.
    pub(crate) fn rows(&self) -> Option<u64> {
        match self.statistics.num_rows {
            Precision::Exact(rows) => u64::try_from(rows).ok(),
            Precision::Inexact(_) | Precision::Absent => None,
        }
    }

    async fn learn_statistics(&mut self, before: &Option<Arc<FileTable>>) {
        let same = before.clone().filter(|before| before.schema.table_schema() == self.schema.table_schema());
        let (format, store, schema) = (&self.format, &self.store, self.schema.file_schema());
        let learned: Vec<Option<Arc<Statistics>>> = futures::stream::iter(self.files.clone())
            .map(|file| {
                let known = known(&same, &file.file);
                async move {
                    match known {
                        Some(known) => known.statistics,
                        None => {
                            let own = format.statistics(&store_of(store, &file.file), &file.file, schema).await?;
                            Some(Arc::new(with_partitions(own, &file.values)))
                        }
                    }
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        for (file, statistics) in self.files.iter_mut().zip(learned) {
            file.statistics = statistics;
        }
        if self.found.hive.is_some() {
            return; // These files are a sample, which says nothing of the whole.
        }
        let files = self.files.iter().map(|file| file.statistics.as_deref()).collect();
        if let Some(statistics) = merged_statistics(files, self.schema.table_schema()) {
            self.statistics = statistics;
        }
    }

    /// The files whose partition values meet every filter.
    fn pruned(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&ScannedFile>, DataFusionError> {
        let rows: Vec<&[ScalarValue]> = self.files.iter().map(|file| file.values.as_slice()).collect();
        let keep = PartitionFilters::new(state, filters, &self.partitions).met_by(&rows)?;
        Ok(self.files.iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
    }

    /// The files of a partitioned folder as they are now, whose partition values meet every filter.
    async fn listed(
        &self,
        hive: &Hive,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<Vec<ScannedFile>, DataFusionError> {
        let filters = PartitionFilters::new(state, filters, &self.partitions);
        let files = hive.files(&filters).await?;
        self.learned.check_values(&files, &self.partitions)?;
        let values: Vec<Vec<ScalarValue>> =
            files.iter().map(|file| partition::values(file, &self.partitions)).collect();
        let keep = filters.met_by(&values.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let kept = files.into_iter().zip(values).zip(keep).filter_map(|(file, keep)| keep.then_some(file));
        let kept: Vec<(DataFile, Vec<ScalarValue>)> = kept.collect();
        let count = kept.len();
        let looked: Vec<Option<ScannedFile>> = futures::stream::iter(kept)
            .map(|(file, values)| self.looked_into(file, values, count))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let files: Vec<ScannedFile> = looked.into_iter().flatten().collect();
        let first = self.files.first().map_or("", |file| file.file.name.as_str());
        self.learned.check_columns(&files, &self.partitions, (first, &self.merged), self.format.mixing())?;
        Ok(files)
    }

    /// A file with what is to be known of it, one of `count`. None where it is empty.
    async fn looked_into(
        &self,
        file: DataFile,
        values: Vec<ScalarValue>,
        count: usize,
    ) -> Result<Option<ScannedFile>, Error> {
        let known = self.learned.known(&file).or_else(|| known_of(&self.files, &file));
        if let Some(known) = known {
            return Ok(Some(known));
        }
        let store = store_of(&self.store, &file);
        let columns = self.format.columns(&store, &file, count).await?;
        if columns.fields().is_empty() {
            return Ok(None);
        }
        let statistics = self.format.statistics(&store, &file, self.schema.file_schema()).await;
        let statistics = statistics.map(|own| Arc::new(with_partitions(own, &values)));
        let (source, meta) = (Arc::clone(&self.source), object_meta(&file)?);
        let scanned = ScannedFile { source, meta, file, columns, values, statistics };
        self.learned.keep(&scanned);
        Ok(Some(scanned))
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics.clone())
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let support = |filter: &&Expr| {
            if is_on(&self.partitions, filter) {
                TableProviderFilterPushDown::Exact
            } else {
                // Readers take what they can from the filter above the scan, which stays there.
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let listed;
        let files: Vec<&ScannedFile> = match &self.found.hive {
            None => self.pruned(state, filters)?,
            Some(hive) => {
                listed = self.listed(hive, state, filters).await?;
                listed.iter().collect()
            }
        };
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema(), projection)?)));
        }
        let schema = self.schema.table_schema();
        let statistics = merged_statistics(files.iter().map(|file| file.statistics.as_deref()).collect(), schema)
            .unwrap_or_else(|| Statistics::new_unknown(schema));
        let group = FileGroup::new(files.into_iter().map(ScannedFile::partitioned).collect());
        let groups = group.split_files(state.config().target_partitions().max(1));
        state.runtime_env().register_object_store(self.url.as_ref(), Arc::clone(&self.store));
        let reader = self.format.reader(&self.store, &self.schema, state)?;
        let config = FileScanConfigBuilder::new(self.url.clone(), reader)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

impl ScannedFile {
    /// What tells it from another file of its name: its size, its time, and what its store calls it.
    pub(crate) fn told_by(&self) -> (u64, DateTime<Utc>, Option<&str>) {
        (self.meta.size, self.meta.last_modified, self.meta.version.as_deref())
    }

    fn partitioned(&self) -> PartitionedFile {
        let mut file = PartitionedFile::new_from_meta(self.meta.clone()).with_partition_values(self.values.clone());
        // `with_statistics` would call a NULL partition value a value.
        file.statistics = self.statistics.clone();
        file.with_extension(Arc::new(self.clone()))
    }
}

/// What a former opening knows of a file that is still the same.
fn known(before: &Option<Arc<FileTable>>, file: &DataFile) -> Option<ScannedFile> {
    let before = before.as_ref()?;
    known_of(&before.files, file).or_else(|| before.learned.known(file))
}

fn known_of(files: &[ScannedFile], file: &DataFile) -> Option<ScannedFile> {
    // Files are sorted by name.
    let at = files.binary_search_by(|known| known.file.path.cmp(&file.path)).ok()?;
    (files[at].file == *file).then(|| files[at].clone())
}

/// The store that a file is read from: its own, held to its version, or the folder of this machine.
fn store_of(folder: &Arc<dyn ObjectStore>, file: &DataFile) -> Arc<dyn ObjectStore> {
    match &file.stored {
        Some(stored) => Arc::new(stored.steady(&file.name)),
        None => Arc::clone(folder),
    }
}

/// The columns that files hold. A column that the folders carry too is taken from the folders.
fn file_schema(
    found: &Found,
    columns: &[SchemaRef],
    learned: &[(String, SchemaRef)],
    partitions: &[Field],
    mixing: Mixing,
) -> Result<SchemaRef, Error> {
    let own: Vec<(&str, SchemaRef)> = found
        .files
        .iter()
        .zip(columns)
        .filter(|(_, columns)| !columns.fields().is_empty())
        .map(|(file, columns)| (file.name.as_str(), without(columns, partitions)))
        .collect();
    if own.is_empty() {
        let name = found.files.first().map_or("", |file| file.name.as_str());
        return Err(invalid_file(name, "is empty: it names no column.").hint("Write a file with a header or rows."));
    }
    let own = || own.iter().map(|(name, schema)| (*name, schema));
    if found.hive.is_some() && !learned.is_empty() {
        // What a file had that is gone since, and fits no more, must not stand in the way.
        let learned = learned.iter().map(|(name, schema)| (name.as_str(), schema));
        if let Ok(merged) = merge::merge(own().chain(learned), mixing) {
            return Ok(merged);
        }
    }
    merge::merge(own(), mixing)
}

/// A file's columns, but for those that the folders carry.
pub(super) fn without(columns: &SchemaRef, partitions: &[Field]) -> SchemaRef {
    let is_partition = |name: &str| partitions.iter().any(|field| field.name() == name);
    if !columns.fields().iter().any(|field| is_partition(field.name())) {
        return Arc::clone(columns);
    }
    let own = columns.fields().iter().filter(|field| !is_partition(field.name())).cloned();
    Arc::new(Schema::new(own.collect::<Vec<_>>()))
}

pub(crate) fn object_meta(file: &DataFile) -> Result<ObjectMeta, Error> {
    let location = object_store::path::Path::parse(&file.name)
        .map_err(|error| invalid_file(&file.name, "has a name that cannot be read.").cause(error))?;
    let mut last_modified: DateTime<Utc> = file.modified.into();
    if file.stored.is_some() {
        // Footers are told apart by size and time, and a store's clock is coarse: the version makes it finer.
        last_modified += TimeDelta::nanoseconds(i64::try_from(file.identity % 1_000_000_000).unwrap_or_default());
    }
    let is_told_apart = file.stored.as_ref().is_none_or(Stored::is_told_apart);
    let version = is_told_apart.then(|| file.identity.to_string());
    Ok(ObjectMeta { location, last_modified, size: file.size, e_tag: None, version })
}

/// The folder that files of this machine are in. Files in stores carry their own.
fn folder_store(found: &Found) -> Result<Arc<dyn ObjectStore>, Error> {
    if found.files.iter().any(|file| file.stored.is_some()) {
        return Ok(Arc::new(InMemory::new()));
    }
    let folder = LocalFileSystem::new_with_prefix(&found.root)
        .map_err(|error| unreachable_file("folder", std::io::Error::other(error)))?;
    Ok(Arc::new(folder))
}

/// The address of the table's folder in plans. It says nothing about where the folder is.
fn store_url(found: &Found) -> Result<ObjectStoreUrl, Error> {
    let mut hasher = DefaultHasher::new();
    found.root.hash(&mut hasher);
    ObjectStoreUrl::parse(format!("weft-files://{:016x}", hasher.finish()))
        .map_err(|error| Error::new(Code::Internal, "A folder has no address.").cause(error))
}

/// A file's statistics with those of its partition values.
fn with_partitions(mut statistics: Statistics, values: &[ScalarValue]) -> Statistics {
    for value in values {
        let rows = statistics.num_rows;
        statistics.column_statistics.push(if value.is_null() {
            ColumnStatistics { null_count: rows, ..ColumnStatistics::new_unknown() }
        } else {
            ColumnStatistics {
                null_count: Precision::Exact(0),
                min_value: Precision::Exact(value.clone()),
                max_value: Precision::Exact(value.clone()),
                distinct_count: Precision::Exact(1),
                ..ColumnStatistics::new_unknown()
            }
        });
    }
    statistics
}

/// The statistics of several files together; None where one of them says nothing.
fn merged_statistics(files: Vec<Option<&Statistics>>, schema: &SchemaRef) -> Option<Statistics> {
    let files: Vec<&Statistics> = files.into_iter().collect::<Option<_>>()?;
    Statistics::try_merge_iter(files, schema).ok()
}
