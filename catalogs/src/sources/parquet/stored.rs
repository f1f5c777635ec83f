//! Parquet files of stores as DataFusion reads them: each held to the version that was found, and with sentences of our
//! own where the store fails. Files of this machine are read as ever.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectMeta;

use crate::sources::files::{DataFile, ScannedFile, Steady};

/// Bytes at the end of a file that are asked for first: most footers are within them, and come with one request.
pub(super) const FOOTER: usize = 64 << 10;

/// Makes the readers of files.
#[derive(Debug)]
pub(super) struct StoredFooters {
    pub(super) local: CachedParquetFileReaderFactory,
    pub(super) footers: Arc<FileMetadataCache>,
}

impl ParquetFileReaderFactory for StoredFooters {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let scanned = file.extension::<Arc<ScannedFile>>().map(|scanned| scanned.file.clone());
        let stored = scanned.and_then(|file| Some((Arc::new(file.stored.as_ref()?.steady(&file.name)), file)));
        let Some((steady, data)) = stored else {
            return self.local.create_reader(partition_index, file, metadata_size_hint, metrics);
        };
        let (footers, meta) = (Arc::clone(&self.footers), file.object_meta.clone());
        // The library's own reader counts what is read.
        let inner = CachedParquetFileReaderFactory::new(Arc::clone(&steady) as _, Arc::clone(&footers));
        let inner = inner.create_reader(partition_index, file, Some(FOOTER), metrics)?;
        Ok(Box::new(StoredReader { inner, steady, file: data, meta, footers }))
    }
}

/// One file of a store.
struct StoredReader {
    inner: Box<dyn AsyncFileReader + Send>,
    steady: Arc<Steady>,
    file: DataFile,
    meta: ObjectMeta,
    footers: Arc<FileMetadataCache>,
}

impl AsyncFileReader for StoredReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.inner.get_byte_ranges(ranges)
    }

    /// As the library's own reader does it, but for the error, which it would turn into words.
    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            DFParquetMetadata::new(self.steady.as_ref(), &self.meta)
                .with_file_metadata_cache(Some(Arc::clone(&self.footers)))
                .with_metadata_size_hint(Some(FOOTER))
                .with_page_index_policy(options.map(ArrowReaderOptions::column_index_policy))
                .fetch_metadata()
                .await
                .map_err(|error| ParquetError::External(Box::new(super::explained(&self.file, error))))
        }
        .boxed()
    }
}
