//! `system.join_health`: figures that were counted by hand, and whose rights they were counted with.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use engine::{Code, Door, Engine, MemoryCatalog, Principal, Query};

use super::{code, engine, error, meera, rows};

fn table(catalog: MemoryCatalog, dataset: &str, name: &str, columns: Vec<(&str, ArrayRef)>) -> MemoryCatalog {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    catalog.with_batches(dataset, name, batch.schema(), vec![batch]).unwrap()
}

fn integers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Customers, their orders, and a partner's list that writes the same keys in other ways.
fn shop() -> Engine {
    let catalog = MemoryCatalog::default();
    let catalog = table(
        catalog,
        "crm",
        "customers",
        vec![
            ("id", integers(&[Some(1), Some(2), Some(3), Some(4)])),
            ("Code", texts(&[Some("A1"), Some("b2"), Some("C3"), None])),
            ("is_open", Arc::new(BooleanArray::from(vec![true, true, false, false]))),
        ],
    );
    let catalog = table(
        catalog,
        "sales",
        "orders",
        vec![
            ("order_no", Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5, 6]))),
            ("customer_id", Arc::new(Int32Array::from(vec![Some(1), Some(1), Some(1), Some(2), Some(9), None]))),
            ("amount", Arc::new(Float64Array::from(vec![1.0; 6]))),
        ],
    );
    let catalog = table(
        catalog,
        "partner",
        "list",
        vec![
            ("code", texts(&[Some("A1"), Some(" a1"), Some("B2"), Some("C3 "), Some("x"), Some("x")])),
            ("CustomerId", texts(&[Some("1"), Some("02"), Some(" 3"), Some("none"), None, Some("1")])),
        ],
    );
    Engine::builder(catalog).build().unwrap()
}

async fn health(engine: &Engine, columns: &str, left: &str, right: &str) -> Vec<String> {
    let sql =
        format!("SELECT {columns} FROM system.join_health WHERE left_table = '{left}' AND right_table = '{right}'");
    rows(engine, &Principal::local(), &sql).await
}

#[tokio::test]
async fn join_health_counts_both_sides_of_a_key() {
    let engine = shop();
    let (left, right) = ("crm.customers", "sales.orders");
    let columns = "left_column, left_type, right_column, right_type, is_type_mismatch, cardinality";
    let found = health(&engine, columns, left, right).await;
    assert_eq!(found, ["id|BIGINT|customer_id|INTEGER|false|one_to_many"]);
    let columns = "left_rows, left_nulls, left_keys, left_duplicates, left_max_per_key, left_overlap, left_fan_out, \
                   left_unmatched_rows";
    // Keys 1 and 2 have orders; 1 has three. 3 and 4 have none.
    assert_eq!(health(&engine, columns, left, right).await, ["4|0|4|0|1|0.5|1.0|2"]);
    // Three rows of key 1, one of 2, one of 9, which is nobody, and one without a key.
    let found = health(&engine, &columns.replace("left", "right"), left, right).await;
    assert_eq!(found, ["6|1|3|2|3|0.6666666666666666|0.6666666666666666|2"]);
    let columns = "shared_keys, join_rows, more_keys_lower, more_keys_cast, mend, is_sampled, sample_share, error";
    assert_eq!(health(&engine, columns, left, right).await, ["2|4||||false|1.0|"]);
    let join = "SELECT count(*) FROM crm.customers a JOIN sales.orders b ON a.id = b.customer_id";
    assert_eq!(rows(&engine, &Principal::local(), join).await, ["4"]);
}

#[tokio::test]
async fn join_health_finds_keys_that_differ_in_case_and_blanks() {
    let engine = shop();
    let columns = "left_column, right_column, left_keys, right_keys, right_duplicates, shared_keys, more_keys_lower, \
                   more_keys_trim, more_keys_lower_trim, more_keys_cast, mend";
    let found = health(&engine, columns, "crm.customers", "partner.list").await;
    // As they stand only A1 is shared; " a1" of the list finds a partner only in both forms.
    assert_eq!(
        found[1..],
        ["Code|code|3|5|1|1|1|1|3||lower(trim(a.\"Code\")) = lower(trim(b.code))".to_owned()],
        "{found:?}"
    );
    let mended =
        "SELECT count(*) FROM crm.customers a JOIN partner.list b ON lower(trim(a.\"Code\")) = lower(trim(b.code))";
    assert_eq!(rows(&engine, &Principal::local(), mended).await, ["4"]);
}

#[tokio::test]
async fn join_health_mends_a_difference_in_type() {
    let engine = shop();
    let columns = "left_column, right_column, left_type, right_type, is_type_mismatch, right_nulls, right_keys, \
                   shared_keys, join_rows, left_unmatched_rows, more_keys_lower, more_keys_cast, mend";
    let found = health(&engine, columns, "crm.customers", "partner.list").await;
    let mend = "a.id = try_cast(trim(b.\"CustomerId\") AS BIGINT)";
    assert_eq!(found[0], format!("id|CustomerId|BIGINT|VARCHAR|true|1|4|0|0|4||3|{mend}"));
    let mended = format!("SELECT count(*) FROM crm.customers a JOIN partner.list b ON {mend}");
    assert_eq!(rows(&engine, &Principal::local(), &mended).await, ["4"]);
    let found = health(&engine, "mend", "partner.list", "crm.customers").await;
    assert!(found.contains(&"try_cast(trim(a.\"CustomerId\") AS BIGINT) = b.id".to_owned()), "{found:?}");
}

#[tokio::test]
async fn join_health_of_datasets_is_that_of_their_tables() {
    let engine = shop();
    let sql = "SELECT left_table, left_column, right_dataset, right_table, right_column FROM system.join_health \
               WHERE left_dataset = 'crm' AND right_dataset IN ('partner', 'sales')";
    let listed = rows(&engine, &Principal::local(), sql).await;
    assert_eq!(
        listed,
        [
            "crm.customers|id|partner|partner.list|CustomerId",
            "crm.customers|Code|partner|partner.list|code",
            "crm.customers|id|sales|sales.orders|customer_id",
        ]
    );
    let journal = "SELECT count(*) FROM system.queries WHERE kind = 'aggregated'";
    assert_eq!(rows(&engine, &Principal::local(), journal).await, ["0"], "a listing measures nothing");
    let sql = "SELECT shared_keys FROM system.join_health WHERE left_dataset = 'crm' AND right_table = 'sales.orders'";
    assert_eq!(rows(&engine, &Principal::local(), sql).await, ["2"]);
}

#[tokio::test]
async fn join_health_measures_columns_that_the_query_names() {
    let engine = shop();
    let sql = "SELECT left_table, right_table, shared_keys FROM system.join_health WHERE left_table = 'CRM.public.Customers' \
               AND left_column = 'id' AND right_table = 'orders' AND right_column = 'order_no'";
    assert_eq!(rows(&engine, &Principal::local(), sql).await, ["CRM.public.Customers|orders|4"]);
    let sql = "SELECT count(*) FROM system.join_health WHERE left_table = 'crm.customers' AND left_column = 'is_open' \
               AND right_table = 'sales.orders' AND right_column = 'order_no'";
    assert_eq!(rows(&engine, &Principal::local(), sql).await, ["0"]);
}

#[tokio::test]
async fn join_health_of_empty_tables_is_nothing() {
    let empty = || table(MemoryCatalog::default(), "a", "x", vec![("k", integers(&[]))]);
    let engine = Engine::builder(table(empty(), "a", "y", vec![("k", integers(&[None]))])).build().unwrap();
    let columns = "left_rows, left_keys, left_max_per_key, left_overlap, left_fan_out, cardinality, right_nulls, \
                   right_fan_out, right_unmatched_rows, shared_keys, join_rows";
    assert_eq!(health(&engine, columns, "a.x", "a.y").await, ["0|0|||||1|0.0|1|0|0"]);
}

#[tokio::test]
async fn join_health_sees_what_the_caller_sees() {
    let engine = engine();
    // The oracle is the same table, filtered and masked by hand: two rows of Pune, names all "*", no salaries.
    let sql = "SELECT left_column, left_rows, left_nulls, left_keys, left_duplicates, left_max_per_key, shared_keys, \
               join_rows, right_unmatched_rows FROM system.join_health \
               WHERE left_table = 'panel.people' AND right_table = 'hr.staff' AND left_column IN ('id', 'name', 'salary')";
    let seen = rows(&engine, &meera(), sql).await;
    assert_eq!(seen, ["id|2|0|2|0|1|2|2|2", "name|2|0|1|1|2|0|0|4", "salary|2|2|0|0||0|0|4"]);
    let all = rows(&engine, &Principal::local(), sql).await;
    assert_eq!(all, ["id|4|0|4|0|1|4|4|0", "name|4|0|4|0|1|4|4|0", "salary|4|0|4|0|1|4|4|0"]);
}

#[tokio::test]
async fn join_health_asks_as_the_caller_and_through_its_door() {
    let engine = engine();
    let sql = "SELECT shared_keys FROM system.join_health WHERE left_table = 'panel.people' AND right_table = 'hr.staff' \
               AND left_column = 'id'";
    let query = Query::new(sql).from(Door::Rest, "page".to_owned());
    super::collect(engine.query(&meera(), query).await.unwrap()).await.unwrap();
    let journal =
        "SELECT principal, door, client, count(*) FROM system.queries WHERE kind = 'aggregated' GROUP BY 1, 2, 3";
    assert_eq!(rows(&engine, &Principal::local(), journal).await, ["meera|rest|page|3"]);
}

#[tokio::test]
async fn join_health_of_a_hidden_dataset_does_not_exist() {
    let hidden = engine::Dataset {
        id: "hidden".to_owned(),
        access: engine::Access { roles: ["boss".to_owned()].into(), ..Default::default() },
        ..Default::default()
    };
    let engine = Engine::builder(super::catalog().with_table("hidden", "t", super::people()).with_dataset(hidden));
    let engine = engine.build().unwrap();
    for name in ["left_table = 'hidden.t'", "left_dataset = 'hidden'", "left_dataset = 'missing'"] {
        let sql = format!("SELECT * FROM system.join_health WHERE {name} AND right_table = 'hr.staff'");
        assert_eq!(error(&engine, &meera(), Query::new(sql)).await.code(), Code::DatasetNotFound, "{name}");
    }
}

#[tokio::test]
async fn join_health_wants_to_know_which_tables() {
    let engine = shop();
    assert_eq!(code(&engine, "SELECT * FROM system.join_health").await, Code::InvalidArgument);
    let half = "SELECT * FROM system.join_health WHERE left_table = 'crm.customers'";
    assert_eq!(code(&engine, half).await, Code::InvalidArgument);
    let missing = "SELECT * FROM system.join_health WHERE left_table = 'crm.customer' AND right_table = 'sales.orders'";
    let error = error(&engine, &Principal::local(), Query::new(missing)).await;
    assert_eq!((error.code(), error.hint_text()), (Code::TableNotFound, Some("Did you mean \"crm.customers\"?")));
    let itself = "SELECT shared_keys FROM system.join_health WHERE left_table = 'system.join_health' \
                  AND right_table = 'system.join_health'";
    assert_eq!(code(&engine, itself).await, Code::InvalidArgument);
}
