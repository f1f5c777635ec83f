//! Parquet files of this machine: held open while they are read, so that each part comes from the file that was found.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::physical_plan::ParquetFileMetrics;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use engine::Error;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{ObjectMeta, ObjectStore};

use super::footers::Footers;
use crate::sources::files::{self, DataFile};

/// One file of this machine.
pub(super) struct LocalReader {
    file: Arc<DataFile>,
    /// The file once it is open, but while it is being read.
    open: Option<File>,
    folder: Arc<dyn ObjectStore>,
    meta: ObjectMeta,
    footers: Footers,
    counts: ParquetFileMetrics,
}

impl LocalReader {
    pub(super) fn new(
        partition: usize,
        file: DataFile,
        folder: Arc<dyn ObjectStore>,
        meta: ObjectMeta,
        footers: Footers,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Self {
        let counts = ParquetFileMetrics::new(partition, &file.name, metrics);
        Self { file: Arc::new(file), open: None, folder, meta, footers, counts }
    }

    async fn read(&mut self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, ParquetError> {
        let (file, open) = (Arc::clone(&self.file), self.open.take());
        let reading = files::blocking(move || {
            let mut open = match open {
                Some(open) => open,
                None => files::open_as_found(&file)?,
            };
            let parts = ranges.into_iter().map(|range| part(&mut open, &file, range)).collect::<Result<Vec<_>, _>>()?;
            Ok((open, parts))
        });
        let (open, parts) = reading.await.map_err(|error| ParquetError::External(Box::new(error)))?;
        self.open = Some(open);
        self.counts.bytes_scanned.add(parts.iter().map(Bytes::len).sum());
        Ok(parts)
    }
}

impl Drop for LocalReader {
    fn drop(&mut self) {
        // Of one file, which several readers may share.
        self.counts.scan_efficiency_ratio.add_part(self.counts.bytes_scanned.value());
        self.counts.scan_efficiency_ratio.set_total(usize::try_from(self.file.size).unwrap_or(usize::MAX));
    }
}

/// A part of the file. It is read into memory that nobody clears first.
fn part(open: &mut File, file: &DataFile, range: Range<u64>) -> Result<Bytes, Error> {
    let outside = || files::invalid_file(&file.name, "is torn: it says that it holds more than it does.");
    let is_inside = range.start <= range.end && range.end <= file.size;
    let size = usize::try_from(range.end.wrapping_sub(range.start)).ok().filter(|_| is_inside).ok_or_else(outside)?;
    let mut bytes = Vec::with_capacity(size);
    let failed = |error| files::unreachable_file(&file.name, error);
    open.seek(SeekFrom::Start(range.start)).map_err(failed)?;
    open.by_ref().take(size as u64).read_to_end(&mut bytes).map_err(failed)?;
    // It was as long when it was opened.
    if bytes.len() == size { Ok(bytes.into()) } else { Err(files::changed_file(&file.name)) }
}

impl AsyncFileReader for LocalReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let mut parts = self.read(vec![range]).await?;
            parts.pop().ok_or_else(|| ParquetError::General("a part was asked for and none was read".to_owned()))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.read(ranges).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let pages = options.map(ArrowReaderOptions::column_index_policy);
            let footer = self.footers.of(self.folder.as_ref(), &self.meta, None, pages).await;
            footer.map_err(|error| ParquetError::External(Box::new(super::explained(&self.file, error))))
        }
        .boxed()
    }
}
