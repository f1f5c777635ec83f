//! The HTTP listener: accepts connections, and owns every one of them.
//!
//! `axum::serve` hands connections to the runtime and cannot end them; here they live in one set, which ends with it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_http::add_extension::AddExtension;
use tower_service::Service;

use super::tls::{self, Tls};
use crate::identify::Certificate;

/// A client that has not sent its headers by then is gone, or means no good.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// After a failure to accept, such as too many open files, the next try waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A router that knows where its connection comes from.
type Peered = AddExtension<Router, ConnectInfo<SocketAddr>>;

/// Serves `router` until `stop`, then for at most `grace` longer what has begun.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    stop: CancellationToken,
    grace: Duration,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Who guesses passwords is told apart by address.
                    let router = AddExtension::new(router.clone(), ConnectInfo(peer));
                    connections.spawn(connect(stream, router, tls.clone(), stop.clone()));
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    tracing::warn!(cause = %error, "Cannot accept an HTTP connection.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, finished).await.is_err() {
        tracing::info!("Dropping {} answers that are still being sent.", connections.len());
        connections.shutdown().await;
    }
}

/// One connection, in the clear or by TLS.
async fn connect(stream: TcpStream, router: Peered, tls: Option<Arc<Tls>>, stop: CancellationToken) {
    // Small pieces should leave at once; where the system refuses, they leave a little later.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return converse(stream, router, stop).await };
    match stop.run_until_cancelled(tls.accept(stream, &[b"http/1.1"])).await {
        Some(Ok(stream)) => {
            let shown = Certificate(tls::certificate(&stream));
            converse(stream, AddExtension::new(router, shown), stop).await;
        }
        Some(Err(error)) => tracing::debug!(cause = %error, "A TLS handshake failed."),
        None => {}
    }
}

/// A connection to its end. A client that breaks off is its own business.
async fn converse<I, S>(stream: I, service: S, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(cause = %error, "An HTTP connection broke off.");
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
