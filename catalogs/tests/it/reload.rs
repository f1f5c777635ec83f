//! A home that is read again, and datasets that are: what stays, what is new, and what is told of it.
#![expect(clippy::unwrap_used, reason = "tests")]

use catalogs::{Connections, Home, Registry};
use engine::{Catalog, Drift, Retyped, SourceHealth, Typed};

use crate::folder::{Folder, no_env};

const SOURCES: &str = "datasources:\n  one: {type: csv, connection: {path: one}, databases: [one]}\n  two: {type: csv, connection: {path: two}, databases: [two]}\n";

fn lake() -> Folder {
    Folder::new()
        .file("one/orders.csv", "id,fax\n1,x\n")
        .file("one/old.csv", "id\n1\n")
        .file("two/t.csv", "id\n1\n")
        .file("datasources.yaml", SOURCES)
}

async fn open_all(registry: &Registry, dataset: &str) {
    let dataset = registry.dataset(dataset).unwrap();
    for entry in registry.tables(&dataset).await.unwrap().iter() {
        registry.table(&dataset, &entry.schema, &entry.name).await.unwrap().unwrap();
    }
}

async fn refresh(registry: &Registry, dataset: &str) -> Drift {
    registry.refresh(&registry.dataset(dataset).unwrap()).await.unwrap()
}

fn health(registry: &Registry) -> Vec<(String, SourceHealth)> {
    registry.sources().into_iter().map(|source| (source.id, source.health)).collect()
}

#[tokio::test]
async fn a_source_of_the_same_configuration_stays_and_others_are_made_anew() {
    let (folder, connections) = (lake(), Connections::default());
    let load = || Home::load_again(folder.path(), &no_env, &connections).unwrap();
    let before = Registry::new(&load());
    for dataset in ["one", "two"] {
        open_all(&before, dataset).await;
    }
    folder
        .write("datasources.yaml", SOURCES.replace("path: two", "path: \"two/*.csv\"").replace("[one]", "[one, more]"));
    let after = before.renewed(&load());
    let ids: Vec<String> = after.datasets().iter().map(|dataset| dataset.id.clone()).collect();
    assert_eq!(ids, ["more", "one", "two"]);
    assert_eq!(
        health(&after),
        [("one".to_owned(), SourceHealth::Ready), ("two".to_owned(), SourceHealth::Unused)],
        "what was not changed is still the source that has been used"
    );
    assert_eq!(before.datasets().len(), 2, "what runs goes on with what it started with");

    folder.write("datasources.yaml", SOURCES.replace("type: csv", "type: csv, enabled: false"));
    assert!(health(&after.renewed(&load())).iter().all(|(_, health)| *health == SourceHealth::Disabled));
}

#[tokio::test]
async fn a_reading_that_fails_takes_nothing_from_the_sources_in_use() {
    let (folder, connections) = (lake(), Connections::default());
    let load = || Home::load_again(folder.path(), &no_env, &connections);
    let registry = Registry::new(&load().unwrap());
    open_all(&registry, "one").await;
    folder.write("datasources.yaml", SOURCES.replace("path: one", "path: elsewhere"));
    folder.write("weft.yaml", "htp: {}\n");
    assert_eq!(load().unwrap_err().to_string().lines().count(), 1);
    folder.write("datasources.yaml", SOURCES);
    folder.write("weft.yaml", "");
    let after = registry.renewed(&load().unwrap());
    assert_eq!(health(&after)[0], ("one".to_owned(), SourceHealth::Ready));
}

#[tokio::test]
async fn a_refresh_tells_what_is_otherwise_than_it_was_seen() {
    let folder = lake();
    let registry = Registry::new(&Home::load(folder.path(), &no_env).unwrap());
    let first = refresh(&registry, "one").await;
    assert!(first.is_first && first.added.is_empty() && first.changed.is_empty(), "{first:?}");
    assert_eq!(first.tables, 2);
    let second = refresh(&registry, "one").await;
    assert!(!second.is_first && second.added.is_empty() && second.changed.is_empty(), "{second:?}");

    folder.write("one/orders.csv", "id,email\nA1,x@y\n");
    folder.write("one/items.csv", "id\n1\n");
    std::fs::remove_file(folder.at("one/old.csv")).unwrap();
    let drift = refresh(&registry, "one").await;
    assert_eq!((drift.added, drift.removed), (vec!["items".to_owned()], vec!["old".to_owned()]));
    let [orders] = drift.changed.as_slice() else { unreachable!("{:?}", drift.changed) };
    let typed = |column: &str| Typed { column: column.to_owned(), data_type: "VARCHAR".to_owned() };
    assert_eq!((&orders.added, &orders.dropped), (&vec![typed("email")], &vec![typed("fax")]));
    let retyped = Retyped { column: "id".to_owned(), from: "BIGINT".to_owned(), to: "VARCHAR".to_owned() };
    assert_eq!(orders.retyped, [retyped]);
    assert_eq!(refresh(&registry, "one").await.changed, []);
}

#[tokio::test]
async fn a_table_that_cannot_be_read_hurts_no_other_and_keeps_what_was_known() {
    let folder = Folder::new()
        .file("d/a.csv", "id\n1\n")
        .file("d/b.csv", "id\n1\n")
        .file("datasources.yaml", "datasources: {d: {type: csv, connection: {path: d}, databases: [d]}}\n");
    let registry = Registry::new(&Home::load(folder.path(), &no_env).unwrap());
    refresh(&registry, "d").await;
    folder.write("d/a.csv", b"id\n\xff\xfe\n");
    folder.write("d/b.csv", "id,x\n1,2\n");
    let torn = refresh(&registry, "d").await;
    assert_eq!(torn.unreadable.iter().map(|table| table.table.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!((torn.tables, torn.changed.len()), (2, 1));
    folder.write("d/a.csv", "id,y\n1,2\n");
    assert_eq!(refresh(&registry, "d").await.changed[0].table, "a");
}
