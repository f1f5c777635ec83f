//! The connections of one source: opened when a read needs one, kept for the next, thrown away when they break.
//!
//! r2d2 keeps count, order and age. What it pools are places for a connection, and the thread that gets an empty place
//! opens the connection itself: errors stay whole, a wrong password fails at once, and a server that is down is not
//! asked again until somebody asks for its data. Everything here blocks: it runs on threads of its own, never on an
//! async worker.

use std::convert::Infallible;
use std::fmt;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use engine::{Code, Error};
use mysql::prelude::Queryable;
use mysql::{Conn, DriverError};
use nix::sys::socket::{Shutdown, shutdown};
use r2d2::{ManageConnection, PooledConnection};

use super::address::Address;
use super::failure::{Failure, Place};
use super::options::Settings;
use super::session::{Limits, Session, has_windows};
use crate::sources::remote::Breaker;

/// The connections of one source.
pub(super) struct Pool {
    settings: Settings,
    place: Place,
    breaker: Breaker,
    opened: Mutex<Option<Opened>>,
    counts: Arc<Counts>,
    is_warm: AtomicBool,
}

/// The pool and how connections are opened, made at the first use.
#[derive(Clone)]
struct Opened {
    pool: r2d2::Pool<Places>,
    address: Arc<Address>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU32,
    leased: AtomicU32,
    /// Whether the server is older than windows in SQL, as the latest connection found.
    lacks_windows: AtomicBool,
}

impl Pool {
    pub(super) fn new(settings: Settings, place: Place) -> Self {
        Self {
            breaker: Breaker::new(&place.id, &place.location),
            settings,
            place,
            opened: Mutex::new(None),
            counts: Arc::new(Counts::default()),
            is_warm: AtomicBool::new(false),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether statements may say OVER. Before the first connection there is nothing to ask of.
    pub(super) fn has_windows(&self) -> bool {
        !self.counts.lacks_windows.load(Ordering::Relaxed)
    }

    /// Why the server is not asked at present, if it is not.
    pub(super) fn outage(&self) -> Option<String> {
        self.breaker.outage()
    }

    /// Connections open, idle and at most.
    pub(super) fn counts(&self) -> (u32, u32, u32) {
        let open = self.counts.open.load(Ordering::Relaxed);
        let leased = self.counts.leased.load(Ordering::Relaxed);
        (open, open.saturating_sub(leased), self.settings.max_pool_size)
    }

    /// A connection in a new read-only transaction. It waits for a free one as long as it may take to connect.
    pub(super) fn begin(self: &Arc<Self>, session: &Session) -> Result<Lease, Failure> {
        let opened = self.opened()?;
        let Ok(place) = opened.pool.get_timeout(self.settings.connect_timeout) else {
            return Err(self.place.busy(self.settings.max_pool_size).into());
        };
        self.counts.leased.fetch_add(1, Ordering::Relaxed);
        let mut lease = Lease { place, address: opened.address, counts: Arc::clone(&self.counts) };
        lease.place.is_clean = false;
        if lease.place.client.is_some() {
            match lease.begin(session) {
                Ok(()) => return Ok(lease),
                // The server went away while nobody looked: a new connection tells whether it is back.
                Err(cause) => match self.place.failed(cause, None) {
                    failure if failure.is_loss => lease.place.close(),
                    failure => return Err(failure),
                },
            }
        }
        let attempt = self.breaker.attempt()?;
        let opened = lease.place.open(&lease.address, &self.counts).map_err(|cause| self.place.refused(cause));
        attempt.ended(opened.as_ref().err().map(|failure| &failure.error));
        opened?;
        lease.begin(session).map_err(|cause| self.place.failed(cause, None))?;
        self.warm_once();
        Ok(lease)
    }

    fn opened(&self) -> Result<Opened, Error> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*opened {
            return Ok(opened.clone());
        }
        let address = Arc::new(Address::new(&self.settings)?);
        let pool = r2d2::Pool::builder()
            .max_size(self.settings.max_pool_size)
            .min_idle(Some(0))
            .test_on_check_out(false)
            .connection_timeout(self.settings.connect_timeout)
            .build_unchecked(Places);
        Ok(opened.insert(Opened { pool, address }).clone())
    }

    /// Opens what `min_pool_size` asks for, on a thread of its own, after the first connection has worked.
    fn warm_once(self: &Arc<Self>) {
        let wanted = self.settings.min_pool_size;
        if wanted < 2 || self.is_warm.swap(true, Ordering::Relaxed) {
            return;
        }
        let pool = Arc::clone(self);
        let warm = move || {
            let session = Session::default();
            // One that is free again by now is taken first, so all that are wanted are held until all are open.
            let leases: Vec<Lease> = (0..wanted)
                .take_while(|_| pool.counts.open.load(Ordering::Relaxed) < wanted)
                .map_while(|_| pool.begin(&session).ok())
                .collect();
            leases.into_iter().for_each(Lease::finish);
        };
        if let Err(error) = thread::Builder::new().name("weft-mysql-warm".to_owned()).spawn(warm) {
            tracing::debug!(%error, "no thread to open connections ahead");
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("settings", &self.settings).field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// One connection, in a transaction, for one reader.
pub(super) struct Lease {
    place: PooledConnection<Places>,
    address: Arc<Address>,
    counts: Arc<Counts>,
}

impl Lease {
    pub(super) fn client(&mut self) -> Result<&mut Conn, Error> {
        self.place
            .client
            .as_mut()
            .ok_or_else(|| Error::new(Code::Internal, "A connection was closed while it was in use."))
    }

    fn begin(&mut self, session: &Session) -> Result<(), mysql::Error> {
        let limits = self.place.limits;
        let Some(client) = &mut self.place.client else { return Err(DriverError::SetupError.into()) };
        client.query_drop(session.settings(limits))?;
        client.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    }

    /// What stops the statement that runs on this connection, from another thread.
    pub(super) fn canceller(&mut self) -> Result<Canceller, Error> {
        let address = Arc::clone(&self.address);
        let client = self.client()?;
        Ok(Canceller { connection: client.connection_id(), socket: client.as_raw_fd(), address })
    }

    /// Ends the transaction and gives the connection back. A lease that is dropped instead closes its connection.
    pub(super) fn finish(mut self) {
        if let Some(client) = &mut self.place.client {
            self.place.is_clean = client.query_drop("ROLLBACK").is_ok();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.counts.leased.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Stops one statement in the server.
pub(super) struct Canceller {
    connection: u32,
    socket: RawFd,
    address: Arc<Address>,
}

impl Canceller {
    /// Asks the server to stop, and tells whether it heard; it connects anew to do so, and blocks.
    pub(super) fn cancel(&self) -> bool {
        let kill = |mut conn: Conn| conn.query_drop(format!("KILL QUERY {}", self.connection));
        let killed = self.address.connect().and_then(kill);
        if let Err(error) = &killed {
            tracing::debug!(%error, "a statement could not be cancelled in its source");
        }
        killed.is_ok()
    }

    /// Ends the connection from here, so that whoever waits for the server's next word waits no more.
    pub(super) fn hang_up(&self) {
        if let Err(error) = shutdown(self.socket, Shutdown::Both) {
            tracing::debug!(%error, "a connection could not be ended");
        }
    }
}

/// Makes places for connections. It connects to nothing by itself.
struct Places;

/// A place for a connection.
struct Slot {
    client: Option<Conn>,
    limits: Limits,
    /// Whether the connection is outside of any transaction, with nothing left to read.
    is_clean: bool,
    counts: Option<Arc<Counts>>,
}

impl Slot {
    fn open(&mut self, address: &Arc<Address>, counts: &Arc<Counts>) -> Result<(), mysql::Error> {
        let mut client = address.connect()?;
        let version: Option<String> = client.query_first("SELECT VERSION()")?;
        let version = version.unwrap_or_default();
        self.limits = Limits::of(&version);
        counts.lacks_windows.store(!has_windows(&version), Ordering::Relaxed);
        client.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
        self.client = Some(client);
        counts.open.fetch_add(1, Ordering::Relaxed);
        self.counts = Some(Arc::clone(counts));
        Ok(())
    }

    fn close(&mut self) {
        if let Some(counts) = self.counts.take() {
            counts.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.client = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.close();
    }
}

impl ManageConnection for Places {
    type Connection = Slot;
    type Error = Infallible;

    fn connect(&self) -> Result<Slot, Infallible> {
        Ok(Slot { client: None, limits: Limits::None, is_clean: true, counts: None })
    }

    fn is_valid(&self, _: &mut Slot) -> Result<(), Infallible> {
        Ok(())
    }

    /// A broken connection closes; its place goes back empty. A place that did not come back would wake nobody who waits for one.
    fn has_broken(&self, slot: &mut Slot) -> bool {
        if !slot.is_clean {
            slot.close();
            slot.is_clean = true;
        }
        false
    }
}
