//! The engine in process, for the peers' benches: questions come in as lines of JSON, times go out as lines of JSON.
//!
//! A question is `{"sql": "..", "out": "file.arrow"}`; `out` is optional and gets the rows. They are kept until all are there,
//! as a caller would who wants a table; with `"drain": true` each batch is dropped as it comes, and with `"describe": true` there
//! are none. `"as"` names the principal that asks; `"key"` is an API key to sign in by, without `sql` for its own sake. With
//! `"times": n` it is asked so often, and the time is the median. Arguments are tables as `NAME=WHERE`, as the flag `--table`
//! takes them, or a home folder.

use std::fs::File;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::ipc::writer::FileWriter;
use engine::{Authenticator, Door, Presented, Principal, Query};
use futures::TryStreamExt;
use serde_json::{Value, json};
use server::auth::Gate;
use server::compose::{self, Composition, HomeArgs};
use server::serve;

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
    let gate = serve::gate(&composition)?;
    let asked = Asked { composition, gate };
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let question: Value = serde_json::from_str(&line?)?;
        let answer = match runtime.block_on(asked.often(&question)) {
            Ok(answer) => answer,
            Err(error) => json!({ "error": format!("{error:#}") }),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

struct Asked {
    composition: Composition,
    gate: Option<Arc<Gate>>,
}

impl Asked {
    async fn often(&self, question: &Value) -> Result<Value> {
        let times = question["times"].as_u64().unwrap_or(1).max(1);
        let mut answers = Vec::new();
        for _ in 0..times {
            answers.push(self.once(question).await?);
        }
        let seconds = |answer: &Value| answer["seconds"].as_f64().unwrap_or_default();
        answers.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        Ok(answers.swap_remove(answers.len() / 2))
    }

    async fn once(&self, question: &Value) -> Result<Value> {
        let began = Instant::now();
        let principal = self.principal(question).await?;
        let Some(sql) = question["sql"].as_str() else {
            return Ok(json!({ "seconds": began.elapsed().as_secs_f64(), "rows": 0 }));
        };
        let engine = &self.composition.engine;
        if question["describe"] == true {
            engine.describe(&principal, &Query::new(sql)).await?;
            return Ok(json!({ "seconds": began.elapsed().as_secs_f64(), "rows": 0 }));
        }
        let stream = engine.query(&principal, Query::new(sql)).await?;
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

    async fn principal(&self, question: &Value) -> Result<Principal> {
        if let Some(key) = question["key"].as_str() {
            let gate = self.gate.as_ref().context("a key is good where auth.required is true")?;
            let presented = Presented { bearer: Some(key.to_owned()), ..Presented::default() };
            return Ok(gate.authenticate(Door::Rest, &presented).await?);
        }
        match question["as"].as_str() {
            Some(name) => Ok(self.composition.policies.principal(name)?),
            None => Ok(self.composition.principal.clone()),
        }
    }
}
