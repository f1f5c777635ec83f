//! Where tables come from, as the engine sees it: datasets by id, their tables by name, their sources' health.
//!
//! The engine asks; it never keeps a connection, and a listing never opens a file or a database by itself.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use crate::receipt::SourceRead;
use crate::{Code, Codebook, Drift, Error, Expected, Replicates};

/// A table that can be scanned.
pub type TableProviderRef = Arc<dyn TableProvider>;

/// What people know by name: tables from one source, with their access rules and weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dataset {
    /// The name in SQL.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// What it holds.
    pub description: String,
    /// The subject it belongs to, such as `sales`.
    pub domain: Option<String>,
    /// The version that its file declares.
    pub version: Option<String>,
    /// The id of the source that holds it.
    pub source: String,
    /// The kind of that source, such as `postgres`.
    pub kind: String,
    /// Its source schemas; tables of the first one need no schema in their name.
    pub schemas: Vec<String>,
    /// Who may see it.
    pub access: Access,
    /// Whether no more than a few of its rows leave as they are.
    pub is_sensitive: bool,
    /// How its rows are told apart by tenant, where several share it.
    pub tenancy: Option<Tenancy>,
    /// Its weights, where it is a sample.
    pub weights: Option<Weights>,
    /// What the codes of its columns mean.
    pub codebook: Codebook,
}

impl Dataset {
    /// The name of a table after `dataset.`: tables of other schemas than the default carry theirs.
    pub fn listed_name<'a>(&self, schema: &str, table: &'a str) -> Cow<'a, str> {
        crate::path::listed_name(self, schema, table)
    }
}

/// Who may see a dataset. An empty set means everyone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Roles, one of which the principal must have.
    pub roles: BTreeSet<String>,
    /// The role of a principal that has none.
    pub default_role: Option<String>,
    /// Projects, one of which the principal must be in.
    pub projects: BTreeSet<String>,
}

/// How the rows of a dataset that tenants share are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenancy {
    /// The column that names the tenant of a row; each table has it.
    pub column: String,
    /// Tables without the column, whose rows are everybody's.
    pub shared: BTreeSet<String>,
}

/// How a sample weighs: which column of which table says how many people one person stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// The table that holds unit and weight; None = each table of the dataset that has the columns.
    pub table: Option<String>,
    /// The column that names a person.
    pub unit: Option<String>,
    /// The column that holds the weight.
    pub weight: String,
    /// The column that tells the period a weight is for: the table has a row for each unit and period.
    pub period: Option<String>,
    /// Columns of the strata.
    pub strata: Vec<String>,
    /// The column of the primary sampling unit.
    pub psu: Option<String>,
    /// The column of the finite population correction.
    pub fpc: Option<String>,
    /// Replicate weights, which tell the variance in place of strata and PSUs.
    pub replicates: Option<Replicates>,
    /// Whether weights apply when a query does not say.
    pub mode: WeightsMode,
}

/// Whether weights apply when a query does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WeightsMode {
    /// Plain counts, sums and means become weighted ones, whatever the query says.
    Required,
    /// Plain counts, sums and means become weighted ones unless the query asks for plain figures.
    Default,
    /// The query decides.
    #[default]
    Offered,
}

impl WeightsMode {
    /// The mode as configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            WeightsMode::Required => "required",
            WeightsMode::Default => "default",
            WeightsMode::Offered => "offered",
        }
    }
}

/// One table of a dataset, known without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// The schema in the source.
    pub schema: String,
    /// The name in that schema.
    pub name: String,
    /// Table or view.
    pub kind: TableKind,
    /// What the source says about it.
    pub comment: Option<String>,
    /// Rows, as the source estimates them.
    pub row_estimate: Option<u64>,
}

/// What kind of relation a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Stored rows.
    Table,
    /// A view of the source.
    View,
    /// A table of the engine itself.
    System,
}

impl TableKind {
    /// The kind as JDBC and Flight SQL write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            TableKind::Table => "TABLE",
            TableKind::View => "VIEW",
            TableKind::System => "SYSTEM TABLE",
        }
    }
}

/// A source and how it fares.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceStatus {
    /// Its id.
    pub id: String,
    /// Its kind, such as `postgres`.
    pub kind: String,
    /// What its file says about it.
    pub description: String,
    /// Where it is, without credentials and without local paths.
    pub location: String,
    /// Datasets that come from it.
    pub datasets: Vec<String>,
    /// How it fared when it was last used or tested.
    pub health: SourceHealth,
    /// When that was.
    pub checked_at: Option<SystemTime>,
    /// Connections open, idle, and at most, where it has a pool.
    pub pool: Option<(u32, u32, u32)>,
}

/// How a source fared when it was last used or tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceHealth {
    /// Switched off by configuration.
    Disabled,
    /// Not used yet: connections open at first use.
    Unused,
    /// It answers.
    Ready,
    /// It does not; the sentence is safe to show.
    Unavailable(String),
}

impl SourceHealth {
    /// One word for listings.
    pub const fn as_str(&self) -> &'static str {
        match self {
            SourceHealth::Disabled => "disabled",
            SourceHealth::Unused => "unused",
            SourceHealth::Ready => "ready",
            SourceHealth::Unavailable(_) => "unavailable",
        }
    }
}

/// Every dataset there is, before any right is applied: only the path asks it.
#[async_trait]
pub trait Catalog: Debug + Send + Sync + 'static {
    /// All datasets, sorted by id. Cheap: it opens nothing.
    fn datasets(&self) -> Arc<[Arc<Dataset>]>;

    /// One dataset by id.
    fn dataset(&self, id: &str) -> Option<Arc<Dataset>> {
        let datasets = self.datasets();
        let at = datasets.binary_search_by(|dataset| dataset.id.as_str().cmp(id)).ok()?;
        datasets.get(at).cloned()
    }

    /// All sources, sorted by id. Cheap: it opens nothing.
    fn sources(&self) -> Vec<SourceStatus>;

    /// The tables of a dataset, sorted by schema (the dataset's order) and name. May ask the source; it is cached.
    ///
    /// # Errors
    /// `source_unavailable`, `source_rejected`, `data_invalid`.
    async fn tables(&self, dataset: &Dataset) -> Result<Arc<[TableEntry]>, Error>;

    /// One table, opened far enough to know its columns. None where the dataset has no such table.
    ///
    /// # Errors
    /// `source_unavailable`, `source_rejected`, `data_invalid`.
    async fn table(&self, dataset: &Dataset, schema: &str, table: &str) -> Result<Option<TableProviderRef>, Error>;

    /// Forgets what is remembered of the dataset's tables, reads them again, and says what is otherwise than it was last seen.
    /// A catalog that remembers nothing has nothing to forget.
    ///
    /// # Errors
    /// `source_unavailable`, `source_rejected`, `data_invalid`. One table that cannot be read is no error: the answer names it.
    async fn refresh(&self, dataset: &Dataset) -> Result<Drift, Error> {
        Ok(Drift { tables: self.tables(dataset).await?.len(), ..Drift::default() })
    }

    /// Moves parts of a plan into the sources that can do them. The plan has been verified; what comes back must read no more.
    ///
    /// # Errors
    /// Those of building a plan.
    fn federate(&self, plan: LogicalPlan) -> Result<LogicalPlan, Error> {
        Ok(plan)
    }

    /// What `plan` is going to fetch, as the sources estimate it.
    fn transfers(&self, plan: &Arc<dyn ExecutionPlan>) -> Vec<Expected> {
        let _ = plan;
        Vec::new()
    }

    /// What `plan`, which has run, read of the sources.
    fn reads(&self, plan: &Arc<dyn ExecutionPlan>) -> Vec<SourceRead> {
        let _ = plan;
        Vec::new()
    }

    /// Rules over physical plans that its tables' scans need, after the engine's own.
    fn physical_rules(&self) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        Vec::new()
    }
}

/// Datasets held in memory: for the engine as a library, and for its tests.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    datasets: BTreeMap<String, Arc<Dataset>>,
    tables: BTreeMap<(String, String), TableProviderRef>,
}

impl MemoryCatalog {
    /// The same catalog with one more table; its dataset is made when it is new.
    pub fn with_table(mut self, dataset: &str, table: &str, provider: TableProviderRef) -> Self {
        self.datasets.entry(dataset.to_owned()).or_insert_with(|| {
            Arc::new(Dataset {
                id: dataset.to_owned(),
                name: dataset.to_owned(),
                source: "memory".to_owned(),
                kind: "memory".to_owned(),
                schemas: vec!["public".to_owned()],
                ..Dataset::default()
            })
        });
        self.tables.insert((dataset.to_owned(), table.to_owned()), provider);
        self
    }

    /// The same catalog with one more table that holds `batches`; its dataset is made when it is new.
    ///
    /// # Errors
    /// `invalid_argument` where a batch has another schema than `schema`.
    pub fn with_batches(
        self,
        dataset: &str,
        table: &str,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
    ) -> Result<Self, Error> {
        Ok(self.with_table(dataset, table, Arc::new(MemTable::try_new(schema, vec![batches])?)))
    }

    /// The same catalog with `dataset` declared, or declared anew.
    pub fn with_dataset(mut self, dataset: Dataset) -> Self {
        self.datasets.insert(dataset.id.clone(), Arc::new(dataset));
        self
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    fn datasets(&self) -> Arc<[Arc<Dataset>]> {
        self.datasets.values().cloned().collect()
    }

    fn sources(&self) -> Vec<SourceStatus> {
        vec![SourceStatus {
            id: "memory".to_owned(),
            kind: "memory".to_owned(),
            description: "Tables of this process".to_owned(),
            location: "memory".to_owned(),
            datasets: self.datasets.keys().cloned().collect(),
            health: SourceHealth::Ready,
            checked_at: None,
            pool: None,
        }]
    }

    async fn tables(&self, dataset: &Dataset) -> Result<Arc<[TableEntry]>, Error> {
        if !self.datasets.contains_key(&dataset.id) {
            return Err(Error::new(Code::DatasetNotFound, format!("Dataset \"{}\" does not exist.", dataset.id)));
        }
        Ok(self
            .tables
            .keys()
            .filter(|(owner, _)| *owner == dataset.id)
            .map(|(_, name)| TableEntry {
                schema: "public".to_owned(),
                name: name.clone(),
                kind: TableKind::Table,
                comment: None,
                row_estimate: None,
            })
            .collect())
    }

    async fn table(&self, dataset: &Dataset, schema: &str, table: &str) -> Result<Option<TableProviderRef>, Error> {
        if schema != "public" {
            return Ok(None);
        }
        Ok(self.tables.get(&(dataset.id.clone(), table.to_owned())).cloned())
    }
}
