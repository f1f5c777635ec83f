//! A plan to its rows. A task drives the plan and dies with the stream; the deadline holds also while nobody reads.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::execute_stream;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::optimize::Optimized;
use super::spilling;
use crate::joins::{JoinFacts, joins};
use crate::journal::Entry;
use crate::receipt::{Digesting, Receipt};
use crate::stream::{self, QueryStream};
use crate::{Code, Error, Limits, Principal};

/// What ends a query before its last row.
pub(super) struct Bounds {
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
    pub(super) max_rows: Option<u64>,
    pub(super) cancel: CancellationToken,
    pub(super) principal: Principal,
}

/// What the task hands to the stream.
pub(crate) enum Step {
    /// Rows.
    Batch(RecordBatch),
    /// What a reader should know.
    Notice(String),
    /// The last row has gone.
    End(Ending),
    /// Why there is no more.
    Failed(Error),
}

/// What is known of a query once its last row has gone.
pub(crate) struct Ending {
    /// Whether the caller's `max_rows` cut the rest.
    pub(crate) is_cut: bool,
    /// Its joins, unless it was cut: they have not seen all of their rows then.
    pub(crate) joins: Vec<JoinFacts>,
    pub(crate) receipt: Option<Box<Receipt>>,
}

impl Optimized {
    /// Starts the plan.
    pub(super) fn execute(mut self, limits: &Limits, bounds: Bounds, entry: Entry) -> QueryStream {
        // Two batches: the plan works on one while the reader takes the other.
        const AHEAD: usize = 2;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let schema = SchemaRef::clone(&self.schema);
        let datasets = self.datasets.clone();
        let limit = limits.max_rows;
        let failures = self.failures.take();
        #[expect(clippy::disallowed_methods, reason = "the stream owns the task: AbortOnDropHandle ends it")]
        let task = tokio::spawn(async move {
            let Bounds { deadline, timeout, max_rows, cancel, principal } = bounds;
            let work = AssertUnwindSafe(drive(self, Cut { max_rows, limit }, sender.clone())).catch_unwind();
            let failed = tokio::select! {
                biased;
                () = cancel.cancelled() => Some(super::cancelled(&principal)),
                done = work => match done {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(match &failures {
                        Some(failures) => failures.told(error),
                        None => error,
                    }),
                    Err(_panic) => Some(super::panicked()),
                },
                () = tokio::time::sleep_until(deadline) => Some(super::too_slow(timeout)),
            };
            if let Some(error) = failed {
                // The plan is gone by now; a reader that has left as well has no use for the reason.
                let _ = sender.send(Step::Failed(error)).await;
            }
        });
        QueryStream::new(schema, receiver, AbortOnDropHandle::new(task), entry, datasets)
    }
}

/// Where a result ends: cut for the caller, or refused for the server.
struct Cut {
    max_rows: Option<u64>,
    limit: Option<u64>,
}

async fn drive(optimized: Optimized, cut: Cut, sender: mpsc::Sender<Step>) -> Result<(), Error> {
    let Optimized { mut physical, task, schema, permit, notices, second, catalog, receipt_by_admin, .. } = optimized;
    let mut digesting = receipt_by_admin.map(|by_admin| (by_admin, Digesting::new(SchemaRef::clone(&schema))));
    let mut batches = execute_stream(Arc::clone(&physical), Arc::clone(&task))?;
    let mut first = batches.next().await;
    let is_second = matches!(&first, Some(Err(error)) if second.helps(&physical, error));
    if is_second {
        drop((first, batches, physical));
        notices.start_again();
        physical = second.physical(&task).await?;
        batches = execute_stream(Arc::clone(&physical), task)?;
        first = batches.next().await;
    }
    let mut rows = 0;
    let mut is_cut = false;
    let mut batches = futures::stream::iter(first).chain(batches);
    while let Some(batch) = batches.next().await {
        let batch = stream::plain_batch(batch?, &schema)?;
        if batch.num_rows() == 0 {
            continue;
        }
        let wanted = cut.max_rows.map_or(u64::MAX, |max| max - rows);
        let (batch, is_cut_here) = head(batch, wanted);
        rows += batch.num_rows() as u64;
        if cut.limit.is_some_and(|limit| rows > limit) {
            return Err(too_large(cut.limit.unwrap_or_default()));
        }
        if let Some((_, digesting)) = &mut digesting {
            digesting.add(&batch);
        }
        if batch.num_rows() > 0 && sender.send(Step::Batch(batch)).await.is_err() {
            return Ok(());
        }
        if is_cut_here {
            is_cut = true;
            break;
        }
    }
    let joins = if is_cut { Vec::new() } else { joins(&physical) };
    let receipt = digesting.map(|(by_admin, digesting)| {
        Box::new(Receipt::of(&physical, catalog.reads(&physical), &notices, by_admin, digesting.done()))
    });
    let spilled = spilling::notice(&physical, is_second);
    drop((batches, physical, permit));
    for notice in notices.sentences().into_iter().chain(spilled) {
        let _ = sender.send(Step::Notice(notice)).await;
    }
    let _ = sender.send(Step::End(Ending { is_cut, joins, receipt })).await;
    Ok(())
}

/// The first `wanted` rows of a batch, and whether there were more.
fn head(batch: RecordBatch, wanted: u64) -> (RecordBatch, bool) {
    match usize::try_from(wanted) {
        Ok(wanted) if wanted < batch.num_rows() => (batch.slice(0, wanted), true),
        _ => (batch, false),
    }
}

fn too_large(limit: u64) -> Error {
    Error::new(Code::ResultTooLarge, format!("The result has more than the {limit} rows that this server gives out."))
        .hint("Aggregate, filter, or add LIMIT; or ask with max_rows to get the first rows.")
}
