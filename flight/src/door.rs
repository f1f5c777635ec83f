//! The Flight service itself: each call is decoded, given to the command or action that answers it, and encoded.
//!
//! `FlightService` is implemented here, and not through arrow-flight's `FlightSqlService`: that one answers `GetSchema`
//! and `PollFlightInfo` as unimplemented and leaves no way to answer them otherwise.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use bytes::Bytes;
use engine::{Authenticator, Engine, Error};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Response, Status, Streaming, async_trait};

use crate::actions;
use crate::answer::Messages;
use crate::call::{self, Call};
use crate::commands::{self, Flight, prepared::Bindings};
use crate::encode::schema_bytes;
use crate::options::Options;
use crate::put;
use crate::running::Running;
use crate::session::{self, Sessions};
use crate::status::{status, unsupported};
use crate::ticket::{Question, Seal};

/// The Flight SQL door of an engine.
pub struct Door {
    pub(crate) engine: Engine,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) options: Options,
    pub(crate) seal: Seal,
    pub(crate) sessions: Sessions,
    pub(crate) bindings: Bindings,
    pub(crate) running: Running,
}

impl Door {
    pub(crate) fn new(engine: Engine, authenticator: Arc<dyn Authenticator>, options: Options) -> Self {
        Self {
            engine,
            authenticator,
            seal: Seal::new(options.ticket_key),
            options,
            sessions: Sessions::new(),
            bindings: Bindings::new(),
            running: Running::default(),
        }
    }

    async fn describe(&self, request: &Request<FlightDescriptor>) -> Result<Flight, Error> {
        let call = Call::read(self, request).await?;
        commands::describe(self, &call, commands::decode(&request.get_ref().cmd)?).await
    }

    async fn flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<(Response<FlightInfo>, Option<u64>), Error> {
        let mut headers = MetadataMap::new();
        if self.authenticator.is_open() {
            session::offer(request.metadata(), &mut headers)?;
        }
        let flight = self.describe(&request).await?;
        let info = FlightInfo {
            schema: schema_bytes(&flight.schema)?,
            flight_descriptor: Some(request.into_inner()),
            endpoint: vec![endpoint(flight.ticket, flight.expires_at)],
            total_records: -1,
            total_bytes: -1,
            ordered: true,
            app_metadata: Bytes::new(),
        };
        Ok((Response::from_parts(headers, info, Extensions::default()), flight.expires_at))
    }

    /// The question in bytes that a caller presents: it answers to whom it was written for only.
    ///
    /// # Errors
    /// `invalid_argument` where this server did not write them for this caller, `query_not_found` where they have expired.
    pub(crate) fn open(&self, call: &Call, sealed: &[u8]) -> Result<Question, Error> {
        self.seal.open(sealed, call.principal.name(), SystemTime::now())
    }

    /// The messages that a ticket stands for.
    pub(crate) async fn answer(&self, request: Request<Ticket>) -> Result<Messages, Error> {
        let call = Call::read(self, &request).await?;
        commands::answer(self, &call, commands::decode(&request.get_ref().ticket)?).await
    }
}

/// The one endpoint of a flight: no location, which means this server.
pub(crate) fn endpoint(ticket: Bytes, expires_at: Option<u64>) -> FlightEndpoint {
    let mut endpoint = FlightEndpoint { ticket: Some(Ticket { ticket }), ..FlightEndpoint::default() };
    if let Some(seconds) = expires_at {
        endpoint.expiration_time.get_or_insert_default().seconds = seconds.cast_signed();
    }
    endpoint
}

/// How long a handshake waits for the client to end it.
const HANDSHAKE: Duration = Duration::from_secs(10);

#[async_trait]
impl FlightService for Door {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;

    /// Where nobody needs to sign in, it accepts any handshake, and its token names a session. Else it is for who can be
    /// told from it, and its token stands for them.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        // A client that brings its own token keeps it.
        let own = session::bearer(request.metadata());
        let presented = call::presented(&request);
        let signed_in = self.authenticator.sign_in(engine::Door::Flight, &presented).await.map_err(status)?;
        let token = signed_in.or(own).unwrap_or_else(session::new_token);
        // Go waits for the answer before it ends its side, others write before they read: answer first, then wait.
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
        let rest = request.into_inner().filter_map(|_| std::future::ready(None::<Result<HandshakeResponse, Status>>));
        let rest = rest.take_until(Box::pin(tokio::time::sleep(HANDSHAKE)));
        let mut response = Response::new(stream::iter([Ok(answer)]).chain(rest).boxed());
        session::announce(&token, response.metadata_mut()).map_err(status)?;
        Ok(response)
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(status(unsupported("ListFlights; GetTables lists what there is")))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let (info, _) = self.flight_info(request).await.map_err(status)?;
        Ok(info)
    }

    /// Complete at once: the ticket of a query runs it.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let (info, expires_at) = self.flight_info(request).await.map_err(status)?;
        let expiration_time = endpoint(Bytes::new(), expires_at).expiration_time;
        Ok(info.map(|info| PollInfo {
            info: Some(info),
            flight_descriptor: None,
            progress: Some(1.0),
            expiration_time,
        }))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let flight = self.describe(&request).await.map_err(status)?;
        let schema = schema_bytes(&flight.schema).map_err(|error| status(error.into()))?;
        Ok(Response::new(SchemaResult { schema }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let messages = self.answer(request).await.map_err(status)?;
        Ok(Response::new(messages.map(|message| message.map(FlightData::from)).boxed()))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let call = Call::read(self, &request).await.map_err(status)?;
        let result = put::put(self, &call, request.into_inner()).await.map_err(status)?;
        Ok(Response::new(stream::iter([Ok(result)]).boxed()))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let call = Call::read(self, &request).await.map_err(status)?;
        let outcome = actions::act(self, &call, request.into_inner()).await.map_err(status)?;
        let messages = outcome.body.map(|body| Ok(arrow_flight::Result { body }));
        let mut response = Response::new(stream::iter(messages).boxed());
        *response.metadata_mut() = outcome.headers;
        Ok(response)
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Ok(Response::new(stream::iter(actions::all().map(Ok)).boxed()))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(status(unsupported("DoExchange")))
    }
}
