//! System tables: datasets, tables, columns, sources, queries, receipts and functions as rows, read through the one path, so
//! that listings obey the same rights as data. A new one is a file here and a line in `TABLES`.

mod columns;
mod datasets;
mod functions;
mod join_health;
mod queries;
mod receipts;
mod sources;
mod tables;
mod type_names;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::names::{listing, nearest};
use crate::policy::Columns;
use crate::{Code, Dataset, Deadline, Engine, Error, Principal, Query, TableEntry, TableKind};

pub use type_names::type_name;

/// The dataset that system tables are in.
pub(crate) const DATASET: &str = "system";

/// What SHOW TABLES asks.
pub(crate) const SHOW_TABLES: &str =
    "SELECT dataset_id, table_name, table_type FROM system.tables ORDER BY dataset_id, table_name";

/// One system table.
#[async_trait]
trait SystemTable: Debug + Send + Sync {
    fn name(&self) -> &'static str;

    /// What it holds, for listings.
    fn comment(&self) -> &'static str;

    fn schema(&self) -> Schema;

    /// Its rows, as far as `asked` wants them.
    async fn rows(&self, asked: &Asked) -> Result<RecordBatch, Error>;
}

/// Every system table, sorted by name.
static TABLES: &[&dyn SystemTable] = &[
    &columns::Columns,
    &datasets::Datasets,
    &functions::Functions,
    &join_health::JoinHealth,
    &queries::Queries,
    &receipts::Receipts,
    &sources::Sources,
    &tables::Tables,
];

/// The system table called `name`, as `principal` sees it in `query`.
///
/// # Errors
/// `table_not_found`.
pub(crate) fn provider(
    engine: &Engine,
    principal: &Principal,
    query: &Query,
    name: &str,
) -> Result<Arc<dyn TableProvider>, Error> {
    let table = TABLES.iter().copied().find(|table| table.name() == name).ok_or_else(|| {
        let names = TABLES.iter().map(|table| table.name());
        let error = Error::new(Code::TableNotFound, format!("Table \"{name}\" does not exist in dataset \"system\"."));
        match nearest(name, names.clone()) {
            Some(near) => error.hint(format!("Did you mean \"system.{near}\"?")),
            None => error.hint(format!("Its tables: {}.", listing(names))),
        }
    })?;
    let asked = Asked {
        engine: engine.clone(),
        principal: principal.clone(),
        query: query.clone(),
        deadline: None,
        wanted: BTreeMap::new(),
        columns: None,
    };
    Ok(Arc::new(Provider { table, schema: Arc::new(table.schema()), asked }))
}

/// Who asks for which part of a system table.
#[derive(Debug, Clone)]
struct Asked {
    engine: Engine,
    principal: Principal,
    /// The query that reads the table.
    query: Query,
    /// When that query must be done.
    deadline: Option<Instant>,
    /// What a text column must be one of, for the columns that the query says it of.
    wanted: BTreeMap<String, BTreeSet<String>>,
    /// The columns that are read. None = all.
    columns: Option<BTreeSet<String>>,
}

impl Asked {
    fn visible_datasets(&self) -> Vec<Arc<Dataset>> {
        let datasets = self.engine.inner.catalog.datasets();
        datasets
            .iter()
            .filter(|dataset| self.engine.inner.policies.sees(&self.principal, dataset))
            .filter(|dataset| self.wants("dataset_id", &dataset.id))
            .cloned()
            .collect()
    }

    /// The values that `column` must be one of, where the query says so.
    fn wanted(&self, column: &str) -> Option<&BTreeSet<String>> {
        self.wanted.get(column)
    }

    fn wants(&self, column: &str, value: &str) -> bool {
        self.wanted(column).is_none_or(|wanted| wanted.contains(value))
    }

    fn wants_table(&self, name: &str) -> bool {
        self.wants("table_name", name)
    }

    fn wants_column(&self, name: &str) -> bool {
        self.columns.as_ref().is_none_or(|wanted| wanted.contains(name))
    }

    fn wants_system(&self) -> bool {
        self.wants("dataset_id", DATASET)
    }

    /// The columns of a table that the caller may see.
    fn columns_of(&self, dataset: &Dataset, entry: &TableEntry, schema: &Schema) -> Schema {
        let seen = self.sees(dataset, entry);
        let is_seen = |field: &&Arc<Field>| seen.as_ref().is_some_and(|columns| columns.has(field.name()));
        Schema::new(schema.fields().iter().filter(is_seen).cloned().collect::<Vec<_>>())
    }

    /// What the caller may see of a table of a visible dataset.
    fn sees(&self, dataset: &Dataset, entry: &TableEntry) -> Option<Columns> {
        self.engine.inner.policies.sees_table(&self.principal, dataset, &entry.schema, &entry.name)
    }

    /// Asks the engine what this table is made from: as the one who reads it, and through the same door.
    async fn ask(&self, query: Query) -> Result<Vec<RecordBatch>, Error> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let query = query
            .of_rows()
            .dataset(self.query.dataset.clone())
            .timeout(left)
            .from(self.query.door, self.query.client.clone());
        self.engine.query(&self.principal, query).await?.try_collect().await
    }

    /// The wanted tables of every visible dataset, by dataset. A source that is dead or slow drops out; when the query
    /// names one dataset, its error is the answer instead.
    async fn visible_tables(&self) -> Result<Vec<(Arc<Dataset>, TableEntry)>, Error> {
        let is_named = self.wanted("dataset_id").is_some_and(|datasets| datasets.len() == 1);
        let listed = self.ask_each(self.visible_datasets(), is_named, |engine, dataset| async move {
            let tables = engine.inner.catalog.tables(&dataset).await?;
            Ok(tables.iter().map(|entry| (Arc::clone(&dataset), entry.clone())).collect::<Vec<_>>())
        });
        let mut tables: Vec<_> = listed.await?.into_iter().flatten().collect();
        for (dataset, entry) in &mut tables {
            // How many rows a source has is said to who sees all of them only.
            let policies = &self.engine.inner.policies;
            let binding = policies.on(&self.principal, dataset, &entry.schema, &entry.name, Columns::All);
            entry.row_estimate = entry.row_estimate.filter(|_| binding.is_free());
        }
        tables.retain(|(dataset, entry)| {
            self.wants_table(&crate::path::listed_name(dataset, &entry.schema, &entry.name))
                && self.sees(dataset, entry).is_some()
        });
        Ok(tables)
    }

    /// Opens tables, all at once. One that fails drops out; when the query names one table, its error is the answer.
    async fn open_each<T, F>(
        &self,
        tables: Vec<(Arc<Dataset>, TableEntry)>,
        open: impl Fn(Engine, (Arc<Dataset>, TableEntry)) -> F,
    ) -> Result<Vec<T>, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let is_named = self.wanted("table_name").is_some_and(|tables| tables.len() == 1);
        self.ask_each(tables, is_named, open).await
    }

    /// Asks for each item at once, within a deadline, and keeps the order. What fails drops out, but where the query
    /// names the very thing.
    async fn ask_each<I, T, F>(
        &self,
        items: Vec<I>,
        is_named: bool,
        ask: impl Fn(Engine, I) -> F,
    ) -> Result<Vec<T>, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        const PATIENCE: Duration = Duration::from_secs(15);
        const AT_ONCE: usize = 16;
        let answers = stream::iter(items).map(|item| {
            let answer = ask(self.engine.clone(), item);
            async { tokio::time::timeout(PATIENCE, answer).await }
        });
        let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
        let mut kept = Vec::with_capacity(answers.len());
        for answer in answers {
            match answer {
                Ok(Ok(answer)) => kept.push(answer),
                Ok(Err(error)) if is_named => return Err(error),
                Ok(Err(error)) => tracing::warn!(code = %error.code(), "a listing leaves a source out: {error}"),
                Err(_elapsed) => tracing::warn!("a listing leaves a source out: it did not answer in time"),
            }
        }
        Ok(kept)
    }
}

/// The engine's own tables as entries of a listing.
fn system_entries() -> impl Iterator<Item = (&'static dyn SystemTable, TableEntry)> {
    TABLES.iter().map(|table| {
        let entry = TableEntry {
            schema: "public".to_owned(),
            name: table.name().to_owned(),
            kind: TableKind::System,
            comment: Some(table.comment().to_owned()),
            row_estimate: None,
        };
        (*table, entry)
    })
}

#[derive(Debug)]
struct Provider {
    table: &'static dyn SystemTable,
    schema: SchemaRef,
    asked: Asked,
}

#[async_trait]
impl TableProvider for Provider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut asked = self.asked.clone();
        for (column, values) in filters.iter().filter_map(equal_to) {
            let values = match asked.wanted.get(column) {
                Some(earlier) => earlier.intersection(&values).cloned().collect(),
                None => values,
            };
            asked.wanted.insert(column.to_owned(), values);
        }
        asked.columns = projection.map(|kept| kept.iter().map(|at| self.schema.field(*at).name().clone()).collect());
        let rows = Rows { table: self.table, schema: Arc::clone(&self.schema), asked };
        let partitions: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(rows)];
        let exec = StreamingTableExec::try_new(Arc::clone(&self.schema), partitions, projection, [], false, None)?;
        Ok(Arc::new(exec))
    }
}

/// A filter that wants a text column to be one of some values.
fn equal_to(filter: &Expr) -> Option<(&str, BTreeSet<String>)> {
    fn column(expr: &Expr) -> Option<&str> {
        match expr {
            Expr::Column(column) => Some(&column.name),
            Expr::Cast(cast) => column(&cast.expr),
            _ => None,
        }
    }
    fn text(expr: &Expr) -> Option<String> {
        match expr {
            Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text), _) => {
                text.clone()
            }
            _ => None,
        }
    }
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (name, value) = match (column(left), column(right)) {
                (Some(name), _) => (name, text(right)?),
                (_, Some(name)) => (name, text(left)?),
                _ => return None,
            };
            Some((name, BTreeSet::from([value])))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (name, mut values) = equal_to(left)?;
            let (other, more) = equal_to(right)?;
            values.extend(more);
            (name == other).then_some((name, values))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            Some((column(expr)?, list.iter().map(text).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

#[derive(Debug)]
struct Rows {
    table: &'static dyn SystemTable,
    schema: SchemaRef,
    asked: Asked,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (table, mut asked) = (self.table, self.asked.clone());
        asked.deadline = Deadline::of(&context);
        let rows = stream::once(async move { Ok(table.rows(&asked).await?) });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
