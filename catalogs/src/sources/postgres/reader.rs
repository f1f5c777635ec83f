//! One running read: a thread that talks to PostgreSQL, a short channel of batches, and the stream at its end.
//!
//! The thread is the read's own, since the driver blocks. The channel is short, so a slow reader slows the server down and
//! not this process's memory up. A stream that is dropped stops the statement in the server first; only then does its
//! connection close, or go back to the pool where the server confirmed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use connectorx::sources::PartitionParser;
use connectorx::sources::postgres::PostgresBinarySourcePartitionParser;
use datafusion::common::Result;
use datafusion::execution::RecordBatchStream;
use datafusion::physical_plan::metrics::BaselineMetrics;
use engine::{Code, Error};
use futures::Stream;
use postgres::Client;
use postgres::binary_copy::BinaryCopyOutIter;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Sleep;

use super::cells::Cells;
use super::columns::Column;
use super::failure::{Failure, Place};
use super::pool::{Canceller, Pool, Session};
use super::relations::Listings;
use super::Question;

/// Batches that wait for their reader.
const WAITING_BATCHES: usize = 2;
/// A batch is sent when it holds so many bytes of text, even if it has few rows.
const BATCH_BYTES: usize = 1 << 20;
/// Rows of a batch without columns: it costs nothing.
const COUNTED_ROWS: i64 = 1 << 16;

/// What a read needs.
pub(super) struct Job {
    pub(super) question: Question,
    pub(super) session: Session,
    pub(super) batch_rows: usize,
    pub(super) pool: Arc<Pool>,
    pub(super) listings: Arc<Listings>,
}

/// The rows of a read. The read begins when the first row is asked for.
pub(super) struct Rows {
    schema: SchemaRef,
    place: Place,
    state: State,
    metrics: BaselineMetrics,
}

enum State {
    Planned(Option<Job>),
    Running(Running),
    Ended,
}

struct Running {
    batches: Receiver<Result<RecordBatch, Error>>,
    control: Arc<Control>,
    /// When a server that has not let us in yet counts as unreachable.
    patience: Pin<Box<Sleep>>,
}

impl Rows {
    pub(super) fn new(job: Job, metrics: BaselineMetrics) -> Self {
        let schema = Arc::clone(&job.question.schema);
        Self { schema, place: job.pool.place().clone(), state: State::Planned(Some(job)), metrics }
    }
}

impl RecordBatchStream for Rows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let State::Planned(job) = &mut this.state {
            this.state = match job.take().map(Running::start) {
                Some(Ok(running)) => State::Running(running),
                Some(Err(error)) => {
                    this.state = State::Ended;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => State::Ended,
            };
        }
        let State::Running(running) = &mut this.state else { return Poll::Ready(None) };
        let polled = running.poll(cx, &this.place);
        if !matches!(polled, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            this.state = State::Ended;
        }
        this.metrics.record_poll(polled.map_err(Into::into))
    }
}

impl Running {
    fn start(job: Job) -> Result<Self, Error> {
        let (sender, batches) = channel(WAITING_BATCHES);
        let control = Arc::new(Control::default());
        // To wait for a free connection, then to open one.
        let patience = job.pool.settings().connect_timeout * 2 + Duration::from_secs(1);
        let place = job.pool.place().clone();
        let reader = Reader { job, control: Arc::clone(&control), sender };
        thread::Builder::new()
            .name("weft-postgres".to_owned())
            .spawn(move || reader.run())
            .map_err(|cause| place.without_thread(cause))?;
        Ok(Self { batches, control, patience: Box::pin(tokio::time::sleep(patience)) })
    }

    fn poll(&mut self, cx: &mut Context<'_>, place: &Place) -> Poll<Option<Result<RecordBatch, Error>>> {
        match self.batches.poll_recv(cx) {
            // A reader that ends says so; one that is gone without a word has not read everything.
            Poll::Ready(None) if !self.control.is_complete.load(Ordering::Acquire) => {
                Poll::Ready(Some(Err(place.panicked())))
            }
            Poll::Pending if !self.control.is_connected.load(Ordering::Acquire) => {
                self.patience.as_mut().poll(cx).map(|()| Some(Err(place.unreachable())))
            }
            polled => polled,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.abandon();
    }
}

/// What the stream and its reader know of each other.
#[derive(Default)]
struct Control {
    is_connected: AtomicBool,
    is_abandoned: AtomicBool,
    is_complete: AtomicBool,
    statement: Mutex<Statement>,
}

/// The statement that runs in the server.
#[derive(Default)]
enum Statement {
    #[default]
    None,
    Running(Canceller),
    Cancelled,
}

impl Control {
    /// Nobody reads any more. It never blocks: to cancel means to connect, so a thread does it.
    fn abandon(self: &Arc<Self>) {
        self.is_abandoned.store(true, Ordering::Release);
        if self.is_complete.load(Ordering::Acquire) {
            return;
        }
        let control = Arc::clone(self);
        if let Err(error) =
            thread::Builder::new().name("weft-postgres-cancel".to_owned()).spawn(move || control.cancel())
        {
            tracing::warn!(%error, "no thread to cancel a statement with");
        }
    }

    fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Acquire)
    }

    /// Cancels the statement, if one runs. The lock is held meanwhile, so that the connection waits for it.
    fn cancel(&self) {
        let mut statement = self.statement.lock().unwrap_or_else(PoisonError::into_inner);
        *statement = match std::mem::take(&mut *statement) {
            Statement::Running(canceller) => {
                canceller.cancel();
                Statement::Cancelled
            }
            other => other,
        };
    }

    /// From now on there is something to cancel.
    fn watch(&self, canceller: Canceller) {
        *self.statement.lock().unwrap_or_else(PoisonError::into_inner) = Statement::Running(canceller);
    }

    /// There is nothing to cancel any more. Whether something was cancelled.
    fn unwatch(&self) -> bool {
        let mut statement = self.statement.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(std::mem::take(&mut *statement), Statement::Cancelled)
    }
}

/// How a read ended that did not fail.
enum End {
    Complete,
    Abandoned,
}

/// The thread of a read.
struct Reader {
    job: Job,
    control: Arc<Control>,
    sender: Sender<Result<RecordBatch, Error>>,
}

impl Reader {
    fn run(self) {
        let result = catch_unwind(AssertUnwindSafe(|| self.read())).unwrap_or_else(|_| Err(self.place().panicked()));
        match result {
            Ok(()) => self.control.is_complete.store(true, Ordering::Release),
            Err(error) => {
                if error.code() == Code::SchemaChanged {
                    self.job.listings.forget();
                }
                // Where nobody listens, nobody needs to know.
                drop(self.sender.blocking_send(Err(error)));
            }
        }
    }

    fn place(&self) -> &Place {
        self.job.pool.place()
    }

    /// Reads everything. A lost connection is tried once more, as long as no row has left.
    fn read(&self) -> Result<(), Error> {
        let mut has_sent = false;
        match self.attempt(&mut has_sent) {
            Err(failure) if failure.is_loss && !has_sent && !self.control.is_abandoned() => {
                tracing::debug!(source = self.place().id, error = ?failure.error, "reading again over a new connection");
                self.attempt(&mut has_sent)
            }
            result => result,
        }
        .map_err(|failure| failure.error)
    }

    fn attempt(&self, has_sent: &mut bool) -> Result<(), Failure> {
        let mut lease = self.job.pool.begin(&self.job.session)?;
        self.control.is_connected.store(true, Ordering::Release);
        self.control.watch(lease.canceller()?);
        let result =
            if self.control.is_abandoned() { Ok(End::Abandoned) } else { self.stream(lease.client()?, has_sent) };
        if let Ok(End::Abandoned) = result {
            self.control.cancel();
        }
        let is_cancelled = self.control.unwatch();
        match result {
            Ok(End::Complete) if !is_cancelled => lease.finish(),
            // The server confirmed that it stopped; without that, a cancel that is still on its way would hit the next
            // statement of the connection, so the connection closes.
            Err(Failure { is_stopped: true, .. }) => lease.finish(),
            Err(Failure { is_loss: false, .. }) if !is_cancelled => lease.finish(),
            Ok(_) | Err(_) => drop(lease),
        }
        result.map(|_| ())
    }

    fn stream(&self, client: &mut Client, has_sent: &mut bool) -> Result<End, Failure> {
        let started = Instant::now();
        let place = self.place();
        let question = &self.job.question;
        let limit = || {
            self.job.session.statement_timeout.filter(|limit| started.elapsed() + Duration::from_millis(50) >= *limit)
        };
        let failed = |cause| place.failed(cause, limit());
        let sql = question.sql();
        let announced = client.prepare(&sql).map_err(failed)?;
        if question.columns.is_empty() {
            let rows: i64 = client.query_one(&announced, &[]).and_then(|row| row.try_get(0)).map_err(failed)?;
            return self.send_count(rows, has_sent);
        }
        // The transaction keeps the table as it is announced here until everything is read.
        let is_as_planned = announced.columns().len() == question.columns.len()
            && announced
                .columns()
                .iter()
                .zip(question.columns.iter())
                .all(|(now, planned)| planned.is_announced_as(now.type_().oid(), now.type_modifier()));
        if !is_as_planned {
            return Err(place.changed().into());
        }
        let copy = client.copy_out(&format!("COPY ({sql}) TO STDOUT (FORMAT binary)")).map_err(failed)?;
        let (systems, types): (Vec<_>, Vec<_>) = question.columns.iter().map(|column| column.shape.wire()).unzip();
        let mut parser = PostgresBinarySourcePartitionParser::new(BinaryCopyOutIter::new(copy, &types), &systems);
        let mut batch = Batch::new(&question.columns, self.job.batch_rows, 0);
        loop {
            let (rows, is_last) = parser.fetch_next().map_err(|cause| place.wire(cause, limit()))?;
            for _ in 0..rows {
                for (cells, column) in batch.cells.iter_mut().zip(question.columns.iter()) {
                    batch.bytes +=
                        cells.take(&mut parser).map_err(|cause| place.cell(column.field.name(), cause, limit()))?;
                }
                batch.rows += 1;
                if batch.rows >= self.job.batch_rows || batch.bytes >= BATCH_BYTES {
                    let next = Batch::new(&question.columns, batch.rows, batch.bytes);
                    if let End::Abandoned = self.send(std::mem::replace(&mut batch, next), has_sent)? {
                        return Ok(End::Abandoned);
                    }
                }
            }
            if is_last {
                break;
            }
        }
        if batch.rows == 0 { Ok(End::Complete) } else { self.send(batch, has_sent) }
    }

    fn send(&self, batch: Batch, has_sent: &mut bool) -> Result<End, Failure> {
        let batch = batch.finish(&self.job.question.schema)?;
        *has_sent = true;
        Ok(if self.sender.blocking_send(Ok(batch)).is_ok() { End::Complete } else { End::Abandoned })
    }

    /// So many rows without columns.
    fn send_count(&self, mut rows: i64, has_sent: &mut bool) -> Result<End, Failure> {
        while rows > 0 {
            let part = rows.min(COUNTED_ROWS);
            rows -= part;
            let counted = Batch { cells: Vec::new(), rows: usize::try_from(part).unwrap_or(0), bytes: 0 };
            if let End::Abandoned = self.send(counted, has_sent)? {
                return Ok(End::Abandoned);
            }
        }
        Ok(End::Complete)
    }
}

/// The batch that is being built.
struct Batch {
    cells: Vec<Cells>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    /// An empty one, with room for as much as the last one held.
    fn new(columns: &[Column], rows: usize, bytes: usize) -> Self {
        let open_ended = columns.iter().filter(|column| column.shape.is_open_ended()).count();
        let bytes = bytes / open_ended.max(1);
        Self { cells: columns.iter().map(|column| Cells::new(&column.shape, rows, bytes)).collect(), rows: 0, bytes: 0 }
    }

    fn finish(self, schema: &SchemaRef) -> Result<RecordBatch, Error> {
        let arrays = self.cells.into_iter().map(Cells::finish).collect::<std::result::Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
    }
}
