//! One connection, by either driver: connectorx's blocking client, or tokio-postgres driven on the thread that uses it.
//!
//! A connection belongs to one thread at a time, which waits for the server and decodes what comes: nothing is handed from
//! core to core, and a thread that does not read stops the server through the socket. A server that says nothing any more, though
//! its system answers for it, is waited for as long as [`Patience`] lasts; connectorx's client has none.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use postgres::types::ToSql;
use postgres::{Client, Error, Row, Statement};
use postgres_openssl::{MakeTlsConnector, TlsStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::{Connection, Socket};
use tokio_util::sync::CancellationToken;

use super::options::Driver;

/// How long a server may take to hear a cancel, and then to say that it stopped.
const LAST_WORD: Duration = Duration::from_secs(5);

/// An open connection.
pub(super) enum Link {
    Connectorx(Box<Client>),
    Copy(Box<CopyLink>),
}

impl Link {
    /// Connects. It blocks.
    pub(super) fn open(driver: Driver, config: &tokio_postgres::Config, tls: MakeTlsConnector) -> Result<Self, Failed> {
        match driver {
            Driver::Connectorx => {
                let mut config = postgres::Config::from(config.clone());
                // The server's notices are of no use to a reader, and may quote data: the default prints them to the log.
                config.notice_callback(|_| {});
                Ok(Link::Connectorx(Box::new(config.connect(tls)?)))
            }
            Driver::Auto | Driver::Copy => Ok(Link::Copy(Box::new(CopyLink::open(config, tls)?))),
        }
    }

    /// From now on the server is waited for like this.
    pub(super) fn wait(&mut self, patience: Patience) {
        if let Link::Copy(link) = self {
            link.patience = patience;
        }
    }

    pub(super) fn batch_execute(&mut self, sql: &str) -> Result<(), Error> {
        match self {
            Link::Connectorx(client) => client.batch_execute(sql),
            Link::Copy(link) => link.drive(async |client| client.batch_execute(sql).await),
        }
    }

    pub(super) fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        match self {
            Link::Connectorx(client) => client.prepare(sql),
            Link::Copy(link) => link.drive(async |client| client.prepare(sql).await),
        }
    }

    pub(super) fn query(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        match self {
            Link::Connectorx(client) => client.query(sql, params),
            Link::Copy(link) => link.drive(async |client| client.query(sql, params).await),
        }
    }

    pub(super) fn query_one(&mut self, sql: &str) -> Result<Row, Error> {
        match self {
            Link::Connectorx(client) => client.query_one(sql, &[]),
            Link::Copy(link) => link.drive(async |client| client.query_one(sql, &[]).await),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Link::Connectorx(client) => client.is_closed(),
            Link::Copy(link) => link.connection.is_none(),
        }
    }

    /// What stops the statement that runs here, from another thread.
    pub(super) fn canceller(&self, tls: MakeTlsConnector) -> Canceller {
        match self {
            Link::Connectorx(client) => Canceller::Connectorx(client.cancel_token(), tls),
            Link::Copy(link) => Canceller::Copy(link.client.cancel_token(), tls),
        }
    }
}

/// Why there is no connection: the server's answer, none in time, or no runtime to wait for it with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Postgres(#[from] Error),
    #[error("the server did not answer in time")]
    Silent(#[from] Elapsed),
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// How long a silent server is waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience {
    /// Not beyond this moment.
    pub(super) until: Option<Instant>,
    /// No longer than it takes to stop, once nobody wants the rows any more.
    pub(super) abandoned: Option<CancellationToken>,
}

impl Patience {
    /// As long as `time` from now.
    pub(super) fn of(time: Duration) -> Self {
        Self { until: Some(Instant::now() + time), abandoned: None }
    }

    async fn end(self) {
        let late = async {
            match self.until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => pending().await,
            }
        };
        let unwanted = async {
            match self.abandoned {
                Some(abandoned) => {
                    abandoned.cancelled().await;
                    tokio::time::sleep(LAST_WORD).await;
                }
                None => pending().await,
            }
        };
        tokio::select! {
            () = late => {}
            () = unwanted => {}
        }
    }
}

/// A connection of tokio-postgres with a runtime of its own, that runs only while somebody waits for the connection.
pub(super) struct CopyLink {
    runtime: Runtime,
    client: tokio_postgres::Client,
    /// None once it has ended: whoever waits for an answer over it is told so when it is dropped.
    connection: Option<Connection<Socket, TlsStream<Socket>>>,
    patience: Patience,
}

impl CopyLink {
    fn open(config: &tokio_postgres::Config, tls: MakeTlsConnector) -> Result<Self, Failed> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // Its own timeout ends with the handshake of TCP, which a system completes for a server that is frozen.
        let connect = async {
            match config.get_connect_timeout() {
                Some(time) => Ok(timeout(*time, config.connect(tls)).await??),
                None => Ok::<_, Failed>(config.connect(tls).await?),
            }
        };
        let (client, connection) = runtime.block_on(connect)?;
        Ok(Self { runtime, client, connection: Some(connection), patience: Patience::default() })
    }

    /// Waits for what `work` does with the client. It blocks.
    pub(super) fn drive<T>(
        &mut self,
        work: impl AsyncFnOnce(&tokio_postgres::Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Self { runtime, client, connection, patience } = self;
        let mut work = pin!(work(client));
        let mut end = pin!(patience.clone().end());
        runtime.block_on(poll_fn(|context| {
            loop {
                // The work first: as long as it has rows to go on with, the socket is not asked.
                if let Poll::Ready(done) = work.as_mut().poll(context) {
                    return Poll::Ready(done);
                }
                let Some(open) = connection else { return Poll::Pending };
                match open.poll_message(context) {
                    Poll::Ready(Some(Ok(_notice))) => {}
                    Poll::Ready(Some(Err(error))) => {
                        *connection = None;
                        return Poll::Ready(Err(error));
                    }
                    Poll::Ready(None) => *connection = None,
                    Poll::Pending => match end.as_mut().poll(context) {
                        Poll::Ready(()) => *connection = None,
                        // What it has just received waits for the work.
                        Poll::Pending => return work.as_mut().poll(context),
                    },
                }
            }
        }))
    }
}

/// Stops one statement in the server.
pub(super) enum Canceller {
    Connectorx(postgres::CancelToken, MakeTlsConnector),
    Copy(tokio_postgres::CancelToken, MakeTlsConnector),
}

impl Canceller {
    /// Asks the server to stop; it connects anew to do so, and blocks.
    pub(super) fn cancel(self) {
        let cancelled: Result<(), Failed> = match self {
            Canceller::Connectorx(token, tls) => token.cancel_query(tls).map_err(Failed::from),
            Canceller::Copy(token, tls) => {
                Builder::new_current_thread().enable_all().build().map_err(Failed::from).and_then(|runtime| {
                    runtime.block_on(async { Ok(timeout(LAST_WORD, token.cancel_query(tls)).await??) })
                })
            }
        };
        if let Err(error) = cancelled {
            tracing::debug!(%error, "a statement could not be cancelled in its source");
        }
    }
}
