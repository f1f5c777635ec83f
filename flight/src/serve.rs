//! Listening: HTTP/2 with bounds that keep a slow or silent client from holding memory or a port forever.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures::{Stream, TryStreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Error, Server};

use crate::Service;
use crate::gather::Gathered;

/// What a client may send ahead of being read, per call and per connection. What it receives is bounded by its own.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// A client that does not answer a ping within the timeout is gone, and so are its queries.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Results that are still being read at shutdown may go on so long.
const GRACE: Duration = Duration::from_secs(10);

/// The other side of a connection.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Its address.
    pub address: Option<IpAddr>,
    /// The certificate that it proved to hold (DER).
    pub certificate: Option<Vec<u8>>,
}

/// Serves the door on `listener` until `shutdown` is ready, and then at most ten seconds more.
///
/// # Errors
/// Those of the transport, when it cannot accept connections at all.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let connections = TcpIncoming::from(listener).with_nodelay(Some(true)).map_ok(|stream| {
        let address = stream.peer_addr().ok().map(|address| address.ip());
        (stream, Peer { address, certificate: None })
    });
    serve_connections(connections, service, shutdown).await
}

/// The same for connections that somebody else accepts.
///
/// # Errors
/// As [`serve()`].
pub async fn serve_connections<S>(
    connections: impl Stream<Item = io::Result<(S, Peer)>>,
    service: Service,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (asked, ask) = tokio::sync::oneshot::channel::<()>();
    let incoming = connections.map_ok(|(stream, peer)| Gathered::new(stream, peer));
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, async {
            // The sender is dropped unsent when `shutdown` itself is; either way it is time.
            let _ = ask.await;
        });
    let stop = async {
        shutdown.await;
        let _ = asked.send(());
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = server => ended,
        () = stop => Ok(()),
    }
}
