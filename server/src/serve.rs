//! `weft serve`: opens the doors on this machine, says where they are, and closes them in order.
//!
//! While nobody needs to sign in, it listens on loopback addresses only; with `auth.required` a [`Gate`] tells who asks. It takes the lock of its `data_dir`, so that two
//! servers never write one state. A dead source stops nothing: sources are tested after the doors are open.

mod address;
mod guard;
mod hangup;
mod http;
mod lock;
mod tls;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use catalogs::{Oidc, Registry, Settings};
use engine::policy::Policies;
use engine::{Authenticator, Engine, Everybody};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::auth::Gate;
use crate::auth::keys::Keys;
use crate::compose::{Composition, ReloadError, Reloaded};
use crate::identify::Vouching;
use crate::rest::Health;
use crate::state::State;
use crate::telemetry::Metrics;
use crate::{compose, identify, mcp, rest};
use hangup::Hangup;
pub(crate) use hangup::Hangups;
use lock::DirLock;

pub use address::AddressError;
pub use lock::LockError;
pub(crate) use lock::address_of;
use tls::Tls;
pub use tls::TlsError;

/// Answers that are still being sent at shutdown may go on so long.
const GRACE: Duration = Duration::from_secs(5);

/// A source that does not answer within this time is reported as dead.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to listen, in place of what the settings say.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Listen {
    /// Where REST and MCP listen: HOST:PORT; port 0 takes any free one.
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,

    /// Where Flight SQL listens: HOST:PORT; port 0 takes any free one.
    #[arg(long, value_name = "ADDR")]
    pub flight: Option<String>,
}

/// Why the server does not start. All of it is a matter of configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A door cannot listen where it should.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The state belongs to another server.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What is told to the operator cannot be written.
    #[error("Cannot write to standard output.")]
    Output(#[from] std::io::Error),
    /// What the server should show cannot be shown.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody would know who asked what.
    #[error(
        "The audit log in {} cannot be written. Let this process write there, or set audit.enabled to false.",
        .0.display()
    )]
    Unaudited(PathBuf),
    /// Nobody can be told apart: the keys cannot be read.
    #[error(transparent)]
    Auth(#[from] engine::Error),
}

/// A server with its doors open. Dropped, it ends at once; [`Running::stop`] ends it in order.
pub struct Running {
    /// Where REST and MCP are.
    pub http: SocketAddr,
    /// Where Flight SQL is.
    pub flight: SocketAddr,
    /// Whether the doors speak TLS.
    pub is_secure: bool,
    stop: CancellationToken,
    doors: JoinSet<()>,
    health: Health,
    _lock: Option<DirLock>,
    /// Holds what queries spill; dropped after the doors.
    composition: Composition,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("http", &self.http).field("flight", &self.flight).finish_non_exhaustive()
    }
}

impl Running {
    /// The line that says where the doors are.
    pub fn ready_line(&self) -> String {
        let Self { http, flight, is_secure, .. } = self;
        let (web, grpc) = if *is_secure { ("https", "grpc+tls") } else { ("http", "grpc") };
        format!("Weft is ready: {web}://{http} (docs at /docs, MCP at /mcp), {grpc}://{flight}")
    }

    /// Reads the home again, as [`Composition::reload`] does; sources that are new are tested.
    ///
    /// # Errors
    /// As [`Composition::reload`].
    pub async fn reload(&mut self) -> Result<Reloaded, ReloadError> {
        let reloaded = self.composition.reload().await?;
        self.doors.spawn(probe(self.composition.registry.clone(), self.stop.clone()));
        Ok(reloaded)
    }

    /// Accepts nothing more, lets answers go on for a few seconds, then drops them.
    pub async fn stop(mut self) {
        self.health.stop();
        self.stop.cancel();
        let finished = async { while self.doors.join_next().await.is_some() {} };
        // The doors keep to the grace themselves; this bound is for one that does not.
        let _ = tokio::time::timeout(GRACE * 3, finished).await;
        self.doors.shutdown().await;
    }
}

/// Opens the doors. `metrics` must be what observes the composition's engine.
///
/// # Errors
/// Where an address is not on this machine or in use, or another server holds the `data_dir`.
pub async fn start(composition: Composition, metrics: Metrics, listen: &Listen) -> Result<Running, Error> {
    let settings = &composition.settings;
    let http = listen.http.as_deref().unwrap_or(&settings.http.listen);
    let flight = listen.flight.as_deref().unwrap_or(&settings.flight.listen);
    if let (Some(data_dir), true, false) = (&composition.data_dir, settings.audit.enabled, composition.is_audited) {
        return Err(Error::Unaudited(data_dir.clone()));
    }
    let mut lock = composition.data_dir.as_deref().map(DirLock::take).transpose()?;
    let stop = CancellationToken::new();
    let mut doors = JoinSet::new();
    let authenticator: Arc<dyn Authenticator> = match gate(&composition)? {
        None => Arc::new(Everybody(composition.principal.clone())),
        Some(gate) => {
            doors.spawn(Arc::clone(&gate).follow(stop.clone()));
            gate
        }
    };
    let tls = settings.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
    if let Some(tls) = &tls {
        doors.spawn(Arc::clone(tls).follow(stop.clone()));
    }
    let http = address::bind("http", http, authenticator.is_open()).await?;
    let flight = address::bind("flight", flight, authenticator.is_open()).await?;
    let health = Health::new(metrics);
    let addresses = (address::of(&http)?, address::of(&flight)?);
    let engine = &composition.engine;
    let is_secure = tls.is_some();
    let provider = settings.auth.oidc.clone().filter(|_| !authenticator.is_open());
    let of_http = Listening { listener: http, tls: tls.clone(), stop: stop.clone() };
    let of_flight = Listening { listener: flight, tls, stop: stop.clone() };
    doors.spawn(serve_http(engine.clone(), Arc::clone(&authenticator), provider, health.clone(), of_http));
    doors.spawn(serve_flight(engine.clone(), authenticator, of_flight));
    doors.spawn(probe(composition.registry.clone(), stop.clone()));
    doors.spawn(warn_of_misfits(engine.clone(), composition.registry.clone(), composition.policies.clone()));
    let (http, flight) = addresses;
    if let Some(lock) = &mut lock {
        lock.tell(http);
    }
    Ok(Running { http, flight, is_secure, stop, doors, health, _lock: lock, composition })
}

/// Opens the doors, tells `out` where they are, and serves until SIGINT or SIGTERM. On SIGHUP it reads the home again.
///
/// # Errors
/// As [`start`].
pub async fn run(
    composition: Composition,
    metrics: Metrics,
    listen: &Listen,
    out: &mut (dyn Write + Send),
) -> Result<(), Error> {
    for line in composition.registry.registered() {
        tracing::info!("{line}");
    }
    // Before anybody knows that the server runs, so that no signal ends it.
    let mut hangups = Hangups::listen();
    let mut running = start(composition, metrics, listen).await?;
    match running.composition.settings.auth.required {
        true => {
            tracing::info!("Callers must sign in: weft keys create makes a key.");
            let is_reachable = [running.http, running.flight].iter().any(|address| !address.ip().is_loopback());
            if is_reachable && !running.is_secure {
                tracing::warn!(
                    "Keys and passwords cross the network in the clear: set tls.cert_file and tls.key_file."
                );
            }
        }
        false => tracing::info!(
            "Nobody needs to sign in: every program on this machine may ask, with all rights of the principal."
        ),
    }
    writeln!(out, "{}", running.ready_line())?;
    out.flush()?;
    let signal = until_stopped(&mut running, &mut hangups).await;
    tracing::info!("Stopping on {signal}.");
    running.stop().await;
    Ok(())
}

/// Serves until a signal says to end, and gives its name. On SIGHUP the home is read again.
pub(crate) async fn until_stopped(running: &mut Running, hangups: &mut Hangups) -> &'static str {
    let mut interrupted = std::pin::pin!(interrupted());
    loop {
        tokio::select! {
            signal = &mut interrupted => break signal,
            hangup = hangups.next() => match hangup {
                Hangup::Reload => tell(running.reload().await),
                Hangup::TerminalClosed => break "SIGHUP",
            },
        }
    }
}

/// Logs what a reload has brought, or each of the problems that it met.
fn tell(reloaded: Result<Reloaded, ReloadError>) {
    match reloaded {
        Ok(Reloaded { counts: (sources, datasets), needs_restart }) => {
            tracing::info!("The home has been read again: sources: {sources}, datasets: {datasets}.");
            for key in needs_restart {
                tracing::warn!("weft.yaml: {key}: this has changed; restart the server to follow it");
            }
        }
        Err(ReloadError::Problems(problems)) => {
            tracing::error!("The home has problems ({}); the server goes on with what it had.", problems.len());
            for problem in problems.iter() {
                tracing::error!("{problem}");
            }
        }
        Err(error) => tracing::error!("{error} The server goes on with what it had."),
    }
}

/// Where a door listens, how it speaks, and until when.
struct Listening {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    stop: CancellationToken,
}

/// What tells callers apart, where they must sign in.
///
/// # Errors
/// `internal` where the keys cannot be read.
pub fn gate(composition: &Composition) -> Result<Option<Arc<Gate>>, engine::Error> {
    let Settings { auth, data_dir, .. } = &composition.settings;
    if !auth.required {
        return Ok(None);
    }
    let homeless = || engine::Error::new(engine::Code::InvalidArgument, "auth.required needs a data_dir.");
    let keys = Keys::open(State::open(data_dir.as_deref().ok_or_else(homeless)?)?)?;
    Ok(Some(Arc::new(Gate::new(composition.engine.clone(), keys, auth.oidc.clone()))))
}

fn serve_http(
    engine: Engine,
    authenticator: Arc<dyn Authenticator>,
    provider: Option<Oidc>,
    health: Health,
    Listening { listener, tls, stop }: Listening,
) -> impl Future<Output = ()> + Send + use<> {
    let is_open = authenticator.is_open();
    let doors = rest::router(engine.clone(), health).merge(mcp::router(engine, is_open));
    let router = identify::by(authenticator, provider.map(|oidc| Vouching::of(&oidc, tls.is_some())), doors);
    let router = match is_open {
        true => router.layer(axum::middleware::from_fn(guard::only_from_this_machine)),
        false => router,
    };
    http::serve(listener, router, tls, stop, GRACE)
}

fn serve_flight(
    engine: Engine,
    authenticator: Arc<dyn Authenticator>,
    Listening { listener, tls, stop }: Listening,
) -> impl Future<Output = ()> + Send + use<> {
    // The engine knows the default dataset, and follows the home.
    let service = flight::service(engine, authenticator, flight::Options::default());
    let stopped = stop.cancelled_owned();
    async move {
        let ended = match tls {
            None => flight::serve(listener, service, stopped).await,
            Some(tls) => flight::serve_connections(tls::connections(listener, tls), service, stopped).await,
        };
        if let Err(error) = ended {
            tracing::error!(cause = %error, "The Flight SQL door has closed.");
        }
    }
}

/// Tests every source once, so that a dead one is known before somebody asks it.
async fn probe(registry: Registry, stop: CancellationToken) {
    let Some(results) = stop.run_until_cancelled(registry.probe(PROBE_TIMEOUT)).await else { return };
    for (source, result) in results {
        if let Err(error) = result {
            tracing::warn!(source, code = error.code().as_str(), "Source {source} is unavailable: {error}");
        }
    }
}

/// Tells of rules that do not fit their tables, which stay closed.
async fn warn_of_misfits(engine: Engine, registry: Registry, policies: Policies) {
    for misfit in compose::misfits(&engine, &registry, &policies).await.iter() {
        tracing::error!("{misfit}; the table stays closed");
    }
}

/// Waits for what asks a process to end, and names it.
async fn interrupted() -> &'static str {
    let interrupt = async {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "SIGINT",
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        name = interrupt => name,
        name = terminated() => name,
    }
}

#[cfg(unix)]
async fn terminated() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut signals) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    match signals.recv().await {
        Some(()) => "SIGTERM",
        None => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() -> &'static str {
    std::future::pending().await
}
