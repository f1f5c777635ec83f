//! The connections of one source: opened when a read needs one, kept for the next, thrown away when they break.
//!
//! r2d2 keeps count, order and age. What it pools are places for a connection, and the thread that gets an empty place
//! opens the connection itself: errors stay whole, a wrong password fails at once, and a server that is down is not
//! asked again until somebody asks for its data. Everything here blocks: it runs on threads of its own, never on an
//! async worker.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use engine::{Code, Error};
use mysql::prelude::Queryable;
use mysql::{Conn, DriverError, Opts, OptsBuilder};
use r2d2::{ManageConnection, PooledConnection};

use super::failure::{Failure, Place};
use super::options::Settings;

/// How long a connection may be silent before the system asks whether the other side still lives.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long the server waits for a slow reader. Its own patience of a minute is less than a pause of a reader may last.
const READER_PATIENCE: Duration = Duration::from_secs(3600);
/// The largest packet that the protocol allows. Without it the client asks the server at every connection.
const LARGEST_PACKET: usize = 1 << 30;

/// The connections of one source.
pub(super) struct Pool {
    settings: Settings,
    place: Place,
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
}

/// What one statement runs under.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    /// What a comment before the statement says, by which the server's administrator finds the query.
    pub(super) name: String,
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

    /// `sql` under a name in the server's list of what runs.
    pub(super) fn signed(&self, sql: &str) -> String {
        let is_plain = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '/' | '-' | '_');
        let name: String = self.name.chars().filter(is_plain).collect();
        format!("/* {name} */ {sql}")
    }

    /// Settings under which a statement means what we mean by it, whatever the server's own are or a function has left
    /// behind.
    fn settings(&self, limits: Limits) -> String {
        let mut sql = format!(
            "SET NAMES utf8mb4, SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', SESSION time_zone = '+00:00', \
             SESSION net_write_timeout = {}",
            READER_PATIENCE.as_secs()
        );
        let timeout = self.timeout();
        match limits {
            Limits::None => {}
            Limits::Seconds => {
                let seconds = timeout.map(|timeout| timeout.as_secs_f64().max(0.001).to_string());
                sql.push_str(", SESSION max_statement_time = ");
                sql.push_str(seconds.as_deref().unwrap_or("DEFAULT"));
            }
            Limits::Millis => {
                let millis = timeout.map(|timeout| timeout.as_millis().clamp(1, u32::MAX.into()).to_string());
                sql.push_str(", SESSION max_execution_time = ");
                sql.push_str(millis.as_deref().unwrap_or("DEFAULT"));
            }
        }
        sql
    }
}

/// How a server is told when a statement must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limits {
    /// `max_execution_time` of MySQL.
    Millis,
    /// `max_statement_time` of MariaDB.
    Seconds,
    /// Servers from before either.
    None,
}

impl Limits {
    fn of(version: &str) -> Self {
        // So MariaDB calls itself before old replicas.
        let version = version.strip_prefix("5.5.5-").unwrap_or(version);
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0_u32);
        let version_number = (next(), next(), next());
        if version.contains("MariaDB") {
            if version_number >= (10, 1, 1) { Limits::Seconds } else { Limits::None }
        } else if version_number >= (5, 7, 8) {
            Limits::Millis
        } else {
            Limits::None
        }
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
        lease.place.open(&lease.address, &self.counts).map_err(|cause| self.place.refused(cause))?;
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

/// How a connection is opened.
struct Address {
    options: Opts,
    /// Where an encrypted connection is preferred and another will do.
    plain: Option<Opts>,
    /// The name and port to look up. None for a Unix socket.
    host: Option<(String, u16)>,
    patience: Duration,
}

impl Address {
    fn new(settings: &Settings) -> Result<Self, Error> {
        let is_local = settings.is_local_socket();
        let tls = if is_local { None } else { settings.tls.options(settings.authorities.as_deref())? };
        let millis = |time: Duration| u32::try_from(time.as_millis()).ok();
        let attributes = HashMap::from([("program_name", "weft")]);
        let mut options = OptsBuilder::new()
            .tcp_port(settings.port)
            .user(Some(&settings.user))
            .pass(settings.password.as_ref())
            .db_name(Some(&settings.database))
            .prefer_socket(false)
            .max_allowed_packet(Some(LARGEST_PACKET))
            .stmt_cache_size(0)
            .tcp_connect_timeout(Some(settings.connect_timeout))
            .tcp_keepalive_time_ms(millis(KEEPALIVE))
            .connect_attrs(Some(attributes));
        #[cfg(target_os = "linux")]
        {
            options = options
                .tcp_user_timeout_ms(millis(KEEPALIVE))
                .tcp_keepalive_probe_interval_secs(u32::try_from(KEEPALIVE.as_secs() / 3).ok())
                .tcp_keepalive_probe_count(Some(3));
        }
        options = if is_local {
            options.socket(Some(&settings.host))
        } else if settings.host.contains(':') {
            options.ip_or_hostname(Some(format!("[{}]", settings.host)))
        } else {
            options.ip_or_hostname(Some(&settings.host))
        };
        let plain = (tls.is_some() && settings.tls.takes_plain()).then(|| Opts::from(options.clone()));
        let host = (!is_local).then(|| (settings.host.clone(), settings.port));
        Ok(Self { options: options.ssl_opts(tls).into(), plain, host, patience: settings.connect_timeout })
    }

    /// Connects in the time that there is. The client bounds only a part of it: a server that accepts and then says nothing would
    /// hold its thread for ever, and the place in the pool with it.
    fn connect(self: &Arc<Self>) -> Result<Conn, mysql::Error> {
        let (sender, connected) = sync_channel(1);
        let address = Arc::clone(self);
        let connect = move || drop(sender.send(address.connect_patiently()));
        thread::Builder::new().name("weft-mysql-connect".to_owned()).spawn(connect)?;
        match connected.recv_timeout(self.patience) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(DriverError::ConnectTimeout.into()),
            Err(RecvTimeoutError::Disconnected) => Err(DriverError::SetupError.into()),
        }
    }

    fn connect_patiently(&self) -> Result<Conn, mysql::Error> {
        match (self.connect_with(&self.options), &self.plain) {
            (Err(mysql::Error::TlsError(_) | mysql::Error::DriverError(DriverError::TlsNotSupported)), Some(plain)) => {
                self.connect_with(plain)
            }
            (connected, _) => connected,
        }
    }

    /// The client gives a name up at its first address that fails, unless it is told which family to connect from.
    fn connect_with(&self, options: &Opts) -> Result<Conn, mysql::Error> {
        let Some(host) = &self.host else { return Conn::new(options.clone()) };
        let mut families: Vec<SocketAddr> = Vec::new();
        for address in host.to_socket_addrs()? {
            let any = match address {
                SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            };
            if !families.contains(&any) {
                families.push(any);
            }
        }
        let mut result = Err(mysql::Error::DriverError(DriverError::CouldNotConnect(None)));
        for family in families {
            result = Conn::new(OptsBuilder::from_opts(options.clone()).bind_address(Some(family)));
            let is_unreached = matches!(
                result,
                Err(mysql::Error::DriverError(DriverError::CouldNotConnect(_) | DriverError::ConnectTimeout))
            );
            if !is_unreached {
                break;
            }
        }
        result
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
        Ok(Canceller { connection: self.client()?.connection_id(), address: Arc::clone(&self.address) })
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
    address: Arc<Address>,
}

impl Canceller {
    /// Asks the server to stop, and tells whether it heard; it connects anew to do so, and blocks.
    pub(super) fn cancel(self) -> bool {
        const ATTEMPTS: u32 = 3;
        for attempt in 1..=ATTEMPTS {
            let kill = |mut conn: Conn| conn.query_drop(format!("KILL QUERY {}", self.connection));
            match self.address.connect().and_then(kill) {
                Ok(()) => return true,
                Err(error) => {
                    tracing::debug!(%error, attempt, "a statement could not be cancelled in its source");
                    thread::sleep(Duration::from_millis(200) * (attempt - 1));
                }
            }
        }
        false
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
        self.limits = Limits::of(version.as_deref().unwrap_or_default());
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

    fn has_broken(&self, slot: &mut Slot) -> bool {
        !slot.is_clean || slot.client.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, Session};

    #[test]
    fn every_server_is_told_in_its_own_way() {
        for (version, limits) in [
            ("10.11.6-MariaDB-0+deb12u1", Limits::Seconds),
            ("5.5.5-10.4.1-MariaDB", Limits::Seconds),
            ("10.0.38-MariaDB", Limits::None),
            ("11.4.2-MariaDB", Limits::Seconds),
            ("8.0.36", Limits::Millis),
            ("5.7.44-log", Limits::Millis),
            ("5.6.51", Limits::None),
            ("", Limits::None),
        ] {
            assert_eq!(Limits::of(version), limits, "{version}");
        }
    }

    #[test]
    fn a_name_cannot_end_its_comment() {
        let session = Session { name: "weft/1*/ DROP".to_owned(), ..Session::default() };
        assert_eq!(session.signed("SELECT 1"), "/* weft/1/DROP */ SELECT 1");
        assert!(session.settings(Limits::Seconds).ends_with("max_statement_time = DEFAULT"));
    }
}
