//! The datasets and sources of a home, as the engine asks for them. Sources are opened when they are asked for, each on
//! its own: one that fails hurts no other.

mod refresh;
mod seen;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use engine::receipt::SourceRead;
use engine::{
    Catalog, Code, Dataset, Drift, Error, Expected, SourceHealth, SourceStatus, TableEntry, TableKind, TableProviderRef,
};
use futures::future::join_all;

use crate::home::{DeclaredDataset, DeclaredPart, DeclaredSource, Home};
use crate::sources::reads::reads;
use crate::sources::remote::{MarkAwaited, note_kept, push_aggregates, push_top, transfers};
use seen::Seen;

/// The datasets and sources of a home. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    datasets: Arc<[Arc<Dataset>]>,
    parts: HashMap<String, Vec<DeclaredPart>>,
    /// In the order of the files, as start lines tell them.
    sources: Vec<Registered>,
    listings: Mutex<HashMap<String, Listing>>,
    seen: Seen,
}

/// The tables of a dataset, and until when they need not be asked for again.
type Listing = (Instant, Arc<[TableEntry]>);

/// A source and how it fares.
#[derive(Debug)]
struct Registered {
    declared: DeclaredSource,
    health: Arc<Mutex<Health>>,
}

/// How a source fared, and when that was.
type Health = (SourceHealth, Option<SystemTime>);

impl Registry {
    /// The datasets and sources of `home`. Nothing is opened.
    pub fn new(home: &Home) -> Self {
        Self::of(home, Registered::new)
    }

    /// The datasets and sources of a home that was read again. A source that is still the same one keeps its connections and
    /// its health, and forgets what it remembered of its tables: the next query sees them as they are.
    pub fn renewed(&self, home: &Home) -> Self {
        let next = Self::of(home, |declared| {
            let is_same = |known: &&Registered| {
                std::ptr::addr_eq(Arc::as_ptr(&known.declared.source), Arc::as_ptr(&declared.source))
            };
            match self.inner.sources.iter().find(is_same) {
                Some(known) if known.declared.is_enabled == declared.is_enabled => {
                    declared.source.forget();
                    Registered { health: Arc::clone(&known.health), declared }
                }
                _ => Registered::new(declared),
            }
        });
        for dataset in next.inner.datasets.iter().filter(|dataset| self.is_made_alike(&next, dataset)) {
            next.inner.seen.put(&dataset.id, self.inner.seen.of(&dataset.id));
        }
        next
    }

    fn of(home: &Home, registered: impl FnMut(DeclaredSource) -> Registered) -> Self {
        let by_id: BTreeMap<&str, &DeclaredDataset> =
            home.datasets.iter().map(|declared| (declared.dataset.id.as_str(), declared)).collect();
        let datasets = by_id.values().map(|declared| Arc::clone(&declared.dataset)).collect();
        let parts = by_id.iter().map(|(id, declared)| ((*id).to_owned(), declared.parts.clone())).collect();
        let sources = home.sources.iter().cloned().map(registered).collect();
        let inner = Inner { datasets, parts, sources, listings: Mutex::default(), seen: Seen::default() };
        Self { inner: Arc::new(inner) }
    }

    /// What was registered, one line per source and the totals: the lines of a start.
    pub fn registered(&self) -> Vec<String> {
        let enabled = self.inner.sources.iter().filter(|source| source.declared.is_enabled);
        let mut lines: Vec<String> = enabled
            .map(|source| format!("Registered {} datasource: {}", source.declared.kind.title(), source.declared.id))
            .collect();
        let sources = lines.len();
        let disabled = self.inner.sources.iter().filter(|source| !source.declared.is_enabled);
        lines.extend(disabled.map(|source| format!("Skipped disabled datasource: {}", source.declared.id)));
        let datasets = self.inner.datasets.len();
        lines.push(format!(
            "Loaded {sources} datasource{} and {datasets} database mapping{}",
            plural(sources),
            plural(datasets)
        ));
        lines
    }

    /// Tests all sources that nobody has used yet at once, each for at most `deadline`, and keeps the results as their health.
    /// Sources that are switched off are left out.
    pub async fn probe(&self, deadline: Duration) -> Vec<(String, Result<(), Error>)> {
        let unused = self.inner.sources.iter().filter(|source| source.health().0 == SourceHealth::Unused);
        join_all(unused.map(|source| async move {
            let tested = tokio::time::timeout(deadline, source.declared.source.test()).await;
            let result = tested.unwrap_or_else(|_| {
                let text = format!("Source \"{}\" did not answer in time.", source.declared.id);
                Err(Error::new(Code::SourceUnavailable, text))
            });
            source.heard(result.as_ref().err(), true);
            (source.declared.id.clone(), result)
        }))
        .await
    }

    /// Whether `dataset` shows the same parts of the same sources in `other`.
    fn is_made_alike(&self, other: &Registry, dataset: &Dataset) -> bool {
        self.inner.parts.get(&dataset.id).is_some_and(|parts| other.inner.parts.get(&dataset.id) == Some(parts))
    }

    fn listings(&self) -> MutexGuard<'_, HashMap<String, Listing>> {
        self.inner.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self, dataset: &Dataset) -> Result<&[DeclaredPart], Error> {
        self.inner
            .parts
            .get(&dataset.id)
            .map(Vec::as_slice)
            .ok_or_else(|| Error::new(Code::DatasetNotFound, format!("Dataset \"{}\" does not exist.", dataset.id)))
    }

    fn source(&self, id: &str) -> Result<&Registered, Error> {
        let source = self.inner.sources.iter().find(|source| source.declared.id == id);
        let source =
            source.ok_or_else(|| Error::new(Code::SourceUnavailable, format!("Source \"{id}\" is not registered.")))?;
        if source.declared.is_enabled {
            return Ok(source);
        }
        Err(Error::new(Code::SourceUnavailable, format!("Source \"{id}\" is switched off."))
            .hint("Set `enabled: true` in datasources.yaml."))
    }

    async fn listing(&self, dataset: &Dataset, parts: &[DeclaredPart]) -> Result<(Arc<[TableEntry]>, Duration), Error> {
        if let [part] = parts {
            let source = self.source(&part.source)?;
            let entries = source.declared.source.tables(&part.scope).await;
            source.heard(entries.as_ref().err(), false);
            return Ok((entries?.into(), source.declared.source.listing_lifetime()));
        }
        // Tables of the command line: their names are known without asking.
        let schema = dataset.schemas.first().cloned().unwrap_or_default();
        let named = parts.iter().flat_map(|part| &part.scope.tables).map(|table| TableEntry {
            schema: schema.clone(),
            name: table.name.clone(),
            kind: TableKind::Table,
            comment: None,
            row_estimate: None,
        });
        let mut entries: Vec<TableEntry> = named.collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok((entries.into(), Duration::ZERO))
    }
}

impl Registered {
    fn new(declared: DeclaredSource) -> Self {
        let health = if declared.is_enabled { SourceHealth::Unused } else { SourceHealth::Disabled };
        Self { declared, health: Arc::new(Mutex::new((health, None))) }
    }

    fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of how the source answered. A file that is torn is the fault of one table, not of its source, unless
    /// the source itself was tested.
    fn heard(&self, error: Option<&Error>, is_test: bool) {
        let health = match error {
            None => SourceHealth::Ready,
            Some(error) => match error.code() {
                Code::SourceUnavailable | Code::SourceRejected => SourceHealth::Unavailable(error.message().to_owned()),
                _ if is_test => SourceHealth::Unavailable(error.message().to_owned()),
                _ => return,
            },
        };
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = (health, Some(SystemTime::now()));
    }
}

#[async_trait]
impl Catalog for Registry {
    fn federate(&self, plan: LogicalPlan) -> Result<LogicalPlan, Error> {
        Ok(note_kept(push_top(push_aggregates(plan)?)?)?)
    }

    fn transfers(&self, plan: &Arc<dyn ExecutionPlan>) -> Vec<Expected> {
        transfers(plan)
    }

    fn reads(&self, plan: &Arc<dyn ExecutionPlan>) -> Vec<SourceRead> {
        reads(plan)
    }

    fn physical_rules(&self) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        vec![Arc::new(MarkAwaited)]
    }

    fn datasets(&self) -> Arc<[Arc<Dataset>]> {
        Arc::clone(&self.inner.datasets)
    }

    fn sources(&self) -> Vec<SourceStatus> {
        let mut datasets: HashMap<&str, Vec<String>> = HashMap::new();
        for dataset in self.inner.datasets.iter() {
            for part in self.inner.parts.get(&dataset.id).into_iter().flatten() {
                let of_source = datasets.entry(part.source.as_str()).or_default();
                if of_source.last() != Some(&dataset.id) {
                    of_source.push(dataset.id.clone());
                }
            }
        }
        let status = |source: &Registered| {
            let (health, checked_at) = source.health();
            let declared = &source.declared;
            let outage = declared.source.outage().filter(|_| declared.is_enabled);
            let health = outage.map_or(health, SourceHealth::Unavailable);
            SourceStatus {
                id: declared.id.clone(),
                kind: declared.kind.name().to_owned(),
                description: declared.description.clone(),
                location: declared.source.location(),
                datasets: datasets.get(declared.id.as_str()).cloned().unwrap_or_default(),
                health,
                checked_at,
                pool: declared.source.pool(),
            }
        };
        let mut sources: Vec<SourceStatus> = self.inner.sources.iter().map(status).collect();
        sources.sort_by(|one, other| one.id.cmp(&other.id));
        sources
    }

    async fn tables(&self, dataset: &Dataset) -> Result<Arc<[TableEntry]>, Error> {
        let parts = self.parts(dataset)?;
        let known = {
            let listings = self.listings();
            listings
                .get(&dataset.id)
                .filter(|(until, _)| Instant::now() < *until)
                .map(|(_, entries)| Arc::clone(entries))
        };
        if let Some(entries) = known {
            return Ok(entries);
        }
        let (entries, lifetime) = self.listing(dataset, parts).await?;
        self.inner.seen.listed(&dataset.id, &entries);
        if !lifetime.is_zero() {
            self.listings().insert(dataset.id.clone(), (Instant::now() + lifetime, Arc::clone(&entries)));
        }
        Ok(entries)
    }

    async fn table(&self, dataset: &Dataset, schema: &str, table: &str) -> Result<Option<TableProviderRef>, Error> {
        let parts = self.parts(dataset)?;
        let is_one = parts.len() == 1;
        for part in parts {
            let named = part.scope.tables.iter().any(|scoped| scoped.name == table);
            if !named && (!is_one || !part.scope.tables.is_empty()) {
                continue;
            }
            // A table of the command line answers to the schema of its dataset, wherever it is in its source.
            let inner = if is_one { Some(schema) } else { self.schema_of(dataset, schema, part) };
            let Some(inner) = inner else { return Ok(None) };
            let source = self.source(&part.source)?;
            let opened = source.declared.source.open(&part.scope, inner, table).await;
            source.heard(opened.as_ref().err(), false);
            if let Ok(Some(opened)) = &opened {
                self.inner.seen.opened(&dataset.id, schema, table, opened.schema());
            }
            return opened;
        }
        Ok(None)
    }

    async fn refresh(&self, dataset: &Dataset) -> Result<Drift, Error> {
        self.read_again(dataset).await
    }
}

impl Registry {
    fn schema_of<'a>(&self, dataset: &Dataset, schema: &'a str, part: &'a DeclaredPart) -> Option<&'a str> {
        let is_own = dataset.schemas.iter().any(|own| own == schema);
        is_own.then(|| part.scope.schemas.first().map_or(schema, String::as_str))
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
