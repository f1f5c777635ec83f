//! The whole engine over one database, and over a small file next to it.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use catalogs::{Home, Registry};
use engine::{Engine, Error, Limits, Principal, Query};
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Runtime;

use crate::folder::Folder;

/// An engine over a database as dataset `bank`, and over `small.csv` as dataset `files`.
pub(crate) struct Asked {
    pub(crate) engine: Engine,
    pub(crate) runtime: Runtime,
    _folder: Folder,
}

impl Asked {
    /// `connection` is what stands under `database:` in the dataset's file.
    pub(crate) fn new(connection: &str, small: &str, limits: Limits) -> Self {
        let folder = Folder::new()
            .file("data/small.csv", small)
            .file("datasets/bank.yaml", format!("dataset:\n  id: bank\n  name: Bank\ndatabase:\n{connection}"))
            .file(
                "datasets/files.yaml",
                "dataset:\n  id: files\n  name: Files\ndatabase:\n  type: csv\n  connection:\n    path: data\n",
            );
        let home = Home::load(folder.path(), &|_| None).unwrap();
        let engine = Engine::builder(Registry::new(&home)).limits(limits).build().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { engine, runtime, _folder: folder }
    }

    pub(crate) fn ask(&self, sql: &str) -> Vec<String> {
        self.try_ask(sql).unwrap()
    }

    pub(crate) fn try_ask(&self, sql: &str) -> Result<Vec<String>, Error> {
        self.runtime.block_on(async {
            let stream = self.engine.query(&Principal::local(), Query::new(sql)).await?;
            let batches: Vec<RecordBatch> = stream.try_collect().await?;
            Ok(lines(&batches))
        })
    }

    /// The answer, and what a reader of it is told.
    pub(crate) fn answer(&self, sql: &str) -> (Vec<String>, Vec<String>) {
        self.runtime.block_on(async {
            let mut stream = self.engine.query(&Principal::local(), Query::new(sql)).await.unwrap();
            let batches: Vec<RecordBatch> = stream.by_ref().try_collect().await.unwrap();
            (lines(&batches), stream.summary().notices)
        })
    }

    /// The SQL of each scan of the database in the plan.
    pub(crate) fn sent(&self, sql: &str) -> Vec<String> {
        let plan = self.ask(&format!("EXPLAIN {sql}")).join("\n");
        plan.lines().filter_map(|line| Some(line.split_once(", sql=")?.1.to_owned())).collect()
    }

    /// Whether the same comes out where every row of each table is fetched first, in the order of its `id`. The rows.
    pub(crate) fn same_here(&self, sql: &str, tables: &[&str]) -> Vec<String> {
        let here = tables.iter().fold(sql.to_owned(), |sql, table| {
            sql.replace(&format!("bank.{table}"), &format!("(SELECT * FROM bank.{table} ORDER BY id LIMIT 100000)"))
        });
        assert!(self.sent(&here).iter().all(|sent| !sent.contains("GROUP BY") && !sent.contains(" ON ")), "{here}");
        let (mut there, mut here) = (self.ask(sql), self.ask(&here));
        let answer = there.clone();
        there.sort();
        here.sort();
        assert_eq!(there, here, "{sql}");
        answer
    }
}

/// Each row as its values in text, joined by `|`; NULL is `~`.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::new().with_null("~");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("it can be shown"))
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            lines.push(cells.join("|"));
        }
    }
    lines
}
