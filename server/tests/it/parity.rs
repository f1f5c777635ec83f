//! Behaviour as text: every `.slt` file of `testdata/slt` through every door, with equal results.
//!
//! A folder of it is a home and a principal: `bank` runs on the demo with its PostgreSQL databases, `files` on a home
//! of files, `restricted` on the same home as a principal with a row rule and a mask. An error in a file is
//! `code: sentence`, and so are errors the same on every door.

#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod attacks;
mod doors;
mod oracle;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use server::compose::{self, Composition, HomeArgs};
use server::serve::{self, Listen};
use server::telemetry::Metrics;
use sqllogictest::{MakeConnection, Runner};

use doors::{Answer, Door};

/// The doors, by the names that failures show.
const DOORS: [&str; 5] = ["cli", "engine", "flight", "mcp", "rest"];

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// The home of `testdata/home`, with a Parquet file made from its CSV.
async fn file_home() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&testdata("home"), folder.path());
    let csv = open(folder.path(), "local");
    write_parquet(&csv, "SELECT * FROM shop.orders", &folder.path().join("data/orders.parquet")).await;
    folder
}

/// The answer to a question as a Parquet file.
async fn write_parquet(composition: &Composition, sql: &str, path: &Path) {
    let stream = composition.engine.query(&composition.principal, engine::Query::new(sql)).await.unwrap();
    let schema = stream.schema();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, schema, None).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
}

fn open(home: &Path, principal: &str) -> Composition {
    let args = HomeArgs { home: Some(home.to_owned()), principal: Some(principal.to_owned()), ..HomeArgs::default() };
    compose::open(&args).unwrap()
}

/// Runs the files of `folder` on `home` through every door.
async fn run(folder: &str, home: &Path, principal: &str) {
    let composition = open(home, principal);
    let (engine, who) = (composition.engine.clone(), composition.principal.clone());
    let listen = Listen { http: Some("127.0.0.1:0".to_owned()), flight: Some("127.0.0.1:0".to_owned()) };
    let running = serve::start(composition, Metrics::default(), &listen).await.unwrap();
    let place =
        doors::Place { engine, principal: who, home: home.to_owned(), http: running.http, flight: running.flight };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(testdata("slt").join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no .slt file");
    let mut failures = Vec::new();
    for door in DOORS {
        for file in &files {
            let mut runner = Runner::new(|| async { Ok(Answer(Door::open(door, &place).await)) });
            runner.add_label(door);
            if let Err(error) = check(&mut runner, file).await {
                failures.push(format!("{door}: {error}"));
            }
        }
    }
    running.stop().await;
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

async fn check<M: MakeConnection<Conn = Answer>>(runner: &mut Runner<Answer, M>, file: &Path) -> Result<(), String> {
    runner.run_file_async(file).await.map_err(|error| error.display(false).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_answer_the_same_through_every_door() {
    let home = file_home().await;
    run("files", home.path(), "local").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_hold_the_same_through_every_door() {
    let home = file_home().await;
    run("restricted", home.path(), "meera").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_bank_answers_the_same_through_every_door() {
    let folder = super::demo::folder();
    let home = folder.path().join("demo");
    let bank = tokio::task::block_in_place(|| server::demo::prepare(&home, &mut std::io::sink())).unwrap();
    run("bank", &home, "local").await;
    drop(bank);
}
