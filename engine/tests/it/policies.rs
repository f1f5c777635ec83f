//! Policies: the oracle is the same query by an admin over a view filtered and masked by hand.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, StringArray};
use engine::{Code, Engine, MemoryCatalog, Principal, Query};

use super::{engine, error, meera, rows};

/// What meera sees of `panel.people`, written by hand.
const BY_HAND: &str = "(SELECT id, '*' AS name, city, CAST(NULL AS BIGINT) AS salary, weight \
                       FROM panel.people WHERE city = 'Pune')";

#[tokio::test]
async fn a_restricted_table_is_as_a_view_filtered_and_masked_by_hand() {
    let engine = engine();
    for sql in [
        "SELECT * FROM {t} p ORDER BY id",
        "SELECT count(*), min(name), max(salary), sum(weight) FROM {t} p",
        "SELECT name, count(*) FROM {t} p GROUP BY name",
        "SELECT id FROM {t} p WHERE name = 'Asha'",
        "SELECT id FROM {t} p WHERE salary > 500 OR id = 3",
        "SELECT id FROM {t} p WHERE id >= 2 AND city LIKE 'P%'",
        "SELECT id FROM {t} p WHERE upper(name) = '*' ORDER BY 1",
        "SELECT a.id, b.name FROM {t} a JOIN {t} b ON a.id = b.id ORDER BY 1",
        "SELECT s.id, p.name FROM hr.staff s LEFT JOIN {t} p ON s.id = p.id ORDER BY 1",
        "SELECT s.id FROM hr.staff s WHERE EXISTS (SELECT 1 FROM {t} p WHERE p.id = s.id) ORDER BY 1",
        "SELECT s.id FROM hr.staff s WHERE s.salary > (SELECT avg(weight) FROM {t} p) ORDER BY 1",
        "SELECT id FROM hr.staff WHERE id NOT IN (SELECT id FROM {t} p) ORDER BY 1",
        "WITH q AS (SELECT * FROM {t} p) SELECT sum(id) FROM q",
        "SELECT id FROM {t} p UNION ALL SELECT id FROM {t} q ORDER BY 1",
        "SELECT id, row_number() OVER (ORDER BY id) FROM {t} p",
        "SELECT id FROM {t} p ORDER BY id LIMIT 1",
        "SELECT DISTINCT city FROM {t} p",
    ] {
        let governed = rows(&engine, &meera(), &sql.replace("{t}", "panel.people")).await;
        let by_hand = rows(&engine, &Principal::local(), &sql.replace("{t}", BY_HAND)).await;
        assert_eq!(governed, by_hand, "{sql}");
    }
}

#[tokio::test]
async fn a_predicate_that_can_fail_never_sees_a_hidden_row() {
    let engine = engine();
    // Row 4 is hidden and has id 4: evaluated on it, the division would fail.
    let sql = "SELECT id FROM panel.people WHERE 1 / (id - 4) >= -10 ORDER BY id";
    assert_eq!(rows(&engine, &meera(), sql).await, ["1", "3"]);
    assert_eq!(error(&engine, &Principal::local(), Query::new(sql)).await.code(), Code::ArithmeticError);
}

#[tokio::test]
async fn a_mask_hides_values_from_predicates_that_fail_on_them() {
    let engine = engine();
    let sql = "SELECT id FROM panel.people WHERE 1 / (salary - 1000) IS NULL ORDER BY id";
    assert_eq!(rows(&engine, &meera(), sql).await, ["1", "3"]);
}

#[tokio::test]
async fn every_name_of_a_restricted_table_is_restricted() {
    let engine = engine();
    for name in ["panel.people", "panel.public.people", "weft.panel.people", "people", "\"panel\".\"people\""] {
        let sql = format!("SELECT count(*) FROM {name}");
        assert_eq!(rows(&engine, &meera(), &sql).await, ["2"], "{name}");
    }
}

#[tokio::test]
async fn the_plan_of_a_restricted_table_is_for_admins() {
    let engine = engine();
    for sql in ["EXPLAIN SELECT * FROM panel.people", "EXPLAIN ANALYZE SELECT * FROM panel.people"] {
        assert_eq!(error(&engine, &meera(), Query::new(sql)).await.code(), Code::PermissionDenied);
        assert!(!rows(&engine, &Principal::local(), sql).await.is_empty());
    }
    assert!(!rows(&engine, &meera(), "EXPLAIN SELECT * FROM hr.staff").await.is_empty());
}

#[tokio::test]
async fn a_rule_that_does_not_fit_closes_the_table() {
    let policies: engine::policy::Policies = serde_json::from_value(serde_json::json!({
        "rules": [{"name": "broken", "table": "panel.people", "rows": "no_such_column = 1"}]
    }))
    .unwrap();
    let engine = engine::Engine::builder(super::catalog()).policies(policies).build().unwrap();
    let error = error(&engine, &meera(), Query::new("SELECT * FROM panel.people")).await;
    assert_eq!(error.code(), Code::Internal);
    assert!(!error.message().contains("no_such_column"));
}

/// A table of which meera sees what `rule` lets through.
fn under(rule: serde_json::Value) -> Engine {
    let codes = StringArray::from(vec![Some("1"), Some("HIDDEN"), Some("12"), None]);
    let flags = BooleanArray::from(vec![Some(true), Some(false), None, Some(false)]);
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4])) as _, true),
        ("code", Arc::new(codes) as _, true),
        ("flag", Arc::new(flags) as _, true),
    ]);
    let batch = batch.unwrap();
    let catalog = MemoryCatalog::default().with_batches("t", "t", batch.schema(), vec![batch]).unwrap();
    let mut whole = serde_json::json!({"name": "r", "table": "t.t", "roles": ["analyst"]});
    whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    let policies = serde_json::from_value(serde_json::json!({"rules": [whole]})).unwrap();
    Engine::builder(catalog).policies(policies).build().unwrap()
}

#[tokio::test]
async fn a_rule_that_fails_on_a_row_tells_nothing_of_it() {
    let meera = Principal::new("meera", ["analyst".to_owned()]);
    let cast = under(serde_json::json!({"rows": "code::bigint < 10"}));
    assert_eq!(rows(&cast, &meera, "SELECT id FROM t.t ORDER BY id").await, ["1"]);
    assert_eq!(rows(&cast, &meera, "SELECT id FROM t.t WHERE id = 2").await, Vec::<String>::new());
    let implied = under(serde_json::json!({"rows": "code < 10"}));
    assert_eq!(rows(&implied, &meera, "SELECT id FROM t.t WHERE id = 2").await, Vec::<String>::new());
    let mask = under(serde_json::json!({"masks": {"code": "CASE WHEN code::bigint > 3 THEN 'hi' ELSE 'lo' END"}}));
    assert_eq!(rows(&mask, &meera, "SELECT code FROM t.t ORDER BY id").await, ["lo", "lo", "hi", "lo"]);
    let divides = under(serde_json::json!({"rows": "10 / (id - 2) > 0"}));
    let error = error(&divides, &meera, Query::new("SELECT id FROM t.t WHERE id = 2")).await;
    assert_eq!(error.code(), Code::DataInvalid);
    assert!(!format!("{error} {:?}", error.hint_text()).to_lowercase().contains("zero"), "{error:?}");
}

#[tokio::test]
async fn comparisons_in_rules_end_where_they_do_in_postgresql() {
    let meera = Principal::new("meera", ["analyst".to_owned()]);
    let rule = under(serde_json::json!({"rows": "flag IS DISTINCT FROM true AND id < 4"}));
    assert_eq!(rows(&rule, &meera, "SELECT id FROM t.t ORDER BY id").await, ["2", "3"]);
    let all = Principal::local();
    let sql = "SELECT id FROM t.t WHERE flag IS NOT DISTINCT FROM false AND id > 2 OR id = 1 ORDER BY id";
    assert_eq!(rows(&rule, &all, sql).await, ["1", "4"]);
    let refused = error(&rule, &all, Query::new("SELECT id FROM t.t WHERE code SIMILAR TO '1%'")).await;
    assert_eq!(refused.code(), Code::InvalidSql);
}

#[tokio::test]
async fn a_mask_that_cannot_have_the_type_of_its_column_closes_the_table() {
    let meera = Principal::new("meera", ["analyst".to_owned()]);
    for mask in ["'x'", "upper(code)", "flag"] {
        let closed = under(serde_json::json!({"masks": {"id": mask}}));
        assert_eq!(error(&closed, &meera, Query::new("SELECT id FROM t.t")).await.code(), Code::Internal, "{mask}");
    }
    for (mask, expected) in [("NULL", ""), ("id * 1.5", "1"), ("CASE WHEN flag THEN '7' END", "7")] {
        let open = under(serde_json::json!({"masks": {"id": mask}}));
        assert_eq!(rows(&open, &meera, "SELECT id FROM t.t WHERE code = '1'").await, [expected], "{mask}");
    }
}

#[tokio::test]
async fn what_was_made_of_a_rule_for_one_is_not_for_another() {
    let engine =
        under(serde_json::json!({"rows": "code = @code", "masks": {"flag": "CASE WHEN code = @code THEN flag END"}}));
    let asker = |code: Option<&str>, tenant: Option<&str>| {
        let attributes = code.map(|code| ("code".to_owned(), vec![code.to_owned()]));
        let meera = Principal::new("meera", ["analyst".to_owned()]);
        meera.with_attributes(attributes.into_iter().collect()).with_tenant(tenant.map(str::to_owned))
    };
    // The same name, as of two tokens of one caller, in turns.
    for _ in 0..2 {
        for (code, tenant, expected) in [
            (Some("1"), None, vec!["1|true"]),
            (Some("12"), None, vec!["3|"]),
            (None, Some("1"), vec![]),
            (Some("HIDDEN"), Some("1"), vec!["2|false"]),
        ] {
            assert_eq!(rows(&engine, &asker(code, tenant), "SELECT id, flag FROM t.t").await, expected, "{code:?}");
        }
        assert_eq!(rows(&engine, &Principal::local(), "SELECT count(*) FROM t.t").await, ["4"]);
    }
}
