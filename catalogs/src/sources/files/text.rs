//! Reads text files, CSV and NDJSON, for DataFusion: each file from its beginning, so that an error can name its line.
//!
//! DataFusion's own readers cut files at any line break, also inside quotes, and repeat the row in their errors.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr};
use engine::{Code, Error};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::table::ScannedFile;

/// Batches of a file in a store that are read before somebody takes them.
const BATCHES_AHEAD: usize = 2;

/// Batches of one file.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, Error>> + Send>;

/// How one text file becomes batches.
pub(crate) trait TextFormat: fmt::Debug + Send + Sync + 'static {
    /// The word for plans.
    fn name(&self) -> &'static str;

    /// The rows of `file` as columns of `schema`; a column that the file lacks is NULL.
    fn read(&self, file: &ScannedFile, schema: SchemaRef, batch_size: usize) -> Result<Batches, Error>;
}

/// Text files as DataFusion scans them.
#[derive(Clone)]
pub(crate) struct TextSource {
    format: Arc<dyn TextFormat>,
    schema: TableSchema,
    projection: SplitProjection,
    batch_size: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl TextSource {
    pub(crate) fn new(format: Arc<dyn TextFormat>, schema: &TableSchema, batch_size: usize) -> Self {
        Self {
            format,
            projection: SplitProjection::unprojected(schema),
            schema: schema.clone(),
            batch_size,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl FileSource for TextSource {
    fn create_file_opener(
        &self,
        _: Arc<dyn ObjectStore>,
        _: &FileScanConfig,
        _: usize,
    ) -> Result<Arc<dyn FileOpener>, DataFusionError> {
        let schema = Arc::new(self.schema.file_schema().project(&self.projection.file_indices)?);
        let opener = TextOpener { format: Arc::clone(&self.format), schema, batch_size: self.batch_size };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), self.schema.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        &self.schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_size, ..self.clone() })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>, DataFusionError> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        self.format.name()
    }

    fn fmt_extra(&self, _: DisplayFormatType, _: &mut fmt::Formatter) -> fmt::Result {
        Ok(())
    }

    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        datafusion::physical_plan::apply_expression_roots(self.projection.source.iter(), f)
    }
}

#[derive(Debug)]
struct TextOpener {
    format: Arc<dyn TextFormat>,
    schema: SchemaRef,
    batch_size: usize,
}

impl FileOpener for TextOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture, DataFusionError> {
        let scanned = file.extension::<Arc<ScannedFile>>().cloned();
        let scanned = scanned.ok_or_else(|| DataFusionError::Internal("A file that no table opened".to_owned()))?;
        let (format, schema, batch_size) = (Arc::clone(&self.format), Arc::clone(&self.schema), self.batch_size);
        let opening = async move {
            if scanned.file.stored.is_some() {
                return Ok(read_elsewhere(format, scanned, schema, batch_size));
            }
            let batches = format.read(&scanned, schema, batch_size).map_err(DataFusionError::from)?;
            Ok(futures::stream::iter(batches).map(|batch| batch.map_err(DataFusionError::from)).boxed())
        };
        Ok(opening.boxed())
    }
}

/// Batches that a thread of their own reads, which waits for a store. It ends with the stream.
fn read_elsewhere(
    format: Arc<dyn TextFormat>,
    file: Arc<ScannedFile>,
    schema: SchemaRef,
    batch_size: usize,
) -> BoxStream<'static, Result<RecordBatch, DataFusionError>> {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let mut reading = JoinSet::new();
    reading.spawn_blocking(move || {
        let batches = match format.read(&file, schema, batch_size) {
            Ok(batches) => batches,
            Err(error) => Box::new(std::iter::once(Err(error))),
        };
        for batch in batches {
            let is_end = batch.is_err();
            if sender.blocking_send(batch).is_err() || is_end {
                return;
            }
        }
    });
    let next = |(mut receiver, mut reading): (mpsc::Receiver<Result<RecordBatch, Error>>, JoinSet<()>)| async move {
        let batch = match receiver.recv().await {
            Some(batch) => batch,
            // A thread that broke down must not look like the end of the file.
            None => match reading.join_next().await {
                Some(Err(cause)) => {
                    Err(Error::new(Code::Internal, "Reading a file failed; the log has the cause.").cause(cause))
                }
                _ => return None,
            },
        };
        Some((batch.map_err(DataFusionError::from), (receiver, reading)))
    };
    futures::stream::unfold((receiver, reading), next).boxed()
}
