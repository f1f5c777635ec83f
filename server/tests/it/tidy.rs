//! The rules of the house that a machine can check, and that neither rustfmt nor clippy nor cargo-deny knows.
//!
//! Each test lists everything that breaks its rule, so that one run is enough to put it right.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines a file of code may have. The aim is 400; a file of tests may be as long as it must.
const LINES: usize = 600;

/// Folders that are not ours, or that are made.
const NOT_OURS: &[&str] = &[".git", ".venv", "target", "weft-demo", "__pycache__"];

/// A text file of the project.
struct Source {
    /// Its path from the root of the project.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/benches/")
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every text file of the project, sorted by path.
fn sources() -> Vec<Source> {
    let root = root();
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if NOT_OURS.contains(&name.as_str()) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 50, "the project has more files than {}", sources.len());
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

#[track_caller]
fn assert_none(what: &str, found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

fn paths<'a>(sources: &'a [Source], breaks: impl Fn(&Source) -> bool + 'a) -> impl Iterator<Item = String> + 'a {
    sources.iter().filter(move |source| breaks(source)).map(|source| source.path.clone())
}

/// Words of `text` that start with `prefix` and go on with capitals, digits and underscores.
fn words<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(prefix).map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn every_file_of_code_says_first_what_it_is_for() {
    assert_none(
        "files that do not open with `//!`",
        paths(&sources(), |source| source.is_rust() && !source.text.starts_with("//! ")),
    );
}

#[test]
fn files_are_short() {
    let long = |source: &Source| source.is_rust() && !source.is_test() && source.text.lines().count() > LINES;
    assert_none(&format!("files of more than {LINES} lines"), paths(&sources(), long));
}

#[test]
fn files_are_named_after_what_a_user_can_name() {
    const NAMELESS: &[&str] = &["common.rs", "helpers.rs", "mod.rs", "traits.rs", "types.rs", "util.rs", "utils.rs"];
    assert_none("files named after nothing", paths(&sources(), |source| NAMELESS.contains(&source.name())));
}

#[test]
fn nothing_is_left_for_later_and_no_test_is_switched_off() {
    // Put together here, so that this file does not break its own rule.
    let banned =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore"), concat!("[", "allow(")];
    assert_none(
        "files that leave something for later",
        paths(&sources(), |source| source.is_rust() && banned.iter().any(|word| source.text.contains(word))),
    );
}

#[test]
fn nothing_says_where_it_was_written() {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    // A test may name it as a place that nobody may write to.
    let temporary = concat!("/tm", "p/");
    let mirrors = [concat!("index", "-url"), concat!("replace", "-with")];
    assert_none(
        "files that name a place of one machine, or a mirror",
        paths(&sources(), |source| {
            places.iter().chain(&mirrors).any(|word| source.text.contains(word))
                || (!source.is_test() && source.text.contains(temporary))
        }),
    );
}

#[test]
fn a_crate_takes_lints_and_versions_from_the_workspace_and_lists_are_sorted() {
    let mut faults = Vec::new();
    let sources = sources();
    let manifests =
        sources.iter().filter(|source| source.name() == "Cargo.toml" && source.path.matches('/').count() == 1);
    for Source { path, text } in manifests {
        if !text.contains("[lints]\nworkspace = true") {
            faults.push(format!("{path}: no `[lints] workspace = true`"));
        }
        for section in text.split("\n[").filter(|section| section.contains("dependencies]\n")) {
            let lines: Vec<&str> = section.lines().skip(1).filter(|line| line.contains('=')).collect();
            let name = |line: &&str| line.split(['.', ' ', '=']).next().unwrap_or_default().replace('-', "_");
            if !lines.is_sorted_by_key(name) {
                faults.push(format!("{path}: [{} is not sorted", section.lines().next().unwrap_or_default()));
            }
            let own = lines.iter().filter(|line| !line.contains("workspace = true"));
            faults.extend(own.map(|line| format!("{path}: `{line}` is not the workspace's")));
        }
    }
    assert_none("crates that go their own way", faults);
}

#[test]
fn a_crate_has_one_binary_of_integration_tests() {
    let stray = |source: &Source| {
        let parts: Vec<&str> = source.path.split('/').collect();
        source.is_rust() && parts.len() > 2 && parts[1] == "tests" && parts[2] != "it"
    };
    assert_none("integration tests beside tests/it", paths(&sources(), stray));
}

#[test]
fn every_variable_of_the_environment_is_documented() {
    let sources = sources();
    let documented: String =
        sources.iter().filter(|source| source.path.ends_with(".md")).map(|source| source.text.as_str()).collect();
    let documented: BTreeSet<&str> = words(&documented, "WEFT_").collect();
    let used = sources.iter().filter(|source| source.is_rust() && !source.is_test()).flat_map(|source| {
        words(&source.text, "WEFT_").filter(|word| *word != "WEFT_").map(move |word| (word, source.path.as_str()))
    });
    let missing: BTreeSet<String> =
        used.filter(|(word, _)| !documented.contains(word)).map(|(word, path)| format!("{word} in {path}")).collect();
    assert_none("variables that no page names", missing);
}

#[test]
fn the_readme_names_only_what_exists() {
    let readme = readme();
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut faults = BTreeSet::new();
    for line in readme.lines() {
        if let Some(target) = line.trim().strip_prefix("make ").and_then(|rest| rest.split_whitespace().next())
            && !makefile.contains(&format!("\n{target}: "))
        {
            faults.insert(format!("make {target}"));
        }
        for (_, rest) in line.match_indices("](").map(|(at, _)| line.split_at(at + 2)) {
            let link = rest.split([')', '#']).next().unwrap_or_default();
            if !link.is_empty() && !link.contains("://") && !root().join(link).exists() {
                faults.insert(link.to_owned());
            }
        }
    }
    let help = Command::new(env!("CARGO_BIN_EXE_weft")).arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for line in readme.lines() {
        let Some(command) = line.trim().strip_prefix("weft ").and_then(|rest| rest.split_whitespace().next()) else {
            continue;
        };
        let is_known = help.lines().any(|line| line.split_whitespace().next() == Some(command));
        if command.chars().all(|c| c.is_ascii_lowercase()) && !is_known {
            faults.insert(format!("weft {command}"));
        }
    }
    assert_none("what the README names and nobody made", faults);
}
