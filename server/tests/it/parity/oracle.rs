//! Each kind of rule against an oracle: the same query by an administrator, over a view that is filtered and masked by hand.

use std::path::Path;

use engine::{Principal, Query};
use serde::Deserialize;
use serde_json::{Value, json};
use server::serve::{self, Listen};
use server::telemetry::Metrics;

use super::doors::{Door, Place, Refusal};
use super::{DOORS, open, testdata};

#[derive(Deserialize)]
struct Case {
    kind: String,
    rule: Value,
    view: String,
}

/// The same rows as CSV, which nothing is pushed into, and as Parquet, which filters are pushed into.
const TABLES: [&str; 2] = ["csv.facts", "lake.facts"];

async fn write(home: &Path, rule: &Value) {
    let regions = ["north", "south", "east", "west"];
    let line = |id: i64| {
        let name = if id % 11 == 0 { String::new() } else { format!("P{}", id * 7 % 90) };
        let score = if id % 5 == 0 { String::new() } else { (id * 13 % 101).to_string() };
        let region = if id % 17 == 0 { "" } else { regions[usize::try_from(id * id % 4 + id % 2).unwrap() % 4] };
        format!("{id},{name},{region},{}.5,{score},2026-0{}-1{}\n", id * 37 % 400, id % 4 + 1, id % 9)
    };
    let rows: String = (1..=300).map(line).collect();
    let put = |path: &str, text: String| {
        let path = home.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("data/facts.csv", format!("id,name,region,amount,score,day\n{rows}"));
    let dataset = |id: &str, kind: &str, file: &str| {
        format!(
            "dataset: {{id: {id}, name: {id}}}\ndatabase: {{type: {kind}}}\ntables: [{{name: facts, path: data/{file}}}]\n"
        )
    };
    put("datasets/csv.yaml", dataset("csv", "csv", "facts.csv"));
    let source = open(home, "local");
    let path = home.join("data/facts.parquet");
    super::write_parquet(&source, "SELECT * FROM csv.facts", &path).await;
    put("datasets/lake.yaml", dataset("lake", "parquet", "facts.parquet"));
    let rules: Vec<Value> = TABLES
        .iter()
        .map(|table| {
            let mut whole = json!({"name": format!("of {table}"), "table": table, "roles": ["analyst"]});
            whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
            whole
        })
        .collect();
    let attributes = json!({"region": "south", "regions": ["north", "east"]});
    let principals = json!([{"name": "meera", "roles": ["analyst"], "attributes": attributes}]);
    // JSON is YAML.
    put("policies/all.yaml", json!({"principals": principals, "rules": rules}).to_string());
}

fn read(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn text(answer: Result<Vec<Vec<Value>>, Refusal>) -> String {
    match answer {
        // Read once more, as those that came through a door were.
        Ok(rows) => rows.iter().map(|row| read(&json!(row)).to_string()).collect::<Vec<_>>().join("\n"),
        Err(refusal) => refusal.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_answer_as_views_made_by_hand() {
    let cases: Vec<Case> =
        serde_json::from_str(&std::fs::read_to_string(testdata("slt/policy/rules.json")).unwrap()).unwrap();
    let queries = std::fs::read_to_string(testdata("slt/policy/queries.sql")).unwrap();
    let mut failures = Vec::new();
    for (number, Case { kind, rule, view }) in cases.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &rule).await;
        let composition = open(folder.path(), "meera");
        let (engine, principal) = (composition.engine.clone(), composition.principal.clone());
        let listen = Listen { http: Some("127.0.0.1:0".to_owned()), flight: Some("127.0.0.1:0".to_owned()) };
        let running = serve::start(composition, Metrics::default(), &listen).await.unwrap();
        let home = folder.path().to_owned();
        let place = Place { engine: engine.clone(), principal, home, http: running.http, flight: running.flight };
        let mut doors = Vec::new();
        // Twice through the engine: what is kept from the first time says the same.
        for door in DOORS.into_iter().chain(["engine"]) {
            doors.push((door, Door::open(door, &place).await));
        }
        for (at, query) in queries.lines().enumerate() {
            // Each kind and each question meet both tables, in turns.
            for table in TABLES.into_iter().skip((number + at) % 2).take(1) {
                let by_hand = format!("({})", view.replace("{t}", table));
                let aliased =
                    query.replace("{t} AS", &format!("{by_hand} AS")).replace("{t}", &format!("{by_hand} AS t"));
                let mut oracle = Door::Engine { engine: engine.clone(), principal: Principal::local() };
                let expected = text(oracle.ask(&aliased).await);
                let asked = query.replace("{t}", table);
                for (door, client) in &mut doors {
                    // A process for each query is slow: one of each kind.
                    if *door == "cli" && at != 4 {
                        continue;
                    }
                    let given = text(client.ask(&asked).await);
                    if given != expected {
                        failures.push(format!("{kind}, {door}: {asked}\nexpected\n{expected}\nand not\n{given}"));
                    }
                }
            }
        }
        drop(doors);
        running.stop().await;
    }
    assert!(
        failures.is_empty(),
        "{} differ, the first of them:\n{}",
        failures.len(),
        failures[..failures.len().min(4)].join("\n\n")
    );
}

/// That the oracle can tell: without the rule the answers differ.
#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_tells_a_rule_that_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &json!({"rows": "true"})).await;
    let composition = open(folder.path(), "meera");
    let ask = async |sql: &str| {
        let stream = composition.engine.query(&composition.principal, Query::new(sql)).await.unwrap();
        futures::TryStreamExt::try_collect::<Vec<_>>(stream).await.unwrap()
    };
    let all = ask("SELECT count(*) FROM csv.facts").await;
    let north = ask("SELECT count(*) FROM csv.facts WHERE region = 'north'").await;
    assert_ne!(all, north);
}
