//! Each kind of rule where a database or a file has the rows, on one processor and on several: what comes out is what an
//! administrator gets over a view that is made by hand, of a source that nothing is pushed into.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use arrow::array::RecordBatch;
use catalogs::{Home, Registry};
use engine::policy::Policies;
use engine::{Engine, Limits, Principal, Query};
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::folder::{Folder, no_env};
use crate::{mysql, postgres};

#[derive(Deserialize)]
struct Case {
    kind: String,
    rule: Value,
    view: String,
}

/// Where the rows are, as `DATASET.TABLE`.
const TABLES: [&str; 4] = ["bank.facts", "branch.facts", "till.facts", "lake.facts"];
/// Where nothing is pushed.
const ORACLE: &str = "plain.facts";

/// The rows as SQL literals: id, name, region, amount, score, day.
fn rows() -> Vec<[String; 6]> {
    let regions = ["north", "south", "east", "west"];
    let text = |text: String| format!("'{text}'");
    let null = || "NULL".to_owned();
    (1..=300_i64)
        .map(|id| {
            let region = regions[usize::try_from(id * id % 4 + id % 2).unwrap() % 4];
            [
                id.to_string(),
                if id % 11 == 0 { null() } else { text(format!("P{}", id * 7 % 90)) },
                if id % 17 == 0 { null() } else { text(region.to_owned()) },
                format!("{}.5", id * 37 % 400),
                if id % 5 == 0 { null() } else { (id * 13 % 101).to_string() },
                text(format!("2026-0{}-1{}", id % 4 + 1, id % 9)),
            ]
        })
        .collect()
}

/// The statements that make the table.
fn statements(text: &str, double: &str) -> [String; 2] {
    let rows: Vec<String> = rows().iter().map(|row| format!("({})", row.join(", "))).collect();
    [
        format!("CREATE TABLE facts (id bigint, name {text}, region {text}, amount {double}, score bigint, day date)"),
        format!("INSERT INTO facts VALUES {}", rows.join(", ")),
    ]
}

fn testdata(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/slt/policy").join(name)).unwrap()
}

fn dataset(id: &str, database: Value) -> String {
    json!({"dataset": {"id": id, "name": id}, "database": database}).to_string()
}

/// The rows in each kind of source: in three databases, in CSV, and in four files of Parquet.
async fn home(bank: &postgres::Server, branch: &mysql::Server) -> Folder {
    bank.sql(&statements("text", "double precision").join("; "));
    for statement in statements("varchar(20)", "double") {
        branch.sql(&format!("USE bank; {statement}"));
    }
    let lines: Vec<String> = rows().iter().map(|row| row.join(",").replace('\'', "").replace("NULL", "")).collect();
    let server = |kind: &str, port: u16, database: &str, user: &str, password: &str| {
        let connection = json!({
            "host": "localhost", "port": port, "database": database, "user": user, "password": password, "sslmode": "disable",
        });
        json!({"type": kind, "connection": connection})
    };
    let folder = Folder::new()
        .file("data/plain/facts.csv", format!("id,name,region,amount,score,day\n{}\n", lines.join("\n")))
        .file("datasets/plain.yaml", dataset("plain", json!({"type": "csv", "connection": {"path": "data/plain"}})))
        .file(
            "datasets/bank.yaml",
            dataset("bank", server("postgres", bank.port, "postgres", "postgres", postgres::PASSWORD)),
        )
        .file(
            "datasets/branch.yaml",
            dataset("branch", server("mariadb", branch.port, "bank", "weft", mysql::PASSWORD)),
        )
        .file("datasets/till.yaml", dataset("till", json!({"type": "sqlite", "connection": {"path": "data/till.db"}})))
        .file("datasets/lake.yaml", dataset("lake", json!({"type": "parquet", "connection": {"path": "data/lake"}})));
    let till = rusqlite::Connection::open(folder.at("data/till.db")).unwrap();
    till.execute_batch(&statements("text", "double").join("; ")).unwrap();
    let plain = engine(&folder, Policies::default(), 1);
    let all = batches(&plain, &Principal::local(), "SELECT * FROM plain.facts ORDER BY id").await.unwrap();
    let all = arrow::compute::concat_batches(&all[0].schema(), &all).unwrap();
    for part in 0..4 {
        let file = std::fs::File::create(folder.at(&format!("data/lake/facts/{part}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, all.schema(), None).unwrap();
        writer.write(&all.slice(part * 75, 75)).unwrap();
        writer.close().unwrap();
    }
    folder
}

fn engine(folder: &Folder, policies: Policies, parallelism: usize) -> Engine {
    let registry = Registry::new(&Home::load(folder.path(), &no_env).unwrap());
    let limits = Limits { query_parallelism: parallelism, ..Limits::default() };
    Engine::builder(registry).policies(policies).limits(limits).build().unwrap()
}

async fn batches(engine: &Engine, principal: &Principal, sql: &str) -> Result<Vec<RecordBatch>, engine::Error> {
    engine.query(principal, Query::new(sql)).await?.try_collect().await
}

/// The rows as lines; figures to nine digits, since sums of parts round in their own way.
async fn lines(engine: &Engine, principal: &Principal, sql: &str) -> String {
    match batches(engine, principal, sql).await {
        Ok(batches) => {
            let lines = crate::asked::lines(&batches);
            let cell = |cell: &str| match cell.parse::<f64>() {
                Ok(number) => format!("{number:.9e}"),
                Err(_) => cell.to_owned(),
            };
            lines.iter().map(|line| line.split('|').map(cell).collect::<Vec<_>>().join("|") + "\n").collect()
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn rules_hold_where_a_source_or_several_processors_do_the_work() {
    let Some(bank) = postgres::Server::start_with("log_statement = 'all'") else { return };
    let Some(branch) = mysql::Server::start() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let failures = runtime.block_on(async {
        let folder = home(&bank, &branch).await;
        let admin = engine(&folder, Policies::default(), 1);
        let queries = testdata("queries.sql");
        let cases: Vec<Case> = serde_json::from_str(&testdata("rules.json")).unwrap();
        let mut failures = Vec::new();
        for (number, Case { kind, rule, view }) in cases.into_iter().enumerate() {
            let rules: Vec<Value> = TABLES
                .iter()
                .map(|table| {
                    let mut whole = json!({"name": format!("of {table}"), "table": table, "roles": ["analyst"]});
                    whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
                    whole
                })
                .collect();
            let policies: Policies = serde_json::from_value(json!({ "rules": rules })).unwrap();
            let analyst = Principal::new("meera", ["analyst".to_owned()]).with_attributes(
                serde_json::from_value(json!({"region": ["south"], "regions": ["north", "east"]})).unwrap(),
            );
            let engines = [engine(&folder, policies.clone(), 1), engine(&folder, policies, 4)];
            for (at, query) in queries.lines().enumerate() {
                let by_hand = format!("({})", view.replace("{t}", ORACLE));
                let written =
                    query.replace("{t} AS", &format!("{by_hand} AS")).replace("{t}", &format!("{by_hand} AS t"));
                let expected = lines(&admin, &Principal::local(), &written).await;
                for (place, table) in TABLES.iter().enumerate() {
                    // A database does the same for either; files are divided.
                    let is_meant = |several: &usize| *table == "lake.facts" || (number + at + place) % 2 == *several;
                    for several in [0, 1].iter().filter(|several| is_meant(several)) {
                        let asked = query.replace("{t}", table);
                        let given = lines(&engines[*several], &analyst, &asked).await;
                        if given != expected {
                            failures
                                .push(format!("{kind}, {several}: {asked}\nexpected\n{expected}\nand not\n{given}"));
                        }
                    }
                }
            }
        }
        failures
    });
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures[..failures.len().min(4)].join("\n\n"));
    // The rule went to the database.
    let log = std::fs::read_to_string(bank.path("log")).unwrap();
    let copies = || log.lines().filter(|line| line.contains("COPY (SELECT"));
    for sent in ["\"region\" = 'south'", "'east'"] {
        assert!(copies().any(|copy| copy.contains(sent)), "{sent}");
    }
}
