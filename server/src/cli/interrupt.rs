//! Ctrl-C and the signals that end a process: they cancel the query that runs, so that nothing is left behind.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use engine::{Code, Error, QueryId};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinError;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::ask::Asker;
use super::failure::Failure;

/// Signals that ask this process to stop what it does.
#[derive(Debug)]
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    /// From here on these signals do not end the process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// Waits for the next one that means the whole process, and not only what it does now.
    pub(super) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// Does `work`, which puts the id of its query where it is told to. A signal cancels that query.
///
/// # Errors
/// What `work` fails with; `cancelled` after a signal.
pub(super) async fn until_interrupted<W>(
    asker: &Asker,
    work: impl FnOnce(Arc<OnceLock<QueryId>>) -> W,
) -> Result<(), Failure>
where
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::usage(format!("The process cannot listen to signals: {error}.")))?;
    let id = Arc::new(OnceLock::new());
    #[expect(clippy::disallowed_methods, reason = "the handle owns the task: it ends with this call")]
    let mut work = AbortOnDropHandle::new(tokio::spawn(work(Arc::clone(&id))));
    tokio::select! {
        done = &mut work => return settled(done),
        () = interrupts.next() => {}
    }
    let cancelled = id.get().is_some_and(|id| asker.engine.cancel(&asker.principal, *id).is_ok());
    if cancelled {
        // The query ends by itself now, and its record says that it was cancelled. A second signal does not wait.
        tokio::select! {
            done = &mut work => return settled(done),
            () = interrupts.next() => {}
            () = sleep(PATIENCE) => {}
        }
    }
    Err(Error::new(Code::Cancelled, "The query was cancelled.").into())
}

fn settled(done: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    done.unwrap_or_else(|error| {
        let message = "Something went wrong inside Weft while the answer was written.";
        Err(Error::new(Code::Internal, message).cause(error).into())
    })
}
