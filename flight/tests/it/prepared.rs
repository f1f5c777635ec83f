//! Prepared statements: `?` and `$1`, one row of parameters and several, and clients that forget the new handle.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::DataType;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandPreparedStatementQuery,
    DoPutPreparedStatementResult, ProstMessageExt,
};
use arrow_flight::{Action, FlightDescriptor, FlightInfo, PutResult};
use bytes::Bytes;
use futures::TryStreamExt;
use prost::Message;
use tonic::transport::Channel;

use super::{Served, batch, client_code, code, rows, text};

async fn run(client: &mut FlightSqlServiceClient<Channel>, sql: &str, params: RecordBatch) -> RecordBatch {
    let mut statement = client.prepare(sql.to_owned(), None).await.unwrap();
    statement.set_parameters(params).unwrap();
    let info = statement.execute().await.unwrap();
    rows(client, info).await
}

fn int(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

#[tokio::test]
async fn both_kinds_of_placeholders_are_bound_by_position() {
    let served = Served::start().await;
    let mut client = served.client();
    for sql in [
        "SELECT name FROM panel.people WHERE id > ? AND name = ?",
        "SELECT name FROM panel.people WHERE id > $1 AND name = $2",
    ] {
        let params = batch(vec![("x", int(1)), ("y", Arc::new(StringArray::from(vec!["Bilal"])))]);
        assert_eq!(text(&run(&mut client, sql, params).await), ["Bilal"], "{sql}");
    }
}

#[tokio::test]
async fn the_parameters_are_described_before_they_are_bound() {
    let served = Served::start().await;
    let mut client = served.client();
    let statement = client.prepare("SELECT id FROM panel.people WHERE id = ?".to_owned(), None).await.unwrap();
    let parameters = statement.parameter_schema().unwrap();
    assert_eq!(parameters.fields().len(), 1);
    assert_eq!((parameters.field(0).data_type(), parameters.field(0).is_nullable()), (&DataType::Int64, true));
    assert_eq!(statement.dataset_schema().unwrap().field(0).name(), "id");
    statement.close().await.unwrap();
}

#[tokio::test]
async fn a_null_parameter_is_null_in_any_type() {
    let served = Served::start().await;
    let mut client = served.client();
    let sql = "SELECT count(*) AS n FROM panel.people WHERE ? IS NULL";
    for kind in [DataType::Utf8, DataType::Int64] {
        let params = batch(vec![("0", new_null_array(&kind, 1))]);
        assert_eq!(text(&run(&mut client, sql, params).await), ["3"], "{kind}");
    }
}

#[tokio::test]
async fn several_rows_of_parameters_run_one_after_the_other() {
    let served = Served::start().await;
    let mut client = served.client();
    let params = batch(vec![("0", Arc::new(Int64Array::from(vec![3, 1, 9, 2])))]);
    let found = run(&mut client, "SELECT id FROM panel.people WHERE id = ?", params).await;
    assert_eq!(text(&found), ["3", "1", "2"]);
}

#[tokio::test]
async fn a_prepared_query_is_no_update() {
    let served = Served::start().await;
    let mut client = served.client();
    let mut statement = client.prepare("SELECT 1".to_owned(), None).await.unwrap();
    assert_eq!(client_code(statement.execute_update().await.unwrap_err()), "invalid_argument");
    let refused = client.prepare("DROP TABLE panel.people".to_owned(), None).await.unwrap_err();
    assert_eq!(client_code(refused), "read_only");
}

/// Prepares and binds as flightsql-dbapi does: without looking at what binding returns.
async fn bound_and_forgotten(served: &Served, sql: &str, params: &RecordBatch) -> (Bytes, Bytes) {
    let mut client = served.client();
    let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
    let action = Action::new("CreatePreparedStatement", request.as_any().encode_to_vec());
    let mut results = client.inner_mut().do_action(action).await.unwrap().into_inner();
    let any = Any::decode(results.message().await.unwrap().unwrap().body).unwrap();
    let made: ActionCreatePreparedStatementResult = any.unpack().unwrap().unwrap();
    let handle = made.prepared_statement_handle;
    let messages: Vec<_> = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor(&handle)))
        .build(futures::stream::iter([Ok(params.clone())]))
        .try_collect()
        .await
        .unwrap();
    let mut puts = client.inner_mut().do_put(futures::stream::iter(messages)).await.unwrap().into_inner();
    let PutResult { app_metadata } = puts.message().await.unwrap().unwrap();
    let bound = DoPutPreparedStatementResult::decode(app_metadata).unwrap();
    (handle, bound.prepared_statement_handle.unwrap())
}

fn descriptor(handle: &Bytes) -> FlightDescriptor {
    let command = CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

#[tokio::test]
async fn the_old_handle_runs_with_what_was_bound_and_the_new_one_needs_no_memory() {
    let served = Served::with(flight::Options { ticket_key: [7; 32], ..flight::Options::default() }).await;
    let params = batch(vec![("param_0", int(2))]);
    let (old, new) = bound_and_forgotten(&served, "SELECT name FROM panel.people WHERE id = ?", &params).await;
    assert_ne!(old, new);
    for handle in [&old, &new] {
        let info = served.client().inner_mut().get_flight_info(descriptor(handle)).await.unwrap().into_inner();
        assert_eq!(text(&rows(&mut served.client(), info).await), ["Bilal"]);
    }
    let restarted = Served::with(flight::Options { ticket_key: [7; 32], ..flight::Options::default() }).await;
    let info: FlightInfo = restarted.client().inner_mut().get_flight_info(descriptor(&new)).await.unwrap().into_inner();
    assert_eq!(text(&rows(&mut restarted.client(), info).await), ["Bilal"]);
}

#[tokio::test]
async fn a_forged_handle_is_refused() {
    let served = Served::start().await;
    let refused = served.client().inner_mut().get_flight_info(descriptor(&Bytes::from_static(&[9; 80]))).await;
    assert_eq!(code(&refused.unwrap_err()), "invalid_argument");
}
