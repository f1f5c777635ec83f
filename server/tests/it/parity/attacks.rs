//! Attacks: what a restricted caller must not see never reaches it, through whichever door and however it asks.
//!
//! The home holds canaries: words and numbers that stand in hidden rows, masked columns, hidden tables and files, and nowhere
//! else. No answer, error or listing that the caller gets may hold one. An administrator meets them with the same statements.

use std::path::Path;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use server::serve::{self, Listen, Running};
use server::telemetry::Metrics;

use super::doors::{Door, Place, Refusal};
use super::{DOORS, open, testdata};

fn write(home: &Path) {
    let put = |path: &str, text: &str| {
        let path = home.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let regions = ["north", "south", "east"];
    let staff = (1..=9).map(|id| {
        let region = regions[id % 3];
        let name = if region == "north" { "Asha" } else { "CANARY" };
        format!("{id},{name},{region},770077{id:02},CANARY-{id},770077{id:02}\n")
    });
    put("data/staff.csv", &format!("id,name,region,pin,note,salary\n{}", staff.collect::<String>()));
    let people = (1..=40).map(|id| format!("{id},Q{id},{},770077{id:02}\n", regions[id % 2]));
    put("data/people.csv", &format!("id,name,region,spend\n{}", people.collect::<String>()));
    put("data/regions.csv", "region\nnorth\nsouth\neast\n");
    put("data/other.csv", "word\nCANARY\n");
    let dataset = |id: &str, table: &str, file: &str| {
        let text = format!(
            "dataset: {{id: {id}, name: {id}}}\ndatabase: {{type: csv}}\ntables: [{{name: {table}, path: data/{file}.csv}}]\n"
        );
        put(&format!("datasets/{id}.yaml"), &text);
    };
    dataset("vault", "staff", "staff");
    dataset("open", "regions", "regions");
    dataset("poll", "people", "people");
    dataset("hidden", "canary_table", "other");
    put(
        "policies/all.yaml",
        "principals:
  - {name: meera, roles: [analyst]}
grants:
  - {roles: [analyst], on: [vault.staff], columns: [id, name, region, pin, note]}
  - {roles: [analyst], on: [open, poll]}
rules:
  - {name: north, table: vault.staff, roles: [analyst], rows: \"region = 'north'\", masks: {note: \"'hidden'\", pin: 'NULL'}}
disclosure:
  - {name: few, on: [poll], roles: [analyst], people: id, min_people: 5, raw_rows: 0}
",
    );
}

async fn serve(home: &Path, principal: &str) -> (Place, Running) {
    let composition = open(home, principal);
    let (engine, principal) = (composition.engine.clone(), composition.principal.clone());
    let listen = Listen { http: Some("127.0.0.1:0".to_owned()), flight: Some("127.0.0.1:0".to_owned()) };
    let running = serve::start(composition, Metrics::default(), &listen).await.unwrap();
    (Place { engine, principal, home: home.to_owned(), http: running.http, flight: running.flight }, running)
}

/// Whether an answer holds what is nobody's to see. What was asked for is no secret.
fn has_canary(text: &str, asked: &str) -> bool {
    let number = text.match_indices("770077").any(|(at, _)| {
        let digits = text[at + 6..].chars().take_while(char::is_ascii_digit).count();
        digits >= 2
    });
    number
        || text.contains("CANARY")
        || text.contains("root:x:")
        || (text.contains("canary_table") && !asked.to_lowercase().contains("canary_table"))
}

fn text(answer: Result<Vec<Vec<Value>>, Refusal>) -> String {
    match answer {
        Ok(rows) => rows.iter().map(|row| json!(row).to_string()).collect::<Vec<_>>().join("\n"),
        Err(refusal) => refusal.to_string(),
    }
}

/// A hidden table in all ways to write its name, in several places of a query.
fn names() -> Vec<String> {
    let forms = [
        "hidden.canary_table",
        "\"hidden\".\"canary_table\"",
        "HIDDEN.CANARY_TABLE",
        "Hidden.Canary_Table",
        "`hidden`.`canary_table`",
        "weft.hidden.canary_table",
        "hidden.public.canary_table",
        "weft.\"hidden\".canary_table",
        "\"hidden.canary_table\"",
        "\"hidden\".\"public.canary_table\"",
        "weft.hidden.public.canary_table",
        "datafusion.hidden.canary_table",
        "canary_table",
        "public.canary_table",
        "hidden . canary_table",
        "hidden/**/.canary_table",
    ];
    let shapes = [
        "SELECT * FROM {t}",
        "SELECT concat('CAN', 'ARY') FROM open.regions WHERE EXISTS (SELECT 1 FROM {t})",
        "WITH c AS (SELECT * FROM {t}) SELECT * FROM c",
        "SELECT r.region, c.* FROM open.regions r LEFT JOIN {t} AS c ON true",
        "SELECT region FROM open.regions UNION ALL SELECT * FROM {t}",
    ];
    shapes.iter().flat_map(|shape| forms.iter().map(|form| shape.replace("{t}", form))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_shows_what_is_hidden() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let file = std::fs::read_to_string(testdata("slt/policy/attacks.sql")).unwrap();
    let listed = file.lines().filter(|line| !line.starts_with("--")).map(str::to_owned);
    let attacks: Vec<String> = listed.chain(names()).collect();
    assert!(attacks.len() >= 300);
    let (place, running) = serve(folder.path(), "meera").await;
    let mut oracle = Door::Engine { engine: place.engine.clone(), principal: engine::Principal::local() };
    let (mut shown, mut met) = (Vec::new(), 0);
    for door in DOORS {
        let mut client = Door::open(door, &place).await;
        for (at, attack) in attacks.iter().enumerate() {
            // A process for each statement is slow.
            if door == "cli" && at % 23 != 0 {
                continue;
            }
            let answer = text(client.ask(attack).await);
            if has_canary(&answer, attack) {
                shown.push(format!("{door}: {attack}\n{answer}"));
            }
            if door == "engine" {
                met += usize::from(has_canary(&text(oracle.ask(attack).await), attack));
            }
        }
    }
    running.stop().await;
    assert!(shown.is_empty(), "{} of {}:\n{}", shown.len(), attacks.len(), shown.join("\n\n"));
    assert!(met * 2 > attacks.len(), "{met} of {} statements show an administrator what they are after", attacks.len());
}

/// What is hidden is as what is missing: the same words.
#[tokio::test(flavor = "multi_thread")]
async fn hidden_is_as_missing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let (place, running) = serve(folder.path(), "meera").await;
    for door in DOORS {
        let mut client = Door::open(door, &place).await;
        for attack in names() {
            // Another name of as many letters.
            let missing = |text: &str| {
                text.replace("hidden", "absent")
                    .replace("HIDDEN", "ABSENT")
                    .replace("Hidden", "Absent")
                    .replace("canary_table", "nobody_table")
                    .replace("CANARY_TABLE", "NOBODY_TABLE")
                    .replace("Canary_Table", "Nobody_Table")
            };
            if door == "cli" && !attack.starts_with("SELECT * FROM hidden") {
                continue;
            }
            let hidden = text(client.ask(&attack).await);
            assert_eq!(missing(&hidden), text(client.ask(&missing(&attack)).await), "{door}: {attack}");
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_shows_what_is_hidden() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let (place, running) = serve(folder.path(), "meera").await;
    let client = Client::new();
    let url = |path: &str| format!("http://{}{path}", place.http);
    let deep = format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000));
    let many = (0..50_000).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let nested = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let sql = |sql: &str| (Method::POST, "/v1/sql".to_owned(), json!({"sql": sql}).to_string());
    let get = |path: &str| (Method::GET, path.to_owned(), String::new());
    let calls = vec![
        get("/v1/datasets"),
        get("/v1/datasets/hidden"),
        get("/v1/datasets/vault"),
        get("/v1/datasets/..%2f..%2fdata%2fother.csv"),
        get("/v1/datasets/hidden/design"),
        get("/v1/queries"),
        get("/v1/queries/00000000-0000-0000-0000-000000000000"),
        get("/v1/queries/../../etc/passwd"),
        get("/../../../../etc/passwd"),
        get("/docs/..%2f..%2f..%2fetc%2fpasswd"),
        get("/metrics"),
        get("/health/ready"),
        get("/openapi.json"),
        sql(&format!("SELECT {deep}")),
        sql(&format!("SELECT name FROM vault.staff WHERE id IN ({many}) AND region <> 'north'")),
        sql("SELECT name FROM vault.staff WHERE name = $1"),
        (
            Method::POST,
            "/v1/sql".to_owned(),
            json!({"sql": "SELECT note FROM vault.staff WHERE id = $1", "params": [1]}).to_string(),
        ),
        (Method::POST, "/v1/sql".to_owned(), json!({"sql": "SELECT name FROM staff", "dataset": "vault"}).to_string()),
        (
            Method::POST,
            "/v1/sql".to_owned(),
            json!({"sql": "SELECT * FROM canary_table", "dataset": "hidden"}).to_string(),
        ),
        (
            Method::POST,
            "/v1/sql".to_owned(),
            json!({"sql": "SELECT 1", "principal": "local", "as": "local"}).to_string(),
        ),
        (
            Method::POST,
            "/v1/sql".to_owned(),
            json!({"sql": "SELECT name FROM vault.staff", "explain": "analyze"}).to_string(),
        ),
        (Method::POST, "/v1/sql".to_owned(), format!("{{\"sql\": {nested}}}")),
        (Method::POST, "/v1/sql".to_owned(), "{".repeat(100_000)),
        (Method::POST, "/v1/sql".to_owned(), format!("{{\"sql\": \"SELECT '{}'\"}}", "x".repeat(3 << 20))),
        (Method::POST, "/v1/sql".to_owned(), "\u{0}\u{ffff}".to_owned()),
        (Method::POST, "/v1/datasets/refresh".to_owned(), "{}".to_owned()),
        (Method::DELETE, "/v1/queries/00000000-0000-0000-0000-000000000000".to_owned(), String::new()),
        (Method::POST, "/mcp".to_owned(), nested.clone()),
    ];
    for (method, path, body) in calls {
        let request = client.request(method.clone(), url(&path)).header("content-type", "application/json");
        let answer = match request.body(body.clone()).send().await {
            Ok(response) => response.text().await.unwrap_or_default(),
            // The server hung up on it.
            Err(_) => String::new(),
        };
        assert!(
            !has_canary(&answer, &format!("{path} {body}")),
            "{method} {path} {}\n{answer}",
            &body[..body.len().min(200)]
        );
    }
    // The server may have closed the connection of the last one.
    let client = Client::new();
    for (name, value) in
        [("x-weft-principal", "local"), ("authorization", "Basic bG9jYWw6"), ("x-forwarded-user", "local")]
    {
        let request =
            client.post(url("/v1/sql")).header(name, value).json(&json!({"sql": "SELECT * FROM vault.staff"}));
        let answer = request.send().await.unwrap().text().await.unwrap();
        assert!(!has_canary(&answer, ""), "{name}: {answer}");
    }
    let large = client.get(url("/v1/datasets")).header("x-large", "x".repeat(1 << 20)).send().await;
    assert!(large.map_or(true, |response| response.status().is_client_error()));
    let answer = client.get(url("/health/ready")).send().await.unwrap();
    assert!(answer.status().is_success(), "the server still answers");
    running.stop().await;
}
