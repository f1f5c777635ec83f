//! An answer on its way out: batches in, bytes out, nothing kept. Dropping it drops the query.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use bytes::Bytes;
use engine::{Error, QueryId, QueryStream, Summary};
use futures::{Stream, StreamExt};

use super::{Encoder, Format};

/// Bytes of an answer in one format.
pub struct Encoded {
    answer: QueryStream,
    encoder: Box<dyn Encoder>,
    /// What was waited for before the first byte was asked for: rows, or the end.
    first: Option<Option<RecordBatch>>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    Rows,
    Ended,
}

impl Encoded {
    pub(super) fn new(format: Format, answer: QueryStream) -> Self {
        Self { answer, encoder: format.encoder(), first: None, stage: Stage::Begin }
    }

    pub(super) async fn begin(format: Format, mut answer: QueryStream) -> Result<Self, Error> {
        let first = answer.next().await.transpose()?;
        Ok(Self { first: Some(first), ..Self::new(format, answer) })
    }

    /// The query that is answered.
    pub fn id(&self) -> QueryId {
        self.answer.id()
    }

    /// What is known about the answer so far; it is final when the bytes have ended.
    pub fn summary(&self) -> Summary {
        self.answer.summary()
    }

    /// Writes the next piece. An empty one is possible: some formats keep rows back.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, Error>> {
        let mut out = Vec::new();
        if self.stage == Stage::Begin {
            self.stage = Stage::Rows;
            self.encoder.begin(self.answer.id(), &self.answer.schema(), &mut out)?;
            if self.first.is_none() {
                return Poll::Ready(Ok(out));
            }
        }
        let next = match self.first.take() {
            Some(first) => first.map(Ok),
            None => ready!(self.answer.poll_next_unpin(cx)),
        };
        match next {
            Some(Ok(batch)) => self.encoder.batch(&batch, &mut out)?,
            Some(Err(error)) => {
                self.stage = Stage::Ended;
                self.encoder.fail(error, &mut out)?;
            }
            None => {
                self.stage = Stage::Ended;
                self.encoder.finish(&self.answer.summary(), &mut out)?;
            }
        }
        Poll::Ready(Ok(out))
    }
}

impl Stream for Encoded {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.stage != Stage::Ended {
            match ready!(self.poll_piece(cx)) {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Poll::Ready(Some(Ok(piece.into()))),
                Err(error) => {
                    self.stage = Stage::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
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
