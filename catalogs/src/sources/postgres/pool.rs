//! The connections of one source: opened when a read needs one, kept for the next, thrown away when they break.
//!
//! r2d2 keeps count, order and age. What it pools are places for a connection, and the thread that gets an empty place
//! opens the connection itself: errors stay whole, a wrong password fails at once, and a server that is down is not
//! asked again until somebody asks for its data. Everything here blocks: it runs on threads of its own, never on an
//! async worker.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use engine::{Code, Error};
use postgres::{CancelToken, Client, Config};
use postgres_openssl::MakeTlsConnector;
use r2d2::{ManageConnection, PooledConnection};
use r2d2_postgres::PostgresConnectionManager;

use super::failure::{Failure, Place};
use super::options::Settings;
use super::quote;

/// How long a connection may be silent before the system asks whether the other side still lives.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The connections of one source.
pub(super) struct Pool {
    settings: Settings,
    place: Place,
    opened: Mutex<Option<Opened>>,
    counts: Arc<Counts>,
    is_warm: AtomicBool,
}

/// The pool and what cancels its statements, made at the first use.
#[derive(Clone)]
struct Opened {
    pool: r2d2::Pool<Places>,
    tls: MakeTlsConnector,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU32,
    leased: AtomicU32,
}

/// What one statement runs under.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    /// `application_name`, by which the server's administrator finds the query.
    pub(super) application_name: String,
    /// How long the server may work on it.
    pub(super) statement_timeout: Option<Duration>,
    /// When the query that it works for is over in any case.
    pub(super) deadline: Option<Instant>,
}

impl Session {
    /// How long the server may work from now on. The query ends itself at its deadline; the server keeps to it a little later,
    /// for the case that nobody is left to cancel.
    fn timeout(&self) -> Option<Duration> {
        const GRACE: Duration = Duration::from_secs(5);
        let rest = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) + GRACE);
        self.statement_timeout.into_iter().chain(rest).min()
    }

    /// A read-only transaction with settings that hold in it only, so that a pooler in between is not left with them.
    ///
    /// `pg_catalog` alone is searched, as postgres_fdw does it: no object of the database can take the place of an operator or a
    /// type that our SQL names.
    fn begin(&self) -> String {
        let mut sql = String::from(
            "BEGIN READ ONLY; SET LOCAL default_transaction_read_only = on; SET LOCAL search_path = pg_catalog, pg_temp; \
             SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres'; \
             SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'",
        );
        if let Some(name) = quote::literal(&self.application_name) {
            sql.push_str("; SET LOCAL application_name = ");
            sql.push_str(&name);
        }
        if let Some(timeout) = self.timeout() {
            let millis = timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
            sql.push_str(&format!("; SET LOCAL statement_timeout = {millis}"));
        }
        sql
    }
}

impl Pool {
    pub(super) fn new(settings: Settings, place: Place) -> Self {
        Self {
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
        let mut lease = Lease { place, tls: opened.tls, counts: Arc::clone(&self.counts) };
        lease.place.is_clean = false;
        let sql = session.begin();
        if let Some(client) = &mut lease.place.client {
            match client.batch_execute(&sql) {
                Ok(()) => return Ok(lease),
                // The server went away while nobody looked: a new connection tells whether it is back.
                Err(cause) => match self.place.failed(cause, None) {
                    failure if failure.is_loss => lease.place.close(),
                    failure => return Err(failure),
                },
            }
        }
        lease.place.open(&self.counts).map_err(|cause| self.place.refused(cause))?;
        let client = lease.client()?;
        client.batch_execute(&sql).map_err(|cause| self.place.failed(cause, None))?;
        self.warm_once();
        Ok(lease)
    }

    fn opened(&self) -> Result<Opened, Error> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*opened {
            return Ok(opened.clone());
        }
        let settings = &self.settings;
        let tls = settings.tls.connector(settings.authorities.as_deref())?;
        let manager = Places(Arc::new(PostgresConnectionManager::new(config(settings), tls.clone())));
        let pool = r2d2::Pool::builder()
            .max_size(settings.max_pool_size)
            .min_idle(Some(0))
            .test_on_check_out(false)
            .connection_timeout(settings.connect_timeout)
            .build_unchecked(manager);
        Ok(opened.insert(Opened { pool, tls }).clone())
    }

    /// Opens what `min_pool_size` asks for, on a thread of its own, after the first connection has worked.
    fn warm_once(self: &Arc<Self>) {
        let wanted = self.settings.min_pool_size;
        if wanted < 2 || self.is_warm.swap(true, Ordering::Relaxed) {
            return;
        }
        let pool = Arc::clone(self);
        let warm = move || {
            let session = Session { application_name: "weft".to_owned(), ..Session::default() };
            // One that is free again by now is taken first, so all that are wanted are held until all are open.
            let leases: Vec<Lease> = (0..wanted)
                .take_while(|_| pool.counts.open.load(Ordering::Relaxed) < wanted)
                .map_while(|_| pool.begin(&session).ok())
                .collect();
            leases.into_iter().for_each(Lease::finish);
        };
        if let Err(error) = thread::Builder::new().name("weft-postgres-warm".to_owned()).spawn(warm) {
            tracing::debug!(%error, "no thread to open connections ahead");
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("settings", &self.settings).field("counts", &self.counts).finish_non_exhaustive()
    }
}

fn config(settings: &Settings) -> Config {
    let mut config = Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .dbname(&settings.database)
        .user(&settings.user)
        .ssl_mode(settings.tls.negotiation())
        .application_name("weft")
        .connect_timeout(settings.connect_timeout)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE)
        .keepalives_interval(KEEPALIVE / 3)
        .keepalives_retries(3)
        .tcp_user_timeout(KEEPALIVE);
    if let Some(password) = &settings.password {
        config.password(password);
    }
    // The server's notices are of no use to a reader, and may quote data: the default prints them to the log.
    config.notice_callback(|_| {});
    config
}

/// One connection, in a transaction, for one reader.
pub(super) struct Lease {
    place: PooledConnection<Places>,
    tls: MakeTlsConnector,
    counts: Arc<Counts>,
}

impl Lease {
    pub(super) fn client(&mut self) -> Result<&mut Client, Error> {
        self.place
            .client
            .as_mut()
            .ok_or_else(|| Error::new(Code::Internal, "A connection was closed while it was in use."))
    }

    /// What stops the statement that runs on this connection, from another thread.
    pub(super) fn canceller(&mut self) -> Result<Canceller, Error> {
        let token = self.client()?.cancel_token();
        Ok(Canceller { token, tls: self.tls.clone() })
    }

    /// Ends the transaction and gives the connection back. A lease that is dropped instead closes its connection.
    pub(super) fn finish(mut self) {
        if let Some(client) = &mut self.place.client {
            self.place.is_clean = client.batch_execute("ROLLBACK").is_ok();
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
    token: CancelToken,
    tls: MakeTlsConnector,
}

impl Canceller {
    /// Asks the server to stop; it connects anew to do so, and blocks.
    pub(super) fn cancel(self) {
        if let Err(error) = self.token.cancel_query(self.tls) {
            tracing::debug!(%error, "a statement could not be cancelled in its source");
        }
    }
}

/// Makes places for connections. It connects to nothing by itself.
struct Places(Arc<PostgresConnectionManager<MakeTlsConnector>>);

/// A place for a connection.
struct Slot {
    manager: Arc<PostgresConnectionManager<MakeTlsConnector>>,
    client: Option<Client>,
    /// Whether the connection is outside of any transaction, with nothing left to read.
    is_clean: bool,
    counts: Option<Arc<Counts>>,
}

impl Slot {
    fn open(&mut self, counts: &Arc<Counts>) -> Result<(), postgres::Error> {
        self.client = Some(self.manager.connect()?);
        counts.open.fetch_add(1, Ordering::Relaxed);
        self.counts = Some(Arc::clone(counts));
        Ok(())
    }

    fn close(&mut self) {
        if let Some(counts) = self.counts.take() {
            counts.open.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(client) = self.client.take() else { return };
        // The driver blocks while it says goodbye, and panics if it does so on an async worker.
        if tokio::runtime::Handle::try_current().is_ok() {
            if let Err(error) =
                thread::Builder::new().name("weft-postgres-close".to_owned()).spawn(move || drop(client))
            {
                tracing::warn!(%error, "no thread to close a connection");
            }
        } else {
            drop(client);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.close();
    }
}

impl ManageConnection for Places {
    type Connection = Slot;
    type Error = postgres::Error;

    fn connect(&self) -> Result<Slot, postgres::Error> {
        Ok(Slot { manager: Arc::clone(&self.0), client: None, is_clean: true, counts: None })
    }

    fn is_valid(&self, _: &mut Slot) -> Result<(), postgres::Error> {
        Ok(())
    }

    fn has_broken(&self, slot: &mut Slot) -> bool {
        !slot.is_clean || slot.client.as_ref().is_none_or(Client::is_closed)
    }
}
