//! One running read: a statement, its rows one by one, and the batches that they make.
//!
//! Rows stream: no more of them is held than a batch. A read that nobody wants any more kills its statement in the server first, since
//! the client reads a result to its end before it lets go of it; only then does its connection go back to the pool, or
//! close where the server did not confirm.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use engine::{Code, Error};
use mysql::prelude::Queryable;
use mysql::{Binary, Conn, QueryResult, Row, Value};

use super::Question;
use super::cells::{CellError, Cells};
use super::columns::Column;
use super::failure::{Failure, Place, is_interrupted};
use super::pool::{Canceller, Pool};
use super::session::Session;
use crate::sources::remote::Listings;
use crate::sources::remote::thread::{Outlet, Read};

/// A batch is sent when it holds so many bytes of text, even if it has few rows.
const BATCH_BYTES: usize = 1 << 20;
/// Rows of a batch without columns: it costs nothing.
const COUNTED_ROWS: u64 = 1 << 16;
/// How often a statement is killed, and how much longer each time it is given to end.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);
/// How long a killed statement may go on sending before its connection is closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// One read of one table.
pub(super) struct Scan {
    pub(super) question: Question,
    pub(super) session: Session,
    pub(super) batch_rows: usize,
    pub(super) pool: Arc<Pool>,
    pub(super) listings: Arc<Listings<Column>>,
}

impl Read for Scan {
    fn source(&self) -> &str {
        &self.place().id
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.question.schema)
    }

    fn deadline(&self) -> Option<Instant> {
        self.session.deadline
    }

    /// Reads everything. A lost connection is tried once more, as long as no row has left.
    fn read(&mut self, outlet: &Outlet) -> Result<(), Error> {
        let mut has_sent = false;
        let result = match self.attempt(outlet, &mut has_sent) {
            Err(failure) if failure.is_loss && !has_sent && !outlet.audience().is_gone() => {
                tracing::debug!(source = self.place().id, error = ?failure.error, "reading again over a new connection");
                self.attempt(outlet, &mut has_sent)
            }
            result => result,
        };
        result.map_err(|failure| {
            if failure.error.code() == Code::SchemaChanged {
                self.listings.forget();
            }
            failure.error
        })
    }
}

/// How a read ended that did not fail.
enum End {
    Complete,
    /// Nobody wants more. Whether the server confirmed that it stopped.
    Abandoned {
        is_stopped: bool,
    },
}

impl Scan {
    fn place(&self) -> &Place {
        self.pool.place()
    }

    fn attempt(&self, outlet: &Outlet, has_sent: &mut bool) -> Result<(), Failure> {
        let mut lease = self.pool.begin(&self.session)?;
        let running = Arc::new(Running::new(lease.canceller()?));
        let watched = Arc::clone(&running);
        outlet.audience().watch(move || watched.kill_elsewhere());
        let result = if outlet.audience().is_gone() {
            Ok(End::Abandoned { is_stopped: false })
        } else {
            self.stream(lease.client()?, &running, outlet, has_sent)
        };
        let is_killed = running.end();
        match &result {
            Ok(End::Complete) if !is_killed => lease.finish(),
            // Without the server's word, a kill that is still on its way would hit the next statement of the connection.
            Ok(End::Abandoned { is_stopped: true }) | Err(Failure { is_stopped: true, .. }) => lease.finish(),
            Err(Failure { is_loss: false, has_ended: true, .. }) if !is_killed => lease.finish(),
            Ok(_) | Err(_) => drop(lease),
        }
        result.map(|_| ())
    }

    fn stream(
        &self,
        client: &mut Conn,
        running: &Running,
        outlet: &Outlet,
        has_sent: &mut bool,
    ) -> Result<End, Failure> {
        let started = Instant::now();
        let failed = |cause| {
            let limit = self.session.statement_timeout;
            let is_over = |limit: &Duration| started.elapsed() + Duration::from_millis(50) >= *limit;
            self.place().failed(cause, limit.filter(is_over))
        };
        let sql = self.session.signed(&self.question.sql());
        if self.question.columns.is_empty() {
            let rows: Option<u64> = client.query_first(sql).map_err(failed)?;
            return self.send_count(rows.ok_or_else(|| self.place().unreadable())?, outlet, has_sent);
        }
        let statement = client.prep(sql).map_err(failed)?;
        self.check(statement.columns())?;
        let result = match client.exec_iter(&statement, ()) {
            Ok(mut rows) => {
                // The transaction keeps the table as it is announced here until everything is read.
                let checked = self.check(rows.columns().as_ref()).map_err(Failure::from);
                match checked.and_then(|()| self.send_rows(&mut rows, outlet, has_sent, failed)) {
                    Ok(true) => Ok(End::Complete),
                    Err(failure) if failure.has_ended => Err(failure),
                    unread => {
                        let is_stopped = running.kill() && is_stopped(&mut rows);
                        if !is_stopped {
                            // To drop them is to read all that are left, and the server may go on sending. The connection closes instead.
                            mem::forget(rows);
                        }
                        match unread {
                            Ok(_) => Ok(End::Abandoned { is_stopped }),
                            Err(failure) => Err(Failure { is_stopped, ..failure }),
                        }
                    }
                }
            }
            Err(cause) => Err(failed(cause)),
        };
        // Where the connection is lost, so is the statement.
        drop(client.close(statement));
        result
    }

    /// Whether the columns that the server announces are those that were planned.
    fn check(&self, announced: &[mysql::Column]) -> Result<(), Error> {
        let planned = &self.question.columns;
        let is_as_planned = announced.len() == planned.len()
            && planned.iter().zip(announced).all(|(planned, now)| planned.is_announced_as(now));
        if is_as_planned { Ok(()) } else { Err(self.place().changed()) }
    }

    /// Reads all rows. False where nobody wants more.
    fn send_rows(
        &self,
        rows: &mut QueryResult<'_, '_, '_, Binary>,
        outlet: &Outlet,
        has_sent: &mut bool,
        failed: impl Fn(mysql::Error) -> Failure,
    ) -> Result<bool, Failure> {
        let columns = &self.question.columns;
        let mut batch = Batch::new(columns, self.batch_rows, 0);
        for row in rows.by_ref() {
            self.take(&mut batch, row.map_err(&failed)?)?;
            if batch.rows >= self.batch_rows || batch.bytes >= BATCH_BYTES {
                let next = Batch::new(columns, batch.rows, batch.bytes);
                if !self.send(mem::replace(&mut batch, next), outlet, has_sent)? {
                    return Ok(false);
                }
            }
        }
        // The server sent everything by now: who does not want the last rows leaves nothing behind.
        if batch.rows > 0 {
            self.send(batch, outlet, has_sent)?;
        }
        Ok(true)
    }

    fn take(&self, batch: &mut Batch, row: Row) -> Result<(), Error> {
        let columns = self.question.columns.iter();
        for ((cells, column), value) in batch.cells.iter_mut().zip(columns).zip(row.unwrap_raw()) {
            let taken = match value {
                None => Err(CellError::Changed),
                Some(Value::NULL) if !column.field.is_nullable() => Err(CellError::Changed),
                Some(value) => cells.take(value),
            };
            batch.bytes += taken.map_err(|cause| self.place().cell(column.field.name(), cause))?;
        }
        batch.rows += 1;
        Ok(())
    }

    fn send(&self, batch: Batch, outlet: &Outlet, has_sent: &mut bool) -> Result<bool, Error> {
        let batch = batch.finish(&self.question.schema)?;
        *has_sent = true;
        Ok(outlet.send(batch))
    }

    /// So many rows without columns.
    fn send_count(&self, mut rows: u64, outlet: &Outlet, has_sent: &mut bool) -> Result<End, Failure> {
        while rows > 0 {
            let part = rows.min(COUNTED_ROWS);
            rows -= part;
            let counted = Batch { cells: Vec::new(), rows: usize::try_from(part).unwrap_or(0), bytes: 0 };
            if !self.send(counted, outlet, has_sent)? {
                break;
            }
        }
        Ok(End::Complete)
    }
}

/// The statement that runs in the server, as those see it who may have to stop it.
struct Running {
    statement: Mutex<Statement>,
    ended: Condvar,
}

struct Statement {
    /// None when it has ended.
    canceller: Option<Canceller>,
    is_killed: bool,
}

impl Running {
    fn new(canceller: Canceller) -> Self {
        let statement = Statement { canceller: Some(canceller), is_killed: false };
        Self { statement: Mutex::new(statement), ended: Condvar::new() }
    }

    fn statement(&self) -> MutexGuard<'_, Statement> {
        self.statement.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills the statement, unless it has ended, and tells whether the server heard. The lock is held meanwhile, so that the
    /// connection waits for it.
    fn kill(&self) -> bool {
        let mut statement = self.statement();
        statement.is_killed |= statement.canceller.is_some();
        statement.canceller.as_ref().is_some_and(Canceller::cancel)
    }

    /// Kills on another thread, since to kill means to connect, until the statement has ended: a kill that comes before
    /// its statement is lost. The connection to a server that does not even hear it ends here.
    fn kill_elsewhere(self: Arc<Self>) {
        let kill = move || {
            for attempt in 1..=ATTEMPTS {
                if !self.kill() && attempt > 1 {
                    break;
                }
                let runs = |statement: &mut Statement| statement.canceller.is_some();
                let waited = self.ended.wait_timeout_while(self.statement(), PAUSE * attempt, runs);
                if !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
                    return;
                }
            }
            // Under the lock, the connection is still the statement's.
            if let Some(canceller) = &self.statement().canceller {
                canceller.hang_up();
            }
        };
        if let Err(error) = thread::Builder::new().name("weft-mysql-kill".to_owned()).spawn(kill) {
            tracing::warn!(%error, "no thread to kill a statement with");
        }
    }

    /// There is nothing to kill any more. Whether somebody tried before.
    fn end(&self) -> bool {
        let mut statement = self.statement();
        statement.canceller = None;
        self.ended.notify_all();
        statement.is_killed
    }
}

/// Reads what a killed statement still sends. Whether the server says that it stopped it.
fn is_stopped(rows: &mut QueryResult<'_, '_, '_, Binary>) -> bool {
    let until = Instant::now() + PATIENCE;
    loop {
        match rows.next() {
            Some(Ok(_)) if Instant::now() < until => {}
            Some(Err(cause)) => return is_interrupted(&cause),
            Some(Ok(_)) | None => return false,
        }
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
        Self { cells: columns.iter().map(|column| Cells::new(column.shape, rows, bytes)).collect(), rows: 0, bytes: 0 }
    }

    fn finish(self, schema: &SchemaRef) -> Result<RecordBatch, Error> {
        let arrays = self.cells.into_iter().map(Cells::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
    }
}
