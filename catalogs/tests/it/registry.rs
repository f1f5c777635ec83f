//! The registry: datasets and tables as the engine asks for them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use catalogs::{Home, Registry};
use engine::{Catalog, Code, SourceHealth};

use crate::contract::{rows, scan};
use crate::folder::{Folder, no_env};

fn registry(folder: &Folder) -> Registry {
    Registry::new(&Home::load(folder.path(), &no_env).unwrap())
}

async fn names(registry: &Registry, dataset: &str) -> Vec<String> {
    let dataset = registry.dataset(dataset).unwrap();
    registry.tables(&dataset).await.unwrap().iter().map(|entry| entry.name.clone()).collect()
}

async fn read(registry: &Registry, dataset: &str, table: &str) -> Vec<Vec<String>> {
    let dataset = registry.dataset(dataset).unwrap();
    let table = registry.table(&dataset, "public", table).await.unwrap().unwrap();
    rows(scan(&table).build().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_thousand_datasets_register_without_opening_a_file() {
    let folder = Folder::new();
    for number in 0..1000 {
        let text = format!(
            "dataset: {{id: d{number}}}\ndatabase: {{type: csv, connection: {{path: no/such/{number}.csv}}}}\n"
        );
        folder.write(&format!("datasets/d{number}.yaml"), text);
    }
    let registry = registry(&folder);
    assert_eq!(registry.datasets().len(), 1000);
    assert!(registry.sources().iter().all(|source| source.health == SourceHealth::Unused));
    assert_eq!(registry.registered().last().unwrap(), "Loaded 1000 datasources and 1000 database mappings");
}

#[tokio::test]
async fn one_bad_dataset_hurts_no_other_and_its_source_says_why() {
    let folder = Folder::new()
        .file("good.csv", "x\n1\n")
        .file("datasets/good.yaml", "dataset: {id: good}\ndatabase: {type: csv, connection: {path: good.csv}}\n")
        .file("datasets/bad.yaml", "dataset: {id: bad}\ndatabase: {type: csv, connection: {path: bad.csv}}\n");
    let registry = registry(&folder);
    let bad = registry.dataset("bad").unwrap();
    let error = registry.tables(&bad).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::SourceUnavailable, "\"bad.csv\" does not exist."));
    assert_eq!(read(&registry, "good", "good").await, [["1"]]);
    let health: Vec<_> = registry.sources().into_iter().map(|source| (source.id, source.health)).collect();
    assert_eq!(
        health,
        [
            ("bad".to_owned(), SourceHealth::Unavailable("\"bad.csv\" does not exist.".to_owned())),
            ("good".to_owned(), SourceHealth::Ready),
        ]
    );
    folder.write("bad.csv", "x\n2\n");
    assert_eq!(read(&registry, "bad", "bad").await, [["2"]]);
    let statuses = registry.sources();
    assert_eq!(statuses[0].health, SourceHealth::Ready);
    assert_eq!(statuses[0].location, "bad.csv");
    assert_eq!(statuses[0].datasets, ["bad"]);
}

#[tokio::test]
async fn a_probe_tests_all_sources_and_keeps_what_it_heard() {
    let folder = Folder::new()
        .file("good.csv", "x\n1\n")
        .file("datasources.yaml", "datasources:\n  good: {type: csv, connection: {path: good.csv}}\n  bad: {type: parquet, connection: {path: \"lake/*.parquet\"}}\n");
    let registry = registry(&folder);
    let results = registry.probe(Duration::from_secs(10)).await;
    let results: Vec<_> =
        results.into_iter().map(|(id, result)| (id, result.err().map(|error| error.code()))).collect();
    assert_eq!(results, [("good".to_owned(), None), ("bad".to_owned(), Some(Code::SourceUnavailable))]);
    let health: Vec<_> = registry.sources().into_iter().map(|source| source.health.as_str()).collect();
    assert_eq!(health, ["unavailable", "ready"]);
    assert!(registry.sources().iter().all(|source| source.checked_at.is_some()));
}

#[tokio::test]
async fn several_datasets_show_parts_of_one_source() {
    let folder = Folder::new()
        .file("lake/orders.csv", "x\n1\n")
        .file("lake/items/part-1.csv", "x\n2\n")
        .file("lake/items/part-2.csv", "x\n3\n")
        .file("lake/readme.txt", "no table")
        .file("lake/empty/readme.txt", "no table")
        .file("datasources.yaml", "datasources: {lake: {type: csv, connection: {path: lake}, databases: [all]}}\n")
        .file("datasets/one.yaml", "dataset: {id: one}\ndatabase: {source: lake, table: orders}\n")
        .file(
            "datasets/named.yaml",
            "dataset: {id: named}\ndatabase: {source: lake}\ntables:\n  - {name: lines, path: items}\n  - {name: orders}\n  - {name: first, path: items/part-1.csv}\n",
        );
    let registry = registry(&folder);
    assert_eq!(names(&registry, "all").await, ["items", "orders"]);
    assert_eq!(read(&registry, "all", "items").await, [["2"], ["3"]]);
    assert_eq!(names(&registry, "one").await, ["orders"]);
    assert_eq!(read(&registry, "one", "orders").await, [["1"]]);
    assert_eq!(names(&registry, "named").await, ["first", "lines", "orders"]);
    assert_eq!(read(&registry, "named", "lines").await, [["2"], ["3"]]);
    assert_eq!(read(&registry, "named", "orders").await, [["1"]]);
    assert_eq!(read(&registry, "named", "first").await, [["2"]]);
    let one = registry.dataset("one").unwrap();
    assert!(registry.table(&one, "public", "items").await.unwrap().is_none());
}

#[tokio::test]
async fn tables_of_the_command_line_are_one_dataset_and_fail_each_on_their_own() {
    let folder = Folder::new().file("a.csv", "x\n1\n").file("lake/b.ndjson", "{\"y\": 2}\n");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let home = Home::of_tables(&[("t", at("a.csv")), ("lake", at("lake")), ("gone", at("gone.csv"))]).unwrap();
    let registry = Registry::new(&home);
    assert_eq!(names(&registry, "local").await, ["gone", "lake", "t"]);
    assert_eq!(read(&registry, "local", "t").await, [["1"]]);
    assert_eq!(read(&registry, "local", "lake").await, [["2"]]);
    let local = registry.dataset("local").unwrap();
    let error = registry.table(&local, "public", "gone").await.unwrap_err();
    assert_eq!(error.message(), "\"gone.csv\" does not exist.");
    assert!(registry.table(&local, "public", "a").await.unwrap().is_none());
    assert!(registry.table(&local, "other", "t").await.unwrap().is_none());
}
