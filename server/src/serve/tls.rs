//! TLS on both ports, by rustls. Certificates are read again when their files change: nobody restarts a server for that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use catalogs::Tls as Files;
use flight::Peer;
use futures::stream::{self, Stream, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Files are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum TlsError {
    #[error("tls: {} cannot be read: {why}.", .path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("tls: {} holds no certificate.", .0.display())]
    Empty(PathBuf),
    #[error("tls: the certificate and the key cannot be used: {0}.")]
    Unusable(String),
}

/// The certificates that the server shows, as they are now.
#[derive(Debug)]
pub(super) struct Tls {
    files: Files,
    now: RwLock<(Stamps, Arc<ServerConfig>)>,
}

/// When the files were changed last.
type Stamps = Vec<Option<SystemTime>>;

impl Tls {
    /// # Errors
    /// Files that cannot be read, or that do not hold what they should.
    pub(super) fn load(files: Files) -> Result<Self, TlsError> {
        let now = (stamps(&files), Arc::new(config(&files)?));
        Ok(Self { files, now: RwLock::new(now) })
    }

    /// Speaks TLS on a connection; `protocols` are those that the door behind it speaks (ALPN).
    pub(super) async fn accept<S>(&self, stream: S, protocols: &[&[u8]]) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = ServerConfig::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).1);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let accepted = TlsAcceptor::from(Arc::new(config)).accept(stream);
        tokio::time::timeout(HANDSHAKE, accepted).await.map_err(|_elapsed| io::ErrorKind::TimedOut)?
    }

    /// Follows changes of the files until `stop`. Files that cannot be used leave everything as it was.
    pub(super) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let stamps = stamps(&self.files);
            if self.now.read().unwrap_or_else(PoisonError::into_inner).0 == stamps {
                continue;
            }
            let read = config(&self.files);
            let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
            now.0 = stamps;
            match read {
                Ok(config) => {
                    now.1 = Arc::new(config);
                    tracing::info!("The certificates have been read again.");
                }
                Err(error) => tracing::error!("{error} The server goes on with the certificates that it had."),
            }
        }
    }
}

/// Connections of `listener` once their handshakes are done. A slow one keeps no other waiting.
pub(super) fn connections(
    listener: TcpListener,
    tls: Arc<Tls>,
) -> impl Stream<Item = io::Result<(TlsStream<TcpStream>, Peer)>> {
    const AT_ONCE: usize = 256;
    let accepted = stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await;
        if accepted.is_err() {
            // Such as too many open files: others may close theirs.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some((accepted, listener))
    });
    accepted
        .filter_map(|accepted| async { accepted.ok() })
        .map(move |(stream, peer)| {
            let tls = Arc::clone(&tls);
            async move {
                let _ = stream.set_nodelay(true);
                let stream = tls.accept(stream, &[b"h2"]).await.ok()?;
                let certificate = certificate(&stream);
                Some(Ok((stream, Peer { address: Some(peer.ip()), certificate })))
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(|connection| async { connection })
}

/// The certificate that the other side proved to hold.
pub(super) fn certificate<S>(stream: &TlsStream<S>) -> Option<Vec<u8>> {
    let (_, connection) = stream.get_ref();
    Some(connection.peer_certificates()?.first()?.as_ref().to_vec())
}

fn stamps(files: &Files) -> Stamps {
    let paths = [Some(&files.cert_file), Some(&files.key_file), files.client_ca_file.as_ref()];
    let changed = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    paths.into_iter().flatten().map(|path| changed(path)).collect()
}

fn config(files: &Files) -> Result<ServerConfig, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(unusable)?;
            }
            // Who shows no certificate may show a key or a password.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| TlsError::Unusable(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(|error| unreadable(&files.key_file, &error))?;
    builder.with_single_cert(certificates(&files.cert_file)?, key).map_err(unusable)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| unreadable(path, &error))?;
    if found.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(found) }
}

fn unreadable(path: &Path, why: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::Unreadable { path: path.to_owned(), why: why.to_string() }
}
