//! DoGet past tonic's encoder: the buffers of a batch go to the socket as they are.
//!
//! tonic would copy every message, and for a result of gigabytes copying is most of the work. All other calls are tonic's,
//! and so is a DoGet that it would have to decompress.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow_flight::Ticket;
use arrow_flight::flight_service_server::FlightServiceServer;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{FutureExt, Stream};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame};
use prost::Message as _;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;

use crate::answer::Messages;
use crate::encode::Message;
use crate::status::status;
use crate::{Door, MAX_REQUEST_BYTES};

const PATH: &str = "/arrow.flight.protocol.FlightService/DoGet";
/// Buffers below this are copied next to each other: a frame of its own costs more.
const SMALL: usize = 8 << 10;
/// A flag and a length stand before each message.
const PREFIX: usize = 5;

/// The Flight SQL door as a gRPC service.
#[derive(Clone)]
pub struct Service {
    door: Arc<Door>,
    rest: FlightServiceServer<Door>,
}

impl Service {
    pub(crate) fn new(door: Door, max_request: usize) -> Self {
        let door = Arc::new(door);
        let rest = FlightServiceServer::from_arc(Arc::clone(&door)).max_decoding_message_size(max_request);
        Self { door, rest }
    }
}

impl NamedService for Service {
    const NAME: &'static str = <FlightServiceServer<Door> as NamedService>::NAME;
}

impl tonic::codegen::Service<Request<Body>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_compressed = request.headers().get("grpc-encoding").is_some_and(|encoding| encoding != "identity");
        if request.uri().path() != PATH || is_compressed {
            return self.rest.call(request);
        }
        let door = Arc::clone(&self.door);
        async move { Ok(answer(&door, request).await.unwrap_or_else(Status::into_http)) }.boxed()
    }
}

async fn answer(door: &Door, request: Request<Body>) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let ticket = ticket(body).await?;
    let metadata = MetadataMap::from_headers(parts.headers);
    let messages = door.answer(tonic::Request::from_parts(metadata, parts.extensions, ticket)).await.map_err(status)?;
    let mut response = Response::new(Body::new(Frames { messages: Some(messages), waiting: Vec::new() }));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// The one message of the request.
async fn ticket(mut body: Body) -> Result<Ticket, Status> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            if bytes.len() + data.len() > MAX_REQUEST_BYTES {
                return Err(Status::out_of_range("The ticket is too long."));
            }
            bytes.extend_from_slice(&data);
        }
    }
    let malformed = || Status::invalid_argument("The request holds no ticket.");
    let (&[compressed, a, b, c, d], message) = bytes.split_first_chunk::<PREFIX>().ok_or_else(malformed)?;
    if compressed != 0 || usize::try_from(u32::from_be_bytes([a, b, c, d])) != Ok(message.len()) {
        return Err(malformed());
    }
    Ticket::decode(message).map_err(|_| malformed())
}

/// The body of the answer: messages in frames, and at the end whether it is the end.
struct Frames {
    /// None once the end has been told.
    messages: Option<Messages>,
    /// The rest of the message that is being sent, in reverse.
    waiting: Vec<Bytes>,
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(part) = self.waiting.pop() {
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            let Some(messages) = &mut self.messages else { return Poll::Ready(None) };
            let end = match ready!(Pin::new(messages).poll_next(context)) {
                Some(Ok(message)) => {
                    self.waiting = framed(message);
                    self.waiting.reverse();
                    continue;
                }
                Some(Err(status)) => status,
                None => Status::ok(""),
            };
            self.messages = None;
            let mut trailers = HeaderMap::new();
            end.add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.messages.is_none() && self.waiting.is_empty()
    }
}

/// A message as gRPC carries it: its length, then the fields of `FlightData`, the rows last.
fn framed(message: Message) -> Vec<Bytes> {
    // Fields of FlightData in Flight.proto, each with the wire type of bytes.
    const HEADER: u32 = 2 << 3 | 2;
    const METADATA: u32 = 3 << 3 | 2;
    const BODY: u32 = 1000 << 3 | 2;
    let body_len = message.body_len();
    let mut head = BytesMut::with_capacity(SMALL);
    head.put_bytes(0, PREFIX);
    field(&mut head, HEADER, message.header.len());
    head.extend_from_slice(&message.header);
    if !message.metadata.is_empty() {
        field(&mut head, METADATA, message.metadata.len());
        head.extend_from_slice(&message.metadata);
    }
    if body_len > 0 {
        field(&mut head, BODY, body_len);
    }
    let length = u32::try_from(head.len() - PREFIX + body_len).unwrap_or(u32::MAX);
    head[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    let mut parts = Vec::new();
    for part in message.body {
        if part.len() < SMALL {
            head.extend_from_slice(&part);
            continue;
        }
        if !head.is_empty() {
            parts.push(head.split().freeze());
        }
        parts.push(part);
    }
    if !head.is_empty() {
        parts.push(head.freeze());
    }
    parts
}

fn field(bytes: &mut BytesMut, tag: u32, length: usize) {
    prost::encoding::encode_varint(tag.into(), bytes);
    prost::encoding::encode_varint(length as u64, bytes);
}

#[cfg(test)]
mod tests {
    use arrow_flight::FlightData;

    use super::*;

    #[test]
    fn a_framed_message_is_the_one_that_prost_writes() {
        for sizes in [&[][..], &[0, 10], &[SMALL, 7, 64, 3 * SMALL], &[5, SMALL]] {
            let body: Vec<Bytes> = sizes.iter().map(|size| Bytes::from(vec![7; *size])).collect();
            let message = Message { header: Bytes::from_static(b"head"), metadata: Bytes::from_static(b"meta"), body };
            let framed = framed(message.clone()).concat();
            let (prefix, bytes) = framed.split_at(PREFIX);
            assert_eq!(prefix[0], 0);
            assert_eq!(prefix[1..], u32::try_from(bytes.len()).unwrap().to_be_bytes());
            assert_eq!(FlightData::decode(bytes).unwrap(), FlightData::from(message));
        }
    }
}
