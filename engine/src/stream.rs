//! The answer: Arrow batches of one schema, and at the end a summary of what they were.
//!
//! Views, dictionaries and other encodings stay inside: what leaves is plain, the same on every door.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::journal::{Entry, Outcome};
use crate::path::{Ending, Step};
use crate::{Code, Error, QueryId};

/// The rows of one answer. Dropping it stops the query, also in its sources.
#[derive(Debug)]
pub struct QueryStream {
    schema: SchemaRef,
    receiver: mpsc::Receiver<Step>,
    task: Option<AbortOnDropHandle<()>>,
    entry: Entry,
    summary: Summary,
}

/// What an answer was. Final once the stream has ended.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Rows so far.
    pub rows: u64,
    /// Bytes of Arrow memory so far.
    pub bytes: u64,
    /// Whether the caller's `max_rows` cut the rest.
    pub truncated: bool,
    /// What a reader should know about the numbers.
    pub notices: Vec<String>,
    /// Time since the query came.
    pub elapsed: Duration,
    /// The datasets that it reads.
    pub datasets: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    pub code: Option<Code>,
}

impl QueryStream {
    pub(crate) fn new(
        schema: SchemaRef,
        receiver: mpsc::Receiver<Step>,
        task: AbortOnDropHandle<()>,
        entry: Entry,
        datasets: Vec<String>,
    ) -> Self {
        let summary = Summary {
            rows: 0,
            bytes: 0,
            truncated: false,
            notices: Vec::new(),
            elapsed: Duration::ZERO,
            datasets,
            outcome: Outcome::Running,
            code: None,
        };
        Self { schema, receiver, task: Some(task), entry, summary }
    }

    /// The query's id.
    pub fn id(&self) -> QueryId {
        self.entry.id()
    }

    /// The columns; each batch has exactly these.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// What the answer was so far; final once the stream has ended.
    pub fn summary(&self) -> Summary {
        let mut summary = self.summary.clone();
        if summary.outcome == Outcome::Running {
            summary.elapsed = self.entry.elapsed();
        }
        summary
    }

    fn end(&mut self, outcome: Outcome, code: Option<Code>) {
        self.task = None;
        self.summary.elapsed = self.entry.elapsed();
        self.summary.outcome = outcome;
        self.summary.code = code;
    }

    fn fail(&mut self, error: Error) -> Error {
        let error = error.of_query(self.entry.id());
        self.entry.fail(&error);
        let outcome = if error.code() == Code::Cancelled { Outcome::Cancelled } else { Outcome::Failed };
        self.end(outcome, Some(error.code()));
        error
    }

    fn cut(&mut self) {
        let rows = self.summary.rows;
        self.summary.truncated = true;
        self.summary.notices.push(format!("The answer was cut after {rows} rows, as max_rows asked; there are more."));
        self.entry.truncated();
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.task.is_none() {
            return Poll::Ready(None);
        }
        loop {
            let step = ready!(self.receiver.poll_recv(context));
            return Poll::Ready(match step {
                Some(Step::Notice(notice)) => {
                    self.summary.notices.push(notice);
                    continue;
                }
                Some(Step::Batch(batch)) => {
                    let (rows, bytes) = (batch.num_rows() as u64, batch.get_array_memory_size() as u64);
                    self.summary.rows += rows;
                    self.summary.bytes += bytes;
                    self.entry.sent(rows, bytes);
                    Some(Ok(batch))
                }
                Some(Step::End(Ending { is_cut, joins, receipt })) => {
                    if is_cut {
                        self.cut();
                    }
                    self.entry.ended(joins, receipt);
                    self.entry.complete();
                    self.end(Outcome::Completed, None);
                    None
                }
                Some(Step::Failed(error)) => Some(Err(self.fail(error))),
                None => {
                    let error = Error::new(Code::Internal, "The query ended without its last row.");
                    Some(Err(self.fail(error)))
                }
            });
        }
    }
}

/// The plain type of a column: what every client of every door can read.
pub(crate) fn plain_type(data_type: &DataType) -> DataType {
    let plain_field = |field: &FieldRef| plain_field(field);
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => DataType::List(plain_field(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let plain = plain_type(field.data_type());
    if plain == *field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(field.as_ref().clone().with_data_type(plain))
}

/// The metadata of a column that leaves with an answer: what Weft says of it.
fn carried(field: &Field) -> HashMap<String, String> {
    let own = field.metadata().iter().filter(|(key, _)| key.starts_with("weft."));
    own.map(|(key, text)| (key.clone(), text.clone())).collect()
}

/// The schema that leaves, for a plan of `schema`. What its columns mean is said by those of the plan as it was asked for.
pub(crate) fn plain_schema(schema: &Schema, asked: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let plain = Field::new(field.name(), plain_type(field.data_type()), field.is_nullable());
            plain.with_metadata(asked.fields().get(at).map(|asked| carried(asked)).unwrap_or_default())
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// The schema of a table as listings give it: plain types, and what the source says of each column.
pub(crate) fn plain_table_schema(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().map(plain_field).collect::<Vec<_>>())
}

/// A batch of a plan as one of `schema`: columns in their plain types, and never a NULL where none was declared.
pub(crate) fn plain_batch(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => cast_with_options(column, field.data_type(), &strict),
        })
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows).map_err(|error| {
        Error::new(Code::DataInvalid, "A column that its source declares NOT NULL holds a NULL.").cause(error)
    })
}
