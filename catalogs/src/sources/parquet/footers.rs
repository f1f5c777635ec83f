//! The footers of a table's files, without what they say of floats: a file's least and greatest float leave NaN out.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::parquet::metadata::{CachedParquetMetaData, DFParquetMetadata};
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::parquet::basic::{LogicalType, Type};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use datafusion::parquet::file::page_index::column_index::ColumnIndexMetaData;
use datafusion::parquet::file::statistics::Statistics;
use datafusion::parquet::schema::types::ColumnDescriptor;
use object_store::{ObjectMeta, ObjectStore};

/// Bytes of footers that one table keeps.
const KEPT: usize = 32 << 20;

/// Reads footers and keeps them. They are kept by name and told apart by size and time only, so that no two tables may
/// share them.
#[derive(Debug, Clone)]
pub(super) struct Footers {
    kept: Arc<FileMetadataCache>,
}

impl Footers {
    pub(super) fn new() -> Self {
        Self { kept: Arc::new(DefaultCache::new(KEPT)) }
    }

    /// Where the library's own readers look for footers.
    pub(super) fn kept(&self) -> Arc<FileMetadataCache> {
        Arc::clone(&self.kept)
    }

    /// The footer of a file. `size_hint` is how many bytes at its end are asked for first.
    pub(super) async fn of(
        &self,
        store: &dyn ObjectStore,
        file: &ObjectMeta,
        size_hint: Option<usize>,
        pages: Option<PageIndexPolicy>,
    ) -> Result<Arc<ParquetMetaData>, DataFusionError> {
        let footer = DFParquetMetadata::new(store, file)
            .with_file_metadata_cache(Some(self.kept()))
            .with_metadata_size_hint(size_hint)
            .with_page_index_policy(pages)
            .fetch_metadata()
            .await?;
        if !bounds_floats(&footer) {
            return Ok(footer);
        }
        let footer = Arc::new(without_bounds_of_floats(Arc::unwrap_or_clone(footer))?);
        let kept = Arc::new(CachedParquetMetaData::new(Arc::clone(&footer)));
        self.kept.put(&file.location, CachedFileMetadataEntry::new(file.clone(), kept));
        Ok(footer)
    }
}

/// Whether a footer says between which values floats are, of chunks or of their pages.
fn bounds_floats(footer: &ParquetMetaData) -> bool {
    let columns = footer.file_metadata().schema_descr().columns().iter().enumerate();
    let floats = columns.filter(|(_, column)| is_float(column)).map(|(index, _)| index).collect::<Vec<_>>();
    let chunks = footer.row_groups().iter().map(RowGroupMetaData::columns);
    chunks.flat_map(|chunks| floats.iter().filter_map(|index| chunks.get(*index))).any(has_bounds)
}

fn has_bounds(chunk: &ColumnChunkMetaData) -> bool {
    let of_chunk = |known: &Statistics| known.min_bytes_opt().is_some() || known.max_bytes_opt().is_some();
    chunk.column_index_offset().is_some() || chunk.statistics().is_some_and(of_chunk)
}

fn without_bounds_of_floats(footer: ParquetMetaData) -> Result<ParquetMetaData, ParquetError> {
    let mut footer = footer.into_builder();
    let groups = footer.take_row_groups();
    let pages = footer.take_column_index().map(|groups_pages| {
        let of_group = |(pages, group): (Vec<ColumnIndexMetaData>, &RowGroupMetaData)| {
            let columns = group.columns().iter().map(ColumnChunkMetaData::column_descr);
            let kept = columns.zip(pages).map(
                |(column, pages)| {
                    if is_float(column) { ColumnIndexMetaData::NONE } else { pages }
                },
            );
            kept.collect()
        };
        groups_pages.into_iter().zip(&groups).map(of_group).collect()
    });
    let groups = groups.into_iter().map(|group| {
        let chunks = group.columns().iter().cloned().map(without_bounds).collect::<Result<_, _>>()?;
        group.into_builder().set_column_metadata(chunks).build()
    });
    let groups = groups.collect::<Result<_, ParquetError>>()?;
    Ok(footer.set_row_groups(groups).set_column_index(pages).build())
}

/// A chunk with the counts of its NULLs and distinct values alone, where it is of floats.
fn without_bounds(chunk: ColumnChunkMetaData) -> Result<ColumnChunkMetaData, ParquetError> {
    if !is_float(chunk.column_descr()) {
        return Ok(chunk);
    }
    let known = chunk.statistics().and_then(|known| match known {
        Statistics::Float(known) => {
            Some(Statistics::new::<f32>(None, None, known.distinct_count(), known.null_count_opt(), false))
        }
        Statistics::Double(known) => {
            Some(Statistics::new::<f64>(None, None, known.distinct_count(), known.null_count_opt(), false))
        }
        _ => None,
    });
    let chunk = chunk.into_builder().clear_statistics().set_column_index_offset(None).set_column_index_length(None);
    match known {
        Some(known) => chunk.set_statistics(known),
        None => chunk,
    }
    .build()
}

fn is_float(column: &ColumnDescriptor) -> bool {
    matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE)
        || matches!(column.logical_type_ref(), Some(LogicalType::Float16))
}
