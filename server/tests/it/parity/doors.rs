//! One query through each door, and its answer as text: NULL, numbers as JSON writes them, the rest as it is.

use std::net::SocketAddr;
use std::path::PathBuf;

use arrow_flight::sql::client::FlightSqlServiceClient;
use async_trait::async_trait;
use engine::{Engine, Principal, Query};
use futures::TryStreamExt;
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::{RoleClient, ServiceExt};
use serde_json::{Value, json};
use server::{encode, mcp};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// Where the doors of one home are.
pub(super) struct Place {
    pub(super) engine: Engine,
    pub(super) principal: Principal,
    pub(super) home: PathBuf,
    pub(super) http: SocketAddr,
    pub(super) flight: SocketAddr,
}

/// A client at one door.
pub(super) enum Door {
    Cli { home: PathBuf, principal: String },
    Engine { engine: Engine, principal: Principal },
    Flight(Box<FlightSqlServiceClient<Channel>>),
    Mcp { client: RunningService<RoleClient, ()>, _server: JoinSet<Result<(), engine::Error>> },
    Rest { client: reqwest::Client, url: String },
}

/// What a door said no with: `code: sentence`.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct Refusal {
    code: String,
    message: String,
}

pub(super) type Rows = Vec<Vec<Value>>;

impl Door {
    pub(super) async fn open(door: &str, place: &Place) -> Self {
        match door {
            "cli" => Door::Cli { home: place.home.clone(), principal: place.principal.name().to_owned() },
            "engine" => Door::Engine { engine: place.engine.clone(), principal: place.principal.clone() },
            "flight" => {
                let channel =
                    Channel::from_shared(format!("http://{}", place.flight)).unwrap().connect().await.unwrap();
                Door::Flight(Box::new(FlightSqlServiceClient::new(channel)))
            }
            "mcp" => {
                let (ours, theirs) = tokio::io::duplex(1 << 16);
                let (reader, writer) = tokio::io::split(theirs);
                let mut server = JoinSet::new();
                server.spawn(mcp::serve(place.engine.clone(), place.principal.clone(), reader, writer));
                Door::Mcp { client: ().serve(ours).await.unwrap(), _server: server }
            }
            "rest" => Door::Rest { client: reqwest::Client::new(), url: format!("http://{}/v1/sql", place.http) },
            other => panic!("there is no door called {other}"),
        }
    }

    pub(super) async fn ask(&mut self, sql: &str) -> Result<Rows, Refusal> {
        match self {
            Door::Cli { home, principal } => of_cli(home, principal, sql).await,
            Door::Engine { engine, principal } => of_engine(engine, principal, sql).await,
            Door::Flight(client) => of_flight(client, sql).await,
            Door::Mcp { client, .. } => of_mcp(client, sql).await,
            Door::Rest { client, url } => of_rest(client, url, sql).await,
        }
    }
}

fn rows_of(member: &Value) -> Rows {
    let rows = member.as_array().unwrap_or_else(|| panic!("no rows in {member}"));
    rows.iter().map(|row| row.as_array().unwrap().clone()).collect()
}

async fn of_cli(home: &std::path::Path, principal: &str, sql: &str) -> Result<Rows, Refusal> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_weft"));
    command.args(["query", "--format", "json", "--as", principal, "--home"]).arg(home).arg(sql);
    let output = command.output().await.unwrap();
    if output.status.success() {
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        return Ok(rows_of(&answer["rows"]));
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = stderr.lines().find_map(|line| line.strip_prefix("error[")).unwrap_or_else(|| panic!("{stderr}"));
    let (code, message) = line.split_once("]: ").unwrap();
    Err(Refusal { code: code.to_owned(), message: message.to_owned() })
}

async fn of_engine(engine: &Engine, principal: &Principal, sql: &str) -> Result<Rows, Refusal> {
    let refusal = |error: engine::Error| Refusal { code: error.code().to_string(), message: error.to_string() };
    let stream = engine.query(principal, Query::new(sql)).await.map_err(refusal)?;
    let batches: Vec<_> = stream.try_collect().await.map_err(refusal)?;
    Ok(batches.iter().flat_map(encode::json::rows).collect())
}

async fn of_flight(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> Result<Rows, Refusal> {
    let info = client.execute(sql.to_owned(), None).await.map_err(flight_refusal)?;
    let mut rows = Vec::new();
    for endpoint in info.endpoint.clone() {
        let stream = client.do_get(endpoint.ticket.unwrap()).await.map_err(flight_refusal)?;
        let batches: Vec<_> = stream.try_collect().await.map_err(flight_refusal)?;
        for batch in &batches {
            assert_eq!(
                *batch.schema(),
                info.clone().try_decode_schema().unwrap(),
                "FlightInfo and DoGet differ: {sql}"
            );
        }
        rows.extend(batches.iter().flat_map(encode::json::rows));
    }
    Ok(rows)
}

fn flight_refusal(error: arrow_flight::error::FlightError) -> Refusal {
    let status = match error {
        arrow_flight::error::FlightError::Tonic(status) => status,
        other => panic!("not a status: {other:?}"),
    };
    let code = status.metadata().get("weft-code").map(|code| code.to_str().unwrap().to_owned());
    Refusal { code: code.unwrap_or_default(), message: status.message().to_owned() }
}

async fn of_mcp(client: &RunningService<RoleClient, ()>, sql: &str) -> Result<Rows, Refusal> {
    let arguments = json!({"sql": sql, "max_rows": 1000});
    let request = CallToolRequestParams::new("execute_query").with_arguments(arguments.as_object().unwrap().clone());
    let result = client.call_tool(request).await.unwrap();
    let content = result.structured_content.unwrap();
    match result.is_error {
        Some(true) => Err(refusal(&content, "message")),
        _ => Ok(rows_of(&content["rows"])),
    }
}

async fn of_rest(client: &reqwest::Client, url: &str, sql: &str) -> Result<Rows, Refusal> {
    let answer: Value = client.post(url).json(&json!({"sql": sql})).send().await.unwrap().json().await.unwrap();
    match answer.get("error").or_else(|| answer.get("code").map(|_| &answer)) {
        Some(problem) => Err(refusal(problem, "detail")),
        None => Ok(rows_of(&answer["rows"])),
    }
}

fn refusal(content: &Value, sentence: &str) -> Refusal {
    let text = |member: &str| content[member].as_str().unwrap_or_else(|| panic!("no {member} in {content}")).to_owned();
    Refusal { code: text("code"), message: text(sentence) }
}

/// A door as the test runner sees it.
pub(super) struct Answer(pub(super) Door);

#[async_trait]
impl AsyncDB for Answer {
    type Error = Refusal;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Refusal> {
        let rows: Vec<Vec<String>> =
            self.0.ask(sql).await?.into_iter().map(|row| row.iter().map(text).collect()).collect();
        let types = vec![DefaultColumnType::Any; rows.first().map_or(0, Vec::len)];
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) if text.is_empty() => "(empty)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
