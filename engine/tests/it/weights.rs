//! What a dataset says of its weights holds for every query on it.

use engine::{Code, Dataset, Engine, MemoryCatalog, Principal, Query, Weights, WeightsMode};

use crate::{collect, error, people};

fn engine(mode: WeightsMode) -> Engine {
    let weights = Weights {
        table: None,
        unit: Some("id".to_owned()),
        weight: "weight".to_owned(),
        period: None,
        strata: Vec::new(),
        psu: None,
        fpc: None,
        replicates: None,
        mode,
    };
    let dataset = Dataset { id: "panel".to_owned(), weights: Some(weights), ..Dataset::default() };
    let catalog = MemoryCatalog::default().with_dataset(dataset).with_table("panel", "people", people());
    Engine::builder(catalog.with_table("hr", "staff", people())).build().unwrap()
}

/// None where the query is answered.
async fn code(mode: WeightsMode, apply: Option<bool>, sql: &str) -> Option<Code> {
    let (engine, query) = (engine(mode), Query::new(sql).apply_weights(apply));
    match engine.query(&Principal::local(), query).await {
        Ok(stream) => collect(stream).await.err().map(|error| error.code()),
        Err(error) => Some(error.code()),
    }
}

#[tokio::test]
async fn a_plain_figure_of_a_weighted_dataset_is_never_taken_for_a_weighted_one() {
    use WeightsMode::{Default, Offered, Required};
    let (plain, weighted) =
        ("SELECT avg(salary) FROM panel.people", "SELECT weighted_avg(salary, weight) FROM panel.people");
    for (mode, apply, refused) in [
        (Required, None, true),
        (Required, Some(true), true),
        (Default, None, true),
        (Default, Some(true), true),
        (Default, Some(false), false),
        (Offered, None, false),
        (Offered, Some(true), true),
        (Offered, Some(false), false),
    ] {
        assert_eq!(code(mode, apply, plain).await, refused.then_some(Code::WeightRequired), "{mode:?} {apply:?}");
        assert_eq!(code(mode, apply, weighted).await, None, "{mode:?} {apply:?}");
    }
    assert_eq!(code(Required, Some(false), weighted).await, Some(Code::WeightRequired));
    assert_eq!(code(Required, Some(true), "SELECT avg(salary) FROM hr.staff").await, Some(Code::DesignMissing));
}

#[tokio::test]
async fn it_is_the_function_that_counts() {
    for (sql, refused) in [
        ("SELECT id, name FROM panel.people WHERE salary > 10", false),
        ("SELECT DISTINCT city FROM panel.people", false),
        ("SELECT max(salary), min(salary) FROM panel.people", false),
        ("SELECT count(*) FROM hr.staff", false),
        ("SELECT city, weighted_count(weight), count(*) AS base FROM panel.people GROUP BY city", false),
        ("SELECT * FROM (SELECT city, count(*) AS n FROM panel.people GROUP BY city) WHERE n > 1", true),
        ("SELECT name FROM panel.people WHERE salary > (SELECT avg(salary) FROM panel.people)", true),
        ("SELECT count(*) FROM panel.people p JOIN hr.staff s USING (id)", true),
        ("SELECT avg(salary) OVER (PARTITION BY city) FROM panel.people", true),
        ("SELECT row_number() OVER (ORDER BY salary), weighted_sum(salary, weight) OVER () FROM panel.people", false),
        // A weighted figure next to it, or elsewhere in the query, does not make a plain one right.
        ("SELECT weighted_count(weight), avg(salary) FROM panel.people", true),
        (
            "SELECT (SELECT weighted_count(weight) FROM panel.people) AS w, (SELECT count(*) FROM panel.people) AS n",
            true,
        ),
        (
            "SELECT sum(w), count(*) FROM (SELECT city, weighted_count(weight) AS w FROM panel.people GROUP BY city)",
            false,
        ),
        ("SELECT city, reach(id, weight) FROM panel.people GROUP BY city", false),
        // It measures rows, and says so.
        (
            "SELECT left_rows, shared_keys FROM system.join_health \
             WHERE left_table = 'panel.people' AND right_table = 'hr.staff'",
            false,
        ),
    ] {
        let wanted = refused.then_some(Code::WeightRequired);
        assert_eq!(code(WeightsMode::Required, None, sql).await, wanted, "{sql}");
    }
    let query = Query::new("SELECT avg(salary) FROM panel.people");
    let error = error(&engine(WeightsMode::Default), &Principal::local(), query).await;
    let hint = error.hint_text().unwrap();
    assert!(hint.contains("weighted_avg(x, weight)") && hint.contains("reach(id, weight)"), "{hint}");
}
