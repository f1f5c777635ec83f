//! Statements: their rows and their end, and everything that can go wrong with them.

use std::time::Duration;

use arrow::datatypes::Schema;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor, IpcMessage,
};
use futures::StreamExt;
use prost::Message;
use tonic::Code;

use super::{EVENTS, Served, client_code, code, messages, rows, text, ticket};

fn descriptor(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

const ENDLESS: &str = "SELECT a.n + b.n AS n FROM panel.events a CROSS JOIN panel.events b";

#[tokio::test]
async fn a_statement_answers_its_rows_in_one_endpoint_and_ends_with_a_summary() {
    let served = Served::start().await;
    let mut client = served.client();
    let info = client.execute("SELECT id, name, weight FROM panel.people ORDER BY id".to_owned(), None).await.unwrap();
    assert_eq!((info.endpoint.len(), info.endpoint[0].location.len(), info.total_records), (1, 0, -1));
    assert_eq!(text(&rows(&mut client, info.clone()).await), ["1|Asha|1.50", "2|Bilal|2.75", "3||1.00"]);
    let messages = messages(&served, ticket(&info)).await.unwrap();
    let (end, before) = messages.split_last().unwrap();
    assert!(before.iter().all(|message| message.app_metadata.is_empty()));
    assert!(!end.data_header.is_empty(), "Go's reader fails on a message without a batch");
    let summary: serde_json::Value = serde_json::from_slice(&end.app_metadata).unwrap();
    assert_eq!((&summary["row_count"], &summary["truncated"]), (&3.into(), &false.into()));
    assert_eq!(summary["query_id"].as_str().unwrap().len(), 36);
}

#[tokio::test]
async fn get_schema_and_poll_flight_info_say_what_get_flight_info_says() {
    let served = Served::start().await;
    let mut client = served.client();
    let asked = descriptor("SELECT weight, count(*) AS n FROM panel.people GROUP BY weight");
    let info = client.inner_mut().get_flight_info(asked.clone()).await.unwrap().into_inner();
    let schema = client.inner_mut().get_schema(asked.clone()).await.unwrap().into_inner();
    assert_eq!(Schema::try_from(IpcMessage(schema.schema)).unwrap(), info.clone().try_decode_schema().unwrap());
    let poll = client.inner_mut().poll_flight_info(asked).await.unwrap().into_inner();
    assert!(poll.flight_descriptor.is_none(), "it is complete");
    assert_eq!(poll.info.as_ref().unwrap().schema, info.schema);
    assert_eq!(rows(&mut client, poll.info.unwrap()).await.num_rows(), 3);
}

#[tokio::test]
async fn a_large_result_comes_whole_in_bounded_messages() {
    let served = Served::start().await;
    let mut client = served.client();
    let sql = "SELECT n, repeat('x', 100) AS s FROM panel.events";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let messages = messages(&served, ticket(&info)).await.unwrap();
    assert!(messages.iter().all(|message| message.data_body.len() < 3 << 20));
    assert_eq!(rows(&mut client, info).await.num_rows(), usize::try_from(EVENTS).unwrap());
}

#[tokio::test]
async fn a_ticket_from_elsewhere_is_refused_and_one_with_the_same_key_is_not() {
    let key = flight::Options { ticket_key: [7; 32], ..flight::Options::default() };
    let (here, elsewhere, twin) = (Served::with(key.clone()).await, Served::start().await, Served::with(key).await);
    let info = here.client().execute("SELECT 1 AS a".to_owned(), None).await.unwrap();
    let refused = messages(&elsewhere, ticket(&info)).await.unwrap_err();
    assert_eq!((refused.code(), code(&refused)), (Code::InvalidArgument, "invalid_argument"));
    assert!(messages(&twin, ticket(&info)).await.is_ok());
    for nonsense in [&b""[..], b"nonsense", &[0xff; 100]] {
        let ticket = arrow_flight::Ticket::new(nonsense.to_vec());
        assert_eq!(messages(&here, ticket).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn an_expired_ticket_is_not_found_until_it_is_renewed() {
    let expired = flight::Options { ticket_life: Duration::ZERO, ticket_key: [7; 32], ..flight::Options::default() };
    let (served, patient) = (Served::with(expired.clone()).await, {
        Served::with(flight::Options { ticket_life: Duration::from_secs(60), ..expired }).await
    });
    let info = served.client().execute("SELECT 1 AS a".to_owned(), None).await.unwrap();
    let gone = messages(&served, ticket(&info)).await.unwrap_err();
    assert_eq!((gone.code(), code(&gone)), (Code::NotFound, "query_not_found"));
    let fresh = patient.client().execute("SELECT 1 AS a".to_owned(), None).await.unwrap();
    let request = arrow_flight::RenewFlightEndpointRequest { endpoint: Some(fresh.endpoint[0].clone()) };
    let action = Action::new("RenewFlightEndpoint", request.encode_to_vec());
    let mut results = patient.client().inner_mut().do_action(action).await.unwrap().into_inner();
    let renewed = arrow_flight::FlightEndpoint::decode(results.message().await.unwrap().unwrap().body).unwrap();
    assert!(renewed.expiration_time.unwrap().seconds >= fresh.endpoint[0].expiration_time.unwrap().seconds);
    assert!(messages(&patient, renewed.ticket.unwrap()).await.is_ok());
}

#[tokio::test]
async fn errors_carry_their_code_and_never_a_cause() {
    let served = Served::start().await;
    for (sql, status, expected) in [
        ("SELEC 1", Code::InvalidArgument, "invalid_sql"),
        ("SELECT nope FROM panel.people", Code::NotFound, "column_not_found"),
        ("INSERT INTO panel.people VALUES (1, 'x', 1)", Code::FailedPrecondition, "read_only"),
    ] {
        let failed = served.client().inner_mut().get_flight_info(descriptor(sql)).await.unwrap_err();
        assert_eq!((failed.code(), code(&failed)), (status, expected), "{sql}");
    }
    let nothing = FlightDescriptor::new_path(vec!["panel".to_owned()]);
    let failed = served.client().inner_mut().get_flight_info(nothing).await.unwrap_err();
    assert_eq!(code(&failed), "invalid_argument");
}

#[tokio::test]
async fn an_error_in_mid_stream_is_not_a_clean_end() {
    let served = Served::start().await;
    let sql = "SELECT 10 / (n - 99000) AS a FROM panel.events";
    let info = served.client().execute(sql.to_owned(), None).await.unwrap();
    let failed = messages(&served, ticket(&info)).await.unwrap_err();
    assert_eq!((failed.code(), code(&failed)), (Code::InvalidArgument, "arithmetic_error"));
}

#[tokio::test]
async fn updates_are_refused_by_every_way_in() {
    let served = Served::start().await;
    let mut client = served.client();
    let refused = client.execute_update("DELETE FROM panel.people".to_owned(), None).await.unwrap_err();
    assert_eq!(client_code(refused), "read_only");
    let query = client.execute_update("SELECT 1".to_owned(), None).await.unwrap_err();
    assert_eq!(client_code(query), "invalid_argument");
    let transaction = client.begin_transaction().await.unwrap_err();
    assert_eq!(client_code(transaction), "unsupported_sql");
}

#[tokio::test]
async fn a_reader_that_goes_away_stops_the_query() {
    let served = Served::start().await;
    let mut client = served.client();
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    assert_eq!(served.engine.running(), 1);
    drop(stream);
    while served.engine.running() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_query_is_cancelled_by_its_flight_info() {
    let served = Served::start().await;
    let mut client = served.client();
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let cancel = Action::new("CancelFlightInfo", CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec());
    let asked = async |client: &mut arrow_flight::sql::client::FlightSqlServiceClient<_>| {
        let mut results = client.inner_mut().do_action(cancel.clone()).await.unwrap().into_inner();
        CancelFlightInfoResult::decode(results.message().await.unwrap().unwrap().body).unwrap().status()
    };
    assert_eq!(asked(&mut client).await, CancelStatus::NotCancellable, "it does not run yet");
    let mut stream = client.inner_mut().do_get(ticket(&info)).await.unwrap().into_inner();
    stream.message().await.unwrap();
    assert_eq!(asked(&mut client).await, CancelStatus::Cancelled);
    let end = loop {
        if let Err(status) = stream.message().await {
            break status;
        }
    };
    assert_eq!((end.code(), code(&end)), (Code::Cancelled, "cancelled"));
}
