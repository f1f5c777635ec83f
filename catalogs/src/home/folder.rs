//! Reads the files of a home folder. Each file is parsed, interpolated, checked and only then used.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine::names::nearest;
use engine::policy::{Condition, Place, Policies};
use serde::de::DeserializeOwned;

use super::interpolate::{Env, interpolate};
use super::lines::Lines;
use super::policy_file::PolicyFile;
use super::problem::{Fault, Problems};
use super::resolve::Resolver;
use super::settings::{Settings, WeftFile, override_from};
use super::shape::{Faults, Shape};
use super::yaml::{Node, parse};
use super::{Connections, Home};

pub(crate) const SETTINGS_FILE: &str = "weft.yaml";
pub(crate) const DATASOURCES_FILE: &str = "datasources.yaml";
pub(crate) const SUMMARY_FILE: &str = "summary.yaml";
pub(crate) const DATASETS: &str = "datasets";
pub(crate) const POLICIES: &str = "policies";
/// Stands in place of a file's name where a value came from a variable.
pub(crate) const ENVIRONMENT: &str = "environment";

/// What was read so far, and what was wrong with it.
pub(crate) struct Reader<'a> {
    pub(crate) root: &'a Path,
    pub(crate) env: Env<'a>,
    pub(crate) connections: &'a Connections,
    pub(crate) problems: Problems,
    pub(crate) notes: Vec<String>,
    /// Places whose variables could not be substituted, as file and key path.
    unset: Vec<(String, String)>,
    shapes: HashMap<&'static str, Shape>,
    lines: HashMap<String, Lines>,
}

/// The home, with what has problems left out, and the problems.
pub(crate) fn read(root: &Path, env: Env<'_>, connections: &Connections) -> (Home, Problems) {
    let mut reader = Reader::new(root, env, connections);
    if !root.is_dir() {
        reader.problems.add(&root.display().to_string(), "", Fault::NoHome);
    }
    let settings = reader.settings();
    let policies = reader.policies();
    let (sources, datasets) = Resolver::default().resolve(&mut reader);
    reader.check_names(&settings, &policies, &datasets);
    reader.note_unread_files();
    let Reader { mut problems, notes, lines, .. } = reader;
    problems.locate(|file, key| lines.get(file)?.line(key));
    (Home { settings, policies, sources, datasets, notes }, problems)
}

/// The settings alone; their problems are told by [`read`].
pub(crate) fn settings(root: &Path, env: Env<'_>) -> Settings {
    Reader::new(root, env, &Connections::default()).settings()
}

impl<'a> Reader<'a> {
    fn new(root: &'a Path, env: Env<'a>, connections: &'a Connections) -> Self {
        Self {
            root,
            env,
            connections,
            problems: Problems::default(),
            notes: Vec::new(),
            unset: Vec::new(),
            shapes: HashMap::new(),
            lines: HashMap::new(),
        }
    }

    fn settings(&mut self) -> Settings {
        let shape = Shape::of::<WeftFile>();
        let mut node = self.tree(SETTINGS_FILE).unwrap_or(Node::Map(Vec::new()));
        let replaced = override_from(&mut node, &shape, self.env);
        let mut faults = Faults::new();
        let value = shape.read(&node, "", &mut faults);
        for (key, fault) in &faults {
            match replaced.iter().find(|(path, _)| path == key) {
                Some((_, variable)) => self.problems.add(ENVIRONMENT, variable.clone(), fault.clone()),
                None => self.problems.add(SETTINGS_FILE, key.clone(), fault.clone()),
            }
        }
        if !faults.is_empty() || self.is_unset(SETTINGS_FILE, "") {
            return Settings::default();
        }
        match serde_json::from_value::<WeftFile>(value) {
            Ok(file) => {
                if let Some((key, text)) = file.fault() {
                    self.problems.add(SETTINGS_FILE, key, Fault::Rejected(text.to_owned()));
                }
                file.settings(self.root)
            }
            Err(error) => {
                self.problems.add(SETTINGS_FILE, "", Fault::Rejected(error.to_string()));
                Settings::default()
            }
        }
    }

    fn policies(&mut self) -> Policies {
        let mut policies = Policies::default();
        for file in self.yaml_files(POLICIES) {
            let Some(node) = self.tree(&file) else { continue };
            if !self.check_conditions(&file, &node) {
                self.check::<PolicyFile>(&file, &node);
                continue;
            }
            if let Some(mut more) = self.typed::<PolicyFile, Policies>(&file, "", &node) {
                for (at, rule) in more.rules.iter_mut().enumerate() {
                    rule.place = Some(self.place(&file, format!("rules[{at}]")));
                }
                for (at, grant) in more.grants.iter_mut().enumerate() {
                    grant.place = Some(self.place(&file, format!("grants[{at}]")));
                }
                for (at, rule) in more.disclosure.iter_mut().enumerate() {
                    rule.place = Some(self.place(&file, format!("disclosure[{at}]")));
                    for (part, fault) in rule.faults() {
                        let key = format!("disclosure[{at}].{part}");
                        self.problems.add(&file, key, Fault::Rejected(fault.to_owned()));
                    }
                }
                for (at, entry) in more.principals.iter().enumerate() {
                    if policies.principals.iter().any(|known| known.name == entry.name) {
                        let other = "another policy file".to_owned();
                        let fault = Fault::Duplicate { id: entry.name.clone(), other };
                        self.problems.add(&file, format!("principals[{at}].name"), fault);
                    }
                }
                policies = policies.and(more);
            }
        }
        policies
    }

    fn place(&self, file: &str, key: String) -> Place {
        let lines = self.lines.get(file).map(|lines| lines.below(&key)).unwrap_or_default();
        Place { file: file.to_owned(), key, lines }
    }

    /// Finds every expression of a policy file that is none; reading it would stop at the first. Whether there is none such.
    fn check_conditions(&mut self, file: &str, node: &Node) -> bool {
        let Some(Node::List(rules)) = node.get("rules") else { return true };
        let before = self.problems.len();
        for (at, rule) in rules.iter().enumerate() {
            let masks = rule.get("masks").map(Node::entries).unwrap_or_default();
            let masks = masks.iter().map(|(column, mask)| (format!("masks.{column}"), mask));
            let rows = rule.get("rows").map(|rows| ("rows".to_owned(), rows));
            for (part, text) in rows.into_iter().chain(masks) {
                let condition = text.as_text().map(|text| Condition::try_from(text.to_owned()));
                if let Some(Err(error)) = condition {
                    self.problems.add(file, format!("rules[{at}].{part}"), Fault::Rejected(error.to_string()));
                }
            }
        }
        self.problems.len() == before
    }

    /// The tree of a file, interpolated; None where it is missing or cannot be read.
    pub(crate) fn tree(&mut self, file: &str) -> Option<Node> {
        let text = match fs::read_to_string(self.root.join(file)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.problems.add(file, "", Fault::Unreadable(error.kind().to_string()));
                return None;
            }
        };
        self.lines.insert(file.to_owned(), Lines::of(&text));
        let mut node = match parse(&text) {
            Ok(node) => node,
            Err(fault) => {
                self.problems.add(file, "", fault);
                return None;
            }
        };
        let (problems, unset) = (&mut self.problems, &mut self.unset);
        interpolate(&mut node, "", self.env, &mut |key, fault| {
            problems.add(file, key, fault);
            unset.push((file.to_owned(), key.to_owned()));
        });
        Some(node)
    }

    /// Whether a place of `file` below `at` lacks the value of a variable.
    pub(crate) fn is_unset(&self, file: &str, at: &str) -> bool {
        let is_below =
            |key: &str| key.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.unset.iter().any(|(place, key)| place == file && (at.is_empty() || is_below(key)))
    }

    /// The tree at the key path `at` as a `T`, checked by the schema of `S`; None where it has problems.
    pub(crate) fn typed<S, T>(&mut self, file: &str, at: &str, node: &Node) -> Option<T>
    where
        S: schemars::JsonSchema,
        T: DeserializeOwned,
    {
        let shape = self.shapes.entry(std::any::type_name::<S>()).or_insert_with(Shape::of::<S>);
        let mut faults = Faults::new();
        let value = shape.read(node, at, &mut faults);
        self.accept(file, at, faults, value)
    }

    /// Checks a whole file by the schema of `S`.
    pub(crate) fn check<S: schemars::JsonSchema>(&mut self, file: &str, node: &Node) {
        self.typed::<S, serde_json::Value>(file, "", node);
    }

    /// `value` as a `T`, unless there are faults.
    pub(crate) fn accept<T>(&mut self, file: &str, at: &str, faults: Faults, value: serde_json::Value) -> Option<T>
    where
        T: DeserializeOwned,
    {
        let is_clean = faults.is_empty() && !self.is_unset(file, at);
        for (key, fault) in faults {
            self.problems.add(file, key, fault);
        }
        if !is_clean {
            return None;
        }
        serde_json::from_value(value)
            .inspect_err(|error| self.problems.add(file, at, Fault::Rejected(error.to_string())))
            .ok()
    }

    /// The YAML files below a folder of the home, sorted, as paths from the home.
    pub(crate) fn yaml_files(&mut self, folder: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::from(folder)];
        while let Some(below) = folders.pop() {
            let entries = match fs::read_dir(self.root.join(&below)) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let fault = Fault::Unreadable(error.kind().to_string());
                    self.problems.add(&below.display().to_string(), "", fault);
                    continue;
                }
            };
            for entry in entries.flatten() {
                let path = below.join(entry.file_name());
                if entry.file_name().to_string_lossy().starts_with('.') {
                    continue;
                }
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                    found.push(path.display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// Names in one file that stand for things of another.
    fn check_names(&mut self, settings: &Settings, policies: &Policies, datasets: &[super::DeclaredDataset]) {
        if !self.problems.is_empty() {
            return; // A dataset that is left out for its own problems would be reported as missing too.
        }
        let ids: Vec<&str> = datasets.iter().map(|declared| declared.dataset.id.as_str()).collect();
        let unknown = |name: &str| Fault::Unknown {
            what: "dataset",
            name: name.to_owned(),
            near: nearest(name, ids.iter().copied()).map(str::to_owned),
        };
        if let Some(id) = settings.default_dataset.as_deref().filter(|id| !ids.contains(id)) {
            self.problems.add(SETTINGS_FILE, "default_dataset", unknown(id));
        }
        for rule in &policies.disclosure {
            let named = rule.on.iter().filter(|on| *on != "*").map(|on| on.split('.').next().unwrap_or_default());
            for dataset in named.filter(|dataset| !ids.contains(dataset)) {
                let place = rule.place.clone().unwrap_or_default();
                self.problems.add(&place.file, format!("{}.on", place.key), unknown(dataset));
            }
        }
        for rule in &policies.rules {
            let dataset = rule.table.split('.').next().unwrap_or_default();
            if !ids.contains(&dataset) {
                let place = rule.place.clone().unwrap_or_default();
                self.problems.add(&place.file, format!("{}.table", place.key), unknown(dataset));
            }
        }
    }

    fn note_unread_files(&mut self) {
        const READ: [&str; 3] = [SETTINGS_FILE, DATASOURCES_FILE, SUMMARY_FILE];
        for entry in fs::read_dir(self.root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
            if is_yaml && !READ.contains(&name.as_str()) && !name.starts_with('.') {
                let near = nearest(&name, READ).map(|near| format!(" (did you mean \"{near}\"?)")).unwrap_or_default();
                self.notes.push(format!("{name}: nothing reads this file{near}"));
            }
        }
        self.notes.sort();
    }
}
