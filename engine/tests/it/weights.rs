//! What a dataset says of its weights holds for every query on it: plain aggregates are weighed, and joins count nobody twice.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::datasource::MemTable;
use engine::{Code, Dataset, Engine, Explain, MemoryCatalog, Principal, Query, TableProviderRef, Weights, WeightsMode};

use crate::{collect, error, people, rows};

/// Events of three of the four people: 10 and 20, 30, and 40, 50 and 60.
fn events() -> TableProviderRef {
    let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("id", column(vec![1, 1, 2, 3, 3, 3])),
        ("amount", column(vec![10, 20, 30, 40, 50, 60])),
    ]);
    let batch = batch.unwrap();
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())
}

fn dataset(id: &str, table: Option<&str>, mode: WeightsMode) -> Dataset {
    let weights = Weights {
        table: table.map(str::to_owned),
        unit: Some("id".to_owned()),
        weight: "weight".to_owned(),
        period: None,
        strata: Vec::new(),
        psu: None,
        fpc: None,
        replicates: None,
        mode,
    };
    Dataset { id: id.to_owned(), weights: Some(weights), ..Dataset::default() }
}

fn engine(mode: WeightsMode) -> Engine {
    let catalog = MemoryCatalog::default()
        .with_dataset(dataset("panel", Some("people"), mode))
        .with_dataset(dataset("loose", None, mode))
        .with_table("panel", "people", people())
        .with_table("panel", "events", events())
        .with_table("loose", "people", people())
        .with_table("hr", "staff", people());
    Engine::builder(catalog).build().unwrap()
}

/// The answer's rows, or the code of its error.
async fn answer(engine: &Engine, apply: Option<bool>, sql: &str) -> Result<Vec<String>, Code> {
    let stream = engine.query(&Principal::local(), Query::new(sql).apply_weights(apply)).await;
    let table = collect(stream.map_err(|error| error.code())?).await.map_err(|error| error.code())?;
    let lines = table.lines().filter(|line| line.starts_with('|')).skip(1);
    Ok(lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect())
}

#[tokio::test]
async fn the_mode_and_the_query_decide_whether_weights_apply() {
    use WeightsMode::{Default, Offered, Required};
    let (weighed, plain) = (Ok(vec!["2100.0".to_owned()]), Ok(vec!["2500.0".to_owned()]));
    for (mode, apply, wanted) in [
        (Required, None, &weighed),
        (Required, Some(true), &weighed),
        (Required, Some(false), &Err(Code::WeightRequired)),
        (Default, None, &weighed),
        (Default, Some(true), &weighed),
        (Default, Some(false), &plain),
        (Offered, None, &plain),
        (Offered, Some(true), &weighed),
        (Offered, Some(false), &plain),
    ] {
        let found = answer(&engine(mode), apply, "SELECT avg(salary) FROM panel.people").await;
        assert_eq!(found, *wanted, "{mode:?} {apply:?}");
    }
    let staff = answer(&engine(Required), Some(true), "SELECT avg(salary) FROM hr.staff").await;
    assert_eq!(staff, Err(Code::DesignMissing));
}

#[tokio::test]
async fn plain_aggregates_become_their_weighted_forms() {
    let engine = engine(WeightsMode::Default);
    for (sql, wanted) in [
        ("SELECT count(*) FROM panel.people", "5.0"),
        ("SELECT count(1), count(name), count(*) FILTER (WHERE city = 'Pune') FROM panel.people", "5.0|5.0|2.0"),
        ("SELECT sum(salary), avg(salary) FROM panel.people", "10500.0|2100.0"),
        ("SELECT sum(salary) / count(*) FROM panel.people", "2100.0"),
        ("SELECT count(DISTINCT id), count(DISTINCT city) FROM panel.people", "5.0|2"),
        ("SELECT median(salary), approx_median(salary) FROM panel.people", "2000.0|2000.0"),
        ("SELECT round(var(salary)), round(stddev(salary)) FROM panel.people", "1186667.0|1089.0"),
        ("SELECT percentile_cont(0.8) WITHIN GROUP (ORDER BY salary) FROM panel.people", "3000.0"),
        ("SELECT percentile_cont(0.8) WITHIN GROUP (ORDER BY salary DESC) FROM panel.people", "1000.0"),
        ("SELECT round(corr(salary, id), 6) = round(weighted_corr(salary, id, weight), 6) FROM panel.people", "true"),
        ("SELECT max(salary), min(salary), count(*) FROM panel.people", "4000|1000|5.0"),
        ("SELECT city FROM panel.people GROUP BY city HAVING count(*) > 2.5", "Delhi"),
        ("SELECT count(*) FROM panel.people WHERE salary > (SELECT avg(salary) FROM panel.people)", "1.5"),
        ("SELECT count(*) AS n FROM panel.people UNION ALL SELECT 7 ORDER BY n", "5.0 7.0"),
        ("SELECT sum(salary) OVER (ORDER BY id) FROM panel.people ORDER BY id", "1500.0 5500.0 7500.0 10500.0"),
        ("WITH a AS (SELECT * FROM panel.people) SELECT count(*) FROM a", "5.0"),
        (
            "SELECT count(*) FROM (SELECT id, weight FROM panel.people UNION ALL SELECT id, weight FROM panel.people)",
            "10.0",
        ),
        // Through GROUPING SETS too.
        (
            "SELECT city, count(*), count(DISTINCT id) FROM panel.people GROUP BY ROLLUP(city) ORDER BY city NULLS LAST",
            "Delhi|3.0|3.0 Pune|2.0|2.0 |5.0|5.0",
        ),
        // A dataset whose tables each have the weight.
        ("SELECT count(*) FROM loose.people", "5.0"),
        // Explicit weights stay as they are written: 1 counts the sample.
        ("SELECT weighted_count(1), weighted_avg(salary, weight) FROM panel.people", "4.0|2100.0"),
        ("SELECT sum(salary * weight) / sum(weight), sum(weight) FROM panel.people", "2100.0|5.0"),
        ("SELECT sum(s) FROM (SELECT salary * weight AS s, weight FROM panel.people)", "10500.0"),
        // People are counted by whatever names them.
        ("SELECT count(DISTINCT CASE WHEN city = 'Pune' THEN id END) FROM panel.people", "2.0"),
        (
            "SELECT count(DISTINCT CAST(id AS VARCHAR)), approx_distinct(id), count(NULL) FROM panel.people",
            "5.0|5.0|0.0",
        ),
    ] {
        let found = answer(&engine, None, sql).await.map(|rows| rows.join(" "));
        assert_eq!(found.as_deref(), Ok(wanted), "{sql}");
    }
}

#[tokio::test]
async fn figures_and_rows_of_one_person_are_not_weighed_again() {
    let engine = engine(WeightsMode::Default);
    for (sql, wanted) in [
        ("SELECT sum(n) FROM (SELECT city, count(*) AS n FROM panel.people GROUP BY city)", "5.0"),
        (
            "SELECT sum(w), count(*) FROM (SELECT city, weighted_count(weight) AS w FROM panel.people GROUP BY city)",
            "5.0|2",
        ),
        ("SELECT avg(n) FROM (SELECT weight, count(*) AS n FROM panel.people GROUP BY weight)", "1.25"),
        // What one person did is counted as it is, and then weighed by the person.
        ("SELECT id, sum(amount), count(*) FROM panel.events GROUP BY id ORDER BY id", "1|30|2 2|30|1 3|150|3"),
        (
            "SELECT avg(spent) FROM (SELECT e.id, p.weight, sum(amount) AS spent FROM panel.events e \
             JOIN panel.people p ON p.id = e.id GROUP BY e.id, p.weight)",
            "45.0",
        ),
        ("SELECT sum(amount) FROM panel.events WHERE id = 1", "30"),
        (
            "SELECT name, (SELECT sum(amount) FROM panel.events e WHERE e.id = p.id) AS spent FROM panel.people p ORDER BY id",
            "Asha|30 Bala|30 Chitra|150 Dev|",
        ),
        ("SELECT count(*) FROM hr.staff WHERE id IN (SELECT id FROM panel.people)", "4"),
        ("SELECT id, count(*) OVER (PARTITION BY id) FROM panel.events ORDER BY id LIMIT 1", "1|2"),
        (
            "SELECT p.id, count(e.amount) FROM panel.people p LEFT JOIN panel.events e ON e.id = p.id GROUP BY p.id ORDER BY 1",
            "1|2 2|1 3|3 4|0",
        ),
        // The group of those without events is of many people.
        (
            "SELECT e.id, count(*) FROM panel.people p LEFT JOIN panel.events e ON e.id = p.id GROUP BY e.id \
             ORDER BY e.id NULLS LAST",
            "1|3.0 2|2.0 3|1.5 |1.0",
        ),
    ] {
        let found = answer(&engine, None, sql).await.map(|rows| rows.join(" "));
        assert_eq!(found.as_deref(), Ok(wanted), "{sql}");
    }
}

#[tokio::test]
async fn what_cannot_be_weighed_is_refused_and_says_what_to_do() {
    let engine = engine(WeightsMode::Default);
    for (sql, code, says) in [
        ("SELECT sum(amount) FROM panel.events", Code::WeightRequired, "JOIN panel.people USING (id)"),
        ("SELECT avg(salary) FROM (SELECT salary FROM panel.people)", Code::WeightRequired, "Select weight"),
        ("SELECT avg(n) FROM (SELECT id, count(*) AS n FROM panel.events GROUP BY id)", Code::WeightRequired, "JOIN"),
        ("SELECT sum(DISTINCT salary) FROM panel.people", Code::WeightRequired, "apply_weights = false"),
        ("SELECT var_pop(salary) FROM panel.people", Code::WeightRequired, "reference"),
        (
            "SELECT count(*) FROM panel.people p JOIN loose.people l ON l.id = p.id",
            Code::AmbiguousName,
            "weighted_count(t.weight)",
        ),
        ("SELECT count(*) FROM panel.people p JOIN panel.people q ON q.id = p.id", Code::AmbiguousName, "weight"),
        (
            "SELECT p.id, avg(q.salary) FROM panel.people p JOIN panel.people q ON q.city = p.city GROUP BY p.id",
            Code::AmbiguousName,
            "weight",
        ),
        (
            "SELECT sum(e.amount) FROM panel.events e JOIN panel.people p ON p.id = e.amount / 10",
            Code::WeightRequired,
            "Join ON events.id = people.id",
        ),
        (
            "SELECT count(*) FROM (SELECT DISTINCT CAST(id AS VARCHAR) FROM panel.people)",
            Code::WeightRequired,
            "weight",
        ),
    ] {
        let error = error(&engine, &Principal::local(), Query::new(sql)).await;
        assert_eq!(error.code(), code, "{sql}: {error}");
        let text = format!("{error} {}", error.hint_text().unwrap_or_default());
        assert!(text.contains(says), "{sql}: {text}");
    }
}

#[tokio::test]
async fn a_join_counts_nobody_twice() {
    let engine = engine(WeightsMode::Default);
    let joined = "panel.people p JOIN panel.events e ON e.id = p.id";
    for (sql, wanted) in [
        // The rows of events are there once each, since a person is in the table of weights once.
        (format!("SELECT sum(e.amount), count(*), count(DISTINCT p.id) FROM {joined}"), Ok("180.0|6.5|4.0")),
        (format!("SELECT sum(e.amount * p.salary) FROM {joined}"), Ok("465000.0")),
        (format!("SELECT avg(p.salary) FROM {joined}"), Err(Code::JoinMultiplies)),
        (format!("SELECT svy_mean(p.salary) FROM {joined}"), Err(Code::JoinMultiplies)),
        (format!("SELECT round(svy_mean(p.salary, weight => p.weight)['estimate'], 3) FROM {joined}"), Ok("2000.0")),
        (format!("SELECT round(weighted_avg(p.salary, p.weight), 3) FROM {joined}"), Ok("2000.0")),
        (format!("SELECT count(p.salary) FROM {joined}"), Err(Code::JoinMultiplies)),
        // Comma joins, subqueries and CTEs are the same joins.
        ("SELECT avg(salary) FROM panel.people p, panel.events e WHERE e.id = p.id".to_owned(), Err(Code::JoinMultiplies)),
        ("WITH j AS (SELECT p.*, amount FROM panel.people p JOIN panel.events e USING (id)) SELECT avg(salary) FROM j".to_owned(), Err(Code::JoinMultiplies)),
        ("WITH j AS (SELECT p.*, amount FROM panel.people p JOIN panel.events e USING (id)) SELECT avg(amount) FROM j".to_owned(), Ok("27.692307692307693")),
        ("SELECT avg(salary) FROM panel.people p LEFT JOIN panel.events e ON e.id = p.id".to_owned(), Err(Code::JoinMultiplies)),
        ("SELECT avg(salary) OVER () FROM panel.people p JOIN panel.events e ON e.id = p.id".to_owned(), Err(Code::JoinMultiplies)),
        // Conditions on others count nobody twice.
        ("SELECT avg(salary) FROM panel.people WHERE id IN (SELECT id FROM panel.events)".to_owned(), Ok("1875.0")),
        ("SELECT avg(salary) FROM panel.people p WHERE EXISTS (SELECT 1 FROM panel.events e WHERE e.id = p.id)".to_owned(), Ok("1875.0")),
        ("SELECT avg(salary) FROM panel.people p LEFT SEMI JOIN panel.events e ON e.id = p.id".to_owned(), Ok("1875.0")),
        // One row for each person: by GROUP BY, DISTINCT, a declared key, or as the data has it.
        ("SELECT avg(salary) FROM panel.people p JOIN (SELECT id, sum(amount) AS s FROM panel.events GROUP BY id) e ON e.id = p.id".to_owned(), Ok("1875.0")),
        ("SELECT avg(salary) FROM panel.people p JOIN (SELECT DISTINCT id FROM panel.events) e ON e.id = p.id".to_owned(), Ok("1875.0")),
        ("SELECT avg(p.salary) FROM panel.people p JOIN hr.staff s ON s.id = p.id".to_owned(), Ok("2100.0")),
        ("SELECT avg(p.salary) FROM panel.people p JOIN hr.staff s ON s.city = p.city".to_owned(), Err(Code::JoinMultiplies)),
        ("SELECT avg(p.salary) FROM panel.people p JOIN hr.staff s ON s.city = p.city WHERE s.name IN ('Asha', 'Bala')".to_owned(), Ok("2100.0")),
        ("SELECT avg(p.salary) FROM panel.people p JOIN hr.staff s ON s.city = p.city AND s.name = 'Asha'".to_owned(), Ok("1750.0")),
        ("SELECT avg(salary) FROM panel.people CROSS JOIN (VALUES (1)) v(x)".to_owned(), Ok("2100.0")),
        ("SELECT avg(salary) FROM panel.people CROSS JOIN (VALUES (1), (2)) v(x)".to_owned(), Err(Code::JoinMultiplies)),
        ("SELECT avg(salary) FROM panel.people CROSS JOIN (SELECT max(amount) FROM panel.events) m".to_owned(), Ok("2100.0")),
        ("SELECT avg(p.salary) FROM panel.people p JOIN hr.staff s ON s.id = p.id JOIN panel.events e ON e.id = s.id".to_owned(), Err(Code::JoinMultiplies)),
        // Neither side is there once.
        ("SELECT avg(salary) FROM (SELECT DISTINCT p.id, p.salary, p.weight FROM panel.people p JOIN panel.events e ON e.id = p.id)".to_owned(), Ok("1875.0")),
        ("SELECT avg(salary) FROM (SELECT DISTINCT p.id, p.salary, p.weight, e.amount FROM panel.people p JOIN panel.events e ON e.id = p.id)".to_owned(), Err(Code::JoinMultiplies)),
        ("SELECT avg(salary) FROM (SELECT p.id, p.salary, p.weight, e.amount FROM panel.people p JOIN panel.events e ON e.id = p.id GROUP BY 1, 2, 3, 4)".to_owned(), Err(Code::JoinMultiplies)),
        ("SELECT avg(salary) FROM (SELECT p.salary, p.weight FROM panel.people p JOIN panel.events e ON e.id = p.id UNION ALL SELECT salary, weight FROM panel.people)".to_owned(), Err(Code::JoinMultiplies)),
        ("SELECT sum(p.salary) FROM panel.people p CROSS JOIN hr.staff s LEFT JOIN hr.staff x ON x.id = p.id AND s.id = p.id".to_owned(), Err(Code::JoinMultiplies)),
        ("SELECT avg(p.salary) FROM panel.people p JOIN hr.staff s ON s.city = p.city WHERE s.id = (SELECT max(t.id) FROM hr.staff t WHERE t.name = s.name)".to_owned(), Err(Code::JoinMultiplies)),
        ("SELECT count(*) FROM panel.people p JOIN hr.staff s ON s.city = p.city JOIN panel.events e ON e.id = p.id".to_owned(), Err(Code::JoinMultiplies)),
    ] {
        let found = answer(&engine, None, &sql).await.map(|rows| rows.join(" "));
        assert_eq!(found.as_deref(), wanted.as_deref(), "{sql}");
    }
    let query = Query::new(format!("SELECT avg(p.salary) FROM {joined}"));
    let error = error(&engine, &Principal::local(), query).await;
    let text = format!("{error} {}", error.hint_text().unwrap_or_default());
    assert!(text.contains("avg(p.salary)") && text.contains("panel.events") && text.contains("subquery"), "{text}");
}

/// Each level names what is below it twice: who walks it once for each name never comes back.
#[tokio::test]
async fn queries_in_queries_take_no_longer_than_they_are_deep() {
    let engine = engine(WeightsMode::Default);
    let chain = |step: &str, group: &str| {
        let steps: Vec<String> =
            (1..=40).map(|at| format!("t{at} AS (SELECT {step} FROM t{} {group})", at - 1)).collect();
        format!("WITH t0 AS (SELECT id, weight, salary AS a, salary AS b FROM panel.people), {}", steps.join(", "))
    };
    let figures = chain("id, weight, a + b AS a, a - b AS b", "");
    let people = chain("id, weight, a, b", "GROUP BY id, weight, a, b");
    for (sql, wanted) in [
        (format!("{figures} SELECT count(*), min(b) > 0 FROM t40"), Ok("5.0|true")),
        (format!("{figures} SELECT sum(a) = sum(b) FROM t40"), Ok("true")),
        (format!("{people} SELECT avg(a) FROM t40"), Ok("2100.0")),
        (format!("{figures} SELECT svy_mean(a, psu => b) FROM t40"), Err(Code::DesignMissing)),
    ] {
        let found = answer(&engine, None, &sql).await.map(|rows| rows.join(" "));
        assert_eq!(found.as_deref(), wanted.as_deref(), "{}", &sql[sql.len() - 60..]);
    }
}

#[tokio::test]
async fn an_answer_and_its_plan_say_that_they_are_weighted() {
    let engine = engine(WeightsMode::Default);
    let query = || Query::new("SELECT city, count(*), avg(salary) FROM panel.people GROUP BY city");
    let mut stream = engine.query(&Principal::local(), query()).await.unwrap();
    use futures::TryStreamExt;
    while stream.try_next().await.unwrap().is_some() {}
    let notices = stream.summary().notices.join(" ");
    assert!(notices.contains("Weighted by panel.people.weight: avg(panel.people.salary), count(*)"), "{notices}");
    let plan = collect(engine.query(&Principal::local(), query().explain(Explain::Plan)).await.unwrap()).await.unwrap();
    assert!(plan.contains("weighted_count"), "{plan}");
    let columns = engine.describe(&Principal::local(), &query()).await.unwrap().schema;
    assert_eq!(columns.field(1).data_type(), &arrow::datatypes::DataType::Float64);
    // Tables that are no part of the sample are counted as they are.
    assert_eq!(rows(&engine, &Principal::local(), "SELECT count(*) FROM hr.staff").await, ["4"]);
}
