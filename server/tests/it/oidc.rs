//! Tokens of an identity provider, through every door of a server that believes it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_flight::sql::client::FlightSqlServiceClient;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::TryStreamExt;
use reqwest::{Client, Response, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use server::compose::{self, HomeArgs};
use server::serve::{self, Listen, Running};
use server::telemetry::Metrics;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::Channel;

struct House {
    running: Running,
    issuer: String,
    key: Ed25519KeyPair,
    _provider: JoinSet<()>,
    _folder: TempDir,
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

impl House {
    async fn open() -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let description = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "one"}]});
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(move || async { Json(description) }))
            .route("/keys", get(move || async { Json(keys) }));
        let mut provider = JoinSet::new();
        provider.spawn(async move { axum::serve(listener, router).await.unwrap() });

        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        write(home, "data/people.csv", "id,name,region\n1,Asha,north\n2,Bo,south\n");
        write(
            home,
            "datasets/shop.yaml",
            "dataset: {id: shop, name: Shop}\ndatabase: {type: csv, connection: {path: data}}\n",
        );
        write(
            home,
            "policies/shop.yaml",
            "principals:\n  - {name: root, roles: [admin]}\nrules:\n  - {name: own, table: shop.people, roles: [analyst], \
             rows: \"region IN (@regions)\"}\n",
        );
        let settings = format!(
            "data_dir: state\nauth:\n  required: true\n  oidc:\n    issuer: {issuer}\n    audience: [weft]\n    \
             roles: {{readers: analyst}}\n    attributes: {{regions: regions}}\n"
        );
        write(home, "weft.yaml", &settings);
        let metrics = Metrics::new();
        let args = HomeArgs { home: Some(home.to_owned()), ..HomeArgs::default() };
        let composition = compose::open_observed(&args, metrics.observer()).unwrap();
        let any_port = Some("127.0.0.1:0".to_owned());
        let listen = Listen { http: any_port.clone(), flight: any_port };
        let running = serve::start(composition, metrics, &listen).await.unwrap();
        Self { running, issuer, key, _provider: provider, _folder: folder }
    }

    fn token(&self, more: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims =
            json!({"iss": self.issuer, "aud": "weft", "sub": "meera", "exp": now + 300, "roles": ["readers"]});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let header = json!({"alg": "EdDSA", "kid": "one"});
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes())))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.http)
    }

    async fn sql(&self, sql: &str, token: &str) -> Response {
        let request = Client::new().post(self.url("/v1/sql")).json(&json!({"sql": sql}));
        request.bearer_auth(token).send().await.unwrap()
    }

    async fn mcp(&self, token: Option<&str>) -> Response {
        let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18",
            "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
        let request = Client::new().post(self.url("/mcp")).json(&hello);
        let request = request.header("accept", "application/json, text/event-stream");
        token.into_iter().fold(request, |request, token| request.bearer_auth(token)).send().await.unwrap()
    }

    async fn flight(&self, token: String) -> Result<usize, String> {
        let channel = Channel::from_shared(format!("http://{}", self.running.flight)).unwrap().connect().await.unwrap();
        let mut client = FlightSqlServiceClient::new(channel);
        client.set_token(token);
        let info = client.execute("SELECT name FROM shop.people".to_owned(), None).await;
        let info = info.map_err(|error| error.to_string())?;
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let stream = client.do_get(ticket).await.map_err(|error| error.to_string())?;
        let batches: Vec<_> = stream.try_collect().await.map_err(|error| error.to_string())?;
        Ok(batches.iter().map(|batch| batch.num_rows()).sum())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_provider_is_good_at_every_door_with_the_rights_that_it_says() {
    let house = House::open().await;
    let token = house.token(json!({"regions": ["south"]}));
    let answer: Value = house.sql("SELECT name FROM shop.people", &token).await.json().await.unwrap();
    assert_eq!(answer["rows"], json!([["Bo"]]), "{answer}");
    assert_eq!(house.mcp(Some(&token)).await.status(), StatusCode::OK);
    assert_eq!(house.flight(token.clone()).await, Ok(1));
    // A missing attribute shows nothing, and a role that is not named here gives no right at all.
    let without: Value = house.sql("SELECT name FROM shop.people", &house.token(json!({}))).await.json().await.unwrap();
    assert_eq!(without["rows"], json!([]), "{without}");
    let stranger = house.token(json!({"roles": ["admin"], "regions": ["south"]}));
    let stranger: Value = house.sql("SELECT name FROM shop.people", &stranger).await.json().await.unwrap();
    assert_ne!(stranger["rows"], json!([["Bo"]]), "{stranger}");
    // Who is called as somebody whom the policy files declare, is nobody.
    for name in ["root", "local"] {
        let taken = house.token(json!({"sub": name, "regions": ["south"]}));
        assert_eq!(house.sql("SELECT 1", &taken).await.status(), StatusCode::UNAUTHORIZED, "{name}");
    }
    let of_mcp = house.token(json!({"scope": "weft:mcp"}));
    assert_eq!(house.sql("SELECT 1", &of_mcp).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(house.mcp(Some(&of_mcp)).await.status(), StatusCode::OK);
    let who: Value =
        house.sql("SELECT DISTINCT principal, credential FROM system.queries", &token).await.json().await.unwrap();
    assert_eq!(who["rows"], json!([["meera", format!("token of {}", house.issuer)]]), "{who}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_learns_who_vouches() {
    let house = House::open().await;
    let challenge = |response: &Response| response.headers()["www-authenticate"].to_str().unwrap().to_owned();
    let refused = house.mcp(None).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let at = house.url("/.well-known/oauth-protected-resource/mcp");
    assert_eq!(challenge(&refused), format!("Bearer realm=\"weft\", resource_metadata=\"{at}\""));
    let metadata: Value = Client::new().get(at).send().await.unwrap().json().await.unwrap();
    assert_eq!(metadata["resource"], house.url("/mcp"));
    assert_eq!(metadata["authorization_servers"], json!([house.issuer]));
    let expired = house.sql("SELECT 1", &house.token(json!({"exp": 1_000_000}))).await;
    assert_eq!(expired.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&expired).contains("error=\"invalid_token\""), "{}", challenge(&expired));
    assert!(house.flight(house.token(json!({"aud": "other"}))).await.unwrap_err().contains("not valid"));
}
