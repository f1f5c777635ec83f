//! The door over a real socket: a server per test on a free port, asked by arrow-flight's own client.
#![expect(clippy::unwrap_used, reason = "tests")]

mod listings;
mod prepared;
mod sessions;
mod statements;

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{FlightData, FlightInfo, Ticket};
use engine::{Engine, Everybody, MemoryCatalog, Principal};
use futures::TryStreamExt;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Rows of `panel.events`: squared they never end.
const EVENTS: i64 = 100_000;

/// A server that lives as long as the test's runtime.
struct Served {
    engine: Engine,
    channel: Channel,
}

impl Served {
    async fn start() -> Self {
        Self::with(flight::Options::default()).await
    }

    async fn with(options: flight::Options) -> Self {
        let engine = Engine::builder(catalog()).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = flight::service(engine.clone(), Arc::new(Everybody(Principal::local())), options);
        #[expect(clippy::disallowed_methods, reason = "the server ends with the runtime of its test")]
        tokio::spawn(flight::serve(listener, service, std::future::pending()));
        let channel = Endpoint::new(address).unwrap().connect().await.unwrap();
        Self { engine, channel }
    }

    fn client(&self) -> FlightSqlServiceClient<Channel> {
        FlightSqlServiceClient::new(self.channel.clone())
    }
}

fn catalog() -> MemoryCatalog {
    let people = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("name", Arc::new(StringArray::from(vec![Some("Asha"), Some("Bilal"), None]))),
        ("weight", Arc::new(Decimal128Array::from(vec![150, 275, 100]).with_precision_and_scale(9, 2).unwrap())),
    ]);
    let events = batch(vec![("n", Arc::new(Int64Array::from_iter_values(0..EVENTS)))]);
    let one = batch(vec![("a", Arc::new(Int64Array::from(vec![1])))]);
    [
        ("panel", "people", people),
        ("panel", "events", events),
        ("sales", "my_table", one.clone()),
        ("sales", "myxtable", one.clone()),
        ("archive", "my_table", one),
    ]
    .into_iter()
    .fold(MemoryCatalog::default(), |catalog, (dataset, table, batch)| {
        catalog.with_batches(dataset, table, batch.schema(), vec![batch]).unwrap()
    })
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

/// The rows of a flight, as one batch.
async fn rows(client: &mut FlightSqlServiceClient<Channel>, info: FlightInfo) -> RecordBatch {
    let schema = Arc::new(info.clone().try_decode_schema().unwrap());
    let batches: Vec<RecordBatch> = client.do_get(ticket(&info)).await.unwrap().try_collect().await.unwrap();
    assert!(batches.iter().all(|batch| batch.schema().fields() == schema.fields()), "FlightInfo tells the schema");
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

/// The rows as text, one line each.
fn text(batch: &RecordBatch) -> Vec<String> {
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| arrow::util::display::ArrayFormatter::try_new(column, &Default::default()).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"))
        .collect()
}

/// Every message of a ticket, or what ended them.
async fn messages(served: &Served, ticket: Ticket) -> Result<Vec<FlightData>, Status> {
    let mut client = served.client();
    client.inner_mut().do_get(ticket).await?.into_inner().try_collect().await
}

/// The code that a failed call carries.
fn code(status: &Status) -> &str {
    status.metadata().get("weft-code").unwrap().to_str().unwrap()
}

/// The code of an error of arrow-flight's client.
fn client_code(error: FlightError) -> String {
    match error {
        FlightError::Tonic(status) => code(&status).to_owned(),
        other => other.to_string(),
    }
}
