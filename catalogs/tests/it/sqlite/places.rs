//! Where a database is: options, the scope of a dataset, `--table`.

use catalogs::{Home, Registry, Scope, ScopedTable};
use engine::{Catalog, Code};
use serde_json::json;

use super::{Shop, open, query};
use crate::folder::Folder;

fn shop() -> Shop {
    Shop::new("CREATE TABLE orders (id INT); INSERT INTO orders VALUES (7); CREATE TABLE people (name TEXT)")
}

#[tokio::test]
async fn a_scope_names_tables_as_it_likes() {
    let shop = shop();
    let named = |name: &str, at: &str| ScopedTable { name: name.to_owned(), at: Some(at.to_owned()) };
    let tables = vec![named("z", "orders"), named("a", "main.people"), named("gone", "nowhere")];
    let scope = Scope { schemas: vec!["public".to_owned()], tables };
    let source = shop.source();
    let entries = source.tables(&scope).await.unwrap();
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["a", "z"]);
    assert!(source.open(&scope, "public", "z").await.unwrap().is_some());
    assert!(source.open(&scope, "public", "orders").await.unwrap().is_none());
    assert!(source.open(&scope, "public", "gone").await.unwrap().is_none());
    assert!(source.open(&scope, "main", "z").await.unwrap().is_none());
    let other = Scope { schemas: vec!["other".to_owned()], tables: Vec::new() };
    assert!(source.tables(&other).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_option_table_is_the_only_table() {
    let shop = shop();
    let source = shop.source_with(json!({ "table": "orders" }));
    let entries = source.tables(&Scope::default()).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].schema.as_str(), entries[0].name.as_str(), entries[0].row_estimate),
        ("public", "orders", Some(1))
    );
    assert_eq!(query(&source, &["orders"], "SELECT * FROM orders").await.unwrap(), ["7"]);
    assert!(source.open(&Scope::default(), "public", "people").await.unwrap().is_none());
    assert_eq!(source.location(), "shop.db");
}

#[tokio::test]
async fn the_command_line_names_a_file_and_a_table_in_it() {
    let shop = shop();
    let path = shop.path().to_str().unwrap().to_owned();
    let spaced = shop.folder.at("my shop.sqlite3");
    std::fs::copy(shop.path(), &spaced).unwrap();
    let spaced = spaced.to_str().unwrap().to_owned();
    let home = Home::of_tables(&[
        ("orders", path.clone()),
        ("a", format!("{path}?table=orders")),
        ("b", format!("sqlite://{path}?table=orders")),
        ("c", format!("sqlite3://{}?table=orders", spaced.replace(' ', "%20"))),
        ("d", format!("file://{}?table=orders", spaced.replace(' ', "%20"))),
        ("people", format!("sqlite://{path}")),
    ])
    .unwrap();
    let registry = Registry::new(&home);
    let dataset = registry.datasets()[0].clone();
    assert_eq!(dataset.kind, "sqlite");
    for (table, column) in [("orders", "id"), ("a", "id"), ("b", "id"), ("c", "id"), ("people", "name")] {
        let provider = registry.table(&dataset, "public", table).await.unwrap().expect(table);
        assert_eq!(provider.schema().field(0).name(), column, "{table}");
    }
}

#[tokio::test]
async fn a_folder_is_no_database_because_a_file_in_it_is_one() {
    let folder = Folder::new().file("data/Thumbs.db", "x").file("data/a.csv", "x\n1\n");
    let home = Home::of_tables(&[("t", folder.path().join("data").to_str().unwrap())]).unwrap();
    assert_eq!(Registry::new(&home).datasets()[0].kind, "csv");
    let only = Folder::new().file("data/shop.db", "x");
    assert!(Home::of_tables(&[("t", only.path().join("data").to_str().unwrap())]).is_err());
}

#[tokio::test]
async fn options_are_checked() {
    let connect = |options: serde_json::Value| {
        let connect = catalogs::Connect { id: "shop".to_owned(), options, root: "/nowhere".into() };
        catalogs::sources::kind("sqlite").unwrap().connect(connect).map(|_| ())
    };
    for options in [
        json!({}),
        json!({ "path": "" }),
        json!({ "path": "a\0b" }),
        json!({ "path": "a.db", "tabel": "t" }),
        json!({ "path": "a.db", "busy_timeout": "soon" }),
        json!({ "path": "a.db", "columns": { "a": "decimal" } }),
    ] {
        assert_eq!(connect(options.clone()).unwrap_err().code(), Code::InvalidArgument, "{options}");
    }
    connect(json!({ "path": "a.db", "busy_timeout": "2s", "columns": { "a": "text" } })).unwrap();
}

#[tokio::test]
async fn a_new_table_is_found() {
    let shop = shop();
    let source = shop.source();
    assert!(source.open(&Scope::default(), "public", "late").await.unwrap().is_none());
    shop.sql("CREATE TABLE late (id INT)");
    open(&source, "late").await.unwrap();
}
