//! `--table name=where`: one table from a file, a folder, a pattern or a URL, without any configuration.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::Dataset;
use engine::policy::Policies;
use serde_json::json;
use url::Url;

use super::problem::{Fault, Problems};
use super::{DeclaredDataset, DeclaredPart, DeclaredSource, Home, LOCAL, Settings};
use crate::source::{Connect, DEFAULT_SCHEMA, Scope, ScopedTable, SourceKind};
use crate::sources;

/// The home of `--table` flags.
pub(crate) fn home_of<'a>(tables: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Home, Problems> {
    let mut problems = Problems::default();
    let mut flags = Flags::default();
    for (name, place) in tables {
        if name.is_empty() {
            problems.add("--table", "", Fault::Rejected("write name=path-or-url".to_owned()));
        } else if let Err(fault) = flags.add(name, place) {
            problems.add(&format!("--table {name}"), "", fault);
        }
    }
    let Flags { sources, parts, .. } = flags;
    if !problems.is_empty() {
        return Err(problems);
    }
    let kind = match sources.first() {
        Some(first) if sources.iter().all(|source| source.kind.name() == first.kind.name()) => first.kind.name(),
        _ => "mixed",
    };
    let dataset = Dataset {
        id: LOCAL.to_owned(),
        name: LOCAL.to_owned(),
        description: "Tables of the command line".to_owned(),
        source: LOCAL.to_owned(),
        kind: kind.to_owned(),
        schemas: vec![DEFAULT_SCHEMA.to_owned()],
        ..Dataset::default()
    };
    let datasets = match parts.is_empty() {
        true => Vec::new(),
        false => vec![DeclaredDataset { dataset: Arc::new(dataset), parts }],
    };
    let default_dataset = datasets.first().map(|declared| declared.dataset.id.clone());
    let settings = Settings { default_dataset, ..Settings::default() };
    Ok(Home { settings, policies: Policies::default(), sources, datasets, notes: Vec::new() })
}

/// What the flags so far have said. Tables of one place are of one source: connections are shared, and joins are made there.
#[derive(Default)]
struct Flags {
    names: HashSet<String>,
    /// Kind, options, and id of each source.
    places: Vec<(&'static str, serde_json::Value, String)>,
    sources: Vec<DeclaredSource>,
    parts: Vec<DeclaredPart>,
}

impl Flags {
    fn add(&mut self, name: &str, place: &str) -> Result<(), Fault> {
        if !self.names.insert(name.to_owned()) {
            return Err(Fault::Duplicate { id: name.to_owned(), other: "another --table".to_owned() });
        }
        let (kind, options, scope) = recognized(name, place)?;
        let known = self.places.iter().find(|known| known.0 == kind.name() && known.1 == options);
        let source = match known {
            Some((_, _, id)) => id.clone(),
            None => {
                let id = format!("{LOCAL}.{name}");
                let connect = Connect { id: id.clone(), options: options.clone(), root: PathBuf::from(".") };
                let source = kind.connect(connect).map_err(|error| Fault::Rejected(error.message().to_owned()))?;
                let description = String::new();
                self.sources.push(DeclaredSource { id: id.clone(), kind, description, is_enabled: true, source });
                self.places.push((kind.name(), options, id.clone()));
                id
            }
        };
        self.parts.push(DeclaredPart { source, scope });
        Ok(())
    }
}

type Recognized = (&'static dyn SourceKind, serde_json::Value, Scope);

/// What a flag means.
fn recognized(name: &str, place: &str) -> Result<Recognized, Fault> {
    match Url::parse(place) {
        Ok(url) if place.contains("://") && url.scheme() == "file" => {
            let path = url.to_file_path().map_err(|()| Fault::Rejected("the URL names no file".to_owned()))?;
            of_path(name, &path.to_string_lossy())
        }
        _ if sources::files::is_stored(place) => of_store(name, place),
        Ok(url) if place.contains("://") && recognized_by(url.scheme()).is_some_and(|kind| kind.is_one_file()) => {
            of_file_url(name, &url)
        }
        Ok(url) if place.contains("://") => of_url(name, url),
        _ => of_path(name, place),
    }
}

/// A database's URL. `table` and `schema` of its query are ours and are taken out.
fn of_url(name: &str, mut url: Url) -> Result<Recognized, Fault> {
    let kind = recognized_by(url.scheme()).ok_or_else(|| unknown(&format!("\"{}://\"", url.scheme())))?;
    let (mut table, mut schema, mut rest) = (None, None, Vec::new());
    for (key, value) in url.query_pairs() {
        match key.as_ref() {
            "table" => table = Some(value.into_owned()),
            "schema" => schema = Some(value.into_owned()),
            _ => rest.push((key.into_owned(), value.into_owned())),
        }
    }
    url.set_query(None);
    if !rest.is_empty() {
        url.query_pairs_mut().extend_pairs(rest);
    }
    let table = table.unwrap_or_else(|| name.to_owned());
    let (from_table, table) = match table.split_once('.') {
        Some((before, after)) if schema.is_none() => (Some(before.to_owned()), after.to_owned()),
        _ => (None, table),
    };
    let schema = schema.or(from_table).unwrap_or_else(|| DEFAULT_SCHEMA.to_owned());
    let scope = Scope { schemas: vec![schema], tables: vec![ScopedTable { name: name.to_owned(), at: Some(table) }] };
    Ok((kind, json!({ "url": url.as_str() }), scope))
}

/// Files in a store. It is not asked before the first query, so that the end of the path tells the kind.
fn of_store(name: &str, place: &str) -> Result<Recognized, Fault> {
    // `?` begins the query of a URL, and is a wildcard elsewhere.
    let path = if place.starts_with("http") { place.split(['?', '#']).next().unwrap_or(place) } else { place };
    let kind = kind_of_file(Path::new(path)).ok_or_else(|| {
        let text = "end the path with a name or a pattern such as /*.parquet, which tells the kind of the files";
        Fault::Rejected(format!("{text}; known are {}", known_extensions()))
    })?;
    Ok((kind, json!({ "path": place }), named(name)))
}

/// A file of tables by the scheme of its kind: `sqlite:///srv/shop.db` is `/srv/shop.db`, `sqlite://shop.db` is `shop.db`.
fn of_file_url(name: &str, url: &Url) -> Result<Recognized, Fault> {
    let kind = recognized_by(url.scheme()).ok_or_else(|| unknown(&format!("\"{}://\"", url.scheme())))?;
    let encoded = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
    let key_values = format!("path={}", encoded.replace('+', "%2B").replace('&', "%26"));
    let path = url::form_urlencoded::parse(key_values.as_bytes()).next().map(|(_, path)| path.into_owned());
    let mut options = serde_json::Map::from_iter([("path".to_owned(), json!(path.unwrap_or_default()))]);
    options.extend(url.query_pairs().map(|(key, value)| (key.into_owned(), json!(value))));
    Ok((kind, options.into(), named(name)))
}

/// The table called `name`, wherever the source's options say that it is.
fn named(name: &str) -> Scope {
    Scope { schemas: vec![DEFAULT_SCHEMA.to_owned()], tables: vec![ScopedTable { name: name.to_owned(), at: None }] }
}

/// A file, a folder or a pattern. Of a file of tables, `?table=` says which.
fn of_path(name: &str, place: &str) -> Result<Recognized, Fault> {
    if let Some((file, table)) = place.rsplit_once("?table=")
        && let Some(kind) = kind_of_file(Path::new(file)).filter(|kind| kind.is_one_file())
    {
        return Ok((kind, json!({ "path": file, "table": table }), named(name)));
    }
    let path = Path::new(place);
    let kind = if path.is_dir() {
        first_in(path, 0).ok_or_else(|| {
            Fault::Rejected(format!("the folder holds no file of a known kind; known are {}", known_extensions()))
        })?
    } else {
        let kind = kind_of_file(path).or_else(|| match glob::glob(place) {
            Ok(mut matches) => matches.find_map(|found| kind_of(&found.ok()?)),
            Err(_) => None,
        });
        kind.ok_or_else(|| unknown("the end of its name"))?
    };
    Ok((kind, json!({ "path": place }), named(name)))
}

/// The kind of one of many files.
fn kind_of(path: &Path) -> Option<&'static dyn SourceKind> {
    let kind = if path.is_dir() { first_in(path, 0) } else { kind_of_file(path) };
    kind.filter(|kind| !kind.is_one_file())
}

/// The kind by the end of the name, in front of `.gz` and the like.
fn kind_of_file(path: &Path) -> Option<&'static dyn SourceKind> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let name = sources::files::without_compression(&name);
    recognized_by(name.rsplit_once('.')?.1)
}

/// The kind of the first file below a folder, in the order of names.
fn first_in(folder: &Path, depth: usize) -> Option<&'static dyn SourceKind> {
    const MAX_DEPTH: usize = 32;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| !sources::files::is_hidden(path));
    paths.sort();
    let below = |path: &PathBuf| (depth < MAX_DEPTH).then(|| first_in(path, depth + 1)).flatten();
    paths.iter().find_map(|path| if path.is_dir() { below(path) } else { kind_of(path) })
}

fn recognized_by(word: &str) -> Option<&'static dyn SourceKind> {
    sources::KINDS.iter().copied().find(|kind| kind.recognizes().contains(&word))
}

fn unknown(what: &str) -> Fault {
    Fault::Rejected(format!("no kind of source is recognized by {what}; known are {}", known_extensions()))
}

/// Every kind with what it is recognized by.
fn known_extensions() -> String {
    let kinds = sources::KINDS.iter().map(|kind| format!("{} ({})", kind.name(), kind.recognizes().join(", ")));
    kinds.collect::<Vec<_>>().join(", ")
}
