//! Weights by period: a panel that weighs its people anew each month.

use std::collections::BTreeMap;

use engine::{Code, Engine, MemoryCatalog, Weights};

use super::survey::{declared, is_same, memory, one, rows, weights};

/// Of the first month: five homes of N, of the second four, one of which is new.
const PEOPLE: &str = "person,month,home,region,age,weight\n\
    1,1,1,N,20,10\n2,1,1,N,31,12\n3,1,2,N,45,9\n4,1,3,N,52,11\n5,1,4,N,18,20\n6,1,5,N,33,22\n\
    1,2,1,N,20,14\n3,2,2,N,45,13\n4,2,3,N,52,15\n7,2,6,N,28,16\n8,2,6,N,61,18\n";
const EVENTS: &str = "person,month,spend\n1,1,5\n1,1,7\n2,1,1\n3,1,3\n5,1,8\n1,2,2\n3,2,2\n4,2,4\n7,2,9\n8,2,1\n";

fn panel() -> Engine {
    let design = |period: Option<&str>| Weights {
        table: Some("people".to_owned()),
        unit: Some("person".to_owned()),
        period: period.map(str::to_owned),
        strata: vec!["region".to_owned()],
        psu: Some("home".to_owned()),
        ..weights("weight")
    };
    let of_month = |text: &str, month: &str| {
        let lines = text.lines().filter(|line| line.split(',').nth(1) != Some(if month == "1" { "2" } else { "1" }));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let mut catalog = declared(MemoryCatalog::default(), "panel", design(Some("month")))
        .with_table("panel", "people", memory(PEOPLE))
        .with_table("panel", "events", memory(EVENTS));
    // Each month as a panel of its own: what the design of one month is.
    for month in ["1", "2"] {
        let id = format!("month{month}");
        catalog = declared(catalog, &id, design(None))
            .with_table(&id, "people", memory(&of_month(PEOPLE, month)))
            .with_table(&id, "events", memory(&of_month(EVENTS, month)));
    }
    let both = "both";
    catalog = declared(catalog, both, design(None)).with_table(both, "people", memory(PEOPLE));
    Engine::builder(catalog).build().unwrap()
}

type Estimate = BTreeMap<String, Option<f64>>;

async fn same(engine: &Engine, by_month: &str, of_month: &str) -> Estimate {
    let (found, expected) = (one(engine, by_month).await, one(engine, of_month).await);
    for (field, value) in &expected {
        assert!(is_same(found[field], *value, expected["estimate"]), "{by_month}: {field}\n{found:?}\n{expected:?}");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_design_of_a_month_is_that_of_its_people() {
    let engine = panel();
    for call in [
        "svy_mean(age)",
        "svy_count(*)",
        "svy_median(age)",
        "svy_variance(age)",
        "svy_share(age > 30)",
        "svy_count(DISTINCT person)",
    ] {
        for (month, home) in [(1, "home < 4"), (2, "home > 1")] {
            let expected = format!("SELECT {call} AS s FROM month{month}.people WHERE {home}");
            for query in [
                format!("SELECT {call} AS s FROM panel.people WHERE month = {month} AND {home}"),
                format!("SELECT {call} AS s FROM panel.people WHERE month IN ({month}) AND {home}"),
                format!(
                    "SELECT {call} AS s FROM (SELECT * FROM panel.people WHERE month < {month} + 1 AND month > {month} - 1) AS p WHERE {home}"
                ),
                format!("SELECT {call} FILTER (WHERE month = {month}) AS s FROM panel.people WHERE {home}"),
                format!(
                    "SELECT s FROM (SELECT month, {call} AS s FROM panel.people WHERE {home} GROUP BY month) AS t WHERE month = {month}"
                ),
                format!(
                    "SELECT s FROM (SELECT month * 2 AS m, region, {call} AS s FROM panel.people WHERE {home} GROUP BY month * 2, region) AS t WHERE m = 2 * {month}"
                ),
            ] {
                same(&engine, &query, &expected).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_the_weights_of_their_month() {
    let engine = panel();
    let joined = "panel.events e JOIN panel.people p ON p.person = e.person AND p.month = e.month";
    for call in [
        "svy_mean(spend)",
        "svy_total(spend)",
        "svy_count(DISTINCT e.person)",
        "svy_mean_per_unit(spend)",
        "svy_median(spend)",
    ] {
        for month in [1, 2] {
            let expected = format!(
                "SELECT {call} AS s FROM month{month}.events e JOIN month{month}.people p ON p.person = e.person"
            );
            for query in [
                format!("SELECT {call} AS s FROM {joined} WHERE p.month = {month}"),
                format!("SELECT {call} AS s FROM {joined} WHERE e.month = {month}"),
                format!(
                    "SELECT {call} AS s FROM panel.events e, panel.people p WHERE p.person = e.person AND p.month = {month} AND e.month = {month}"
                ),
                format!(
                    "SELECT s FROM (SELECT p.month, {call} AS s FROM {joined} GROUP BY p.month) AS t WHERE month = {month}"
                ),
                format!(
                    "SELECT s FROM (SELECT e.month, {call} AS s FROM {joined} GROUP BY e.month) AS t WHERE month = {month}"
                ),
            ] {
                same(&engine, &query, &expected).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn months_in_one_estimate_are_of_people_who_are_one_psu() {
    let engine = panel();
    let pooled = "SELECT svy_mean(age) AS s FROM panel.people";
    let both = same(&engine, pooled, "SELECT svy_mean(age) AS s FROM both.people").await;
    assert_eq!((both["n"], both["n_people"], both["df"]), (Some(11.0), Some(8.0), Some(5.0)));
    let told =
        async |sql: &str| rows(&engine, sql).await.unwrap().1.iter().any(|notice| notice.contains("No one \"month\""));
    assert!(told(pooled).await);
    assert!(told("SELECT month, svy_mean(age) AS s FROM panel.people GROUP BY ROLLUP (month)").await);
    assert!(!told("SELECT month, svy_mean(age) AS s FROM panel.people GROUP BY month").await);
    assert!(!told("SELECT svy_mean(age) AS s FROM panel.people WHERE month = 2").await);
    // How the mean has changed, with the covariance of who is in both months.
    let change = "SELECT svy_mean_diff(age, month = 2, month = 1) AS s FROM panel.people";
    let change = same(&engine, change, &change.replace("panel.", "both.")).await;
    let apart = [1, 2].map(|month| format!("SELECT svy_mean(age) AS s FROM month{month}.people"));
    let (one_month, other) = (one(&engine, &apart[0]).await, one(&engine, &apart[1]).await);
    let independent = one_month["se"].unwrap().hypot(other["se"].unwrap());
    assert!(change["se"].unwrap() < independent, "{change:?} {independent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_of_all_months_are_not_mixed() {
    let engine = panel();
    let by_person = "panel.events e JOIN panel.people p ON p.person = e.person";
    for sql in [
        format!("SELECT svy_mean(spend) FROM {by_person}"),
        format!("SELECT svy_count(*) FROM {by_person} WHERE e.month = 1"),
        format!("SELECT p.month, svy_total(spend) FROM {by_person} GROUP BY p.month"),
        format!("SELECT svy_mean_per_unit(spend) FROM {by_person} WHERE p.month > 0"),
    ] {
        let error = rows(&engine, &sql).await.unwrap_err();
        assert_eq!(error.code(), Code::JoinMultiplies, "{sql}: {error}");
        assert!(error.hint_text().unwrap().contains("\"month\""), "{error:?}");
    }
    let several = rows(&engine, "SELECT svy_count(DISTINCT person) FROM panel.people").await.unwrap_err();
    assert!(several.hint_text().unwrap().contains("period"), "{several:?}");
    // A table of what people are does not sum anything up.
    let own = "SELECT p.month, svy_mean(p.age) FROM panel.people p JOIN (SELECT DISTINCT person FROM panel.events) e \
               ON p.person = e.person GROUP BY p.month";
    assert!(rows(&engine, own).await.is_ok());
    let joined = rows(&engine, "SELECT svy_mean(spend) FROM panel.events").await.unwrap_err();
    assert!(joined.hint_text().unwrap().contains("USING (person, month)"), "{joined:?}");
}
