//! `DoPut`: parameters for prepared statements, and the writes that Weft refuses.
//!
//! What a client sends is read to its end before the answer, since some drivers report a broken stream instead of it.

use arrow::array::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{Command, DoPutPreparedStatementResult};
use arrow_flight::{FlightData, PutResult};
use engine::{Code, Error, Query};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tonic::{Status, Streaming};

use crate::Door;
use crate::call::Call;
use crate::commands::{self, prepared};
use crate::status::unsupported;

/// Of data for a write that is refused, so much is read before the refusal.
const REFUSED_BYTES: usize = 16 << 20;

/// Takes what a client puts.
///
/// # Errors
/// `read_only` for every write, `invalid_argument` for parameters that are not acceptable.
pub(crate) async fn put(door: &Door, call: &Call, mut stream: Streaming<FlightData>) -> Result<PutResult, Error> {
    let first = stream.message().await.map_err(broken)?;
    let first = first.ok_or_else(|| invalid("The stream is empty: its first message must name a command."))?;
    let descriptor = first.flight_descriptor.as_ref().ok_or_else(|| invalid("The first message names no command."))?;
    match commands::decode(&descriptor.cmd)? {
        Command::CommandPreparedStatementQuery(command) => {
            let batches = parameters(first, stream).await?;
            let handle = prepared::bind(door, call, &command.prepared_statement_handle, &batches)?;
            let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) };
            Ok(PutResult { app_metadata: result.encode_to_vec().into() })
        }
        Command::CommandPreparedStatementUpdate(command) => {
            drain(stream).await?;
            let question = prepared::question(door, call, &command.prepared_statement_handle)?;
            Err(refusal(door, call, question.first_query(call.client.as_deref())?).await)
        }
        Command::CommandStatementIngest(_) => {
            drain(stream).await?;
            Err(read_only())
        }
        Command::CommandStatementUpdate(command) => {
            drain(stream).await?;
            let query = Query::new(command.query)
                .dataset(call.defaults.dataset.clone())
                .from(engine::Door::Flight, call.client.clone());
            Err(refusal(door, call, query).await)
        }
        other => Err(unsupported(other.type_url().rsplit('.').next().unwrap_or_default())),
    }
}

/// Why a statement cannot run as an update: the engine says so of one that writes; a query is none.
async fn refusal(door: &Door, call: &Call, query: Query) -> Error {
    match door.engine.describe(&call.principal, &query).await {
        Err(error) => error,
        Ok(_) => invalid("The statement returns rows and changes nothing.").hint("Execute it as a query."),
    }
}

fn read_only() -> Error {
    Error::new(Code::ReadOnly, "Weft only reads: it takes no rows and runs no statement that writes.")
        .hint("Write to the source itself, and ask Weft for its rows.")
}

/// The batches of parameters. ADBC sends no schema at all when there are none.
async fn parameters(first: FlightData, stream: Streaming<FlightData>) -> Result<Vec<RecordBatch>, Error> {
    let messages = futures::stream::iter([Ok(first)])
        .chain(stream.map_err(FlightError::from))
        .try_filter(|message| futures::future::ready(!message.data_header.is_empty()));
    FlightRecordBatchStream::new_from_flight_data(messages)
        .try_collect()
        .await
        .map_err(|error| invalid("The parameters are no Arrow batches.").cause(error))
}

async fn drain(mut stream: Streaming<FlightData>) -> Result<(), Error> {
    let mut bytes = 0;
    while let Some(message) = stream.message().await.map_err(broken)? {
        bytes += message.data_body.len();
        if bytes > REFUSED_BYTES {
            break;
        }
    }
    Ok(())
}

fn broken(status: Status) -> Error {
    let code = if status.code() == tonic::Code::OutOfRange { Code::PayloadTooLarge } else { Code::InvalidArgument };
    Error::new(code, "The stream of messages broke off, or a message in it is too large.").cause(status)
}

fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidArgument, message)
}
