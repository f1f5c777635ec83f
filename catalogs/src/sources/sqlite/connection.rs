//! One connection to a database file: for reading, in one snapshot, and without a trace in the file.
//!
//! A connection is opened for each read: that costs a tenth of a millisecond, and spares a pool whose connections would go
//! on holding a file that was replaced. Nothing but SQLite ever opens the file, since closing it would drop the locks
//! that SQLite holds for the whole process.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use engine::Error;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::failure::Place;
use super::options::Settings;
use crate::sources::remote::thread::{self, Audience};

/// How often a locked file is tried.
const PAUSE: Duration = Duration::from_millis(10);

/// Opens the database in a transaction, so that all that `question` asks sees one state of it. While another program holds
/// the file locked it waits. What runs is stopped when the audience goes, or is not begun after `deadline`. It blocks.
///
/// # Errors
/// `source_unavailable`, `source_rejected`, `data_invalid`, `deadline_exceeded`, and those of `question`.
pub(super) fn ask<T>(
    settings: &Settings,
    place: &Place,
    audience: &Audience,
    deadline: Option<Instant>,
    question: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let failed = |cause| place.failed(cause);
    let waiting = audience.clone();
    let is_over = move || waiting.is_gone() || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    let connection = open(settings, place, is_over.clone())?;
    // An interrupt that hits no running statement is forgotten. This one runs until the end, so none is lost.
    let mut unfinished = connection.prepare("VALUES (1), (2)").map_err(failed)?;
    let mut running = unfinished.query([]).map_err(failed)?;
    running.next().map_err(failed)?;
    let interrupt = connection.get_interrupt_handle();
    audience.watch(move || interrupt.interrupt());
    if is_over() {
        return Err(thread::too_slow(&place.id));
    }
    question(&connection)
}

fn open(settings: &Settings, place: &Place, is_over: impl Fn() -> bool + Send + 'static) -> Result<Connection, Error> {
    // SQLite says the same of all that it cannot open, and would wait forever for a pipe.
    let metadata = fs::metadata(&settings.path).map_err(|cause| place.unreachable(cause))?;
    if !metadata.is_file() {
        return Err(place.no_file());
    }
    let opened = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&settings.path, flags)?;
        let (timeout, mut since) = (settings.busy_timeout, Instant::now());
        connection.busy_handler(Some(move |attempt| {
            if attempt == 0 {
                since = Instant::now();
            }
            let goes_on = since.elapsed() < timeout && !is_over();
            if goes_on {
                sleep(PAUSE);
            }
            goes_on
        }))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        // What a file's views call must be harmless: anybody may have written it.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA cell_size_check = ON; BEGIN")?;
        Ok(connection)
    };
    opened().map_err(|cause| place.failed(cause))
}
