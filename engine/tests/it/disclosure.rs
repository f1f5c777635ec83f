//! Disclosure control: figures of few people are not shown, however they are asked for, and those of many are.
#![expect(clippy::panic, reason = "tests")]

use std::sync::Arc;

use arrow::array::{BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use engine::policy::Policies;
use engine::{Code, Dataset, Engine, Error, MemoryCatalog, Principal, Query};
use futures::TryStreamExt;
use serde_json::{Value, json};

/// 200 people: 100 in the north, 60 in the south, 37 in the east, 3 in the west.
fn people() -> RecordBatch {
    let ids: Vec<i64> = (1..=200).collect();
    let region = |id: &i64| match id {
        1..=100 => "north",
        101..=160 => "south",
        161..=197 => "east",
        _ => "west",
    };
    let spend = |id: &i64| if *id == 150 { 90_000.0 } else { 10.0 * *id as f64 };
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(ids.clone())) as _, true),
        ("name", Arc::new(StringArray::from_iter_values(ids.iter().map(|id| format!("P{id}")))) as _, true),
        ("region", Arc::new(StringArray::from_iter_values(ids.iter().map(region))) as _, true),
        ("is_sick", Arc::new(BooleanArray::from_iter(ids.iter().map(|id| Some(id % 100 == 7)))) as _, true),
        ("spend", Arc::new(Float64Array::from_iter_values(ids.iter().map(spend))) as _, true),
        ("debt", Arc::new(Float64Array::from_iter_values(ids.iter().map(|id| (*id - 2).max(0) as f64))) as _, true),
    ])
    .unwrap()
}

/// Three for each of the people.
fn events() -> RecordBatch {
    let at = 0..600_i64;
    RecordBatch::try_from_iter_with_nullable([
        ("person", Arc::new(Int64Array::from_iter_values(at.clone().map(|at| at / 3 + 1))) as _, true),
        ("month", Arc::new(Int64Array::from_iter_values(at.clone().map(|at| at % 3 + 1))) as _, true),
        ("amount", Arc::new(Int64Array::from_iter_values(at.map(|at| at % 7 + 1))) as _, true),
    ])
    .unwrap()
}

fn regions() -> RecordBatch {
    let names = StringArray::from(vec!["north", "south", "east", "west"]);
    RecordBatch::try_from_iter_with_nullable([("region", Arc::new(names) as _, true)]).unwrap()
}

fn engine(rule: Value) -> Engine {
    let catalog = [("shop", "people", people()), ("shop", "events", events()), ("geo", "regions", regions())];
    let catalog = catalog.into_iter().fold(MemoryCatalog::default(), |catalog, (dataset, table, batch)| {
        catalog.with_batches(dataset, table, batch.schema(), vec![batch]).unwrap()
    });
    let catalog = catalog.with_dataset(Dataset { id: "shop".to_owned(), ..Dataset::default() });
    let mut of_people = json!({"name": "small cells", "on": ["shop.people"], "people": "id", "min_people": 5});
    of_people.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    let mut of_events = of_people.clone();
    of_events["on"] = json!(["shop.events"]);
    of_events["people"] = json!("person");
    let policies: Policies = serde_json::from_value(json!({"disclosure": [of_people, of_events]})).unwrap();
    Engine::builder(catalog).policies(policies).build().unwrap()
}

/// The rows of an answer, a line each, and what is said with it.
async fn ask(engine: &Engine, sql: &str) -> Result<(Vec<String>, Vec<String>), Error> {
    let meera = Principal::new("meera", ["analyst".to_owned()]);
    let mut stream = engine.query(&meera, Query::new(sql)).await?;
    let mut lines = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        let options = FormatOptions::default().with_null("NULL");
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        lines.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ")),
        );
    }
    Ok((lines, stream.summary().notices))
}

/// The rows that an engine without a past answers with.
async fn rows(rule: Value, sql: &str) -> Vec<String> {
    ask(&engine(rule), sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).0
}

#[tokio::test]
async fn figures_of_few_people_are_null_with_a_notice() {
    let sql = "SELECT region, count(*), avg(spend) FROM shop.people GROUP BY region ORDER BY region";
    let (rows, notices) = ask(&engine(json!({})), sql).await.unwrap();
    assert_eq!(rows, ["east 37 1790.0", "north 100 505.0", "south 60 2780.0", "west NULL NULL"].map(str::to_owned));
    assert!(notices.iter().any(|notice| notice.contains("few people")), "{notices:?}");
}

#[tokio::test]
async fn what_comes_above_never_meets_a_hidden_figure() {
    for (sql, expected) in [
        ("SELECT region FROM shop.people GROUP BY region HAVING count(*) = 3", vec![]),
        ("SELECT sum(n) FROM (SELECT region, count(*) AS n FROM shop.people GROUP BY region)", vec!["197"]),
        ("SELECT count(*) FROM shop.people WHERE region = 'west'", vec!["NULL"]),
        ("SELECT count(*) FROM shop.people WHERE id < 0", vec!["NULL"]),
        ("SELECT count(*) FROM shop.people", vec!["200"]),
        (
            "SELECT region, n FROM (SELECT region, count(*) n FROM shop.people GROUP BY 1) ORDER BY n NULLS LAST LIMIT 1",
            vec!["east 37"],
        ),
    ] {
        assert_eq!(rows(json!({}), sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn nobody_is_singled_out_by_an_argument_a_filter_or_a_join() {
    for sql in [
        "SELECT count(*) FILTER (WHERE name = 'P7') FROM shop.people",
        "SELECT sum(spend) FILTER (WHERE id = 7) FROM shop.people",
        "SELECT sum(CASE WHEN name = 'P7' THEN spend ELSE 0 END) FROM shop.people",
        "SELECT sum(CASE WHEN name = 'P7' THEN 1000000 ELSE 1 END) FROM shop.people",
        "SELECT sum(CASE WHEN region = 'north' THEN CASE WHEN id = 7 THEN 2 ELSE 1 END ELSE 1 END) FROM shop.people",
        "SELECT avg(y) FROM (SELECT CASE WHEN name = 'P7' THEN 9 ELSE 1 END AS y FROM shop.people)",
        "SELECT avg(y) FROM (SELECT id, max(CASE WHEN name = 'P7' THEN 9 ELSE 1 END) AS y FROM shop.people GROUP BY id)",
        "SELECT sum(y) FROM (SELECT 9 AS y, id FROM shop.people WHERE id = 7 UNION ALL SELECT CASE WHEN id = 7 THEN 3 ELSE 1 END, id FROM shop.people)",
        "SELECT sum(is_sick::int) FROM shop.people",
        "SELECT sum(1 + is_sick::int) FROM shop.people",
        "SELECT count(nullif(name, 'P7')) FROM shop.people",
        "SELECT sum(coalesce(nullif(id, 7), 100000)) FROM shop.people",
        "SELECT avg(spend) FROM (SELECT * FROM shop.people WHERE id = 7 UNION ALL SELECT * FROM shop.people WHERE id = 7)",
        "SELECT sum(p.spend) FROM shop.people p JOIN geo.regions r ON r.region = p.region WHERE p.region = 'west'",
        "SELECT count(*) FROM shop.people p JOIN shop.events e ON p.id = e.person WHERE p.name = 'P7'",
        "WITH p AS (SELECT * FROM shop.people WHERE id = 7) SELECT sum(spend) FROM p",
        "SELECT avg(t) FROM (SELECT person, sum(amount) AS t FROM shop.events WHERE person = 7 GROUP BY person)",
        // The people of each branch are few or many by themselves.
        "SELECT sum(x) FROM (SELECT spend AS x FROM shop.people WHERE id = 7 UNION ALL SELECT id::double FROM shop.people WHERE id <> 7)",
        "SELECT count(*) FROM (SELECT id FROM shop.people UNION ALL SELECT id FROM shop.people WHERE id = 7 AND spend > 50)",
        "SELECT avg(t) FROM (SELECT id, sum(x) AS t FROM (SELECT id, spend AS x FROM shop.people WHERE id = 7 UNION ALL SELECT id, id::double FROM shop.people) GROUP BY id)",
        // Steps of which few take part.
        "SELECT sum(id / 198) FROM shop.people",
        "SELECT count(DISTINCT id / 198) FROM shop.people WHERE id > 190",
        "SELECT sum(round(spend, -5)) FROM shop.people",
        "SELECT sum(ln(debt)) FROM shop.people",
        "SELECT svy_quantile(spend, 0.999, weight => 1) FROM shop.people",
        "SELECT median(spend) FROM shop.people WHERE id < 9",
        "SELECT approx_percentile_cont(spend, 0.999) FROM shop.people",
        "SELECT count(DISTINCT name) FROM shop.people WHERE id = 7",
        "SELECT svy_mean(spend, weight => 1) FROM shop.people WHERE id IN (1, 2)",
        "SELECT weighted_avg(spend, 1.0) FROM shop.people WHERE id IN (1, 2)",
        "SELECT count(*) FROM shop.people WHERE id IN (SELECT person FROM shop.events WHERE person = 7)",
    ] {
        assert_eq!(rows(json!({}), sql).await, ["NULL"], "{sql}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_of_is_refused() {
    for sql in [
        "SELECT sum(1 + (id = 7)::int * spend) FROM shop.people",
        "SELECT count(*) FROM shop.people CROSS JOIN generate_series(1, 100) WHERE name = 'P7'",
        "SELECT sum(p.spend) FROM shop.people p LEFT JOIN (VALUES (7), (7)) v(x) ON v.x = p.id",
        "SELECT sum(p.spend * g.w) FROM shop.people p JOIN (SELECT value AS id, CASE WHEN value = 7 THEN 2 ELSE 1 END AS w FROM generate_series(1, 200)) g ON g.id = p.id",
        "SELECT v.k, sum(p.spend) FROM shop.people p JOIN (SELECT value AS k FROM generate_series(5, 200)) v ON p.id <= v.k GROUP BY v.k",
        "SELECT sum(spend * (abs(id - 6) - 2 * abs(id - 7) + abs(id - 8))) / 2 FROM shop.people",
        "SELECT sum(spend * (floor((id + 993) / 1000.0) - floor((id + 992) / 1000.0))) FROM shop.people",
        "SELECT sum(ln(abs(spend - 70.0))) FROM shop.people",
        "SELECT weighted_avg(spend, w) FROM (SELECT spend, 1000000 * ((id + 193) / 200 - (id + 192) / 200) + 1 AS w FROM shop.people)",
        "SELECT weighted_avg(spend, w) FROM (SELECT spend, 1000 * (1 - CAST(CAST(id - 7 AS BOOLEAN) AS BIGINT)) + 1 AS w FROM shop.people)",
        "SELECT regr_slope(spend, w) FROM (SELECT spend, a - b AS w FROM (SELECT spend, id / 7 AS a, id / 8 AS b FROM shop.people))",
        "SELECT avg(spend + 1000 * (round(id, -1) - round(id, -2))) FROM shop.people",
        "SELECT sum(((spend + 1e16) - 1e16) - ((spend + 1 + 1e16) - 1e16)) FROM shop.people",
        "SELECT sum(b - 1e8) FROM (SELECT a + 1e8 AS b FROM (SELECT spend / 1e8 AS a FROM shop.people))",
        "SELECT sum(CAST(id - 7 AS BIGINT) / 193) FROM shop.people WHERE id > 100",
        "SELECT sum(id % 7) FROM shop.people",
        "SELECT avg(a.amount) FROM shop.events a JOIN shop.events b ON a.person = b.person",
        "WITH u AS (SELECT id, spend FROM shop.people UNION ALL SELECT id, spend FROM shop.people WHERE id = 7) SELECT avg(p.spend) FROM shop.people p JOIN (SELECT a.id FROM u a JOIN u b ON a.id = b.id) v ON v.id = p.id",
        "SELECT covar_pop(a, b), avg(a), avg(b) FROM (SELECT CASE WHEN id <= 7 THEN 1.0 ELSE 0.0 END a, CASE WHEN id >= 7 THEN spend ELSE 0.0 END b FROM shop.people) t",
        "SELECT sum(x * spend) - sum(spend) FROM (SELECT spend, (SELECT count(*) + 1 FROM (VALUES (7)) v(a) WHERE v.a = p.id) AS x FROM shop.people p) t",
        "SELECT sum(c * c * c * c) FROM (SELECT b * b AS c FROM (SELECT 1 - CAST(id AS DOUBLE) / 200 AS b FROM shop.people))",
        "SELECT row_number() OVER (PARTITION BY id = 1 OR (id = 7 AND spend > 50) ORDER BY id) FROM shop.people",
        "SELECT g.region FROM geo.regions g LEFT JOIN shop.people p ON p.id = 9 AND p.spend > 50",
        "SELECT max(u.s) FROM (SELECT spend AS s FROM shop.people UNION ALL SELECT 0.0 FROM geo.regions) u",
        "SELECT person, array_agg(amount) FROM shop.events GROUP BY person",
        "SELECT a.name FROM shop.people a JOIN shop.people b ON a.id = b.id + 1 WHERE a.id > 4",
        "SELECT sum(power(0, abs(id - 7)) * spend + 1) FROM shop.people",
        "SELECT sum(1 / (id - 6.99999)) FROM shop.people",
        "SELECT sum((id = 7)::int * (region = 'north')::int) FROM shop.people",
        "SELECT count(*) FROM geo.regions WHERE EXISTS (SELECT 1 FROM shop.people WHERE name = 'P7' AND spend > 5)",
        "SELECT count(*) FROM geo.regions WHERE region IN (SELECT region FROM shop.people WHERE name = 'P7')",
        "SELECT (SELECT spend FROM shop.people WHERE id = 7)",
        "SELECT count(*) FROM shop.people WHERE EXISTS (SELECT 1 FROM shop.events WHERE person = 7)",
        "SELECT array_agg(spend) OVER () FROM shop.people",
        "SELECT lag(spend) OVER (ORDER BY id) FROM shop.people",
        "SELECT region FROM geo.regions INTERSECT SELECT region FROM shop.people WHERE name = 'P7'",
        "SELECT region FROM geo.regions EXCEPT SELECT region FROM shop.people WHERE name = 'P7'",
        "WITH RECURSIVE r AS (SELECT id, 1 AS n FROM shop.people WHERE id = 7 UNION ALL SELECT id, n + 1 FROM r WHERE n < 9) SELECT count(*) FROM r",
        "SELECT id AS __disclosure_row_1 FROM shop.people",
    ] {
        let error = ask(&engine(json!({})), sql).await.expect_err(sql);
        assert_eq!(error.code(), Code::DisclosureRefused, "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn people_are_asked_about_by_the_column_that_names_them() {
    for (sql, expected) in [
        ("SELECT count(*) FROM shop.people WHERE id IN (SELECT person FROM shop.events WHERE amount > 6)", "85"),
        (
            "SELECT count(*) FROM shop.people p WHERE EXISTS (SELECT 1 FROM shop.events e WHERE e.person = p.id AND e.amount > 6)",
            "85",
        ),
        ("SELECT avg(t) FROM (SELECT person, sum(amount) AS t FROM shop.events GROUP BY person)", "11.975"),
        (
            "SELECT sum(t) FROM (SELECT p.id, count(*) AS t FROM shop.people p LEFT JOIN shop.events e ON e.person = p.id GROUP BY p.id)",
            "600",
        ),
        ("SELECT count(*) FROM (SELECT DISTINCT id FROM shop.people)", "200"),
        ("SELECT count(DISTINCT region) FROM shop.people", "4"),
        (
            "SELECT sum(n) FROM (SELECT count(*) AS n FROM shop.people UNION ALL SELECT count(*) FROM shop.events)",
            "800",
        ),
        ("SELECT (SELECT count(*) FROM shop.people)", "200"),
        ("SELECT sum(CASE WHEN region = 'north' THEN 1 ELSE 0 END) FROM shop.people", "100"),
        ("SELECT sum(x) FROM (SELECT id AS x FROM shop.people UNION ALL SELECT amount FROM shop.events)", "22495"),
        ("SELECT avg(ln(spend)) > 0 FROM shop.people", "true"),
        (
            "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY region) AS n FROM (SELECT region, count(*) FROM shop.people GROUP BY region))",
            "4",
        ),
    ] {
        assert_eq!(rows(json!({}), sql).await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn few_rows_leave_and_always_the_same_ones() {
    let engine = engine(json!({"raw_rows": 3}));
    let one = ask(&engine, "SELECT name FROM shop.people ORDER BY id").await.unwrap();
    assert_eq!(one.0, ["P1", "P2", "P3"]);
    assert!(one.1.iter().any(|notice| notice.contains("Of shop.people, 3 rows a day")), "{:?}", one.1);
    for sql in [
        "SELECT name FROM shop.people ORDER BY id OFFSET 3",
        "SELECT name FROM shop.people WHERE id > 50",
        "SELECT a.name FROM shop.people a JOIN shop.people b ON a.id = b.id WHERE a.id > 4",
        "SELECT DISTINCT id FROM shop.people WHERE id > 3",
        "SELECT person, max(amount) FROM shop.events WHERE person > 999 GROUP BY person",
    ] {
        assert_eq!(ask(&engine, sql).await.unwrap().0, [""; 0], "{sql}");
    }
    assert_eq!(ask(&engine, "SELECT id, spend FROM shop.people WHERE id < 9 ORDER BY 1").await.unwrap().0.len(), 3);
    // What is not shown takes no place.
    assert_eq!(ask(&engine, "SELECT name FROM shop.people ORDER BY id DESC LIMIT 2").await.unwrap().0, ["P3", "P2"]);
    assert_eq!(
        ask(&engine, "SELECT count(*) FROM (SELECT * FROM shop.people ORDER BY spend DESC LIMIT 9)").await.unwrap().0,
        ["3"]
    );
    // Values that are as good as rows count as such.
    for sql in [
        "SELECT max(spend) FROM shop.people",
        "SELECT string_agg(name, ',') FROM shop.people",
        "SELECT array_agg(name ORDER BY id) FROM shop.people",
        "SELECT first_value(name) FROM shop.people",
    ] {
        assert_eq!(ask(&engine, sql).await.unwrap().0, ["NULL"], "{sql}");
    }
    assert_eq!(ask(&engine, "SELECT count(*) FROM shop.people").await.unwrap().0, ["200"]);
}

#[tokio::test]
async fn names_of_small_groups_are_rows_too() {
    let engine = engine(json!({}));
    let (rows, _) = ask(&engine, "SELECT name, count(*) FROM shop.people GROUP BY name").await.unwrap();
    assert!(rows.len() <= 5 && rows.iter().all(|row| row.ends_with(" NULL")), "{rows:?}");
    let (more, _) = ask(&engine, "SELECT DISTINCT name FROM shop.people WHERE id > 190").await.unwrap();
    assert!(more.len() <= 5, "{more:?}");
    let (grouped, _) = ask(&engine, "SELECT spend FROM shop.people WHERE id > 100 GROUP BY spend").await.unwrap();
    assert!(grouped.is_empty(), "{grouped:?}");
}

#[tokio::test]
async fn a_total_does_not_tell_the_one_part_that_is_hidden() {
    let sql = "SELECT region, count(*) FROM shop.people GROUP BY ROLLUP (region) ORDER BY region NULLS LAST";
    let shown = rows(json!({}), sql).await;
    let hidden: Vec<&String> = shown.iter().filter(|row| row.ends_with("NULL")).collect();
    assert_eq!(hidden.len(), 2, "{shown:?}");
    assert!(shown.contains(&" 200".to_owned()) || shown.contains(&"NULL 200".to_owned()), "{shown:?}");
    let sql = "SELECT region, is_sick, count(*), grouping(region) FROM shop.people GROUP BY CUBE (region, is_sick)";
    let shown = rows(json!({}), sql).await;
    // 2 are sick: neither they nor the others of a total are shown.
    assert!(!shown.iter().any(|row| row.contains("NULL true ") && !row.contains("true NULL")), "{shown:?}");
    assert!(
        !shown.iter().any(|row| row.contains(" 198 ") && shown.iter().any(|row| row.contains("NULL NULL 200"))),
        "{shown:?}"
    );
}

#[tokio::test]
async fn a_part_after_the_total_is_refused_where_it_tells_the_rest() {
    let one = engine(json!({}));
    assert_eq!(ask(&one, "SELECT count(*) FROM shop.people").await.unwrap().0, ["200"]);
    for sql in [
        "SELECT count(*) FROM shop.people WHERE name <> 'P7'",
        "SELECT sum(spend) FROM shop.people WHERE region <> 'west'",
        "SELECT count(*) FILTER (WHERE id <> 7) FROM shop.people",
    ] {
        let (rows, notices) = ask(&one, sql).await.unwrap();
        assert_eq!(rows, ["NULL"], "{sql}");
        assert!(notices.iter().any(|notice| notice.contains("earlier answer")), "{notices:?}");
    }
    assert_eq!(ask(&one, "SELECT count(*) FROM shop.people").await.unwrap().0, ["200"]);
    assert_eq!(ask(&one, "SELECT count(*) FROM shop.people WHERE id > 5").await.unwrap().0, ["195"]);
    // The parts that are shown after their total leave out two.
    let by_region = "SELECT region, count(*) FROM shop.people GROUP BY region";
    let (rows, _) = ask(&one, by_region).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.ends_with("NULL")).count(), 2, "{rows:?}");
    // And a total after its parts is refused.
    let other = engine(json!({}));
    let (rows, _) = ask(&other, by_region).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.ends_with("NULL")).count(), 1, "{rows:?}");
    assert_eq!(ask(&other, "SELECT count(*) FROM shop.people").await.unwrap().0, ["NULL"]);
    let open = engine(json!({"differencing": false}));
    assert_eq!(ask(&open, "SELECT count(*) FROM shop.people").await.unwrap().0, ["200"]);
    assert_eq!(ask(&open, "SELECT count(*) FROM shop.people WHERE name <> 'P7'").await.unwrap().0, ["199"]);
}

#[tokio::test]
async fn bases_dominance_and_rounding_hold() {
    let sum = "SELECT sum(spend) FROM shop.people WHERE region = 'south'";
    assert_eq!(rows(json!({}), sum).await, ["166800.0"]);
    assert_eq!(rows(json!({"dominance": {"n": 1, "percent": 50}}), sum).await, ["NULL"]);
    assert_eq!(rows(json!({"dominance": {"n": 1, "percent": 60}}), sum).await, ["166800.0"]);
    assert_eq!(rows(json!({"p_percent": 90}), sum).await, ["NULL"]);
    assert_eq!(rows(json!({"p_percent": 80}), sum).await, ["166800.0"]);
    assert_eq!(rows(json!({"min_base": 61}), sum).await, ["NULL"]);
    assert_eq!(rows(json!({"min_base": 60}), sum).await, ["166800.0"]);
    let shifted = "SELECT sum(spend + 1000000) FROM shop.people WHERE region = 'south'";
    assert_eq!(rows(json!({"dominance": {"n": 1, "percent": 50}}), shifted).await, ["NULL"]);
    let count = "SELECT count(*), avg(id) FROM shop.people WHERE region = 'east'";
    assert_eq!(rows(json!({"round_to": 5}), count).await, ["35 179.0"]);
}

#[tokio::test]
async fn a_sensitive_dataset_shows_few_rows_and_all_aggregates() {
    let catalog = MemoryCatalog::default().with_batches("shop", "people", people().schema(), vec![people()]).unwrap();
    let dataset = Dataset { id: "shop".to_owned(), is_sensitive: true, ..Dataset::default() };
    let engine = Engine::builder(catalog.with_dataset(dataset)).build().unwrap();
    let of = |sql: &'static str| {
        let engine = engine.clone();
        async move { ask(&engine, sql).await.unwrap().0 }
    };
    assert_eq!(of("SELECT name FROM shop.people ORDER BY id").await.len(), 5);
    assert_eq!(of("SELECT name FROM shop.people ORDER BY id OFFSET 5").await.len(), 0);
    assert_eq!(of("SELECT region, count(*) FROM shop.people GROUP BY region").await.len(), 4);
    assert_eq!(of("SELECT count(*), avg(spend) FROM shop.people WHERE id < 3").await, ["2 15.0"]);
    // A cell of one row is that row.
    assert_eq!(of("SELECT sum(spend) FROM shop.people WHERE id = 77").await, ["NULL"]);
    assert_eq!(of("SELECT name, sum(spend) FROM shop.people WHERE id > 9 GROUP BY name").await.len(), 0);
}

#[tokio::test]
async fn a_failure_tells_no_value_and_soon_nothing() {
    let engine = engine(json!({}));
    for probe in 1..=5 {
        let sql = format!("SELECT count(*) FROM shop.people WHERE 1 / (id - {probe}) > 9");
        let error = ask(&engine, &sql).await.expect_err(&sql);
        assert_eq!(error.code(), Code::DisclosureRefused);
        assert!(error.message().contains("fails on some row"), "{error:?}");
    }
    for sql in ["SELECT count(*) FROM shop.people WHERE 1 / (id - 999) > 9", "SELECT sum(name::int) FROM shop.people"] {
        let error = ask(&engine, sql).await.expect_err(sql);
        assert!(error.message().contains("Too many queries have failed"), "{sql}: {error:?}");
    }
    assert_eq!(ask(&engine, "SELECT count(*) FROM shop.people WHERE id > 9").await.unwrap().0, ["191"]);
    let cast = ask(&self::engine(json!({})), "SELECT max(name::int) FROM shop.people WHERE id = 7").await.unwrap_err();
    assert!(!format!("{} {:?}", cast.message(), cast.hint_text()).contains("P7"), "{cast:?}");
}

#[tokio::test]
async fn two_figures_of_one_answer_do_not_tell_what_lies_between() {
    for sql in [
        "SELECT sum(CASE WHEN id <= 7 THEN spend END) - sum(CASE WHEN id <= 6 THEN spend END) FROM shop.people",
        "SELECT sum(spend) FILTER (WHERE id <= 7) - sum(spend) FILTER (WHERE id <= 6) FROM shop.people",
        "SELECT sum(is_sick::int + 0 * id) FROM shop.people",
        "SELECT (SELECT sum(spend) FROM shop.people) - (SELECT sum(spend) FROM shop.people WHERE id <> 7)",
        "SELECT sum(t) FROM (SELECT person, sum(CASE WHEN NOT (person = 7 AND month = 2) THEN amount ELSE 2 * amount END) AS t FROM shop.events GROUP BY person) q",
        "SELECT count(*) FROM shop.people WHERE id = 7 AND spend > 5000",
        "SELECT sum(CASE WHEN id = 7 AND spend > 5000 THEN 1 ELSE 0 END) FROM shop.people",
        "SELECT approx_percentile_cont_with_weight(spend, 0.5, 0.0) FROM shop.people",
        "SELECT median(CASE WHEN id <= 5 THEN spend END) FROM shop.people",
    ] {
        assert_eq!(rows(json!({}), sql).await, ["NULL"], "{sql}");
    }
}

#[tokio::test]
async fn people_who_have_other_rows_are_others() {
    let engine = engine(json!({}));
    assert_eq!(ask(&engine, "SELECT sum(amount) FROM shop.events").await.unwrap().0, ["2395"]);
    for sql in [
        // One event less, of one of the same people; one person twice.
        "SELECT sum(amount) FROM shop.events WHERE NOT (person = 7 AND month = 2)",
        "SELECT sum(amount) FROM (SELECT * FROM shop.events UNION ALL SELECT * FROM shop.events WHERE person = 7) u",
        "SELECT sum(t) FROM (SELECT person, sum(amount) AS t FROM shop.events WHERE NOT (person = 7 AND month = 2) GROUP BY person) q",
    ] {
        assert_eq!(ask(&engine, sql).await.unwrap().0, ["NULL"], "{sql}");
    }
    // The same people in each month.
    let (rows, _) = ask(&engine, "SELECT month, sum(amount) FROM shop.events GROUP BY month").await.unwrap();
    assert!(rows.iter().all(|row| !row.contains("NULL")), "{rows:?}");
    for month in 1..=3 {
        let sql = format!("SELECT count(*) FROM shop.events WHERE month = {month}");
        assert_eq!(ask(&engine, &sql).await.unwrap().0, ["200"], "{sql}");
    }
    let joined = "SELECT p.region, sum(e.amount) FROM shop.people p JOIN shop.events e ON e.person = p.id \
                  JOIN geo.regions r ON r.region = p.region WHERE p.region <> 'west' GROUP BY p.region ORDER BY 1";
    let (rows, _) = ask(&engine, joined).await.unwrap();
    assert_eq!(rows.len(), 3, "{rows:?}");
}

#[tokio::test]
async fn what_was_withheld_is_not_told_later() {
    let engine = engine(json!({}));
    let rollup = "SELECT region, count(*) FROM shop.people GROUP BY ROLLUP (region)";
    let (rows, _) = ask(&engine, rollup).await.unwrap();
    let hidden: Vec<&String> = rows.iter().filter(|row| row.ends_with("NULL") && !row.starts_with("west")).collect();
    let [hidden] = hidden.as_slice() else { panic!("{rows:?}") };
    let region = hidden.split(' ').next().unwrap();
    let sql = format!("SELECT count(*) FROM shop.people WHERE region = '{region}'");
    assert_eq!(ask(&engine, &sql).await.unwrap().0, ["NULL"]);
}

#[tokio::test]
async fn what_many_ask_for_is_answered() {
    for (sql, expected) in [
        (
            "SELECT avg(CASE WHEN region = 'north' THEN 10000 WHEN region = 'south' THEN 20000 ELSE 30000 END) FROM shop.people",
            "17000.0",
        ),
        ("SELECT sum(spend / 1000000) FROM shop.people", "0.2895"),
        ("SELECT sum(spend * (1 - 0.05) * 2) FROM shop.people", "550050.0"),
        ("SELECT sum(amount * month) FROM shop.events", "4791"),
        ("SELECT avg(round(spend)) FROM shop.people", "1447.5"),
        ("SELECT sum(ln(spend)) > 0 FROM shop.people", "true"),
        (
            "SELECT sum(e.amount) FROM shop.people p JOIN shop.events e ON e.person = p.id WHERE p.region = 'north'",
            "1197",
        ),
        (
            "SELECT count(*) FROM (SELECT id FROM shop.people WHERE id < 100 UNION ALL SELECT id FROM shop.people WHERE id > 150)",
            "149",
        ),
        ("SELECT avg(t) FROM (SELECT person, sum(amount) AS t FROM shop.events GROUP BY person)", "11.975"),
    ] {
        assert_eq!(rows(json!({}), sql).await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn rows_that_leave_in_groups_are_counted_as_rows() {
    let engine = engine(json!({"raw_rows": 5}));
    let sql = "SELECT month, amount, count(*) FROM shop.events WHERE person IN (4, 9, 14, 19) GROUP BY month, amount";
    let (rows, _) = ask(&engine, sql).await.unwrap();
    assert!(rows.len() <= 5, "{rows:?}");
    // They were the rows of today.
    let (again, _) = ask(&engine, "SELECT person FROM shop.events ORDER BY month").await.unwrap();
    assert!(again.len() <= 5 && again.iter().all(|row| ["4", "9", "14", "19"].contains(&row.as_str())), "{again:?}");
}

#[tokio::test]
async fn what_is_said_does_not_tell_whether_there_is_somebody() {
    let engine = engine(json!({}));
    ask(&engine, "SELECT id FROM shop.people LIMIT 5").await.unwrap();
    let count = |condition: &str| format!("SELECT region, count(*) FROM shop.people WHERE {condition} GROUP BY region");
    let (is, is_not) = (count("id = 107 AND spend > 1000"), count("id = 107 AND spend > 2000"));
    assert_eq!(ask(&engine, &is).await.unwrap(), ask(&engine, &is_not).await.unwrap());
}

#[tokio::test]
async fn a_quantile_has_no_interval_whose_ends_are_values_of_few() {
    let sql = "SELECT s['estimate'] IS NOT NULL, s['ci_high'], s['ci_low'], s['se'] FROM \
               (SELECT svy_quantile(spend, 0.96, weight => 1) AS s FROM shop.people)";
    assert_eq!(rows(json!({}), sql).await, ["true NULL NULL NULL"]);
}
