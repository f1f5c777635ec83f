//! Which reader a Parquet file has: one for stores, one for this machine.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use object_store::ObjectStore;

use super::local::LocalReader;
use super::stored::StoredReader;
use crate::sources::files::ScannedFile;

/// Makes the readers of a table's files, which share the footers that are known.
#[derive(Debug)]
pub(super) struct Readers {
    folder: CachedParquetFileReaderFactory,
    footers: Arc<FileMetadataCache>,
}

impl Readers {
    pub(super) fn new(folder: &Arc<dyn ObjectStore>, footers: &Arc<FileMetadataCache>) -> Self {
        let library = CachedParquetFileReaderFactory::new(Arc::clone(folder), Arc::clone(footers));
        Self { folder: library, footers: Arc::clone(footers) }
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let Some(scanned) = file.extension::<Arc<ScannedFile>>() else {
            return self.folder.create_reader(partition, file, size_hint, metrics);
        };
        let data = scanned.file.clone();
        if let Some(stored) = &data.stored {
            let steady = stored.steady(&data.name);
            let footers = Arc::clone(&self.footers);
            return Ok(Box::new(StoredReader::new(partition, file, steady, data, footers, metrics)?));
        }
        // The library's own reader brings the footer; it counts nothing then, as footers are not among its counts.
        let footer = self.folder.create_reader(partition, file, size_hint, &ExecutionPlanMetricsSet::new())?;
        Ok(Box::new(LocalReader::new(partition, data, footer, metrics)))
    }
}
