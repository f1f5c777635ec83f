//! Reloads: one step for all that comes after, nothing for what runs.

use std::sync::Arc;

use engine::policy::Policies;
use engine::{Code, Engine, MemoryCatalog, Principal, Query};

use super::{catalog, collect, error, meera, people, policies, rows};

#[tokio::test]
async fn a_running_query_goes_on_and_new_ones_see_the_new_datasets() {
    let table = people();
    let old = Arc::downgrade(&table);
    let engine = Engine::builder(MemoryCatalog::default().with_table("panel", "people", table)).build().unwrap();
    let door = engine.clone();
    let running = door.query(&Principal::local(), Query::new("SELECT count(*) FROM panel.people")).await.unwrap();
    engine.reload(MemoryCatalog::default().with_table("hr", "staff", people()), Policies::default(), None);
    assert_eq!(rows(&door, &Principal::local(), "SELECT count(*) FROM hr.staff").await, ["4"]);
    let gone = error(&door, &Principal::local(), Query::new("SELECT count(*) FROM panel.people")).await;
    assert_eq!(gone.code(), Code::DatasetNotFound);
    assert!(collect(running).await.unwrap().contains("| 4 "));
    assert!(old.upgrade().is_none(), "a door keeps the table of a reload before");
}

#[tokio::test]
async fn policies_and_the_default_dataset_change_with_the_catalog() {
    let engine = Engine::builder(catalog()).build().unwrap();
    let count = "SELECT count(*) FROM panel.people";
    assert_eq!(rows(&engine, &meera(), count).await, ["4"]);
    engine.reload(catalog().with_table("other", "people", people()), policies(), Some("panel".to_owned()));
    assert_eq!(rows(&engine, &meera(), count).await, ["2"]);
    assert_eq!(rows(&engine, &meera(), "SELECT count(*) FROM people").await, ["2"]);
    let listed = "SELECT count(*) FROM system.datasets WHERE dataset_id = 'other'";
    assert_eq!(rows(&engine, &meera(), listed).await, ["1"]);
}

#[tokio::test]
async fn a_dataset_that_nobody_may_see_is_refreshed_by_nobody() {
    let mut hidden = engine::Dataset { id: "hidden".to_owned(), ..engine::Dataset::default() };
    hidden.access.roles.insert("board".to_owned());
    let engine = Engine::builder(catalog().with_dataset(hidden)).build().unwrap();
    assert_eq!(engine.refresh(&meera(), "hidden").await.unwrap_err().code(), Code::DatasetNotFound);
    assert_eq!(engine.refresh(&Principal::local(), "hidden").await.unwrap().tables, 0);
    let all = engine.refresh_all(&meera()).await;
    assert_eq!(all.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["hr", "panel"]);
    let error = engine.refresh(&meera(), "panell").await.unwrap_err();
    assert_eq!(error.hint_text(), Some("Did you mean \"panel\"?"));
}
