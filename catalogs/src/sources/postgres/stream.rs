//! One running read: the threads that talk to PostgreSQL, a short channel of batches, and the stream at its end.
//!
//! The threads are the read's own, since they block. The channel is short, so a slow reader slows the server down and not
//! this process's memory up. A stream that is dropped stops the statements in the server first; only then do their
//! connections close, or go back to the pool where the server confirmed.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::RecordBatchStream;
use datafusion::physical_plan::metrics::BaselineMetrics;
use engine::Error;
use futures::Stream;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::failure::Place;
use super::link::{Canceller, Patience};
use super::pool::Session;
use super::reader::Reader;
use super::{Question, Server};

/// Batches that wait for their reader.
const WAITING_BATCHES: usize = 2;

/// What a read needs.
pub(super) struct Job {
    pub(super) question: Question,
    pub(super) session: Session,
    pub(super) batch_rows: usize,
    pub(super) server: Arc<Server>,
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
        Self { schema, place: job.server.pool.place().clone(), state: State::Planned(Some(job)), metrics }
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
        let patience = job.server.pool.settings().connect_timeout * 2 + Duration::from_secs(1);
        let place = job.server.pool.place().clone();
        let reader = Reader::new(job, Arc::clone(&control), sender);
        thread::Builder::new()
            .name("weft-postgres".to_owned())
            .spawn(move || reader.run())
            .map_err(|cause| place.without_thread(cause))?;
        Ok(Self { batches, control, patience: Box::pin(tokio::time::sleep(patience)) })
    }

    fn poll(&mut self, cx: &mut Context<'_>, place: &Place) -> Poll<Option<Result<RecordBatch, Error>>> {
        match self.batches.poll_recv(cx) {
            // A reader that ends says so; one that is gone without a word has not read everything.
            Poll::Ready(None) if !self.control.is_complete() => Poll::Ready(Some(Err(place.panicked()))),
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

/// What the stream and its readers know of each other.
#[derive(Default)]
pub(super) struct Control {
    is_connected: AtomicBool,
    abandoned: CancellationToken,
    is_complete: AtomicBool,
    has_sent: AtomicBool,
    watches: AtomicUsize,
    statements: Mutex<HashMap<usize, Statement>>,
    heard: Condvar,
}

/// A statement that runs in the server.
enum Statement {
    Running(Canceller),
    Cancelling,
    Cancelled,
}

/// Whether a statement was cancelled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    No,
    Yes,
    /// The server has not heard yet.
    Soon,
}

impl Control {
    /// Nobody reads any more. It never blocks: to cancel means to connect, so a thread does it.
    fn abandon(self: &Arc<Self>) {
        self.abandoned.cancel();
        if self.is_complete() {
            return;
        }
        let control = Arc::clone(self);
        if let Err(error) =
            thread::Builder::new().name("weft-postgres-cancel".to_owned()).spawn(move || control.cancel())
        {
            tracing::warn!(%error, "no thread to cancel a statement with");
        }
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.is_cancelled()
    }

    /// How a server is waited for until then.
    pub(super) fn patience(&self, until: Option<Instant>) -> Patience {
        Patience { until, abandoned: Some(self.abandoned.clone()) }
    }

    fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// Everything has been read.
    pub(super) fn complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    /// The server has let a reader in.
    pub(super) fn connected(&self) {
        self.is_connected.store(true, Ordering::Release);
    }

    /// A batch leaves: from now on nothing can be read again.
    pub(super) fn sends(&self) {
        self.has_sent.store(true, Ordering::Release);
    }

    pub(super) fn has_sent(&self) -> bool {
        self.has_sent.load(Ordering::Acquire)
    }

    /// Cancels the statements that run.
    pub(super) fn cancel(&self) {
        while let Some((number, canceller)) = self.next_to_cancel() {
            canceller.cancel();
            if let Some(statement) = self.lock().get_mut(&number) {
                *statement = Statement::Cancelled;
            }
            self.heard.notify_all();
        }
    }

    fn next_to_cancel(&self) -> Option<(usize, Canceller)> {
        let mut statements = self.lock();
        let (number, running) = statements.iter_mut().find(|(_, one)| matches!(one, Statement::Running(_)))?;
        match std::mem::replace(running, Statement::Cancelling) {
            Statement::Running(canceller) => Some((*number, canceller)),
            _ => None,
        }
    }

    /// From now on there is something to cancel, until [`Control::unwatch`] with the number that this gives.
    pub(super) fn watch(&self, canceller: Canceller) -> usize {
        let number = self.watches.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Statement::Running(canceller));
        number
    }

    /// There is nothing to cancel any more. A cancel that is on its way is waited for a moment.
    pub(super) fn unwatch(&self, number: usize) -> Cancelled {
        const MOMENT: Duration = Duration::from_secs(1);
        let is_cancelling =
            |statements: &mut HashMap<usize, Statement>| matches!(statements.get(&number), Some(Statement::Cancelling));
        let waited = self.heard.wait_timeout_while(self.lock(), MOMENT, is_cancelling);
        match waited.unwrap_or_else(PoisonError::into_inner).0.remove(&number) {
            Some(Statement::Running(_)) | None => Cancelled::No,
            Some(Statement::Cancelling) => Cancelled::Soon,
            Some(Statement::Cancelled) => Cancelled::Yes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
