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
use postgres_openssl::MakeTlsConnector;
use r2d2::{ManageConnection, PooledConnection};
use tokio_postgres::Config;

use super::failure::{Failure, Place};
use super::link::{Canceller, Failed, Link, Patience};
use super::options::{Driver, Settings};
use super::quote;
use crate::sources::remote::Breaker;

/// PostgreSQL takes a page out of order to cost as much as four in order, which was so on turning disks, and rather goes through a
/// whole table than look up some thousand keys. What an administrator has set stays.
const FOR_KEYS: &str = "; SELECT pg_catalog.set_config('random_page_cost', '1.1', true) \
                        WHERE pg_catalog.current_setting('random_page_cost') = '4'";
/// How much longer than asked for a server may take before it counts as silent.
const GRACE: Duration = Duration::from_secs(5);
/// How long a connection may be silent before the system asks whether the other side still lives.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The connections of one source.
pub(super) struct Pool {
    settings: Settings,
    place: Place,
    breaker: Breaker,
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
    /// Whether it reads rows by keys that a join has named.
    pub(super) has_keys: bool,
    /// The state of the data that another transaction has exported, and holds.
    pub(super) snapshot: Option<String>,
}

impl Session {
    /// How long the server may work from now on. The query ends itself at its deadline; the server keeps to it a little later,
    /// for the case that nobody is left to cancel.
    fn timeout(&self) -> Option<Duration> {
        let rest = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) + GRACE);
        self.statement_timeout.into_iter().chain(rest).min()
    }

    /// A read-only transaction with settings that hold in it only, so that a pooler in between is not left with them.
    ///
    /// `pg_catalog` alone is searched, as postgres_fdw does it: no object of the database can take the place of an operator or a
    /// type that our SQL names.
    fn begin(&self) -> String {
        // Every statement of a read sees one state of the data.
        let mut sql = String::from("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        if let Some(snapshot) = self.snapshot.as_deref().and_then(quote::literal) {
            sql.push_str("; SET TRANSACTION SNAPSHOT ");
            sql.push_str(&snapshot);
            // Whoever wants to change the table waits for the first reader of the snapshot: behind them, this one would wait
            // for ever.
            sql.push_str("; SET LOCAL lock_timeout = 1000");
        }
        sql.push_str(
            "; SET LOCAL default_transaction_read_only = on; SET LOCAL search_path = pg_catalog, pg_temp; \
             SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres'; \
             SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'",
        );
        if let Some(name) = quote::literal(&self.application_name) {
            sql.push_str("; SET LOCAL application_name = ");
            sql.push_str(&name);
        }
        if self.has_keys {
            sql.push_str(FOR_KEYS);
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

    /// How many more connections could be had right now.
    pub(super) fn spare(&self) -> u32 {
        self.settings.max_pool_size.saturating_sub(self.counts.leased.load(Ordering::Relaxed))
    }

    /// A connection in a new read-only transaction. It waits for a free one as long as it may take to connect.
    pub(super) fn begin(self: &Arc<Self>, session: &Session) -> Result<Lease, Failure> {
        let opened = self.opened()?;
        match opened.pool.get_timeout(self.settings.connect_timeout) {
            Ok(place) => self.begin_at(place, opened.tls, session),
            Err(_) => Err(self.place.busy(self.settings.max_pool_size).into()),
        }
    }

    /// The same for a reader that can do without: None where no connection is free right now.
    pub(super) fn begin_if_free(self: &Arc<Self>, session: &Session) -> Option<Lease> {
        let opened = self.opened().ok()?;
        let place = opened.pool.try_get()?;
        self.begin_at(place, opened.tls, session).ok()
    }

    fn begin_at(
        self: &Arc<Self>,
        place: PooledConnection<Places>,
        tls: MakeTlsConnector,
        session: &Session,
    ) -> Result<Lease, Failure> {
        self.counts.leased.fetch_add(1, Ordering::Relaxed);
        let until = session.timeout().and_then(|timeout| Instant::now().checked_add(timeout)?.checked_add(GRACE));
        let mut lease = Lease { place, tls, until, counts: Arc::clone(&self.counts) };
        lease.place.is_clean = false;
        let sql = session.begin();
        let connecting = Patience::of(self.settings.connect_timeout);
        if let Some(link) = &mut lease.place.link {
            link.wait(connecting.clone());
            match link.batch_execute(&sql) {
                Ok(()) => {
                    link.wait(Patience { until, abandoned: None });
                    return Ok(lease);
                }
                // The server went away while nobody looked: a new connection tells whether it is back.
                Err(cause) => match self.place.failed(cause, None) {
                    failure if failure.is_loss => lease.place.close(),
                    failure => {
                        lease.finish();
                        return Err(failure);
                    }
                },
            }
        }
        let attempt = self.breaker.attempt()?;
        let opened = lease.place.open(&self.counts).map_err(|cause| match cause {
            Failed::Postgres(cause) => self.place.refused(cause),
            Failed::Silent(_) => self.place.unreachable().into(),
            Failed::System(cause) => self.place.without_thread(cause).into(),
        });
        attempt.ended(opened.as_ref().err().map(|failure| &failure.error));
        opened?;
        let link = lease.link()?;
        link.wait(connecting);
        link.batch_execute(&sql).map_err(|cause| self.place.failed(cause, None))?;
        link.wait(Patience { until, abandoned: None });
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
        let manager = Places(Arc::new(Target { driver: settings.driver, config: config(settings), tls: tls.clone() }));
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
    config
}

/// One connection, in a transaction, for one reader.
pub(super) struct Lease {
    place: PooledConnection<Places>,
    tls: MakeTlsConnector,
    until: Option<Instant>,
    counts: Arc<Counts>,
}

impl Lease {
    pub(super) fn link(&mut self) -> Result<&mut Link, Error> {
        self.place
            .link
            .as_mut()
            .ok_or_else(|| Error::new(Code::Internal, "A connection was closed while it was in use."))
    }

    /// When its transaction is over in any case.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// What stops the statement that runs on this connection, from another thread.
    pub(super) fn canceller(&mut self) -> Result<Canceller, Error> {
        let tls = self.tls.clone();
        Ok(self.link()?.canceller(tls))
    }

    /// Ends the transaction and gives the connection back. A lease that is dropped instead closes its connection.
    pub(super) fn finish(mut self) {
        if let Some(link) = &mut self.place.link {
            link.wait(Patience::of(GRACE));
            self.place.is_clean = link.batch_execute("ROLLBACK").is_ok();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.counts.leased.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a source's connections go.
struct Target {
    driver: Driver,
    config: Config,
    tls: MakeTlsConnector,
}

/// Makes places for connections. It connects to nothing by itself.
struct Places(Arc<Target>);

/// A place for a connection.
struct Slot {
    target: Arc<Target>,
    link: Option<Link>,
    /// Whether the connection is outside of any transaction, with nothing left to read.
    is_clean: bool,
    counts: Option<Arc<Counts>>,
}

impl Slot {
    fn open(&mut self, counts: &Arc<Counts>) -> Result<(), Failed> {
        let Target { driver, config, tls } = &*self.target;
        self.link = Some(Link::open(*driver, config, tls.clone())?);
        counts.open.fetch_add(1, Ordering::Relaxed);
        self.counts = Some(Arc::clone(counts));
        Ok(())
    }

    fn close(&mut self) {
        if let Some(counts) = self.counts.take() {
            counts.open.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(link) = self.link.take() else { return };
        // The driver blocks while it says goodbye, and panics if it does so on an async worker.
        if tokio::runtime::Handle::try_current().is_ok() {
            if let Err(error) = thread::Builder::new().name("weft-postgres-close".to_owned()).spawn(move || drop(link))
            {
                tracing::warn!(%error, "no thread to close a connection");
            }
        } else {
            drop(link);
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
        Ok(Slot { target: Arc::clone(&self.0), link: None, is_clean: true, counts: None })
    }

    fn is_valid(&self, _: &mut Slot) -> Result<(), postgres::Error> {
        Ok(())
    }

    /// A broken connection closes; its place goes back empty. A place that did not come back would wake nobody who waits for one.
    fn has_broken(&self, slot: &mut Slot) -> bool {
        if !slot.is_clean || slot.link.as_ref().is_some_and(Link::is_closed) {
            slot.close();
            slot.is_clean = true;
        }
        false
    }
}
