//! Which reader a Parquet file has: one for stores, one for this machine.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use object_store::ObjectStore;

use super::footers::Footers;
use super::local::LocalReader;
use super::stored::StoredReader;
use crate::sources::files::ScannedFile;

/// Makes the readers of a table's files, which share the footers that are known.
#[derive(Debug)]
pub(super) struct Readers {
    folder: Arc<dyn ObjectStore>,
    footers: Footers,
}

impl Readers {
    pub(super) fn new(folder: &Arc<dyn ObjectStore>, footers: &Footers) -> Self {
        Self { folder: Arc::clone(folder), footers: footers.clone() }
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let scanned = file.extension::<Arc<ScannedFile>>();
        let scanned = scanned.ok_or_else(|| DataFusionError::Internal("a file that no table found".to_owned()))?;
        let (data, footers) = (scanned.file.clone(), self.footers.clone());
        if let Some(stored) = &data.stored {
            let steady = stored.steady(&data.name);
            return Ok(Box::new(StoredReader::new(partition, file, steady, data, footers, metrics)?));
        }
        let folder = Arc::clone(&self.folder);
        Ok(Box::new(LocalReader::new(partition, data, folder, file.object_meta, footers, metrics)))
    }
}
