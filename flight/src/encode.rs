//! From record batches to Flight messages of a size that every client takes.
//!
//! arrow-flight's own encoder measures whole buffers, so that a slice of a large batch is cut into crumbs, and a few
//! long strings pass uncut; here a message is measured by what it will hold.

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{ArrowNativeType, DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::{IpcWriteOptions, StreamEncoder};
use arrow_flight::{FlightData, SchemaAsIpc};
use bytes::{Bytes, BytesMut};

/// Messages are cut to about this many bytes: half of what the strictest clients take (grpc-go, 4 MiB by default).
pub(crate) const MESSAGE_BYTES: usize = 2 << 20;

/// Batches below this are joined before they are sent, as far as they are at hand.
pub(crate) const SMALL_BYTES: usize = 128 << 10;

/// One message of a stream. The buffers of its rows are those of the batch, not copies.
#[derive(Debug, Default, Clone)]
pub(crate) struct Message {
    /// What the message holds, as a flatbuffer.
    pub(crate) header: Bytes,
    /// For the client's program, next to the rows.
    pub(crate) metadata: Bytes,
    /// The rows, buffer by buffer.
    pub(crate) body: Vec<Bytes>,
}

impl Message {
    /// The bytes of the rows.
    pub(crate) fn body_len(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }
}

impl From<Message> for FlightData {
    fn from(message: Message) -> Self {
        let mut body = BytesMut::with_capacity(message.body_len());
        message.body.iter().for_each(|part| body.extend_from_slice(part));
        FlightData {
            data_header: message.header,
            app_metadata: message.metadata,
            data_body: body.freeze(),
            ..FlightData::default()
        }
    }
}

/// Writes the messages of one stream.
pub(crate) struct Encoder {
    stream: StreamEncoder,
    schema: SchemaRef,
}

impl Encoder {
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self, ArrowError> {
        let mut stream = StreamEncoder::try_new(schema)?;
        // The first batch brings the schema with it, which goes another way here.
        stream.encode(&RecordBatch::new_empty(SchemaRef::clone(schema)))?;
        Ok(Self { stream, schema: SchemaRef::clone(schema) })
    }

    /// The first message of a stream.
    pub(crate) fn schema(&self) -> Message {
        let data: FlightData = SchemaAsIpc::new(&self.schema, &IpcWriteOptions::default()).into();
        Message { header: data.data_header, ..Message::default() }
    }

    /// The batch as one message.
    pub(crate) fn message(&mut self, batch: &RecordBatch) -> Result<Message, ArrowError> {
        // A marker and the header's length, four bytes each, then the header, then the rows.
        const PREFIX: usize = 8;
        let mut parts = self.stream.encode(batch)?.into_iter().map(|buffer| Bytes::from_owner(Part(buffer)));
        let mut head = BytesMut::new();
        let mut body = Vec::new();
        let mut wanted = PREFIX;
        for part in parts.by_ref() {
            head.extend_from_slice(&part);
            if let Some(&[_, _, _, _, a, b, c, d]) = head.first_chunk::<PREFIX>() {
                wanted = PREFIX + usize::try_from(i32::from_le_bytes([a, b, c, d])).unwrap_or_default();
            }
            if head.len() >= wanted && wanted > PREFIX {
                break;
            }
        }
        let mut header = head.freeze();
        body.push(header.split_off(wanted.min(header.len())));
        body.extend(parts);
        body.retain(|part| !part.is_empty());
        Ok(Message { header: header.split_off(PREFIX.min(header.len())), metadata: Bytes::new(), body })
    }

    /// A message without rows that carries `metadata`. Go's reader fails on one without a batch at all.
    pub(crate) fn trailer(&mut self, metadata: Bytes) -> Result<Message, ArrowError> {
        let empty = RecordBatch::new_empty(SchemaRef::clone(&self.schema));
        Ok(Message { metadata, ..self.message(&empty)? })
    }
}

/// A buffer of Arrow that lends its bytes.
struct Part(Buffer);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// The schema as Flight answers carry it: an encapsulated IPC message.
pub(crate) fn schema_bytes(schema: &Schema) -> Result<Bytes, ArrowError> {
    let options = IpcWriteOptions::default();
    let arrow_flight::IpcMessage(bytes) = SchemaAsIpc::new(schema, &options).try_into()?;
    Ok(bytes)
}

/// Small batches as one.
pub(crate) fn joined(mut batches: Vec<RecordBatch>) -> Result<Option<RecordBatch>, ArrowError> {
    if batches.len() > 1 {
        return concat_batches(&batches[0].schema(), &batches).map(Some);
    }
    Ok(batches.pop())
}

/// The batch in pieces of at most about [`MESSAGE_BYTES`]; a single row is never cut. Copies nothing.
pub(crate) fn pieces(batch: RecordBatch) -> Vec<RecordBatch> {
    let mut out = Vec::new();
    cut(batch, &mut out);
    out
}

fn cut(batch: RecordBatch, out: &mut Vec<RecordBatch>) {
    let rows = batch.num_rows();
    let wanted = encoded_bytes(&batch).div_ceil(MESSAGE_BYTES);
    if wanted <= 1 || rows <= 1 {
        return out.push(batch);
    }
    let step = rows.div_ceil(wanted.min(rows));
    for start in (0..rows).step_by(step) {
        // Rows differ in size: what is still too large is cut again, into halves at least.
        cut(batch.slice(start, step.min(rows - start)), out);
    }
}

/// What the batch holds in bytes, without what its buffers hold beside it.
pub(crate) fn encoded_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| data_bytes(&column.to_data())).sum()
}

fn data_bytes(data: &ArrayData) -> usize {
    let nulls = if data.nulls().is_some() { data.len().div_ceil(8) } else { 0 };
    match data.data_type() {
        DataType::List(_) | DataType::Map(..) => nulls + list_bytes::<i32>(data),
        DataType::LargeList(_) => nulls + list_bytes::<i64>(data),
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or_default();
            nulls + child_bytes(data, Some((data.offset() * size, (data.offset() + data.len()) * size)))
        }
        DataType::Struct(_) => nulls + data.child_data().iter().map(data_bytes).sum::<usize>(),
        _ => data.get_slice_memory_size().unwrap_or_else(|_| data.get_buffer_memory_size()),
    }
}

/// Offsets, and the part of the child that they reach.
fn list_bytes<O: ArrowNativeType>(data: &ArrayData) -> usize {
    let reached = data.buffers().first().and_then(|offsets| {
        let offsets: &[O] = offsets.typed_data();
        Some((offsets.get(data.offset())?.as_usize(), offsets.get(data.offset() + data.len())?.as_usize()))
    });
    (data.len() + 1) * size_of::<O>() + child_bytes(data, reached)
}

fn child_bytes(data: &ArrayData, range: Option<(usize, usize)>) -> usize {
    let (Some((start, end)), Some(child)) = (range, data.child_data().first()) else { return 0 };
    if end < start || end > child.len() {
        return data_bytes(child);
    }
    data_bytes(&child.slice(start, end - start))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int32Type;
    use arrow::ipc::root_as_message;
    use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator};

    use super::*;

    fn batch(column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter([("c", column)]).unwrap()
    }

    fn rows(pieces: &[RecordBatch]) -> usize {
        pieces.iter().map(RecordBatch::num_rows).sum()
    }

    #[test]
    fn a_slice_is_measured_by_itself_and_not_by_its_buffer() {
        let large = batch(Arc::new(Int64Array::from_iter_values(0..3_000_000)));
        assert_eq!(pieces(large.slice(1_000_000, 8192)).len(), 1);
        assert_eq!(encoded_bytes(&large.slice(10, 100)), 800);
    }

    #[test]
    fn pieces_stay_below_the_limit_and_keep_all_rows() {
        let skewed: Vec<String> = (0..2000).map(|row| "x".repeat(if row < 20 { 1 << 20 } else { 10 })).collect();
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
            (0..20_000).map(|row| Some((0..row % 200).map(Some).collect::<Vec<_>>())),
        );
        for column in [Arc::new(StringArray::from(skewed)) as ArrayRef, Arc::new(lists)] {
            let whole = batch(column);
            let pieces = pieces(whole.clone());
            assert!(pieces.len() > 1);
            assert_eq!(rows(&pieces), whole.num_rows());
            assert!(pieces.iter().all(|piece| encoded_bytes(piece) <= MESSAGE_BYTES));
            let mut encoder = Encoder::new(&whole.schema()).unwrap();
            for piece in &pieces {
                assert!(encoder.message(piece).unwrap().body_len() < MESSAGE_BYTES * 5 / 4);
            }
        }
    }

    #[test]
    fn a_message_is_what_arrows_own_generator_writes() {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
            (0..500).map(|row| (row % 7 > 0).then(|| (0..row % 5).map(Some).collect::<Vec<_>>())),
        );
        let texts = StringArray::from_iter((0..500).map(|row| (row % 3 > 0).then(|| "y".repeat(row))));
        let whole =
            RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef), ("t", Arc::new(texts) as ArrayRef)])
                .unwrap();
        let mut encoder = Encoder::new(&whole.schema()).unwrap();
        for batch in [whole.clone(), whole.slice(13, 100), whole.slice(0, 0)] {
            let ours = FlightData::from(encoder.message(&batch).unwrap());
            let (_, theirs) = IpcDataGenerator::default()
                .encode(&batch, &mut DictionaryTracker::new(true), &IpcWriteOptions::default(), &mut Default::default())
                .unwrap();
            assert_eq!(ours.data_body, theirs.arrow_data);
            let shown = |header: &[u8]| format!("{:?}", root_as_message(header).unwrap());
            assert_eq!(shown(&ours.data_header), shown(&theirs.ipc_message));
        }
    }

    #[test]
    fn a_single_row_that_is_too_large_goes_alone() {
        let column = StringArray::from(vec!["x".repeat(5 << 20), "y".to_owned()]);
        let pieces = pieces(batch(Arc::new(column)));
        assert_eq!(pieces.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1, 1]);
    }
}
