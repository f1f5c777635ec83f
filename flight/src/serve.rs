//! Listening: HTTP/2 with bounds that keep a slow or silent client from holding memory or a port forever.

use std::future::Future;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Error, Server};

use crate::Service;

/// What a client may send ahead of being read, per call and per connection. What it receives is bounded by its own.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// A client that does not answer a ping within the timeout is gone, and so are its queries.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Results that are still being read at shutdown may go on so long.
const GRACE: Duration = Duration::from_secs(10);

/// Serves the door on `listener` until `shutdown` is ready, and then at most ten seconds more.
///
/// # Errors
/// Those of the transport, when it cannot accept connections at all.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let (asked, ask) = tokio::sync::oneshot::channel::<()>();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
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
