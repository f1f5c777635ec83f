//! The engine in process, for the peers' benches: questions come in as lines of JSON, times go out as lines of JSON.
//!
//! A question is `{"sql": "..", "out": "file.arrow"}`; `out` is optional and gets the rows. They are kept until all are there,
//! as a caller would who wants a table; with `"drain": true` each batch is dropped as it comes. Arguments are tables as
//! `NAME=WHERE`, as the flag `--table` takes them, or a home folder.

use std::fs::File;
use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::ipc::writer::FileWriter;
use engine::Query;
use futures::TryStreamExt;
use serde_json::{Value, json};
use server::compose::{self, Composition, HomeArgs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let mut args = HomeArgs::default();
    for arg in std::env::args().skip(1) {
        match arg.split_once('=') {
            Some((name, at)) => args.tables.push((name.to_owned(), at.to_owned())),
            None => args.home = Some(arg.into()),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let composition = compose::open(&args)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let question: Value = serde_json::from_str(&line?)?;
        let answer = match runtime.block_on(ask(&composition, &question)) {
            Ok(answer) => answer,
            Err(error) => json!({ "error": format!("{error:#}") }),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

async fn ask(composition: &Composition, question: &Value) -> Result<Value> {
    let sql = question["sql"].as_str().context("a question has \"sql\"")?;
    let began = Instant::now();
    let stream = composition.engine.query(&composition.principal, Query::new(sql)).await?;
    let schema = stream.schema();
    if question["drain"] == true {
        let rows = stream.try_fold(0, async |rows, batch| Ok(rows + batch.num_rows())).await?;
        return Ok(json!({ "seconds": began.elapsed().as_secs_f64(), "rows": rows }));
    }
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let seconds = began.elapsed().as_secs_f64();
    if let Some(path) = question["out"].as_str() {
        let mut writer = FileWriter::try_new(File::create(path)?, &schema)?;
        for batch in &batches {
            writer.write(batch)?;
        }
        writer.finish()?;
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    Ok(json!({ "seconds": seconds, "rows": rows }))
}
