//! A table of files, as DataFusion scans it: the set of files is the one that was found when the table was opened.
//!
//! It lists files itself, as DataFusion's `ListingTable` keeps its listings forever, knows no NULL partitions, and puts
//! absolute paths into plans.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, DataFusionError, ScalarValue, Statistics, project_schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::helpers::expr_applicable_for_cols;
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
use object_store::{ObjectMeta, ObjectStore};

use super::find::{DataFile, Found};
use super::{Format, invalid_file, merge, partition, unreachable_file};

/// Files that are looked into at once.
const AT_ONCE: usize = 16;

/// A table of files.
#[derive(Debug)]
pub(crate) struct FileTable {
    found: Found,
    files: Vec<ScannedFile>,
    format: Arc<dyn Format>,
    schema: TableSchema,
    partitions: Vec<Field>,
    store: Arc<dyn ObjectStore>,
    url: ObjectStoreUrl,
    statistics: Statistics,
}

/// One file with what was learned about it.
#[derive(Debug, Clone)]
pub(crate) struct ScannedFile {
    pub(crate) file: DataFile,
    /// The file's own columns, in its own order.
    pub(crate) columns: SchemaRef,
    meta: ObjectMeta,
    values: Vec<ScalarValue>,
    statistics: Option<Arc<Statistics>>,
}

impl FileTable {
    /// Looks into the files far enough to know their columns. What `before` knows of files that are still the same is
    /// taken over.
    pub(crate) async fn open(
        found: Found,
        format: Arc<dyn Format>,
        before: Option<Arc<FileTable>>,
    ) -> Result<Self, Error> {
        let store = LocalFileSystem::new_with_prefix(&found.root)
            .map_err(|error| unreachable_file("folder", std::io::Error::other(error)))?;
        let store: Arc<dyn ObjectStore> = Arc::new(store);
        let count = found.files.len();
        let columns: Vec<SchemaRef> = futures::stream::iter(found.files.clone())
            .map(|file| {
                let (store, format, known) = (Arc::clone(&store), Arc::clone(&format), known(&before, &file));
                async move {
                    match known {
                        Some(known) => Ok::<_, Error>(known.columns),
                        None => format.columns(&store, &file, count).await,
                    }
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let (partitions, values) = partition::columns(&found.files)?;
        let schema = file_schema(&found, &columns, &partitions, format.as_ref())?;
        let mut files = Vec::with_capacity(count);
        for ((file, columns), values) in found.files.iter().zip(columns).zip(values) {
            if columns.fields().is_empty() {
                continue; // An empty file has no rows.
            }
            files.push(ScannedFile { meta: object_meta(file)?, file: file.clone(), columns, values, statistics: None });
        }
        let schema = TableSchema::builder(schema)
            .with_table_partition_cols(partitions.iter().cloned().map(Arc::new).collect::<Vec<_>>())
            .build();
        let url = store_url(&found)?;
        let statistics = Statistics::new_unknown(schema.table_schema());
        let mut table = Self { found, files, format, schema, partitions, store, url, statistics };
        table.learn_statistics(&before).await;
        Ok(table)
    }

    /// Whether it is the table of these files.
    pub(crate) fn is_of(&self, found: &Found) -> bool {
        self.found == *found
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
                            let own = format.statistics(store, &file.file, schema).await?;
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
        let files = self.files.iter().map(|file| file.statistics.as_deref()).collect();
        if let Some(statistics) = merged_statistics(files, self.schema.table_schema()) {
            self.statistics = statistics;
        }
    }

    /// The files whose partition values meet every filter.
    fn pruned(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&ScannedFile>, DataFusionError> {
        let filters: Vec<&Expr> = filters.iter().filter(|filter| self.is_on_partitions(filter)).collect();
        if filters.is_empty() {
            return Ok(self.files.iter().collect());
        }
        let schema = Arc::new(Schema::new(self.partitions.clone()));
        let mut columns = Vec::with_capacity(self.partitions.len());
        for at in 0..self.partitions.len() {
            columns.push(ScalarValue::iter_to_array(self.files.iter().map(|file| file.values[at].clone()))?);
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(self.files.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &rows)?;
        let schema = DFSchema::try_from(schema)?;
        let mut keep = vec![true; self.files.len()];
        for filter in filters {
            let holds = state.create_physical_expr(filter.clone(), &schema)?.evaluate(&batch)?;
            let holds = holds.into_array(self.files.len())?;
            let holds = holds.as_any().downcast_ref::<BooleanArray>();
            let holds = holds.ok_or_else(|| DataFusionError::Plan("A filter must be a condition".to_owned()))?;
            for (at, keep) in keep.iter_mut().enumerate() {
                *keep &= holds.is_valid(at) && holds.value(at);
            }
        }
        Ok(self.files.iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
    }

    /// Whether a filter can be decided by partition values alone.
    fn is_on_partitions(&self, filter: &Expr) -> bool {
        let names: Vec<&str> = self.partitions.iter().map(|field| field.name().as_str()).collect();
        !names.is_empty() && expr_applicable_for_cols(&names, filter) && !has_subquery(filter)
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
            if self.is_on_partitions(filter) {
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
        let files = self.pruned(state, filters)?;
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
    fn partitioned(&self) -> PartitionedFile {
        let mut file = PartitionedFile::new_from_meta(self.meta.clone()).with_partition_values(self.values.clone());
        // `with_statistics` would call a NULL partition value a value.
        file.statistics = self.statistics.clone();
        file.with_extension(Arc::new(self.clone()))
    }
}

fn has_subquery(filter: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let is_subquery = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
        ))
    };
    filter.exists(is_subquery).unwrap_or(true)
}

/// What a former opening knows of a file that is still the same.
fn known(before: &Option<Arc<FileTable>>, file: &DataFile) -> Option<ScannedFile> {
    let files = &before.as_ref()?.files;
    // Files are sorted by name.
    let at = files.binary_search_by(|known| known.file.path.cmp(&file.path)).ok()?;
    (files[at].file == *file).then(|| files[at].clone())
}

/// The columns that files hold. A column that the folders carry too is taken from the folders.
fn file_schema(
    found: &Found,
    columns: &[SchemaRef],
    partitions: &[Field],
    format: &dyn Format,
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
    let merged = merge::merge(own.iter().map(|(name, schema)| (*name, schema)), format.mixing())?;
    Ok(format.readable(merged))
}

fn without(columns: &SchemaRef, partitions: &[Field]) -> SchemaRef {
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
    Ok(ObjectMeta { location, last_modified: file.modified.into(), size: file.size, e_tag: None, version: None })
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
