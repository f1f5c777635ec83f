//! From a name to what the principal may see of it. A dataset that is hidden is as one that does not exist.
//!
//! `dataset.table`, `dataset.schema.table`, `dataset."schema.table"`, `weft.dataset.table`, `system.table`, and bare
//! `table`: first in the session's default dataset, else where exactly one visible dataset has it.

use std::sync::Arc;
use std::time::Duration;

use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::TableSource;
use futures::stream::{self, StreamExt};

use crate::names::{listing, nearest};
use crate::policy::{Asker, Columns, Grants, PolicyTable};
use crate::survey::Read;
use crate::{Code, Dataset, Engine, Error, Principal, Query, TableProviderRef, codes, system};

/// The catalog that canonical names start with.
pub(crate) const CATALOG: &str = "weft";

/// The schema that file datasets and the engine's own answer to.
const PUBLIC: &str = "public";

/// Resolves the names of one query for one principal.
pub(super) struct Names<'a> {
    pub(super) engine: &'a Engine,
    pub(super) principal: &'a Principal,
    pub(super) query: &'a Query,
    pub(super) default_dataset: Option<&'a str>,
    pub(super) state: &'a SessionState,
}

/// A name, resolved: what planning may use, and which dataset it reads.
pub(super) struct Resolved {
    pub(super) source: Arc<dyn TableSource>,
    pub(super) dataset: String,
    /// The name after `dataset.`.
    pub(super) table: String,
}

impl Names<'_> {
    /// The table behind `name`, granted to the query in `grants`.
    ///
    /// # Errors
    /// `dataset_not_found`, `table_not_found`, `ambiguous_name`, and what the source says.
    pub(super) async fn resolve(&self, name: &TableReference, grants: &mut Grants) -> Result<Resolved, Error> {
        match name {
            TableReference::Bare { table } => self.bare(table, grants).await,
            TableReference::Partial { schema, table } => self.partial(schema, table, grants).await,
            TableReference::Full { catalog, schema, table } if catalog.as_ref() == CATALOG => {
                self.partial(schema, table, grants).await
            }
            TableReference::Full { catalog, schema, table } => {
                if catalog.as_ref() == system::DATASET && schema.as_ref() == PUBLIC {
                    return self.system(table, grants);
                }
                let dataset = self.dataset(catalog)?;
                self.table(&dataset, schema, table, grants).await
            }
        }
    }

    /// What a resolved name reads. The tables of the engine itself are of a dataset that nobody declares.
    pub(super) fn read(&self, resolved: Resolved, asked_as: Option<String>) -> Read {
        let known = self.engine.inner.catalog.dataset(&resolved.dataset);
        let undeclared = || Arc::new(Dataset { id: resolved.dataset.clone(), ..Dataset::default() });
        Read { dataset: known.unwrap_or_else(undeclared), source: resolved.source, table: resolved.table, asked_as }
    }

    fn find(&self, id: &str) -> Option<Arc<Dataset>> {
        let inner = &self.engine.inner;
        inner.catalog.dataset(id).filter(|dataset| inner.policies.sees(self.principal, dataset))
    }

    fn dataset(&self, id: &str) -> Result<Arc<Dataset>, Error> {
        visible_dataset(self.engine, self.principal, id)
    }

    async fn partial(&self, first: &str, table: &str, grants: &mut Grants) -> Result<Resolved, Error> {
        if first == system::DATASET {
            return self.system(table, grants);
        }
        if let Some(dataset) = self.find(first) {
            return match split_schema(&dataset, table) {
                Some((schema, table)) => self.table(&dataset, schema, table, grants).await,
                None => self.table(&dataset, default_schema(&dataset), table, grants).await,
            };
        }
        // A client that knows no catalogs writes schema.table within its default dataset.
        if let Some(dataset) = self.default_dataset.and_then(|id| self.find(id))
            && (first == PUBLIC || dataset.schemas.iter().any(|schema| schema == first))
        {
            return self.table(&dataset, first, table, grants).await;
        }
        self.dataset(first).and(Err(Error::new(Code::Internal, "A dataset vanished while its name was resolved.")))
    }

    fn system(&self, table: &str, grants: &mut Grants) -> Result<Resolved, Error> {
        let provider = system::provider(self.engine, self.principal, self.query, table)?;
        grants.grant(&provider, None);
        Ok(opened(system::DATASET, table, provider))
    }

    async fn table(
        &self,
        dataset: &Arc<Dataset>,
        schema: &str,
        table: &str,
        grants: &mut Grants,
    ) -> Result<Resolved, Error> {
        let schema = match schema {
            PUBLIC if !dataset.schemas.iter().any(|own| own == PUBLIC) => default_schema(dataset),
            own => own,
        };
        let seen = self.sees_table(dataset, schema, table);
        let is_there =
            seen.is_some() && (dataset.schemas.is_empty() || dataset.schemas.iter().any(|own| own == schema));
        let found = if is_there { self.engine.inner.catalog.table(dataset, schema, table).await? } else { None };
        let (Some(provider), Some(columns)) = (found, seen) else { return Err(self.no_table(dataset, table).await) };
        let listed = listed_name(dataset, schema, table);
        let coded = codes::coded(dataset, &listed, &provider)?;
        let inner = &self.engine.inner;
        let binding = inner.policies.on(self.principal, dataset, schema, table, columns);
        if binding.is_free() {
            grants.grant(&provider, None);
            return Ok(opened(&dataset.id, &listed, coded));
        }
        // The rules stand over the recoded columns: who is let through to a row or a value never learns a raw code.
        let name = TableReference::full(CATALOG, dataset.id.as_str(), listed.as_ref());
        let (principal, shapes) = (self.principal, &inner.policies.shapes);
        let asker = Asker { principal, state: self.state, key: &inner.mask_key, shapes };
        let (secured, policy) = PolicyTable::under(&binding, coded, name, &asker)?;
        grants.grant(&provider, Some(policy.clone()));
        if let Some(protection) = binding.protection() {
            grants.protect(policy, protection);
        }
        Ok(opened(&dataset.id, &listed, Arc::new(secured)))
    }

    fn sees_table(&self, dataset: &Dataset, schema: &str, table: &str) -> Option<Columns> {
        self.engine.inner.policies.sees_table(self.principal, dataset, schema, table)
    }

    async fn no_table(&self, dataset: &Arc<Dataset>, table: &str) -> Error {
        let error =
            Error::new(Code::TableNotFound, format!("Table \"{table}\" does not exist in dataset \"{}\".", dataset.id));
        let Ok(tables) = self.engine.inner.catalog.tables(dataset).await else { return error };
        let seen = tables.iter().filter(|entry| self.sees_table(dataset, &entry.schema, &entry.name).is_some());
        let names: Vec<String> =
            seen.map(|entry| listed_name(dataset, &entry.schema, &entry.name).into_owned()).collect();
        let names = names.iter().map(String::as_str);
        match nearest(table, names.clone()) {
            Some(near) => error.hint(format!("Did you mean \"{}.{near}\"?", dataset.id)),
            None if names.len() == 0 => error.hint("The dataset has no tables."),
            None => error.hint(format!("Its tables: {}.", listing(names))),
        }
    }

    async fn bare(&self, table: &str, grants: &mut Grants) -> Result<Resolved, Error> {
        if self.default_dataset == Some(system::DATASET) {
            return self.system(table, grants);
        }
        let missing = match self.default_dataset {
            Some(default) => {
                let dataset = self.dataset(default)?;
                match self.table(&dataset, default_schema(&dataset), table, grants).await {
                    Err(error) if error.code() == Code::TableNotFound => Some(error),
                    done => return done,
                }
            }
            None => None,
        };
        let owners = self.owners(table).await;
        match owners.as_slice() {
            [only] => self.table(only, default_schema(only), table, grants).await,
            [] => Err(missing.unwrap_or_else(|| {
                Error::new(Code::TableNotFound, format!("Table \"{table}\" does not exist."))
                    .hint("Write dataset.table; system.tables lists them.")
            })),
            several => {
                let names: Vec<String> = several.iter().map(|dataset| format!("{}.{table}", dataset.id)).collect();
                Err(Error::new(Code::AmbiguousName, format!("Table \"{table}\" is in {} datasets.", several.len()))
                    .hint(format!("Write one of: {}.", listing(names.iter().map(String::as_str)))))
            }
        }
    }

    /// The visible datasets that have `table`. A source that is slow or dead does not count: it hurts no other.
    async fn owners(&self, table: &str) -> Vec<Arc<Dataset>> {
        const PATIENCE: Duration = Duration::from_secs(5);
        const AT_ONCE: usize = 16;
        stream::iter(visible(self.engine, self.principal))
            .map(|dataset| async move {
                let tables =
                    tokio::time::timeout(PATIENCE, self.engine.inner.catalog.tables(&dataset)).await.ok()?.ok()?;
                let schema = default_schema(&dataset);
                let is_owner = tables.iter().any(|entry| entry.schema == schema && entry.name == table);
                (is_owner && self.sees_table(&dataset, schema, table).is_some()).then_some(dataset)
            })
            .buffered(AT_ONCE)
            .filter_map(|owner| async { owner })
            .collect()
            .await
    }
}

fn visible(engine: &Engine, principal: &Principal) -> Vec<Arc<Dataset>> {
    let datasets = engine.inner.catalog.datasets();
    datasets.iter().filter(|dataset| engine.inner.policies.sees(principal, dataset)).cloned().collect()
}

/// The dataset called `id`, where `principal` may see it.
///
/// # Errors
/// `dataset_not_found`.
pub(crate) fn visible_dataset(engine: &Engine, principal: &Principal, id: &str) -> Result<Arc<Dataset>, Error> {
    let visible = visible(engine, principal);
    if let Some(dataset) = visible.iter().find(|dataset| dataset.id == id) {
        return Ok(Arc::clone(dataset));
    }
    let error = Error::new(Code::DatasetNotFound, format!("Dataset \"{id}\" does not exist."));
    let ids = visible.iter().map(|dataset| dataset.id.as_str());
    Err(match nearest(id, ids.clone()) {
        Some(near) => error.hint(format!("Did you mean \"{near}\"?")),
        None if visible.is_empty() => error.hint("No dataset is registered."),
        None => error.hint(format!("Datasets: {}.", listing(ids))),
    })
}

fn opened(dataset: &str, table: &str, provider: TableProviderRef) -> Resolved {
    Resolved { source: provider_as_source(provider), dataset: dataset.to_owned(), table: table.to_owned() }
}

/// The schema whose tables need none in their name.
fn default_schema(dataset: &Dataset) -> &str {
    dataset.schemas.first().map_or(PUBLIC, String::as_str)
}

/// The name of a table after `dataset.`: tables of other schemas than the default carry theirs.
pub(crate) fn listed_name<'a>(dataset: &Dataset, schema: &str, table: &'a str) -> std::borrow::Cow<'a, str> {
    if schema == default_schema(dataset) { table.into() } else { format!("{schema}.{table}").into() }
}

/// `"schema.table"` in its parts, where the schema is one of the dataset's others.
fn split_schema<'n>(dataset: &Dataset, table: &'n str) -> Option<(&'n str, &'n str)> {
    let (schema, table) = table.split_once('.')?;
    dataset.schemas.iter().skip(1).any(|own| own == schema).then_some((schema, table))
}
