//! The threads of a read. The first one leads: it checks the table, and shares a large one with others that have a free
//! connection. They read in its snapshot, while its transaction keeps the table as it is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use connectorx::sources::PartitionParser;
use connectorx::sources::postgres::PostgresBinarySourcePartitionParser;
use engine::{Code, Error};
use futures::StreamExt;
use postgres::Client;
use postgres::binary_copy::BinaryCopyOutIter;
use tokio::sync::mpsc::Sender;

use super::batch::Batch;
use super::failure::{Failure, Place};
use super::link::{CopyLink, Link};
use super::pool::{Lease, Session};
use super::ranges::{self, Ranges};
use super::stream::{Cancelled, Control, Job};

/// Rows of a batch without columns: it costs nothing.
const COUNTED_ROWS: i64 = 1 << 16;

/// How a read ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Abandoned,
}

/// One thread of a read.
#[derive(Clone)]
pub(super) struct Reader {
    job: Arc<Job>,
    control: Arc<Control>,
    sender: Sender<Result<RecordBatch, Error>>,
}

impl Reader {
    pub(super) fn new(job: Job, control: Arc<Control>, sender: Sender<Result<RecordBatch, Error>>) -> Self {
        Self { job: Arc::new(job), control, sender }
    }

    /// Reads everything, on the thread that calls it.
    pub(super) fn run(self) {
        match self.guarded(|| self.read()) {
            Ok(()) => self.control.complete(),
            Err(error) => self.fail(error),
        }
    }

    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(self.place().panicked()))
    }

    fn fail(&self, error: Error) {
        if error.code() == Code::SchemaChanged {
            self.job.server.listings.forget();
        }
        // Where nobody listens, nobody needs to know.
        drop(self.sender.blocking_send(Err(error)));
    }

    fn place(&self) -> &Place {
        self.job.server.pool.place()
    }

    /// Reads as the first. A lost connection is tried once more, as long as no row has left.
    fn read(&self) -> Result<(), Error> {
        match self.lead() {
            Err(failure) if failure.is_loss && !self.control.has_sent() && !self.control.is_abandoned() => {
                tracing::debug!(source = self.place().id, error = ?failure.error, "reading again over a new connection");
                self.lead()
            }
            result => result,
        }
        .map_err(|failure| failure.error)
    }

    fn lead(&self) -> Result<(), Failure> {
        let lease = self.job.server.pool.begin(&self.job.session)?;
        self.control.connected();
        self.with_lease(lease, |link, started| {
            self.check(link, started)?;
            let readers = self.job.server.pool.settings().parallel_reads.min(1 + self.job.server.pool.spare());
            let split = ranges::split(link, &self.job.question, readers);
            match split.map_err(|cause| self.place().failed(cause, self.limit(started)))? {
                None => self.stream(link, &self.job.question.sql(), started),
                Some(ranges) => {
                    (1..readers).take_while(|_| self.spawn_assistant(Arc::clone(&ranges))).for_each(drop);
                    let mut end = self.stream_parts(link, &ranges, started);
                    // The snapshot and the table stay as they are until the last one that began has read its part. One that
                    // has not begun is not waited for: behind a pooler, its turn may only come when this transaction ends.
                    ranges.close();
                    // What an assistant could not begin is still there.
                    if let Ok(End::Complete) = end {
                        end = self.stream_parts(link, &ranges, started);
                    }
                    end
                }
            }
        })
    }

    /// Another reader of the same snapshot, where there is a connection for it. Until it has begun, nobody knows of it.
    fn spawn_assistant(&self, ranges: Arc<Ranges>) -> bool {
        let (job, control, sender) = (Arc::clone(&self.job), Arc::clone(&self.control), self.sender.downgrade());
        let assist = move || {
            let session = Session { snapshot: Some(ranges.snapshot.clone()), ..job.session.clone() };
            let Some(lease) = job.server.pool.begin_if_free(&session) else { return };
            let (Some(_entered), Some(sender)) = (ranges.enter(), sender.upgrade()) else { return lease.finish() };
            let reader = Self { job, control, sender };
            let read = || reader.with_lease(lease, |link, started| reader.stream_parts(link, &ranges, started));
            if let Err(error) = reader.guarded(|| read().map_err(|failure| failure.error)) {
                reader.fail(error);
            }
        };
        thread::Builder::new().name("weft-postgres".to_owned()).spawn(assist).is_ok()
    }

    /// Does `work` on a connection that can be cancelled meanwhile, and gives it back where it is fit for the next.
    fn with_lease(
        &self,
        mut lease: Lease,
        work: impl FnOnce(&mut Link, Instant) -> Result<End, Failure>,
    ) -> Result<(), Failure> {
        let watched = self.control.watch(lease.canceller()?);
        let patience = self.control.patience(lease.until());
        lease.link()?.wait(patience);
        let result = if self.control.is_abandoned() { Ok(End::Abandoned) } else { work(lease.link()?, Instant::now()) };
        if let Ok(End::Abandoned) = result {
            self.control.cancel();
        }
        let cancelled = self.control.unwatch(watched);
        match result {
            Ok(End::Complete) if cancelled == Cancelled::No => lease.finish(),
            // The server confirmed that it stopped; without that, a cancel that is still on its way would hit the next
            // statement of the connection, so the connection closes.
            Err(Failure { is_stopped: true, .. }) if cancelled != Cancelled::Soon => lease.finish(),
            Err(Failure { is_loss: false, .. }) if cancelled == Cancelled::No => lease.finish(),
            Ok(_) | Err(_) => drop(lease),
        }
        result.map(|_| ())
    }

    /// The server's own limit, once it may have been reached.
    fn limit(&self, started: Instant) -> Option<Duration> {
        let limit = self.job.session.statement_timeout;
        limit.filter(|limit| started.elapsed() + Duration::from_millis(50) >= *limit)
    }

    /// Whether the table is as it was planned. The transaction keeps it so until everything is read.
    fn check(&self, link: &mut Link, started: Instant) -> Result<(), Failure> {
        let question = &self.job.question;
        if question.columns.is_empty() {
            return Ok(());
        }
        let failed = |cause| self.place().failed(cause, self.limit(started));
        let announced = link.prepare(&question.sql()).map_err(failed)?;
        let is_as_planned = announced.columns().len() == question.columns.len()
            && announced
                .columns()
                .iter()
                .zip(question.columns.iter())
                .all(|(now, planned)| planned.is_announced_as(now.type_().oid(), now.type_modifier()));
        if is_as_planned { Ok(()) } else { Err(self.place().changed().into()) }
    }

    /// Reads parts of the table until none is left.
    fn stream_parts(&self, link: &mut Link, ranges: &Ranges, started: Instant) -> Result<End, Failure> {
        while let Some(part) = ranges.take() {
            let sql = self.job.question.clone().with_conditions(part.iter().cloned()).sql();
            match self.stream(link, &sql, started) {
                Ok(End::Complete) => {}
                // Only an assistant waits for a lock no longer than a moment: the first reader has it.
                Err(failure) if failure.is_locked => {
                    ranges.put_back(part);
                    return Ok(End::Complete);
                }
                other => return other,
            }
        }
        Ok(End::Complete)
    }

    fn stream(&self, link: &mut Link, sql: &str, started: Instant) -> Result<End, Failure> {
        if self.job.question.columns.is_empty() {
            let count = link.query_one(sql).and_then(|row| row.try_get(0));
            return self.send_count(count.map_err(|cause| self.place().failed(cause, self.limit(started)))?);
        }
        let sql = format!("COPY ({sql}) TO STDOUT (FORMAT binary)");
        match link {
            Link::Connectorx(client) => self.stream_connectorx(client, &sql, started),
            Link::Copy(link) => self.stream_copy(link, &sql, started),
        }
    }

    /// Rows as connectorx parses them.
    fn stream_connectorx(&self, client: &mut Client, sql: &str, started: Instant) -> Result<End, Failure> {
        let (place, columns) = (self.place(), &self.job.question.columns);
        let copy = client.copy_out(sql).map_err(|cause| place.failed(cause, self.limit(started)))?;
        let (systems, types): (Vec<_>, Vec<_>) = columns.iter().map(|column| column.shape.wire()).unzip();
        let mut parser = PostgresBinarySourcePartitionParser::new(BinaryCopyOutIter::new(copy, &types), &systems);
        let mut batch = Batch::new(columns, self.job.batch_rows, 0);
        loop {
            let (rows, is_last) = parser.fetch_next().map_err(|cause| place.wire(cause, self.limit(started)))?;
            for _ in 0..rows {
                for (cells, column) in batch.cells.iter_mut().zip(columns.iter()) {
                    batch.bytes += cells
                        .take(&mut parser)
                        .map_err(|cause| place.cell(column.field.name(), cause, self.limit(started)))?;
                }
                batch.rows += 1;
                if batch.is_full(self.job.batch_rows) {
                    let next = Batch::new(columns, batch.rows, batch.bytes);
                    if self.send(std::mem::replace(&mut batch, next))? == End::Abandoned {
                        return Ok(End::Abandoned);
                    }
                }
            }
            if is_last {
                break;
            }
        }
        if batch.rows == 0 { Ok(End::Complete) } else { self.send(batch) }
    }

    /// Rows as they are on the wire.
    fn stream_copy(&self, link: &mut CopyLink, sql: &str, started: Instant) -> Result<End, Failure> {
        let (place, columns) = (self.place(), &self.job.question.columns);
        let failed = |cause| place.failed(cause, self.limit(started));
        let read = async |client: &tokio_postgres::Client| -> Result<End, Failure> {
            let mut rows = Box::pin(client.copy_out(sql).await.map_err(failed)?);
            let mut batch = Batch::new(columns, self.job.batch_rows, 0);
            while let Some(message) = rows.next().await {
                batch.take_message(&message.map_err(failed)?).map_err(|(at, cause)| {
                    let column = columns.get(at).map_or("", |column| column.field.name());
                    place.cell(column, cause, self.limit(started))
                })?;
                if batch.is_full(self.job.batch_rows) {
                    let next = Batch::new(columns, batch.rows, batch.bytes);
                    let batch = std::mem::replace(&mut batch, next).finish(&self.job.question.schema)?;
                    self.control.sends();
                    if self.sender.send(Ok(batch)).await.is_err() {
                        return Ok(End::Abandoned);
                    }
                }
            }
            if batch.rows > 0 {
                self.control.sends();
                let batch = batch.finish(&self.job.question.schema)?;
                if self.sender.send(Ok(batch)).await.is_err() {
                    return Ok(End::Abandoned);
                }
            }
            Ok(End::Complete)
        };
        // The outer error is the connection's.
        link.drive(async |client| Ok(read(client).await)).map_err(failed)?
    }

    fn send(&self, batch: Batch) -> Result<End, Failure> {
        let batch = batch.finish(&self.job.question.schema)?;
        self.control.sends();
        Ok(if self.sender.blocking_send(Ok(batch)).is_ok() { End::Complete } else { End::Abandoned })
    }

    /// So many rows without columns.
    fn send_count(&self, mut rows: i64) -> Result<End, Failure> {
        while rows > 0 {
            let part = rows.min(COUNTED_ROWS);
            rows -= part;
            if self.send(Batch::counted(usize::try_from(part).unwrap_or(0)))? == End::Abandoned {
                return Ok(End::Abandoned);
            }
        }
        Ok(End::Complete)
    }
}
