//! Parquet files of stores as DataFusion reads them: each held to the version that was found, and with sentences of our
//! own where the store fails.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectMeta;

use super::footers::Footers;
use crate::sources::files::{DataFile, Steady};

/// Bytes at the end of a file that are asked for first: most footers are within them, and come with one request.
pub(super) const FOOTER: usize = 64 << 10;

/// One file of a store.
pub(super) struct StoredReader {
    inner: Box<dyn AsyncFileReader + Send>,
    steady: Arc<Steady>,
    file: DataFile,
    meta: ObjectMeta,
    footers: Footers,
}

impl StoredReader {
    pub(super) fn new(
        partition: usize,
        file: PartitionedFile,
        steady: Steady,
        data: DataFile,
        footers: Footers,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Self, DataFusionError> {
        let (steady, meta) = (Arc::new(steady), file.object_meta.clone());
        // The library's own reader counts what is read.
        let inner = CachedParquetFileReaderFactory::new(Arc::clone(&steady) as _, footers.kept());
        let inner = inner.create_reader(partition, file, Some(FOOTER), metrics)?;
        Ok(Self { inner, steady, file: data, meta, footers })
    }
}

impl AsyncFileReader for StoredReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let pages = options.map(ArrowReaderOptions::column_index_policy);
            let footer = self.footers.of(self.steady.as_ref(), &self.meta, Some(FOOTER), pages).await;
            footer.map_err(|error| ParquetError::External(Box::new(super::explained(&self.file, error))))
        }
        .boxed()
    }
}
