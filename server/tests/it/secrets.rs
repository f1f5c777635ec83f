//! Planted secrets come out nowhere: not in answers, errors, plans, listings, logs, metrics, receipts, or the files of a state.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;

/// Each in another place: the vault, the environment, a file of the home, a URL, a person's password.
const VAULT: &str = "planted-vault-4d1c";
const ENVIRONMENT: &str = "planted-environment-8b27";
const FILE: &str = "planted-file-91ee";
const ADDRESS: &str = "planted-address-c05a";
const PASSWORD: &str = "planted-password-77f0";
const PLANTED: [&str; 5] = [VAULT, ENVIRONMENT, FILE, ADDRESS, PASSWORD];

fn weft(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.env("WEFT_HOME", home).env("STORE_SECRET", ENVIRONMENT).env("WEFT_LOG", "trace");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(home: &Path, args: &[&str], input: &str) -> Output {
    let mut child = weft(home).args(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat()
}

#[track_caller]
fn assert_clean(what: &str, text: &[u8]) {
    for planted in PLANTED {
        let is_in = text.windows(planted.len()).any(|window| window == planted.as_bytes());
        assert!(!is_in, "{planted} is in {what}:\n{}", String::from_utf8_lossy(text));
    }
}

/// A home whose sources are out of reach, with a secret in each of their places.
fn home() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let sql = |id: &str, kind: &str, secret: &str| {
        let text = format!(
            "dataset: {{id: {id}, name: {id}}}\ndatabase:\n  type: {kind}\n  connection: {{host: 127.0.0.1, port: 1, \
             database: bank, user: weft, password: \"{secret}\"}}\n"
        );
        write(&format!("datasets/{id}.yaml"), &text);
    };
    sql("vaulted", "postgres", "${BANK_PASSWORD}");
    sql("written", "mysql", FILE);
    write(
        "datasets/stored.yaml",
        "dataset: {id: stored, name: Stored}\ndatabase:\n  type: parquet\n  connection:\n    path: s3://bucket/people\n    \
         endpoint: http://127.0.0.1:1\n    access_key_id: weft\n    secret_access_key: ${STORE_SECRET}\n    region: eu-1\n",
    );
    let url = format!("postgres://weft:{ADDRESS}@127.0.0.1:1/bank");
    write(
        "datasets/addressed.yaml",
        &format!("dataset: {{id: addressed, name: A}}\ndatabase: {{type: postgres, connection: {{url: \"{url}\"}}}}\n"),
    );
    write("data/people.csv", "id,name\n1,Asha\n");
    write("datasets/shop.yaml", "dataset: {id: shop, name: Shop}\ndatabase: {type: csv, connection: {path: data}}\n");
    write("weft.yaml", "data_dir: state\nauth: {required: true}\n");
    let hash = run(folder.path(), &["users", "hash"], &format!("{PASSWORD}\n"));
    let hash = String::from_utf8(hash.stdout).unwrap();
    write(
        "policies/people.yaml",
        &format!("principals:\n  - {{name: root, roles: [admin], password: \"{}\"}}\n", hash.trim()),
    );
    let set = run(folder.path(), &["secrets", "set", "BANK_PASSWORD"], &format!("{VAULT}\n"));
    assert!(set.status.success(), "{}", text(&set));
    folder
}

/// The server of the home, its address, and what it says.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(home: &Path) -> Self {
        let mut child = weft(home).args(["serve", "--http", "127.0.0.1:0", "--flight", "127.0.0.1:0"]).spawn().unwrap();
        // Logs must not fill their pipe while nobody reads.
        let log = std::fs::File::create(home.join("server.log")).unwrap();
        let mut errors = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut errors, &mut &log));
        let mut first = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
        let address = first.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        Self { child, address: address.trim_end_matches([',', '.', '/']).to_owned() }
    }

    async fn get(&self, client: &Client, path: &str) -> String {
        let response = client.get(format!("{}{path}", self.address)).basic_auth("root", Some(PASSWORD)).send().await;
        let response = response.unwrap();
        let headers = format!("{:?}", response.headers());
        headers + &response.text().await.unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FAILING: [&str; 6] = [
    "SELECT * FROM vaulted.public.accounts",
    "SELECT * FROM written.bank.accounts",
    "SELECT * FROM stored.people",
    "SELECT * FROM addressed.public.accounts",
    "SELECT * FROM system.sources",
    "SELECT * FROM shop.people WHERE nme = 'x'",
];

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_come_out_nowhere() {
    let folder = home();
    let home = folder.path();
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["check"],
        vec!["check", "--data"],
        vec!["datasets"],
        vec!["datasets", "vaulted"],
        vec!["secrets", "list"],
        vec!["keys", "list"],
        vec!["access", "explain", "root", "vaulted"],
        vec!["query", "SELECT count(*) FROM shop.people"],
    ];
    for sql in FAILING {
        commands.extend([vec!["query", sql], vec!["explain", sql], vec!["explain", "--analyze", sql]]);
    }
    commands.extend([vec!["audit", "list"], vec!["audit", "verify"]]);
    for args in commands {
        assert_clean(&args.join(" "), text(&run(home, &args, "")).as_bytes());
    }

    let served = Served::start(home);
    let client = Client::new();
    let paths = [
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/v1/datasets",
        "/v1/datasets/vaulted",
        "/v1/datasets/vaulted/tables",
        "/v1/queries",
        "/v1/none",
    ];
    for path in paths {
        assert_clean(path, served.get(&client, path).await.as_bytes());
    }
    for sql in FAILING.into_iter().chain(["SELECT * FROM system.receipts", "SELECT * FROM system.queries", "SHOW ALL"])
    {
        let asked = client.post(format!("{}/v1/sql", served.address)).basic_auth("root", Some(PASSWORD));
        let answer = asked.json(&json!({"sql": sql})).send().await.unwrap().text().await.unwrap();
        assert_clean(sql, answer.as_bytes());
    }
    let refused = client.get(format!("{}/v1/datasets", served.address)).basic_auth("root", Some("wrong")).send().await;
    assert_eq!(refused.unwrap().status(), 401);
    drop(served);

    // What the server said, and what it keeps. The home's own files have those that were written into them.
    assert_clean("the server's log", &std::fs::read(home.join("server.log")).unwrap());
    let mut folders = vec![home.join("state")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
    assert!(files >= 4, "state, keys and log: {files}");
    // The secrets were in use all the same: without its own, the source is another problem.
    assert!(text(&run(home, &["check"], "")).contains("0 problems"));
    run(home, &["secrets", "delete", "BANK_PASSWORD"], "");
    assert!(text(&run(home, &["check"], "")).contains("BANK_PASSWORD"));
}
