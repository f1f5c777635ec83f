//! Names: what they resolve to, and what is said when they don't.

use engine::{Code, Principal, Query};

use super::{engine, error, meera, rows};

#[tokio::test]
async fn a_table_answers_to_each_of_its_names() {
    let engine = engine();
    for name in ["panel.people", "panel.public.people", "weft.panel.people"] {
        let sql = format!("SELECT count(*) FROM {name}");
        assert_eq!(rows(&engine, &Principal::local(), &sql).await, ["4"], "{name}");
    }
}

#[tokio::test]
async fn a_bare_name_is_the_only_table_of_that_name() {
    let engine = engine();
    assert_eq!(rows(&engine, &Principal::local(), "SELECT count(*) FROM staff").await, ["4"]);
}

#[tokio::test]
async fn a_bare_name_in_two_datasets_is_ambiguous_and_lists_them() {
    let catalog = super::catalog().with_table("hr", "people", super::people());
    let engine = engine::Engine::builder(catalog).build().unwrap();
    let error = error(&engine, &Principal::local(), Query::new("SELECT * FROM people")).await;
    assert_eq!(error.code(), Code::AmbiguousName);
    assert_eq!(error.hint_text(), Some("Write one of: hr.people, panel.people."));
}

#[tokio::test]
async fn the_default_dataset_comes_first() {
    let catalog = super::catalog().with_table("hr", "people", super::people());
    let engine = engine::Engine::builder(catalog).build().unwrap();
    let query = Query::new("SELECT count(*) FROM people").dataset("hr".to_owned());
    let description = engine.describe(&Principal::local(), &query).await.unwrap();
    assert_eq!(description.datasets, ["hr"]);
    let query = Query::new("SELECT count(*) FROM public.people").dataset("hr".to_owned());
    assert_eq!(engine.describe(&Principal::local(), &query).await.unwrap().datasets, ["hr"]);
}

#[tokio::test]
async fn unknown_names_get_their_code_and_the_nearest_name() {
    let engine = engine();
    for (sql, code, hint) in [
        ("SELECT * FROM panell.people", Code::DatasetNotFound, "Did you mean \"panel\"?"),
        ("SELECT * FROM panel.peeple", Code::TableNotFound, "Did you mean \"panel.people\"?"),
        ("SELECT nme FROM panel.people", Code::ColumnNotFound, "Did you mean \"name\"?"),
        ("SELECT * FROM system.tabels", Code::TableNotFound, "Did you mean \"system.tables\"?"),
    ] {
        let error = error(&engine, &Principal::local(), Query::new(sql)).await;
        assert_eq!((error.code(), error.hint_text()), (code, Some(hint)), "{sql}");
    }
}

#[tokio::test]
async fn unquoted_names_fold_to_lower_case() {
    let engine = engine();
    assert_eq!(rows(&engine, &Principal::local(), "SELECT COUNT(*) FROM Panel.PEOPLE").await, ["4"]);
}

#[tokio::test]
async fn a_common_table_expression_hides_a_table_of_its_name() {
    let engine = engine();
    let sql = "WITH staff AS (SELECT 1 AS x) SELECT * FROM staff";
    assert_eq!(rows(&engine, &Principal::local(), sql).await, ["1"]);
}

#[tokio::test]
async fn system_tables_list_what_the_caller_may_see() {
    let hidden = engine::Dataset {
        id: "secret".to_owned(),
        access: engine::Access { roles: ["admin".to_owned()].into(), ..Default::default() },
        ..Default::default()
    };
    let engine = engine::Engine::builder(super::catalog().with_dataset(hidden)).build().unwrap();
    let sql = "SELECT dataset_id FROM system.datasets";
    assert_eq!(rows(&engine, &Principal::local(), sql).await, ["hr", "panel", "secret"]);
    assert_eq!(rows(&engine, &meera(), sql).await, ["hr", "panel"]);
    let by_hidden = error(&engine, &meera(), Query::new("SELECT * FROM secret.t")).await;
    let by_missing = error(&engine, &meera(), Query::new("SELECT * FROM sekret.t")).await;
    assert_eq!(by_hidden.code(), by_missing.code());
    assert_eq!(by_hidden.hint_text(), by_missing.hint_text());
}

#[tokio::test]
async fn columns_are_listed_with_their_types() {
    let engine = engine();
    let sql = "SELECT column_name, data_type, nullable FROM system.columns \
               WHERE dataset_id = 'panel' AND table_name = 'people' ORDER BY ordinal LIMIT 2";
    assert_eq!(rows(&engine, &Principal::local(), sql).await, ["id|BIGINT|false", "name|VARCHAR|true"]);
}

#[tokio::test]
async fn show_tables_and_describe_answer() {
    let engine = engine();
    let tables = rows(&engine, &Principal::local(), "SHOW TABLES").await;
    assert!(tables.contains(&"panel|people|TABLE".to_owned()), "{tables:?}");
    let columns = rows(&engine, &Principal::local(), "DESCRIBE panel.people").await;
    assert_eq!(columns.first().map(String::as_str), Some("id|BIGINT|false"));
}

#[tokio::test]
async fn a_filter_stays_on_the_table_that_it_is_of_where_the_other_has_a_column_of_that_name() {
    let left = "(VALUES (1, ''), (2, 'x')) a(id, t)";
    let right = "(VALUES (1, 'b', 2), (2, '', 0)) b(id, t, s)";
    for join in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        let sql =
            format!("SELECT b.t, b.s FROM {left} {join} {right} ON a.id = b.id WHERE length(a.t) < 1 AND b.s + 1 <> 2");
        assert_eq!(rows(&engine(), &Principal::local(), &sql).await, ["b|2"], "{join}");
    }
}

#[tokio::test]
async fn conditions_of_several_aggregates_may_share_a_part_that_is_never_null() {
    let sql = "SELECT sum(n) FILTER (WHERE b IS NOT TRUE OR n BETWEEN 2 AND 3), min(n) FILTER (WHERE b IS NOT TRUE) \
               FROM (VALUES (1, true), (2, false), (3, true)) t(n, b)";
    assert_eq!(rows(&engine(), &Principal::local(), sql).await, ["5|2"]);
}
