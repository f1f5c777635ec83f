//! An answer on its way out: batches in, bytes out, nothing kept. Dropping it drops the query.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use bytes::Bytes;
use engine::{Code, Error, QueryId, QueryStream, Summary};
use futures::{Stream, StreamExt};

use super::{Encoder, Format};
use crate::telemetry;

/// Bytes of an answer in one format.
///
/// An error in the middle ends JSON with an `error` member, and is the last item of every other format.
pub struct Encoded {
    answer: QueryStream,
    encoder: Box<dyn Encoder>,
    /// What stands before the rows, until it is taken.
    head: Vec<u8>,
    /// What was waited for before the first byte was asked for: rows, or the end.
    first: Option<Option<RecordBatch>>,
    has_ended: bool,
    failure: Option<Code>,
}

impl Encoded {
    pub(super) async fn begin(format: Format, mut answer: QueryStream) -> Result<Self, Error> {
        let mut encoder = format.encoder();
        let mut head = Vec::new();
        encoder.begin(answer.id(), &answer.schema(), &mut head)?;
        let first = Some(answer.next().await.transpose()?);
        Ok(Self { answer, encoder, head, first, has_ended: false, failure: None })
    }

    /// The query that is answered.
    pub fn id(&self) -> QueryId {
        self.answer.id()
    }

    /// What is known about the answer so far; it is final when the bytes have ended.
    pub fn summary(&self) -> Summary {
        let mut summary = self.answer.summary();
        summary.code = summary.code.or(self.failure);
        summary
    }

    /// Writes the next piece. An empty one is possible: some formats keep rows back.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, Error>> {
        let next = match self.first.take() {
            Some(first) => first.map(Ok),
            None => ready!(self.answer.poll_next_unpin(context)),
        };
        let mut out = std::mem::take(&mut self.head);
        let start = out.len();
        self.has_ended = !matches!(next, Some(Ok(_)));
        let written = match next {
            Some(Ok(batch)) => self.encoder.batch(&batch, &mut out),
            Some(Err(error)) => Err(error),
            None => self.encoder.finish(&self.answer.summary(), &mut out),
        };
        if let Err(error) = written {
            self.has_ended = true;
            self.failure = Some(error.code());
            // Half a row may stand there.
            out.truncate(start);
            if !self.encoder.fail(&error, &mut out) {
                return Poll::Ready(Err(error));
            }
            // The error ends here, inside the bytes, so nobody after this can log it.
            telemetry::log_cause(&error);
        }
        Poll::Ready(Ok(out))
    }
}

impl Stream for Encoded {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.has_ended {
            match ready!(self.poll_piece(context)) {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Poll::Ready(Some(Ok(piece.into()))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        Poll::Ready(None)
    }
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded").field("query_id", &self.answer.id()).finish_non_exhaustive()
    }
}
