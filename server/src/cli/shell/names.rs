//! The names that can be completed: asked from the system tables, and only once.
//!
//! Datasets and functions are asked at the start. The tables of a dataset are asked when somebody types its name: before
//! that no source is bothered. A source that is slow does not hold up typing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::cli::ask::Asker;

/// Typing waits so long for names; the next Tab finds those that came later.
const PATIENCE: Duration = Duration::from_millis(600);

/// A table of a dataset with its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TableNames {
    /// The name to write after the dataset.
    pub(super) table: String,
    /// Its columns with their types.
    pub(super) columns: Vec<(String, String)>,
}

/// What is known of a dataset.
type Tables = Arc<Vec<TableNames>>;

/// Names, as far as they are known.
#[derive(Debug, Clone)]
pub(super) struct Names {
    runtime: Handle,
    asker: Asker,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    datasets: Vec<String>,
    functions: Vec<String>,
    tables: HashMap<String, watch::Receiver<Option<Tables>>>,
}

impl Names {
    /// Names that `asker` may see. Begins to ask for datasets and functions.
    pub(super) fn of(runtime: Handle, asker: Asker) -> Self {
        let names = Self { runtime, asker, state: Arc::default() };
        let asking = names.clone();
        names.runtime.spawn(async move { asking.ask().await });
        names
    }

    async fn ask(&self) {
        let first = |rows: Vec<Vec<String>>| rows.into_iter().flatten().collect::<Vec<String>>();
        // A name that cannot be asked for is not completed; nothing else depends on it.
        if let Ok(rows) = self.asker.listing("SELECT dataset_id FROM system.datasets ORDER BY 1", &[]).await {
            let mut datasets = first(rows);
            datasets.push("system".to_owned());
            self.state().datasets = datasets;
        }
        if let Ok(rows) = self.asker.listing("SELECT DISTINCT name FROM system.functions ORDER BY 1", &[]).await {
            self.state().functions = first(rows);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The datasets.
    pub(super) fn datasets(&self) -> Vec<String> {
        self.state().datasets.clone()
    }

    /// The functions.
    pub(super) fn functions(&self) -> Vec<String> {
        self.state().functions.clone()
    }

    /// The tables of a dataset; none where the dataset is unknown, or its source is slow or down.
    pub(super) fn tables(&self, dataset: &str) -> Tables {
        let mut receiver = {
            let mut state = self.state();
            if !state.datasets.iter().any(|known| known == dataset) {
                return Tables::default();
            }
            state.tables.entry(dataset.to_owned()).or_insert_with(|| self.begin(dataset)).clone()
        };
        self.runtime.block_on(async {
            let known = tokio::time::timeout(PATIENCE, receiver.wait_for(Option::is_some)).await;
            known.ok().and_then(Result::ok).and_then(|tables| tables.clone()).unwrap_or_default()
        })
    }

    fn begin(&self, dataset: &str) -> watch::Receiver<Option<Tables>> {
        let (sender, receiver) = watch::channel(None);
        let (asker, dataset) = (self.asker.clone(), dataset.to_owned());
        self.runtime.spawn(async move {
            let sql = "SELECT table_name, column_name, data_type FROM system.columns WHERE dataset_id = $1 \
                 ORDER BY schema_name, table_name, ordinal";
            let rows = asker.listing(sql, &[&dataset]).await.unwrap_or_default();
            sender.send_replace(Some(Arc::new(by_table(rows))));
        });
        receiver
    }
}

fn by_table(rows: Vec<Vec<String>>) -> Vec<TableNames> {
    let mut tables: Vec<TableNames> = Vec::new();
    for row in rows {
        let Ok([table, column, data_type]) = <[String; 3]>::try_from(row) else { continue };
        if tables.last().is_none_or(|last| last.table != table) {
            tables.push(TableNames { table, columns: Vec::new() });
        }
        if let Some(last) = tables.last_mut() {
            last.columns.push((column, data_type));
        }
    }
    tables
}
