//! A home that changes while it is served: SIGHUP, `weft datasets refresh`, and what every door sees of it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use futures::StreamExt;
use reqwest::Client;
use serde_json::{Value, json};
use server::compose::{self, HomeArgs, ReloadError};
use server::rest::SqlAnswer;
use server::serve::{self, Listen, Running};
use server::telemetry::Metrics;
use tempfile::TempDir;

/// So many rows that no answer can lie ready in buffers.
const BIG: &str =
    "SELECT a.value FROM one.t CROSS JOIN range(1000) AS a CROSS JOIN range(1000) AS b CROSS JOIN range(1000) AS c";

fn write(home: &Path, name: &str, text: &str) {
    let path = home.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A home of one dataset, `one.t`.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "one/t.csv", "id,fax\n1,x\n2,y\n");
    write(home.path(), "datasets/one.yaml", &dataset("one"));
    write(home.path(), "weft.yaml", "data_dir: state\n");
    home
}

fn dataset(id: &str) -> String {
    format!("dataset: {{id: {id}}}\ndatabase: {{type: csv, connection: {{path: {id}}}}}\n")
}

/// A server of this process over `home`.
async fn serve(home: PathBuf, principal: Option<&str>) -> Running {
    let args = HomeArgs { home: Some(home), principal: principal.map(str::to_owned), ..HomeArgs::default() };
    let metrics = Metrics::new();
    let composition = compose::open_observed(&args, metrics.observer()).unwrap();
    let any_port = Some("127.0.0.1:0".to_owned());
    serve::start(composition, metrics, &Listen { http: any_port.clone(), flight: any_port }).await.unwrap()
}

async fn rows(running: &Running, sql: &str) -> Result<Vec<Vec<Value>>, Value> {
    let sent = Client::new().post(format!("http://{}/v1/sql", running.http)).json(&json!({"sql": sql})).send();
    let text = sent.await.unwrap().text().await.unwrap();
    serde_json::from_str::<SqlAnswer>(&text).map(|answer| answer.rows).map_err(|_| serde_json::from_str(&text).unwrap())
}

async fn post(running: &Running, path: &str) -> Value {
    Client::new().post(format!("http://{}{path}", running.http)).send().await.unwrap().json().await.unwrap()
}

fn weft(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.args(args).stdin(Stdio::null());
    for variable in ["WEFT_HOME", "WEFT_LOG", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

fn said(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_reload_changes_every_answer_that_comes_after_and_none_that_runs() {
    let home = home();
    let mut running = serve(home.path().to_owned(), None).await;
    let sent = Client::new()
        .post(format!("http://{}/v1/sql", running.http))
        .header("accept", "text/csv")
        .json(&json!({"sql": BIG}));
    let mut big = sent.send().await.unwrap().bytes_stream();
    assert!(!big.next().await.unwrap().unwrap().is_empty());

    write(home.path(), "two/t.csv", "id,fax\n1,x\n2,y\n");
    fs::remove_file(home.path().join("datasets/one.yaml")).unwrap();
    write(home.path(), "datasets/two.yaml", &dataset("two"));
    write(home.path(), "policies/p.yaml", "rules: [{name: r, table: two.t, roles: [analyst], rows: id = 1}]\n");
    write(home.path(), "weft.yaml", "data_dir: state\ndefault_dataset: two\nhttp: {listen: \"127.0.0.1:1\"}\n");
    let reloaded = running.reload().await.unwrap();
    assert_eq!((reloaded.counts, reloaded.needs_restart), ((1, 1), vec!["http.listen"]));
    assert_eq!(rows(&running, "SELECT count(*) FROM t").await.unwrap(), [[json!(2)]]);
    assert_eq!(rows(&running, "SELECT * FROM one.t").await.unwrap_err()["code"], "dataset_not_found");
    let asked = Client::new().get(format!("http://{}/v1/queries?outcome=running&dataset=one", running.http)).send();
    let listed: Value = asked.await.unwrap().json().await.unwrap();
    assert_eq!(listed["queries"].as_array().unwrap().len(), 1, "{listed}");
    for _ in 0..10 {
        assert!(!big.next().await.unwrap().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_home_with_problems_is_refused_whole() {
    let home = home();
    let mut running = serve(home.path().to_owned(), None).await;
    write(home.path(), "two/t.csv", "id\n1\n");
    write(home.path(), "datasets/two.yaml", &dataset("two"));
    write(home.path(), "datasets/bad.yaml", "dataset: {id: bad}\ndatabase: {tpye: csv}\n");
    write(home.path(), "weft.yaml", "htp: {}\n");
    let Err(ReloadError::Problems(problems)) = running.reload().await else { unreachable!() };
    assert!(problems.len() >= 2, "{problems}");
    assert_eq!(rows(&running, "SELECT count(*) FROM one.t").await.unwrap(), [[json!(2)]]);
    assert_eq!(rows(&running, "SELECT * FROM two.t").await.unwrap_err()["code"], "dataset_not_found");
    fs::remove_file(home.path().join("datasets/bad.yaml")).unwrap();
    write(home.path(), "weft.yaml", "data_dir: state\n");
    running.reload().await.unwrap();
    assert_eq!(rows(&running, "SELECT count(*) FROM two.t").await.unwrap(), [[json!(1)]]);
}

#[tokio::test]
async fn other_rights_of_whom_the_server_asks_as_need_a_restart() {
    let home = home();
    let policies = |roles: &str| format!("principals: [{{name: meera, roles: [{roles}]}}]\n");
    write(home.path(), "policies/p.yaml", &policies("analyst"));
    let mut running = serve(home.path().to_owned(), Some("meera")).await;
    running.reload().await.unwrap();
    write(home.path(), "policies/p.yaml", &policies("analyst, admin"));
    assert!(matches!(running.reload().await, Err(ReloadError::Principal(name)) if name == "meera"));
}

#[tokio::test]
async fn a_refresh_over_rest_tells_what_has_changed() {
    let home = home();
    let running = serve(home.path().to_owned(), None).await;
    let first = post(&running, "/v1/datasets/one/refresh").await;
    assert_eq!((&first["tables"], &first["is_first"]), (&json!(1), &json!(true)));
    write(home.path(), "one/t.csv", "id,email\n1,x@y\n");
    write(home.path(), "one/new.csv", "id\n1\n");
    let all = post(&running, "/v1/datasets/refresh").await;
    assert_eq!(
        all,
        json!({"datasets": [{
            "dataset_id": "one", "tables": 2, "is_first": false, "added": ["new"], "removed": [], "unreadable": [],
            "changed": [{
                "table": "t", "added": [{"name": "email", "type": "VARCHAR"}],
                "dropped": [{"name": "fax", "type": "VARCHAR"}], "retyped": []
            }]
        }]})
    );
    assert_eq!(post(&running, "/v1/datasets/none/refresh").await["code"], "dataset_not_found");
    let show = Client::new().get(format!("http://{}/v1/datasets/refresh", running.http)).send().await.unwrap();
    assert_eq!(show.status(), 404, "it would show the dataset that is called so");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_finds_the_server_of_the_home() {
    let home = home();
    let running = serve(home.path().to_owned(), None).await;
    let at = home.path().display().to_string();
    let refresh = |args: &[&str]| {
        let args = [&["datasets", "refresh"], args].concat();
        said(&tokio::task::block_in_place(|| weft(&args).output().unwrap()))
    };
    assert_eq!(refresh(&["--home", &at]), (0, "one: 1 table, listed for the first time\n".to_owned()));
    write(home.path(), "one/t.csv", "id,email\nA1,x@y\n");
    write(home.path(), "one/new.csv", "id\n1\n");
    let told = "one: 2 tables\n  added    new\n  changed  t: +email VARCHAR, -fax VARCHAR, id BIGINT -> VARCHAR\n";
    assert_eq!(refresh(&["one", "--home", &at]), (0, told.to_owned()));
    let url = format!("http://{}", running.http);
    let (code, json) = refresh(&["--url", &url, "--json"]);
    assert_eq!((code, serde_json::from_str::<Value>(&json).unwrap()["tables"].clone()), (0, json!(2)));
    let (code, text) = refresh(&["--url", &url, "none", "one"]);
    assert!(
        code == 1 && text.contains("error[dataset_not_found]") && text.contains("one: 2 tables, no change"),
        "{text}"
    );
    fs::remove_dir_all(home.path().join("one")).unwrap();
    let (code, text) = refresh(&["--url", &url]);
    assert!(code == 1 && text.starts_with("one: error[source_unavailable]: "), "{text}");
    running.stop().await;
    assert!(!home.path().join("state/address").exists());
    let (code, text) = refresh(&["--url", &url]);
    assert!(code == 2 && text.contains("No server answers at"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_tells_how_a_design_fares() {
    let home = home();
    write(home.path(), "datasets/one.yaml", &format!("{}weights: {{unit: id, weight: fax}}\n", dataset("one")));
    write(home.path(), "one/t.csv", "id,fax\n1,10\n2,-4\n");
    let running = serve(home.path().to_owned(), None).await;
    let answer = post(&running, "/v1/datasets/one/refresh").await;
    let design = &answer["design"];
    assert_eq!((&design["tables"][0]["rows"], &design["findings"][0]["code"]), (&json!(2), &json!("negative_weight")));
    let url = format!("http://{}", running.http);
    let (code, text) =
        said(&tokio::task::block_in_place(|| weft(&["datasets", "refresh", "--url", &url]).output().unwrap()));
    assert!(code == 0 && text.contains("\n  one.t: error[negative_weight]: 1 row has a negative weight"), "{text}");
    running.stop().await;
}

/// The binary over a home; what it logs goes to the file `log`. It ends with the value.
#[cfg(unix)]
struct Served(std::process::Child);

#[cfg(unix)]
impl Served {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }
}

#[cfg(unix)]
impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[test]
fn a_hangup_reads_the_home_again_and_logs_its_problems_as_check_prints_them() {
    use std::io::{BufRead, BufReader};

    let home = home();
    let at = home.path().display().to_string();
    let args = ["serve", "--home", &at, "--http", "127.0.0.1:0", "--flight", "127.0.0.1:0"];
    let mut child = weft(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.starts_with("Weft is ready"), "{ready}");
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut served = Served(child);
    let mut until = |text: &str| {
        let lines: Vec<String> = log.by_ref().map(Result::unwrap).take_while(|line| !line.contains(text)).collect();
        lines.join("\n")
    };

    write(home.path(), "two/t.csv", "id\n1\n");
    write(home.path(), "datasets/two.yaml", &dataset("two"));
    served.signal("HUP");
    until("The home has been read again: sources: 2, datasets: 2.");
    write(home.path(), "datasets/two.yaml", "dataset: {id: two}\ndatabase: {tpye: csv}\n");
    served.signal("HUP");
    until("The home has problems");
    let checked = weft(&["check", "--home", &at]).output().unwrap();
    let problem = String::from_utf8(checked.stderr).unwrap().lines().nth(1).unwrap().trim().to_owned();
    until(&problem);
    served.signal("TERM");
    until("Stopping on SIGTERM.");
    assert!(served.0.wait().unwrap().success());
}
