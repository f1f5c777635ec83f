//! The frame of a design is read once, and again when its files change or someone else asks who sees other rows.
#![expect(clippy::unwrap_used, reason = "tests")]

use catalogs::{Home, Registry};
use engine::policy::Policies;
use engine::{Engine, Explain, Principal, Query};
use futures::TryStreamExt;

use crate::asked::lines;
use crate::folder::{Folder, no_env};

const PEOPLE: &str =
    "unit,psu,h,w,x,region\n1,1,1,2,5,n\n2,2,1,1,7,n\n3,3,1,3,1,s\n4,4,2,1,9,s\n5,5,2,2,4,n\n6,6,2,1,8,n\n";
const PANEL: &str = "dataset: {id: panel, name: Panel}\ndatabase: {type: csv, connection: {path: data}}\n";

async fn ask(engine: &Engine, principal: &Principal, query: Query) -> String {
    let stream = engine.query(principal, query).await.unwrap();
    lines(&stream.try_collect::<Vec<_>>().await.unwrap()).join("\n")
}

/// The answer to a principal, and whether the frame that an administrator has for it was known.
async fn asked(engine: &Engine, principal: &Principal, condition: &str) -> (String, bool) {
    let sql = format!(
        "SELECT s['n'], round(s['se'], 6) FROM (SELECT svy_total(x, weight => w, psu => psu, strata => h) AS s \
         FROM panel.people WHERE {condition})"
    );
    let plan = ask(engine, &Principal::local(), Query::new(&sql).explain(Explain::Analyze)).await;
    let step = plan.lines().find(|line| line.contains("CachedExec")).unwrap();
    assert!(step.contains("cache_hits=1") != step.contains("cache_misses=1"), "{step}");
    (ask(engine, principal, Query::new(&sql)).await, step.contains("cache_hits=1"))
}

#[tokio::test]
async fn the_frame_of_a_design_is_read_again_only_where_it_may_be_another() {
    let folder = Folder::new().file("data/people.csv", PEOPLE).file("datasets/panel.yaml", PANEL);
    let north =
        serde_json::json!({"name": "north", "table": "panel.people", "roles": ["north"], "rows": "region = 'n'"});
    let policies: Policies = serde_json::from_value(serde_json::json!({"rules": [north]})).unwrap();
    let registry = Registry::new(&Home::load(folder.path(), &no_env).unwrap());
    let engine = Engine::builder(registry).policies(policies).build().unwrap();
    let (all, north) = (Principal::local(), Principal::new("n", ["north".to_owned()]));

    let (first, is_known) = asked(&engine, &all, "x > 4").await;
    assert_eq!((first.as_str(), is_known), ("4|12.328828", false));
    // Another domain of the same design.
    assert_eq!(asked(&engine, &all, "x > 4").await, (first, true));
    assert!(asked(&engine, &all, "x <= 4").await.1);
    // Who sees fewer rows has a frame of fewer PSUs, whoever asked before.
    for _ in 0..2 {
        assert_eq!(asked(&engine, &north, "x > 4").await.0, "3|8.544004");
    }
    assert_eq!(asked(&engine, &all, "x > 4").await, ("4|12.328828".to_owned(), true));

    folder.write("data/people.csv", format!("{PEOPLE}7,7,1,1,0,s\n"));
    let (after, is_known) = asked(&engine, &all, "x > 4").await;
    assert_eq!((after.as_str(), is_known), ("4|13.241349", false));
    assert!(asked(&engine, &all, "x > 4").await.1);
}
