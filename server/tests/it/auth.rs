//! Who is let in, and as whom: the same credentials through every door of one server.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use server::compose::{self, HomeArgs};
use server::serve::{self, Listen, Running};
use server::telemetry::Metrics;
use tempfile::TempDir;
use tonic::transport::Channel;

const PEOPLE: &str = "id,name,region,tenant_id\n1,Asha,north,acme\n2,Bo,south,acme\n3,Chen,north,beta\n";

/// As many rows as no reader takes in the time of a test.
const ENDLESS: &str =
    "SELECT a.value FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b";

struct House {
    running: Running,
    folder: TempDir,
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The command line over the home: what it prints.
fn weft(folder: &Path, args: &[&str], input: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.args(args).env("WEFT_HOME", folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

impl House {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        write(path, "data/people.csv", PEOPLE);
        let shop =
            "dataset: {id: shop, name: Shop}\ndatabase: {type: csv}\ntables: [{name: people, path: data/people.csv}]\n";
        write(path, "datasets/shop.yaml", shop);
        write(path, "weft.yaml", "data_dir: state\nauth: {required: true}\n");
        let hash = weft(path, &["users", "hash"], "correct horse\n");
        let policies = format!(
            "principals:\n  - {{name: root, roles: [admin]}}\n  - {{name: meera, roles: [analyst], password: \"{hash}\"}}\n\
             rules:\n  - {{name: north, table: shop.people, roles: [analyst], rows: \"region = 'north'\"}}\n"
        );
        write(path, "policies/shop.yaml", &policies);
        let metrics = Metrics::new();
        let args = HomeArgs { home: Some(path.to_owned()), ..HomeArgs::default() };
        let composition = compose::open_observed(&args, metrics.observer()).unwrap();
        let any_port = Some("127.0.0.1:0".to_owned());
        let listen = Listen { http: any_port.clone(), flight: any_port };
        let running = serve::start(composition, metrics, &listen).await.unwrap();
        Self { running, folder }
    }

    /// A new key, once the server knows it.
    async fn key(&self, args: &[&str]) -> String {
        let key = weft(self.folder.path(), &[&["keys", "create"], args].concat(), "");
        let since = Instant::now();
        while self.get("/health/ready", &key).await.1["sources"].as_array().is_none_or(Vec::is_empty) {
            assert!(since.elapsed() < Duration::from_secs(10), "the server does not see the key");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        key
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.http)
    }

    async fn get(&self, path: &str, key: &str) -> (StatusCode, Value) {
        let response = Client::new().get(self.url(path)).bearer_auth(key).send().await.unwrap();
        (response.status(), response.json().await.unwrap_or_default())
    }

    fn sql(&self, sql: &str) -> reqwest::RequestBuilder {
        Client::new().post(self.url("/v1/sql")).json(&json!({"sql": sql}))
    }

    /// The names that a credential sees through REST, in order.
    async fn names(
        &self,
        sign: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<Vec<String>, Value> {
        let response = sign(self.sql("SELECT name FROM shop.people ORDER BY id")).send().await.unwrap();
        let is_success = response.status().is_success();
        let body: Value = response.json().await.unwrap();
        if !is_success {
            return Err(body["code"].clone());
        }
        Ok(body["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap().to_owned()).collect())
    }

    async fn flight(&self) -> FlightSqlServiceClient<Channel> {
        let channel = Channel::from_shared(format!("http://{}", self.running.flight)).unwrap().connect().await.unwrap();
        FlightSqlServiceClient::new(channel)
    }

    async fn mcp(&self, key: Option<&str>, arguments: Value) -> reqwest::Response {
        let call = json!({"name": "execute_query", "arguments": arguments});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call});
        let request = Client::new().post(self.url("/mcp")).header("accept", "application/json, text/event-stream");
        let request = request.header("mcp-protocol-version", "2025-06-18").json(&body);
        match key {
            Some(key) => request.bearer_auth(key).send().await.unwrap(),
            None => request.send().await.unwrap(),
        }
    }
}

/// How many names a client sees through Flight SQL, or what it was refused with.
async fn flight_names(client: &mut FlightSqlServiceClient<Channel>) -> Result<usize, String> {
    let info =
        client.execute("SELECT name FROM shop.people".to_owned(), None).await.map_err(|error| error.to_string())?;
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<_> = client.do_get(ticket).await.map_err(|error| error.to_string())?.try_collect().await.unwrap();
    Ok(batches.iter().map(arrow::array::RecordBatch::num_rows).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_credential_is_the_same_principal_on_every_door() {
    let house = House::open().await;
    let (root, meera) = (house.key(&["root"]).await, house.key(&["meera"]).await);
    let north = vec!["Asha".to_owned(), "Chen".to_owned()];
    assert_eq!(house.names(|request| request.bearer_auth(&root)).await.unwrap().len(), 3);
    assert_eq!(house.names(|request| request.bearer_auth(&meera)).await.unwrap(), north);
    let password = Some("correct horse");
    assert_eq!(house.names(|request| request.basic_auth("meera", password)).await.unwrap(), north);

    let mut client = house.flight().await;
    client.set_token(root.clone());
    assert_eq!(flight_names(&mut client).await, Ok(3));
    let mut client = house.flight().await;
    client.handshake("meera", "correct horse").await.unwrap();
    assert_eq!(flight_names(&mut client).await, Ok(2));

    let answer: Value =
        house.mcp(Some(&meera), json!({"query": "SELECT count(*) AS n FROM shop.people"})).await.json().await.unwrap();
    assert!(answer.to_string().contains('2'), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_without_a_credential() {
    let house = House::open().await;
    for path in ["/v1/datasets", "/v1/queries", "/metrics", "/v1/nothing", "/docs-not"] {
        let response = Client::new().get(house.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"weft\"");
    }
    for path in ["/health/live", "/health/ready", "/openapi.json"] {
        assert_eq!(Client::new().get(house.url(path)).send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
    assert_eq!(house.get("/health/ready", "").await.1["sources"], json!([]), "who does not sign in sees no source");
    for wrong in ["nonsense", "weft_000000000000_AAAA", "weftsession_00"] {
        assert_eq!(house.names(|request| request.bearer_auth(wrong)).await, Err(json!("unauthenticated")), "{wrong}");
    }
    for (name, password) in [("meera", "wrong"), ("root", ""), ("nobody", "correct horse")] {
        let refused = house.names(|request| request.basic_auth(name, Some(password))).await;
        assert_eq!(refused, Err(json!("unauthenticated")), "{name}");
    }
    assert_eq!(house.mcp(None, json!({})).await.status(), StatusCode::UNAUTHORIZED);
    let refused = flight_names(&mut house.flight().await).await.unwrap_err();
    assert!(refused.contains("Sign in"), "{refused}");
    assert!(house.flight().await.handshake("meera", "wrong").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_passwords_is_slowed() {
    let house = House::open().await;
    let mut codes = Vec::new();
    for guess in 0..8 {
        codes.push(house.names(|request| request.basic_auth("meera", Some(guess))).await.unwrap_err());
    }
    assert_eq!(codes[0], json!("unauthenticated"));
    assert_eq!(codes[7], json!("rate_limited"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_guesses_at_once_are_slowed_as_well() {
    let house = House::open().await;
    let guesses = (0..30).map(|guess| house.names(move |request| request.basic_auth("meera", Some(guess))));
    let codes = futures::future::join_all(guesses).await;
    let tried = codes.iter().filter(|code| **code == Err(json!("unauthenticated"))).count();
    let slowed = codes.iter().filter(|code| **code == Err(json!("rate_limited"))).count();
    assert_eq!(tried + slowed, 30, "{codes:?}");
    assert!((1..=8).contains(&tried), "{tried} guesses were tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slowed_is_told_for_how_long() {
    let house = House::open().await;
    for guess in 0..8 {
        let _ = house.names(|request| request.basic_auth("meera", Some(guess))).await;
    }
    let response = house.sql("SELECT 1").basic_auth("meera", Some("9")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let header: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    let problem: Value = response.json().await.unwrap();
    assert!(header >= 1 && problem["retry_after"] == json!(header), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_it_is_closed() {
    let house = House::open().await;
    let mut client = house.flight().await;
    client.handshake("meera", "correct horse").await.unwrap();
    assert_eq!(flight_names(&mut client).await.unwrap(), 2);
    let mut close = tonic::Request::new(arrow_flight::Action::new("CloseSession", Vec::new()));
    let bearer = format!("Bearer {}", client.token().unwrap());
    close.metadata_mut().insert("authorization", bearer.parse().unwrap());
    client.inner_mut().do_action(close).await.unwrap().into_inner().try_collect::<Vec<_>>().await.unwrap();
    let refused = flight_names(&mut client).await.unwrap_err();
    assert!(refused.contains("not valid"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_for_its_scopes() {
    let house = House::open().await;
    let metrics = house.key(&["root", "--scope", "rest", "--scope", "metrics"]).await;
    assert_eq!(house.get("/metrics", &metrics).await.0, StatusCode::OK);
    let refused = house.mcp(Some(&metrics), json!({})).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("error=\"insufficient_scope\", scope=\"mcp\""), "{challenge}");
    let refresh = Client::new().post(house.url("/v1/datasets/refresh")).bearer_auth(&metrics).send().await.unwrap();
    assert_eq!(refresh.status(), StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_what_runs_by_it() {
    let house = House::open().await;
    let key = house.key(&["meera"]).await;
    let response = house.sql(ENDLESS).bearer_auth(&key).header("accept", "text/csv").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let id = key.split('_').nth(1).unwrap();
    weft(house.folder.path(), &["keys", "revoke", id], "");
    let since = Instant::now();
    let read = response.bytes_stream().try_for_each(|_| async { Ok(()) });
    let ended = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
    assert!(ended.is_err(), "the answer breaks off");
    assert!(since.elapsed() < Duration::from_secs(20));
    assert_eq!(house.names(|request| request.bearer_auth(&key)).await, Err(json!("unauthenticated")));
    let root = house.key(&["root"]).await;
    let (_, queries) = house.get("/v1/queries", &root).await;
    assert!(queries.to_string().contains("unauthenticated"), "{queries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_and_queries_of_somebody_else_are_out_of_reach() {
    let house = House::open().await;
    let (root, meera) = (house.key(&["root"]).await, house.key(&["meera"]).await);
    let (mut of_root, mut of_meera) = (house.flight().await, house.flight().await);
    of_root.set_token(root.clone());
    of_meera.set_token(meera.clone());
    let info = of_root.execute("SELECT name FROM shop.people".to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let Err(error) = of_meera.do_get(ticket).await else { panic!("a ticket answers to its owner only") };
    assert!(error.to_string().contains("not yours"), "{error}");
    let prepared = of_root.prepare("SELECT name FROM shop.people".to_owned(), None).await.unwrap();
    assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 1);

    let running = house.sql(ENDLESS).bearer_auth(&root).header("accept", "text/csv").send().await.unwrap();
    let id = running.headers()["weft-query-id"].to_str().unwrap().to_owned();
    let cancel = |key: String| {
        let request = Client::new().delete(house.url(&format!("/v1/queries/{id}"))).bearer_auth(key);
        async move { request.send().await.unwrap().status() }
    };
    assert_eq!(house.get(&format!("/v1/queries/{id}"), &meera).await.0, StatusCode::NOT_FOUND);
    assert_eq!(cancel(meera).await, StatusCode::NOT_FOUND);
    assert_eq!(cancel(root).await, StatusCode::NO_CONTENT);
}
