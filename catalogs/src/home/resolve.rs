//! Makes sources and datasets of what the files declare: names are matched, ids are checked, kinds check their options.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use engine::names::nearest;
use engine::{Access, Code, Dataset, Tenancy};
use serde_json::Value;

use super::codebook::codebook;
use super::dataset_file::{DatabaseSection, DatasetFile, PoolSection, TableSection};
use super::datasource_file::{DatasourceEntry, DatasourcesFile, SummaryEntry, SummaryFile};
use super::folder::{DATASETS, DATASOURCES_FILE, Reader, SUMMARY_FILE};
use super::interpolate::join;
use super::problem::Fault;
use super::shape::{Faults, Shape};
use super::yaml::{Node, Scalar, Style};
use super::{DeclaredDataset, DeclaredPart, DeclaredSource, LOCAL};
use crate::source::{Connect, DEFAULT_SCHEMA, Scope, ScopedTable};
use crate::sources;

/// Ids that have a meaning of their own in SQL.
pub(crate) const RESERVED: [&str; 4] = ["information_schema", LOCAL, "system", "weft"];

/// Sources and datasets on their way.
#[derive(Default)]
pub(crate) struct Resolver {
    sources: Vec<DeclaredSource>,
    /// Ids of sources that are declared but have problems: what refers to them is not reported again.
    broken: Vec<String>,
    /// Datasets by id, with the file that declares each.
    datasets: BTreeMap<String, (String, DeclaredDataset)>,
    options: HashMap<&'static str, Shape>,
    /// Ids whose dataset file has problems. No other file may declare them, as the file's access rules are not known.
    left_out: Vec<String>,
    /// Whether a dataset file has problems and does not tell its id: it may be about any dataset without a file.
    has_nameless: bool,
}

/// A source's section of a file, and where it stands.
struct Place<'a> {
    file: &'a str,
    key: String,
    id: &'a str,
}

impl Resolver {
    pub(crate) fn resolve(mut self, reader: &mut Reader<'_>) -> (Vec<DeclaredSource>, Vec<DeclaredDataset>) {
        let databases = self.datasources(reader);
        let mut summary = summary(reader);
        for file in reader.yaml_files(DATASETS) {
            let (problems, sources) = (reader.problems.len(), self.sources.len());
            self.dataset_file(reader, &file, &mut summary);
            if reader.problems.len() > problems {
                // What has problems is left out whole: half of a design would give wrong numbers.
                self.sources.truncate(sources);
                self.datasets.retain(|_, (declared_in, _)| *declared_in != file);
            }
        }
        let may_be_open =
            |id: &str, resolver: &Self| !resolver.has_nameless && !resolver.left_out.iter().any(|out| out == id);
        for (key, entry) in summary {
            if may_be_open(&entry.id, &self) {
                self.summary_entry(reader, &key, entry);
            }
        }
        for (id, source) in databases {
            if may_be_open(&id, &self) {
                self.listed_database(reader, id, source);
            }
        }
        (self.sources, self.datasets.into_values().map(|(_, declared)| declared).collect())
    }

    /// Reads `datasources.yaml`; returns the datasets that sources list, with their source.
    fn datasources(&mut self, reader: &mut Reader<'_>) -> Vec<(String, String)> {
        let mut databases = Vec::new();
        let Some(mut node) = reader.tree(DATASOURCES_FILE) else { return databases };
        let entries = match node.get("datasources") {
            Some(Node::Map(_)) => node.take("datasources").map_or_else(Vec::new, Node::into_entries),
            _ => Vec::new(),
        };
        reader.check::<DatasourcesFile>(DATASOURCES_FILE, &node);
        for (id, mut entry) in entries {
            let key = format!("datasources.{id}");
            let id_is_valid = is_source_id(&id);
            if !id_is_valid {
                reader.problems.add(DATASOURCES_FILE, key.as_str(), Fault::InvalidId(id.clone()));
            }
            let connection = entry.take("connection").unwrap_or(Node::Map(Vec::new()));
            let kind = entry.get("type").and_then(Node::as_text).map(str::to_owned);
            let typed: Option<DatasourceEntry> =
                reader.typed::<DatasourceEntry, DatasourceEntry>(DATASOURCES_FILE, &key, &entry);
            let place = Place { file: DATASOURCES_FILE, key, id: &id };
            let source = kind.and_then(|kind| self.connect(reader, &place, "connection", &kind, connection, None));
            match (typed, source) {
                (Some(entry), Some(source)) if id_is_valid => {
                    databases.extend(entry.databases.into_iter().map(|database| (database, id.clone())));
                    let (description, is_enabled) = (entry.description, entry.enabled);
                    self.sources.push(DeclaredSource { description, is_enabled, ..source });
                }
                _ => self.broken.push(id),
            }
        }
        databases
    }

    fn dataset_file(&mut self, reader: &mut Reader<'_>, file: &str, summary: &mut Vec<(String, SummaryEntry)>) {
        let Some(mut node) = reader.tree(file) else {
            self.has_nameless = true;
            return;
        };
        let mut connection = node.get_mut("database").and_then(|database| database.take("connection"));
        if let (Some(connection), Some(database)) = (&mut connection, node.get_mut("database")) {
            for key in ["schema", "schemas", "table"] {
                if let Some(moved) = connection.take(key) {
                    database.put(key, moved);
                }
            }
        }
        let id = node.get("dataset").and_then(|dataset| dataset.get("id")).and_then(Node::as_text).map(str::to_owned);
        let problems = reader.problems.len();
        // What `summary.yaml` says of the same dataset fills what this file leaves out, also if this file has problems.
        let from_summary = id
            .as_ref()
            .and_then(|id| summary.iter().position(|(_, entry)| entry.id == *id))
            .map(|at| summary.remove(at).1);
        let Some(typed) = reader.typed::<DatasetFile, DatasetFile>(file, "", &node) else {
            self.check_connection(reader, file, &node, connection);
            self.has_nameless |= id.is_none() || reader.is_unset(file, "dataset.id");
            self.left_out.extend(id);
            return;
        };
        for (key, path) in typed.references() {
            if !reader.root.join(path).is_file() {
                reader.notes.push(format!("{file}: {key}: there is no file \"{path}\" yet"));
            }
        }
        self.dataset(reader, file, typed, connection, from_summary);
        if reader.problems.len() > problems {
            self.left_out.extend(id);
        }
    }

    /// Reports what is wrong in the connection of a file that has other problems already.
    fn check_connection(&mut self, reader: &mut Reader<'_>, file: &str, node: &Node, connection: Option<Node>) {
        let kind = node.get("database").and_then(|database| database.get("type")).and_then(Node::as_text);
        if let (Some(kind), Some(connection)) = (kind, connection) {
            let place = Place { file, key: "database".to_owned(), id: "" };
            self.connect(reader, &place, "connection", kind, connection, None);
        }
    }

    fn dataset(
        &mut self,
        reader: &mut Reader<'_>,
        file: &str,
        typed: DatasetFile,
        connection: Option<Node>,
        summary: Option<SummaryEntry>,
    ) {
        let id = typed.dataset.id.clone();
        if let Some(fault) = id_fault(&id) {
            reader.problems.add(file, "dataset.id", fault);
            return;
        }
        if let Some((other, _)) = self.datasets.get(&id) {
            reader.problems.add(file, "dataset.id", Fault::Duplicate { id, other: other.clone() });
            return;
        }
        let database = typed.database.clone().unwrap_or_default();
        let source = match (&database.kind, &database.source) {
            (Some(_), Some(_)) => {
                let text = "\"type\" and \"source\" exclude each other: keep one".to_owned();
                reader.problems.add(file, "database", Fault::Rejected(text));
                return;
            }
            (Some(kind), None) => self.own_source(reader, file, &typed, kind, connection),
            (None, Some(source)) => self.named_source(reader, file, "database.source", source),
            (None, None) => match &summary {
                Some(entry) => self.named_source(reader, SUMMARY_FILE, "data_sources", &entry.datasource),
                None => {
                    let key = if typed.database.is_some() { "database.type" } else { "database" };
                    reader.problems.add(file, key, Fault::Missing);
                    None
                }
            },
        };
        let Some((source, kind)) = source else { return };
        let weights = one_design(reader, file, &typed);
        let codebook = codebook(reader, file, &typed);
        let section = typed.dataset;
        let access = typed.access.unwrap_or_default();
        let entry = summary.as_ref();
        let schemas = self.schemas_of(&source, &database);
        let dataset = Dataset {
            name: section
                .name
                .or(entry.and_then(|entry| entry.name.clone()))
                .or(typed.ui.and_then(|ui| ui.display_name))
                .unwrap_or_else(|| id.clone()),
            description: section.description.or(entry.and_then(|entry| entry.description.clone())).unwrap_or_default(),
            domain: section.domain.or(entry.and_then(|entry| entry.domain.clone())),
            version: section.version,
            source: source.clone(),
            kind,
            schemas: schemas.clone(),
            access: Access {
                roles: access.allowed_roles.into_iter().collect(),
                default_role: access.default_role,
                projects: access.projects.into_iter().collect(),
            },
            is_sensitive: access.sensitive,
            tenancy: access
                .tenant_column
                .map(|column| Tenancy { column, shared: access.shared_tables.into_iter().collect() }),
            weights,
            codebook,
            id: id.clone(),
        };
        let tables = scoped_tables(&database, &typed.tables);
        let parts = vec![DeclaredPart { source, scope: Scope { schemas, tables } }];
        self.datasets.insert(id, (file.to_owned(), DeclaredDataset { dataset: Arc::new(dataset), parts }));
    }

    /// The source that a dataset file declares for itself; it has the dataset's id.
    fn own_source(
        &mut self,
        reader: &mut Reader<'_>,
        file: &str,
        typed: &DatasetFile,
        kind: &str,
        connection: Option<Node>,
    ) -> Option<(String, String)> {
        let id = &typed.dataset.id;
        if self.sources.iter().any(|source| source.id == *id) || self.broken.contains(id) {
            let other = format!("{DATASOURCES_FILE} as a source, and this dataset has a source of its own");
            reader.problems.add(file, "dataset.id", Fault::Duplicate { id: id.clone(), other });
            return None;
        }
        let connection = connection.unwrap_or(Node::Map(Vec::new()));
        let has_path = connection.get("path").is_some();
        let pool = typed.database.as_ref().and_then(|database| database.pool.as_ref());
        let place = Place { file, key: "database".to_owned(), id };
        let source = self.connect(reader, &place, "connection", kind, connection, pool)?;
        let takes_path = self.options.get(source.kind.name()).is_some_and(|shape| shape.has("path"));
        if takes_path && !has_path {
            if typed.tables.is_empty() {
                reader.problems.add(file, "database.connection.path", Fault::Missing);
            }
            for (at, table) in typed.tables.iter().enumerate().filter(|(_, table)| table.path.is_none()) {
                reader.problems.add(file, format!("tables[{at}].path ({})", table.name), Fault::Missing);
            }
        }
        let kind = source.kind.name().to_owned();
        self.sources
            .push(DeclaredSource { description: typed.dataset.description.clone().unwrap_or_default(), ..source });
        Some((id.clone(), kind))
    }

    /// A source of `datasources.yaml` and its kind.
    fn named_source(&mut self, reader: &mut Reader<'_>, file: &str, key: &str, id: &str) -> Option<(String, String)> {
        if let Some(source) = self.sources.iter().find(|source| source.id == id) {
            return Some((id.to_owned(), source.kind.name().to_owned()));
        }
        if !self.broken.iter().any(|broken| broken == id) {
            let near = nearest(id, self.sources.iter().map(|source| source.id.as_str())).map(str::to_owned);
            reader.problems.add(file, key, Fault::Unknown { what: "source", name: id.to_owned(), near });
        }
        None
    }

    fn summary_entry(&mut self, reader: &mut Reader<'_>, key: &str, entry: SummaryEntry) {
        if let Some(fault) = id_fault(&entry.id) {
            reader.problems.add(SUMMARY_FILE, join(key, "id"), fault);
            return;
        }
        if let Some((other, _)) = self.datasets.get(&entry.id) {
            let fault = Fault::Duplicate { id: entry.id, other: other.clone() };
            reader.problems.add(SUMMARY_FILE, join(key, "id"), fault);
            return;
        }
        let source = self.named_source(reader, SUMMARY_FILE, &join(key, "datasource"), &entry.datasource);
        let Some((source, kind)) = source else { return };
        let schemas = self.schemas_of(&source, &DatabaseSection::default());
        let dataset = Dataset {
            name: entry.name.unwrap_or_else(|| entry.id.clone()),
            description: entry.description.unwrap_or_default(),
            domain: entry.domain,
            source: source.clone(),
            kind,
            schemas: schemas.clone(),
            id: entry.id.clone(),
            ..Dataset::default()
        };
        let parts = vec![DeclaredPart { source, scope: Scope { schemas, tables: Vec::new() } }];
        self.datasets
            .insert(entry.id, (SUMMARY_FILE.to_owned(), DeclaredDataset { dataset: Arc::new(dataset), parts }));
    }

    /// A dataset that only `databases:` of a source names.
    fn listed_database(&mut self, reader: &mut Reader<'_>, id: String, source: String) {
        let key = format!("datasources.{source}.databases");
        match self.datasets.get(&id) {
            None => {
                if let Some(fault) = id_fault(&id) {
                    reader.problems.add(DATASOURCES_FILE, key, fault);
                } else if !self.broken.contains(&source) {
                    let entry = SummaryEntry { id, name: None, description: None, domain: None, datasource: source };
                    self.summary_entry(reader, &key, entry);
                }
            }
            Some((file, declared)) if declared.dataset.source != source => {
                let text =
                    format!("{file} takes \"{id}\" from source \"{}\", not from this one", declared.dataset.source);
                reader.problems.add(DATASOURCES_FILE, key, Fault::Rejected(text));
            }
            Some(_) => {}
        }
    }

    /// The schemas that a dataset shows, the default one first.
    fn schemas_of(&self, source: &str, database: &DatabaseSection) -> Vec<String> {
        let mut schemas: Vec<String> = database.schema.iter().cloned().collect();
        schemas.extend(database.schemas.iter().filter(|schema| database.schema.as_ref() != Some(schema)).cloned());
        if schemas.is_empty() {
            let source = self.sources.iter().find(|declared| declared.id == source);
            schemas.push(source.map_or(DEFAULT_SCHEMA, |declared| declared.source.default_schema()).to_owned());
        }
        schemas
    }

    /// Checks a connection by its kind's schema and makes the source. Nothing is opened.
    fn connect(
        &mut self,
        reader: &mut Reader<'_>,
        place: &Place<'_>,
        section: &str,
        kind: &str,
        mut connection: Node,
        pool: Option<&PoolSection>,
    ) -> Option<DeclaredSource> {
        let Some(kind) = sources::kind(kind) else {
            let names =
                sources::KINDS.iter().flat_map(|kind| [kind.name()].into_iter().chain(kind.aliases().iter().copied()));
            let near = nearest(kind, names).map(str::to_owned);
            let allowed = sources::KINDS.iter().map(|kind| kind.name().to_owned()).collect();
            let fault = Fault::NotOneOf { allowed, found: Some(format!("\"{kind}\"")), near };
            reader.problems.add(place.file, join(&place.key, "type"), fault);
            return None;
        };
        let at = join(&place.key, section);
        let shape = self.options.entry(kind.name()).or_insert_with(|| Shape::from(kind.options_schema()));
        let mut faults = Faults::new();
        url_from_environment(reader, &at, &mut connection, &mut faults);
        if let Some(pool) = pool {
            if shape.has("max_pool_size") {
                let most = pool.size.saturating_add(pool.max_overflow);
                connection.put("max_pool_size", Node::text(most.to_string()));
            } else {
                let text = format!("sources of kind {} hold no connections: remove this section", kind.name());
                faults.push((join(&place.key, "pool"), Fault::Rejected(text)));
            }
        }
        let options = shape.read(&connection, &at, &mut faults);
        let options: Value = reader.accept(place.file, &at, faults, options)?;
        let connect = Connect { id: place.id.to_owned(), options, root: reader.root.to_owned() };
        match reader.connections.connect(kind, connect) {
            Ok(source) => Some(DeclaredSource {
                id: place.id.to_owned(),
                kind,
                description: String::new(),
                is_enabled: true,
                source,
            }),
            Err(error) => {
                debug_assert_eq!(error.code(), Code::InvalidArgument, "connect() only checks options");
                reader.problems.add(place.file, at, Fault::Rejected(error.message().to_owned()));
                None
            }
        }
    }
}

/// The entries of `summary.yaml`, with their key paths. One that has problems is left out.
fn summary(reader: &mut Reader<'_>) -> Vec<(String, SummaryEntry)> {
    let Some(mut node) = reader.tree(SUMMARY_FILE) else { return Vec::new() };
    let entries = match node.take("data_sources") {
        Some(Node::List(entries)) => entries,
        Some(other) => {
            node.put("data_sources", other);
            Vec::new()
        }
        None => Vec::new(),
    };
    reader.check::<SummaryFile>(SUMMARY_FILE, &node);
    let keyed = entries.iter().enumerate().map(|(at, entry)| (format!("data_sources[{at}]"), entry));
    keyed
        .filter_map(|(key, entry)| {
            let entry = reader.typed::<SummaryEntry, SummaryEntry>(SUMMARY_FILE, &key, entry)?;
            Some((key, entry))
        })
        .collect()
}

/// `url_env: NAME` stands for `url: ${NAME}`.
fn url_from_environment(reader: &Reader<'_>, at: &str, connection: &mut Node, faults: &mut Faults) {
    let Some(name) = connection.take("url_env") else { return };
    let key = join(at, "url_env");
    match name.as_text() {
        None => faults.push((key, Fault::WrongType { expected: "the name of a variable".to_owned(), found: None })),
        Some(_) if connection.get("url").is_some() => {
            let text = "\"url\" and \"url_env\" exclude each other: keep one".to_owned();
            faults.push((key, Fault::Rejected(text)));
        }
        Some(name) => match (reader.env)(name) {
            Some(text) => connection.put("url", Node::Scalar(Scalar { text, style: Style::Substituted })),
            None => {
                let text = format!("the environment variable {name} is not set");
                faults.push((key, Fault::Rejected(text)));
            }
        },
    }
}

/// The tables that the dataset shows; none = every one.
fn scoped_tables(database: &DatabaseSection, tables: &[TableSection]) -> Vec<ScopedTable> {
    // `table:` next to a connection of the dataset's own names what that connection is; of a shared source it is a part.
    let is_shared = database.kind.is_none();
    let one = database.table.iter().map(|name| ScopedTable { name: name.clone(), at: is_shared.then(|| name.clone()) });
    let several = tables.iter().map(|table| ScopedTable {
        name: table.name.clone(),
        at: Some(table.path.clone().or_else(|| table.table.clone()).unwrap_or_else(|| table.name.clone())),
    });
    one.chain(several).collect()
}

/// The names of the tables that a dataset file lists, sorted; none = every one of the source.
pub(crate) fn listed_tables(typed: &DatasetFile) -> Vec<&str> {
    let one = typed.database.as_ref().and_then(|database| database.table.as_deref());
    let mut names: Vec<&str> = one.into_iter().chain(typed.tables.iter().map(|table| table.name.as_str())).collect();
    names.sort_unstable();
    names
}

/// The dataset's weights: its own section, or the one of a table.
fn one_design(reader: &mut Reader<'_>, file: &str, typed: &DatasetFile) -> Option<engine::Weights> {
    let own = typed.weights.clone().map(|section| section.weights(None));
    let of_tables = typed.tables.iter().enumerate().filter_map(|(at, table)| {
        let section = table.weights.clone()?;
        Some((at, section.weights(Some(table.name.clone()))))
    });
    let mut design = own;
    for (at, weights) in of_tables {
        if design.is_some() {
            let text = "the dataset has weights already; a dataset has one design".to_owned();
            reader.problems.add(file, format!("tables[{at}].weights"), Fault::Rejected(text));
        } else {
            design = Some(weights);
        }
    }
    let mut names: Vec<&str> = typed.tables.iter().map(|table| table.name.as_str()).collect();
    if let Some(table) = design.as_ref().and_then(|design| design.table.as_deref())
        && !names.is_empty()
        && !names.contains(&table)
    {
        let near = nearest(table, names.iter().copied()).map(str::to_owned);
        let fault = Fault::Unknown { what: "table", name: table.to_owned(), near };
        reader.problems.add(file, "weights.table", fault);
    }
    names.sort_unstable();
    for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
        let fault = Fault::Duplicate { id: pair[0].to_owned(), other: "this file".to_owned() };
        reader.problems.add(file, "tables", fault);
    }
    design
}

/// What is wrong with `id` as the id of a dataset.
pub(crate) fn id_fault(id: &str) -> Option<Fault> {
    let is_first = |c: char| c.is_ascii_lowercase() || c == '_';
    let is_valid = id.len() <= 63 && id.starts_with(is_first) && id.chars().all(|c| is_first(c) || c.is_ascii_digit());
    if !is_valid {
        Some(Fault::InvalidId(id.to_owned()))
    } else if RESERVED.contains(&id) {
        Some(Fault::ReservedId(id.to_owned()))
    } else {
        None
    }
}

/// Sources are never named in SQL, so hyphens, dots and capitals do no harm.
fn is_source_id(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
