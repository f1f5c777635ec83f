//! TLS on both ports, and clients that sign in by a certificate.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use arrow_flight::sql::client::FlightSqlServiceClient;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client, Identity, StatusCode};
use serde_json::{Value, json};
use server::compose::{self, HomeArgs};
use server::serve::{self, Listen, Running};
use server::telemetry::Metrics;
use tempfile::TempDir;
use tonic::transport::{Channel, ClientTlsConfig};

/// An authority, which everybody here trusts.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn signs(&self, name: &str, hosts: &[&str]) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

struct House {
    running: Running,
    authority: Authority,
    folder: TempDir,
}

const WHO: &str = "SELECT principal FROM system.queries ORDER BY started_at DESC LIMIT 1";

impl House {
    async fn open() -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        std::fs::create_dir_all(folder.path().join("policies")).unwrap();
        show(folder.path(), &authority.signs("one", &["localhost", "127.0.0.1"]));
        write("ca.pem", &authority.pem);
        write(
            "weft.yaml",
            "data_dir: state\nauth: {required: true}\n\
             tls: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem}\n",
        );
        write("policies/people.yaml", "principals:\n  - {name: meera, certificate: meera@example.in}\n");
        let metrics = Metrics::new();
        let args = HomeArgs { home: Some(folder.path().to_owned()), ..HomeArgs::default() };
        let composition = compose::open_observed(&args, metrics.observer()).unwrap();
        let any_port = Some("127.0.0.1:0".to_owned());
        let listen = Listen { http: any_port.clone(), flight: any_port };
        let running = serve::start(composition, metrics, &listen).await.unwrap();
        Self { running, authority, folder }
    }

    fn client(&self, shown: Option<&Pair>) -> Client {
        let root = Certificate::from_pem(self.authority.pem.as_bytes()).unwrap();
        let client = Client::builder().add_root_certificate(root).tls_built_in_root_certs(false);
        match shown {
            Some(pair) => {
                let pem = format!("{}{}", pair.certificate, pair.key);
                client.identity(Identity::from_pem(pem.as_bytes()).unwrap()).build().unwrap()
            }
            None => client.build().unwrap(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.running.http)
    }

    async fn who(&self, client: &Client) -> (StatusCode, Value) {
        let response = client.post(self.url("/v1/sql")).json(&json!({"sql": WHO})).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }
}

/// Puts a certificate where the server shows it from.
fn show(folder: &Path, pair: &Pair) {
    std::fs::write(folder.join("server.key"), &pair.key).unwrap();
    std::fs::write(folder.join("server.pem"), &pair.certificate).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_signs_in_by_its_certificate_on_both_ports() {
    let house = House::open().await;
    assert!(house.running.ready_line().contains("https://"), "{}", house.running.ready_line());
    let meera = house.authority.signs("anybody", &["meera@example.in"]);
    let (status, answer) = house.who(&house.client(Some(&meera))).await;
    assert_eq!((status, &answer["rows"][0][0]), (StatusCode::OK, &json!("meera")), "{answer}");
    let stranger = house.authority.signs("ravi", &["ravi@example.in"]);
    assert_eq!(house.who(&house.client(Some(&stranger))).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(house.who(&house.client(None)).await.0, StatusCode::UNAUTHORIZED);
    let forged = Authority::new().signs("meera@example.in", &[]);
    let refused = house.client(Some(&forged)).get(house.url("/health/live")).send().await;
    assert!(refused.is_err(), "a certificate of another authority ends the handshake");

    let tls = ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(&house.authority.pem))
        .identity(tonic::transport::Identity::from_pem(&meera.certificate, &meera.key));
    let address = format!("https://{}", house.running.flight);
    let channel = Channel::from_shared(address).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
    let info = FlightSqlServiceClient::new(channel).execute("SELECT 1".to_owned(), None).await.unwrap();
    assert_eq!(info.endpoint.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let house = House::open().await;
    let reads = || async {
        // A client of its own makes a connection of its own.
        let live = house.client(None).get(house.url("/health/live")).send().await;
        live.is_ok_and(|live| live.status() == StatusCode::OK)
    };
    assert!(reads().await);
    std::fs::write(house.folder.path().join("server.pem"), "nonsense").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(reads().await, "it goes on with what it had");
    // One that clients of this authority do not trust: that it is shown is that they refuse it.
    show(house.folder.path(), &Authority::new().signs("two", &["127.0.0.1"]));
    let since = Instant::now();
    while reads().await {
        assert!(since.elapsed() < Duration::from_secs(20), "the new certificate is not shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
