//! Drivers that block, each read on a thread of its own: what it reads goes through a short channel into a stream.
//!
//! The channel is short, so a slow reader slows the source down and not this process's memory up. A stream that is
//! dropped, or whose deadline passes, stops what runs in the source.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::RecordBatchStream;
use datafusion::physical_plan::metrics::BaselineMetrics;
use engine::{Code, Error};
use futures::Stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// Batches that wait for their reader.
const WAITING_BATCHES: usize = 2;

/// A read that blocks.
pub(crate) trait Read: Send + 'static {
    /// The source's id.
    fn source(&self) -> &str;

    /// The fields of what it reads.
    fn schema(&self) -> SchemaRef;

    /// When the query that it works for is over in any case.
    fn deadline(&self) -> Option<Instant>;

    /// Reads until there is no more, or until `outlet` tells that nobody wants more.
    ///
    /// # Errors
    /// Whatever ends the stream.
    fn read(&mut self, outlet: &Outlet) -> Result<(), Error>;
}

/// The rows of a read. The read begins when the first row is asked for.
pub(crate) struct Rows<R> {
    schema: SchemaRef,
    state: State<R>,
    metrics: BaselineMetrics,
}

enum State<R> {
    Planned(Option<R>),
    Running(Running),
    Ended,
}

impl<R: Read> Rows<R> {
    pub(crate) fn new(read: R, metrics: BaselineMetrics) -> Self {
        Self { schema: read.schema(), state: State::Planned(Some(read)), metrics }
    }
}

impl<R: Read + Unpin> RecordBatchStream for Rows<R> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl<R: Read + Unpin> Stream for Rows<R> {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let State::Planned(read) = &mut this.state {
            this.state = match read.take().map(Running::start) {
                Some(Ok(running)) => State::Running(running),
                Some(Err(error)) => {
                    this.state = State::Ended;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => State::Ended,
            };
        }
        let State::Running(running) = &mut this.state else { return Poll::Ready(None) };
        let polled = running.poll(cx);
        if !matches!(polled, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            this.state = State::Ended;
        }
        this.metrics.record_poll(polled.map_err(Into::into))
    }
}

/// A read whose thread runs.
struct Running {
    source: String,
    batches: Receiver<Result<RecordBatch, Error>>,
    control: Arc<Control>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Running {
    fn start(mut read: impl Read) -> Result<Self, Error> {
        let (sender, batches) = channel(WAITING_BATCHES);
        let control = Arc::new(Control::default());
        let source = read.source().to_owned();
        let deadline = read.deadline().map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        let outlet = Outlet { sender, audience: Audience(Arc::clone(&control)) };
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(|| read.read(&outlet)));
            match result.unwrap_or_else(|_| Err(panicked(read.source()))) {
                Ok(()) => outlet.audience.0.is_complete.store(true, Ordering::Release),
                // Where nobody listens, nobody needs to know.
                Err(error) => drop(outlet.sender.blocking_send(Err(error))),
            }
            outlet.audience.0.end();
        };
        spawn(&source, run)?;
        Ok(Self { source, batches, control, deadline })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<RecordBatch, Error>>> {
        match self.batches.poll_recv(cx) {
            // A reader that ends says so; one that is gone without a word has not read everything.
            Poll::Ready(None) if !self.control.is_complete.load(Ordering::Acquire) => {
                Poll::Ready(Some(Err(panicked(&self.source))))
            }
            Poll::Pending => match &mut self.deadline {
                Some(deadline) => deadline.as_mut().poll(cx).map(|()| Some(Err(too_slow(&self.source)))),
                None => Poll::Pending,
            },
            polled => polled,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.abandon();
    }
}

/// Where a read hands on what it has.
pub(crate) struct Outlet {
    sender: Sender<Result<RecordBatch, Error>>,
    audience: Audience,
}

impl Outlet {
    /// Hands on a batch, when there is room. False where nobody wants more.
    pub(crate) fn send(&self, batch: RecordBatch) -> bool {
        self.sender.blocking_send(Ok(batch)).is_ok()
    }

    /// Who reads.
    pub(crate) fn audience(&self) -> &Audience {
        &self.audience
    }
}

/// Whoever waits for an answer, as the thread that makes it knows them.
#[derive(Clone)]
pub(crate) struct Audience(Arc<Control>);

impl Audience {
    /// Whether nobody waits any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.is_abandoned.load(Ordering::Acquire)
    }

    /// From now on `stop` stops what runs, when nobody waits any more. It runs once at most, on whatever thread finds that
    /// out, and must not block. Ask [`Audience::is_gone`] after this, since they may have gone before.
    pub(crate) fn watch(&self, stop: impl FnOnce() + Send + 'static) {
        *self.0.stop() = Some(Box::new(stop));
    }
}

type Stop = Box<dyn FnOnce() + Send>;

/// What the stream and its reader know of each other.
#[derive(Default)]
struct Control {
    is_abandoned: AtomicBool,
    is_complete: AtomicBool,
    stop: Mutex<Option<Stop>>,
}

impl Control {
    fn stop(&self) -> std::sync::MutexGuard<'_, Option<Stop>> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is nothing to stop any more.
    fn end(&self) {
        self.stop().take();
    }

    /// Nobody waits any more.
    fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Release);
        if let Some(stop) = self.stop().take() {
            stop();
        }
    }
}

/// Runs `ask` on a thread of its own and waits for it no longer than `patience`.
///
/// # Errors
/// What `ask` says; `source_unavailable` where it takes too long, `overloaded`, `internal`.
pub(crate) async fn ask<T: Send + 'static>(
    source: &str,
    patience: Duration,
    ask: impl FnOnce(&Audience) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, answer) = oneshot::channel();
    let waiting = Waiting(Arc::new(Control::default()));
    let audience = Audience(Arc::clone(&waiting.0));
    spawn(source, move || {
        drop(sender.send(catch_unwind(AssertUnwindSafe(|| ask(&audience)))));
        audience.0.end();
    })?;
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(Ok(result))) => result,
        Ok(Ok(Err(_)) | Err(_)) => Err(panicked(source)),
        Err(_) => Err(Error::new(Code::SourceUnavailable, format!("Source \"{source}\" does not answer in time."))
            .hint("Retry; if it goes on, look at what else the source does.")),
    }
}

/// One who waits for an answer until it is there, or until they are dropped.
struct Waiting(Arc<Control>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Runs on a thread of its own.
pub(super) fn spawn(source: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let spawned = thread::Builder::new().name("weft-source".to_owned()).spawn(run);
    spawned.map(drop).map_err(|cause| {
        Error::new(Code::Overloaded, format!("There is no thread left to read source \"{source}\" with."))
            .hint("Retry when fewer queries run.")
            .cause(cause)
    })
}

/// A thread of the source panicked: the panic ends with it, and the caller gets this.
fn panicked(source: &str) -> Error {
    Error::new(Code::Internal, format!("Reading source \"{source}\" failed inside Weft."))
        .hint("Retry; if it fails again, report the query. The log has the cause.")
}

/// The query's time is over.
pub(crate) fn too_slow(source: &str) -> Error {
    Error::new(
        Code::DeadlineExceeded,
        format!("Source \"{source}\" was still being read when the query's time was over."),
    )
    .hint("Filter more, or allow the query more time.")
}
