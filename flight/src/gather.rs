//! Writing to a socket in large pieces.
//!
//! HTTP/2 frames hold 16 kB at most where the client does not ask for more, and none does; the server would hand each to the
//! kernel by itself, and for a result of gigabytes these calls, and the wake-ups of the reader, cost more than copying.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use crate::Peer;

/// What is handed over at once: enough that the calls don't count, and little enough to be in the processor's cache.
const PIECE: usize = 128 << 10;
/// With less than this since the last flush nothing is waited for: answers without many rows go out as they are written.
const SMALL: usize = 8 << 10;

/// A stream whose writes are gathered.
pub(crate) struct Gathered<S> {
    inner: S,
    /// The other side.
    peer: Peer,
    /// What is to be written, from `written` on.
    pending: Vec<u8>,
    written: usize,
    /// Bytes that came since the last flush.
    unflushed: usize,
    /// Whether a flush was put off until the writer has had its turn.
    is_put_off: bool,
}

impl<S> Gathered<S> {
    pub(crate) fn new(inner: S, peer: Peer) -> Self {
        Self { inner, peer, pending: Vec::new(), written: 0, unflushed: 0, is_put_off: false }
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Hands over all that is pending.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.pending.len() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(context, &self.pending[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.pending.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.pending.len() >= PIECE {
            ready!(self.poll_drain(context))?;
        }
        self.is_put_off = false;
        let before = self.pending.len();
        if parts.iter().map(|part| part.len()).sum::<usize>() > SMALL {
            self.pending.reserve_exact(PIECE - before);
        }
        for part in parts {
            let room = PIECE - self.pending.len();
            self.pending.extend_from_slice(&part[..part.len().min(room)]);
        }
        let count = self.pending.len() - before;
        self.unflushed += count;
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed >= SMALL && !self.is_put_off {
            // HTTP/2 flushes after each frame. The task comes back at once, and flushes again when it has no other frame.
            self.is_put_off = true;
            context.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(context))?;
        // A connection that waits for its next question holds nothing.
        self.pending = Vec::new();
        self.unflushed = 0;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S> Connected for Gathered<S> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Takes at most `most` bytes at once, and every other call nothing yet.
    struct Socket {
        taken: Vec<u8>,
        calls: usize,
        most: usize,
        is_busy: bool,
        is_shut: bool,
    }

    impl Socket {
        fn taking(most: usize) -> Self {
            Self { taken: Vec::new(), calls: 0, most, is_busy: false, is_shut: false }
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.is_busy = !self.is_busy;
            if self.is_busy {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let count = bytes.len().min(self.most);
            self.taken.extend_from_slice(&bytes[..count]);
            self.calls += 1;
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.is_shut = true;
            Poll::Ready(Ok(()))
        }
    }

    fn bytes(count: usize, seed: usize) -> Vec<u8> {
        (0..count).map(|at| u8::try_from((at * 31 + seed) % 251).unwrap()).collect()
    }

    #[tokio::test]
    async fn frames_arrive_in_order_and_in_few_calls() {
        let mut stream = Gathered::new(Socket::taking(usize::MAX), Peer::default());
        let mut wanted = Vec::new();
        for frame in 0..60 {
            let (head, body) = (bytes(9, frame), bytes(16 << 10, frame));
            stream.write_all(&head).await.unwrap();
            stream.write_all(&body).await.unwrap();
            stream.flush().await.unwrap();
            wanted.extend([head, body].concat());
        }
        assert!(stream.inner.taken.len() < wanted.len());
        // The writer has no other frame, and flushes once more.
        stream.flush().await.unwrap();
        assert!(stream.inner.taken == wanted);
        assert!(stream.inner.calls < 12, "{} calls", stream.inner.calls);
    }

    #[tokio::test]
    async fn a_socket_that_takes_little_loses_nothing() {
        let mut stream = Gathered::new(Socket::taking(1000), Peer::default());
        let mut wanted = Vec::new();
        for size in [0, 1, SMALL, PIECE - 1, PIECE, 3 * PIECE + 7, 5] {
            let part = bytes(size, size);
            stream.write_all(&part).await.unwrap();
            stream.flush().await.unwrap();
            wanted.extend(part);
        }
        stream.shutdown().await.unwrap();
        assert!(stream.inner.is_shut && stream.inner.taken == wanted);
    }

    #[tokio::test]
    async fn a_small_answer_goes_out_with_its_first_flush_and_nothing_is_held_after_it() {
        let mut stream = Gathered::new(Socket::taking(usize::MAX), Peer::default());
        stream.write_all(b"headers").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.inner.taken, b"headers");
        assert_eq!(stream.pending.capacity(), 0);
    }

    #[tokio::test]
    async fn a_flush_that_is_put_off_wakes_its_task() {
        let mut stream = Gathered::new(Socket::taking(usize::MAX), Peer::default());
        stream.write_all(&bytes(16 << 10, 0)).await.unwrap();
        let mut flushes = 0;
        // As a connection does: it flushes whenever it is polled, and is polled when it was woken.
        poll_fn(|context| {
            assert!(Pin::new(&mut stream).poll_flush(context).is_ready() || flushes > 0);
            flushes += 1;
            if stream.inner.taken.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        assert_eq!(stream.inner.taken.len(), 16 << 10);
    }
}
