//! Rows on their way out: queries run and encoded by one task that the response owns and that dies with it.
//!
//! At most a few messages are held: a slow reader stops the task, and the task stops the query. A reader that goes away
//! drops the response, thereby the task, thereby the query. An error is never a clean end, nor is a panic.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use engine::{Code, Engine, Error, Principal, Query, QueryStream, Summary};
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Status;

use crate::Door;
use crate::call::Call;
use crate::encode::{self, Encoder, Message};
use crate::running::{Entry, Running};
use crate::status::status;
use crate::ticket::Question;

/// What `DoGet` answers with.
pub(crate) type Messages = BoxStream<'static, Result<Message, Status>>;

/// Messages that wait between the query and the reader.
const WAITING: usize = 3;

/// The answer to `question`, which came as `ticket`. Returns when the first query runs.
///
/// # Errors
/// Those of the engine, and `invalid_argument` where the parameters cannot be read.
pub(crate) async fn run(door: &Door, call: &Call, ticket: &[u8], question: &Question) -> Result<Messages, Error> {
    let mut queries = question.queries(call.client.as_deref())?.into_iter();
    let first = queries
        .next()
        .ok_or_else(|| Error::new(Code::InvalidArgument, "The prepared statement has no rows of parameters."))?;
    let stream = door.engine.query(&call.principal, first).await?;
    let run = Run {
        entry: door.running.enter(ticket, stream.id()),
        schema: stream.schema(),
        stream,
        queries,
        engine: door.engine.clone(),
        principal: call.principal.clone(),
        running: door.running.clone(),
        ticket: Bytes::copy_from_slice(ticket),
    };
    let (sender, messages) = mpsc::channel(WAITING);
    let mut task = JoinSet::new();
    task.spawn(async move {
        if let Err(error) = run.send(&sender).await {
            // The reader may have gone away meanwhile; then nobody is left to tell.
            let _ = sender.send(Err(status(error))).await;
        }
    });
    Ok(Answer { messages, task }.boxed())
}

/// A batch that is at hand, such as a listing, as an answer.
///
/// # Errors
/// `internal` where Arrow cannot encode it.
pub(crate) fn of_batch(batch: RecordBatch) -> Result<Messages, Error> {
    let mut encoder = Encoder::new(batch.schema_ref())?;
    let mut messages = vec![Ok(encoder.schema())];
    for piece in encode::pieces(batch) {
        messages.push(Ok(encoder.message(&piece)?));
    }
    Ok(futures::stream::iter(messages).boxed())
}

struct Answer {
    messages: mpsc::Receiver<Result<Message, Status>>,
    task: JoinSet<()>,
}

impl Stream for Answer {
    type Item = Result<Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(message) = ready!(self.messages.poll_recv(cx)) {
            return Poll::Ready(Some(message));
        }
        // No more messages: a clean end only if the task ended by itself.
        Poll::Ready(match ready!(self.task.poll_join_next(cx)) {
            Some(Err(panic)) => {
                let error = Error::new(Code::Internal, "Something went wrong inside Weft; the log has the cause.");
                Some(Err(status(error.cause(panic))))
            }
            Some(Ok(())) | None => None,
        })
    }
}

/// The queries of one answer, one after the other.
struct Run {
    stream: QueryStream,
    schema: SchemaRef,
    entry: Entry,
    queries: vec::IntoIter<Query>,
    engine: Engine,
    principal: Principal,
    running: Running,
    ticket: Bytes,
}

/// What a reader that went away makes of sending.
type Sent = Result<(), Error>;

impl Run {
    async fn send(mut self, sender: &mpsc::Sender<Result<Message, Status>>) -> Sent {
        let mut encoder = Encoder::new(&self.schema)?;
        let mut total = Total::default();
        if sender.send(Ok(encoder.schema())).await.is_err() {
            return Ok(());
        }
        loop {
            while let Some(batch) = next_joined(&mut self.stream).await {
                for piece in encode::pieces(batch?) {
                    if sender.send(Ok(encoder.message(&piece)?)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            total.add(&self.stream.summary());
            let Some(query) = self.queries.next() else { break };
            self.begin(query).await?;
        }
        let trailer = encoder.trailer(total.json(&self.stream))?;
        let _ = sender.send(Ok(trailer)).await;
        Ok(())
    }

    /// Runs the statement with the next row of parameters.
    async fn begin(&mut self, query: Query) -> Result<(), Error> {
        self.stream = self.engine.query(&self.principal, query).await?;
        self.entry = self.running.enter(&self.ticket, self.stream.id());
        if self.stream.schema().fields() != self.schema.fields() {
            return Err(Error::new(
                Code::InvalidArgument,
                "The statement has columns of other types for a later row of parameters.",
            )
            .hint("Cast the parameters in the statement, or run it once per row."));
        }
        Ok(())
    }
}

/// The next batch, joined with those after it that are at hand while it is small. It never waits for a second one.
async fn next_joined(stream: &mut QueryStream) -> Option<Result<RecordBatch, Error>> {
    let first = match stream.next().await? {
        Ok(batch) => batch,
        Err(error) => return Some(Err(error)),
    };
    let mut bytes = encode::encoded_bytes(&first);
    let mut batches = vec![first];
    while bytes < encode::SMALL_BYTES {
        match stream.next().now_or_never() {
            Some(Some(Ok(batch))) => {
                bytes += encode::encoded_bytes(&batch);
                batches.push(batch);
            }
            Some(Some(Err(error))) => return Some(Err(error)),
            Some(None) | None => break,
        }
    }
    encode::joined(batches).map_err(Error::from).transpose()
}

/// What is known at the end, over all rows of parameters.
#[derive(Default)]
struct Total {
    rows: u64,
    truncated: bool,
    notices: Vec<String>,
    elapsed_ms: u64,
}

impl Total {
    fn add(&mut self, summary: &Summary) {
        self.rows += summary.rows;
        self.truncated |= summary.truncated;
        self.elapsed_ms += u64::try_from(summary.elapsed.as_millis()).unwrap_or(u64::MAX);
        for notice in &summary.notices {
            if !self.notices.contains(notice) {
                self.notices.push(notice.clone());
            }
        }
    }

    fn json(&self, stream: &QueryStream) -> Bytes {
        let summary = json!({
            "query_id": stream.id().to_string(),
            "row_count": self.rows,
            "truncated": self.truncated,
            "notices": self.notices,
            "elapsed_ms": self.elapsed_ms,
        });
        summary.to_string().into()
    }
}
