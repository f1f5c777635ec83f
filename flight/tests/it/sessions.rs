//! Handshakes, and how a client that knows no dataset gets one: by header, by session option, by the server's default.

use std::collections::HashMap;

use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{Action, Empty, FlightDescriptor, HandshakeRequest};
use futures::TryStreamExt;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{IntoRequest, Request};

use super::{Served, rows, text};

async fn count(client: &mut FlightSqlServiceClient<Channel>, table: &str) -> Result<String, FlightError> {
    let info = client.execute(format!("SELECT count(*) AS n FROM {table}"), None).await?;
    Ok(text(&rows(client, info).await).remove(0))
}

/// `SetSessionOptions` with text values, encoded by hand: arrow-flight has no type for it.
#[derive(Clone, PartialEq, Message)]
struct SetOptions {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, Text>,
}

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct OptionErrors {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionError {
    #[prost(int32, tag = "1")]
    value: i32,
}

async fn set(client: &mut FlightSqlServiceClient<Channel>, options: &[(&str, &str)]) -> (MetadataMap, Vec<String>) {
    let text = |&(name, value): &(&str, &str)| (name.to_owned(), Text { value: value.to_owned() });
    let request = SetOptions { options: options.iter().map(text).collect() };
    let mut request = Action::new("SetSessionOptions", request.encode_to_vec()).into_request();
    if let Some(token) = client.token() {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let response = client.inner_mut().do_action(request).await.unwrap();
    let headers = response.metadata().clone();
    let results: Vec<_> = response.into_inner().try_collect().await.unwrap();
    let errors = OptionErrors::decode(results[0].body.clone()).unwrap();
    (headers, errors.errors.into_keys().collect())
}

#[tokio::test]
async fn any_handshake_is_accepted_and_names_a_session() {
    let served = Served::start().await;
    let mut client = served.client();
    let payload = client.handshake("anyone", "anything").await.unwrap();
    assert_eq!(Some(&String::from_utf8(payload.to_vec()).unwrap()), client.token());
    let empty = futures::stream::iter([HandshakeRequest::default()]);
    let response = served.client().inner_mut().handshake(empty).await.unwrap();
    assert!(response.metadata().get("authorization").unwrap().to_str().unwrap().starts_with("Bearer "));
    let mut bearer = Request::new(futures::stream::iter([HandshakeRequest::default()]));
    bearer.metadata_mut().insert("authorization", "Bearer mine".parse().unwrap());
    let response = served.client().inner_mut().handshake(bearer).await.unwrap();
    assert_eq!(response.metadata().get("authorization").unwrap(), "Bearer mine");
}

#[tokio::test]
async fn a_header_chooses_the_dataset_of_bare_names() {
    let served = Served::start().await;
    for name in ["x-weft-dataset", "schema", "database", "catalog"] {
        let mut client = served.client();
        client.set_header(name, "panel");
        assert_eq!(count(&mut client, "people").await.unwrap(), "3", "{name}");
    }
}

#[tokio::test]
async fn a_session_option_chooses_it_for_later_calls_of_the_session() {
    let served = Served::start().await;
    let mut client = served.client();
    client.set_token("a".to_owned());
    let (_, errors) = set(&mut client, &[("catalog", "weft"), ("schema", "panel")]).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(count(&mut client, "people").await.unwrap(), "3");
    let (_, errors) = set(&mut client, &[("catalog", "panel"), ("schema", "public")]).await;
    assert!(errors.is_empty(), "a catalog may be the alias of a dataset: {errors:?}");
    let (_, mut errors) = set(&mut client, &[("schema", "nowhere"), ("colour", "red")]).await;
    errors.sort();
    assert_eq!(errors, ["colour", "schema"]);
    assert_eq!(count(&mut client, "people").await.unwrap(), "3", "a refused option changes nothing");
    client.inner_mut().do_action(bearer("CloseSession")).await.unwrap();
    let options = client.inner_mut().do_action(bearer("GetSessionOptions")).await.unwrap().into_inner();
    let options: Vec<_> = options.try_collect().await.unwrap();
    assert!(!String::from_utf8_lossy(&options[0].body).contains("panel"));
}

fn bearer(action: &str) -> Request<Action> {
    let mut request = Request::new(Action::new(action, Vec::new()));
    request.metadata_mut().insert("authorization", "Bearer a".parse().unwrap());
    request
}

#[tokio::test]
async fn a_client_without_a_token_is_given_one_with_its_first_option() {
    let served = Served::start().await;
    let mut client = served.client();
    let (headers, _) = set(&mut client, &[("schema", "panel")]).await;
    let token = headers.get("authorization").unwrap().to_str().unwrap().strip_prefix("Bearer ").unwrap();
    client.set_token(token.to_owned());
    assert_eq!(count(&mut client, "people").await.unwrap(), "3");
    let cookie = headers.get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap();
    let mut by_cookie = served.client();
    by_cookie.set_header("cookie", cookie);
    assert_eq!(count(&mut by_cookie, "people").await.unwrap(), "3");
}

#[tokio::test]
async fn a_client_without_a_token_is_given_one_with_its_first_question() {
    let served = Served::start().await;
    let mut client = served.client();
    let question = CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: None };
    let flight = FlightDescriptor::new_cmd(question.as_any().encode_to_vec());
    let answer = client.inner_mut().get_flight_info(flight.clone()).await.unwrap();
    let token = answer.metadata().get("authorization").unwrap().to_str().unwrap().strip_prefix("Bearer ").unwrap();
    client.set_token(token.to_owned());
    let (headers, _) = set(&mut client, &[("schema", "panel")]).await;
    assert!(headers.get("authorization").is_none(), "the session that was offered is kept");
    assert_eq!(count(&mut client, "people").await.unwrap(), "3");
    let mut again = flight.into_request();
    again.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let answer = client.inner_mut().get_flight_info(again).await.unwrap();
    assert!(answer.metadata().get("set-cookie").is_none());
}

#[tokio::test]
async fn the_caller_may_cut_the_result_and_is_told() {
    let served = Served::start().await;
    let mut client = served.client();
    client.set_header("x-weft-max-rows", "2");
    let info = client.execute("SELECT id FROM panel.people".to_owned(), None).await.unwrap();
    let messages = super::messages(&served, super::ticket(&info)).await.unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&messages.last().unwrap().app_metadata).unwrap();
    assert_eq!((&summary["row_count"], &summary["truncated"]), (&2.into(), &true.into()));
}

#[tokio::test]
async fn every_listed_action_is_answered() {
    let served = Served::start().await;
    let mut client = served.client();
    let actions = client.inner_mut().list_actions(Empty {}).await.unwrap().into_inner();
    let actions: Vec<_> = actions.try_collect().await.unwrap();
    assert_eq!(actions.len(), 8);
    for action in actions {
        let answer = client.inner_mut().do_action(Action::new(action.r#type.clone(), Vec::new())).await;
        let refused =
            answer.err().and_then(|status| Some(status.metadata().get("weft-code")?.to_str().ok()?.to_owned()));
        assert_ne!(refused.as_deref(), Some("unsupported_sql"), "{}", action.r#type);
    }
}
