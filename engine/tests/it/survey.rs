//! Survey functions against R's `survey`: the figures in `testdata/survey` are R's.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::datasource::MemTable;
use engine::policy::Policies;
use engine::{
    Code, Dataset, Engine, Error, MemoryCatalog, Principal, Query, ReplicateMethod, Replicates, Weights, WeightsMode,
};
use futures::TryStreamExt;

fn testdata(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/survey").join(file)
}

/// A table of the files, in partitions and batches of few rows, so that everything is merged.
fn table(file: &str) -> Arc<MemTable> {
    let format = Format::default().with_header(true);
    let (schema, _) = format.infer_schema(File::open(testdata(file)).unwrap(), None).unwrap();
    let schema = Arc::new(schema);
    let reader = ReaderBuilder::new(Arc::clone(&schema))
        .with_format(format)
        .with_batch_size(17)
        .build(File::open(testdata(file)).unwrap())
        .unwrap();
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
    let mut partitions = vec![Vec::new(); 3];
    for (at, batch) in batches.into_iter().enumerate() {
        partitions[at % 3].push(batch);
    }
    Arc::new(MemTable::try_new(schema, partitions).unwrap())
}

fn engine() -> Engine {
    let catalog = ["strat", "clus1", "made", "lonely"]
        .into_iter()
        .fold(MemoryCatalog::default(), |catalog, name| catalog.with_table("api", name, table(&format!("{name}.csv"))));
    let rscales = std::fs::read_to_string(testdata("jkn.rscales")).unwrap();
    let rscales: Vec<f64> = rscales.lines().map(|line| line.parse().unwrap()).collect();
    let replicated = [
        ("jk1", ReplicateMethod::Jk1, None),
        ("jkn", ReplicateMethod::Jkn, Some(rscales)),
        ("brr", ReplicateMethod::Brr, None),
        ("boot", ReplicateMethod::Bootstrap, None),
    ];
    let catalog = replicated.into_iter().fold(catalog, |catalog, (name, method, rscales)| {
        // The one with scales of its own has factors, and its distances are from the estimate.
        let of_factors = rscales.is_some();
        let replicates = Replicates {
            columns: vec!["rw*".to_owned()],
            method,
            scale: None,
            rscales,
            rho: None,
            mse: of_factors,
            combined: !of_factors,
            df: None,
        };
        declared(catalog, name, Weights { replicates: Some(replicates), ..weights("weight") }).with_table(
            name,
            "t",
            table(&format!("{name}.csv")),
        )
    });
    Engine::builder(catalog).build().unwrap()
}

/// A design of weights and nothing else.
pub(super) fn weights(weight: &str) -> Weights {
    Weights {
        table: None,
        unit: None,
        weight: weight.to_owned(),
        period: None,
        strata: Vec::new(),
        psu: None,
        fpc: None,
        replicates: None,
        mode: WeightsMode::Offered,
    }
}

pub(super) fn declared(catalog: MemoryCatalog, id: &str, weights: Weights) -> MemoryCatalog {
    catalog.with_dataset(Dataset {
        id: id.to_owned(),
        name: id.to_owned(),
        source: "memory".to_owned(),
        kind: "memory".to_owned(),
        schemas: vec!["public".to_owned()],
        weights: Some(weights),
        ..Dataset::default()
    })
}

pub(super) async fn rows(engine: &Engine, sql: &str) -> Result<(Vec<RecordBatch>, Vec<String>), Error> {
    let mut stream = engine.query(&Principal::local(), Query::new(sql)).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        batches.push(batch);
    }
    Ok((batches, stream.summary().notices))
}

/// The fields of every row of column `s`.
async fn estimates(engine: &Engine, sql: &str) -> Vec<BTreeMap<String, Option<f64>>> {
    let (batches, _) = rows(engine, sql).await.map_err(|error| format!("{sql}: {error}")).unwrap();
    batches.iter().flat_map(|batch| fields(batch.column_by_name("s").unwrap().as_struct())).collect()
}

fn fields(column: &StructArray) -> Vec<BTreeMap<String, Option<f64>>> {
    let row = |row: usize| {
        let field = |(name, values): (&str, &Arc<dyn Array>)| {
            let values = cast(values, &DataType::Float64).unwrap();
            let values = values.as_primitive::<Float64Type>();
            (name.to_owned(), values.is_valid(row).then(|| values.value(row)))
        };
        column.column_names().into_iter().zip(column.columns()).map(field).collect()
    };
    (0..column.len()).map(row).collect()
}

/// Equal to nine digits; or both no more than what rounding leaves of the estimate.
pub(super) fn is_same(found: Option<f64>, expected: Option<f64>, estimate: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => {
            let distance = (found - expected).abs();
            distance <= 1e-9 * expected.abs() || distance <= 1e-12 * estimate.unwrap_or(0.0).abs()
        }
        (found, expected) => found == expected,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_is_that_of_r() {
    let engine = engine();
    let expected = std::fs::read_to_string(testdata("expected.tsv")).unwrap();
    let mut answers: BTreeMap<&str, Vec<BTreeMap<String, Option<f64>>>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut figures = 0;
    for line in expected.lines().skip(1) {
        let [sql, row, field, value] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        if !answers.contains_key(sql) {
            answers.insert(sql, estimates(&engine, sql).await);
        }
        let row: usize = row.parse().unwrap();
        let answer = answers[sql].get(row).unwrap_or_else(|| panic!("{sql} has no row {row}"));
        let value: Option<f64> = value.parse().ok();
        let is_close = match (answer[field], value, answer["estimate"]) {
            // An end of an interval is a difference, whose digits are those of the estimate.
            (Some(found), Some(value), Some(estimate)) if field.starts_with("ci_") => {
                (found - value).abs() <= 1e-9 * value.abs().max(estimate.abs()).max((value - estimate).abs())
            }
            (found, value, estimate) => is_same(found, value, estimate),
        };
        if !is_close {
            wrong.push(format!("{sql}, row {row}: {field} is {:?}, by R {value:?}", answer[field]));
        }
        figures += 1;
    }
    assert!(figures > 5000, "{figures}");
    assert!(
        wrong.is_empty(),
        "{} of {figures} figures differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(30)].join("\n")
    );
}

fn people(rows: &str) -> Vec<RecordBatch> {
    let format = Format::default().with_header(true);
    let (schema, _) = format.infer_schema(rows.as_bytes(), None).unwrap();
    let reader = ReaderBuilder::new(Arc::new(schema)).with_format(format).build(rows.as_bytes()).unwrap();
    reader.collect::<Result<_, _>>().unwrap()
}

pub(super) fn memory(rows: &str) -> Arc<MemTable> {
    let batches = people(rows);
    Arc::new(MemTable::try_new(batches[0].schema(), vec![batches]).unwrap())
}

/// People in households in regions, some of whom have no events; and events, several of a person.
pub(super) fn panel() -> Engine {
    Engine::builder(panel_catalog()).build().unwrap()
}

pub(super) fn panel_catalog() -> MemoryCatalog {
    let people = "person,home,region,gender,weight\n1,1,N,F,10\n2,1,N,M,12\n3,2,N,F,9\n4,3,N,M,11\n5,4,S,F,20\n6,4,S,M,22\n\
                  7,5,S,F,18\n8,6,S,M,25\n9,7,S,F,21\n";
    let events =
        "person,service,spend\n1,a,5\n1,a,7\n1,b,1\n2,a,3\n3,b,8\n5,a,2\n5,b,2\n6,b,4\n7,a,9\n8,a,1\n8,a,1\n8,b,6\n";
    let design = Weights {
        table: Some("people".to_owned()),
        unit: Some("person".to_owned()),
        strata: vec!["region".to_owned()],
        psu: Some("home".to_owned()),
        ..weights("weight")
    };
    declared(MemoryCatalog::default(), "panel", design).with_table("panel", "people", memory(people)).with_table(
        "panel",
        "events",
        memory(events),
    )
}

const JOINED: &str = "panel.events JOIN panel.people USING (person)";

pub(super) async fn one(engine: &Engine, sql: &str) -> BTreeMap<String, Option<f64>> {
    let mut rows = estimates(engine, sql).await;
    assert_eq!(rows.len(), 1, "{sql}");
    rows.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_design_is_that_of_its_arguments() {
    let engine = panel();
    for from in [
        JOINED.to_owned(),
        "panel.people, panel.events WHERE people.person = events.person".to_owned(),
        format!("(SELECT * FROM {JOINED}) AS q"),
        "panel.people AS p JOIN (SELECT person AS who, spend, service FROM panel.events) AS e ON p.person = e.who"
            .to_owned(),
    ] {
        let short = one(&engine, &format!("SELECT svy_mean(spend) AS s FROM {from}")).await;
        let long = format!("SELECT svy_mean(spend, strata => region, psu => home, weight => weight) AS s FROM {from}");
        let long = one(&engine, &long).await;
        for field in ["estimate", "se", "ci_low", "ci_high", "df", "n"] {
            assert_eq!(short[field], long[field], "{from}: {field}");
        }
        assert_eq!((short["n"], short["n_people"], short["df"]), (Some(12.0), Some(7.0), Some(3.0)), "{from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_counted_once_and_all_homes_are_in_the_design() {
    let engine = panel();
    let people = one(&engine, &format!("SELECT svy_count(DISTINCT person) AS s FROM {JOINED}")).await;
    assert_eq!(
        (people["estimate"], people["n_people"]),
        (Some(10.0 + 12.0 + 9.0 + 20.0 + 22.0 + 18.0 + 25.0), Some(7.0))
    );
    let rows = one(&engine, &format!("SELECT svy_count(*) AS s FROM {JOINED}")).await;
    assert_eq!((rows["estimate"], rows["n"]), (Some(3.0 * 10.0 + 12.0 + 9.0 + 40.0 + 22.0 + 18.0 + 75.0), Some(12.0)));
    // By hand: homes of region N have 22, 9 and 0 of the weight, those of S 42, 18, 25 and 0.
    let within = |totals: &[f64]| {
        let (count, sum) = (totals.len() as f64, totals.iter().sum::<f64>());
        count / (count - 1.0) * totals.iter().map(|total| (total - sum / count).powi(2)).sum::<f64>()
    };
    let variance = within(&[22.0, 9.0, 0.0]) + within(&[42.0, 18.0, 25.0, 0.0]);
    assert!(is_same(people["se"], Some(variance.sqrt()), people["estimate"]), "{people:?} {variance}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_without_rows_count_zero_in_means_per_person() {
    let engine = panel();
    let all = one(&engine, &format!("SELECT svy_mean_per_unit(spend) AS s FROM {JOINED}")).await;
    // Each person's spend, and none of the two who have no event.
    let spend = [
        (10.0, 13.0),
        (12.0, 3.0),
        (9.0, 8.0),
        (11.0, 0.0),
        (20.0, 4.0),
        (22.0, 4.0),
        (18.0, 9.0),
        (25.0, 8.0),
        (21.0, 0.0),
    ];
    let (sum, weights) = spend.iter().fold((0.0, 0.0), |(sum, weights), (w, x)| (sum + w * x, weights + w));
    assert!(is_same(all["estimate"], Some(sum / weights), None), "{all:?}");
    assert_eq!((all["n"], all["n_people"], all["df"]), (Some(9.0), Some(9.0), Some(5.0)));
    // The same by hand, as a mean over people.
    let by_hand = "SELECT svy_mean(coalesce(x, 0)) AS s FROM panel.people LEFT JOIN \
                   (SELECT person, sum(spend) AS x FROM panel.events GROUP BY person) AS e USING (person)";
    assert_eq!(one(&engine, by_hand).await, all);

    let present =
        one(&engine, &format!("SELECT svy_mean_per_unit(spend, among => 'present') AS s FROM {JOINED}")).await;
    let weights: f64 = spend.iter().filter(|(_, x)| *x > 0.0).map(|(w, _)| w).sum();
    assert!(is_same(present["estimate"], Some(sum / weights), None), "{present:?}");

    // By a key of people and one of events: the people of a gender, whatever service they use.
    let sql = format!(
        "SELECT gender, service, svy_mean_per_unit(spend) AS s FROM {JOINED} WHERE region = 'S' GROUP BY gender, service ORDER BY gender, service"
    );
    let rows = estimates(&engine, &sql).await;
    let expected =
        [(20.0 * 2.0 + 18.0 * 9.0) / 59.0, 20.0 * 2.0 / 59.0, 25.0 * 2.0 / 47.0, (22.0 * 4.0 + 25.0 * 6.0) / 47.0];
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(expected) {
        assert!(is_same(row["estimate"], Some(expected), None), "{row:?} {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn survey_functions_stand_next_to_plain_ones_in_sets_of_keys() {
    let engine = panel();
    let sql = format!(
        "SELECT region, gender, grouping(region, gender) AS level, count(*) AS rows, count(DISTINCT service) AS services, \
         avg(spend) AS plain, svy_count(*)['estimate'] AS weighted, (svy_mean(spend) FILTER (WHERE service = 'a'))['estimate'] AS a, \
         reach(person, weight) AS people FROM {JOINED} GROUP BY ROLLUP (region, gender) ORDER BY level, region, gender"
    );
    let (batches, _) = rows(&engine, &sql).await.unwrap();
    let shown = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    insta::assert_snapshot!(shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_answer_says_why() {
    let engine = panel();
    let plain = engine_of_people();
    for (engine, sql, code, words) in [
        (&plain, "SELECT svy_mean(spend) FROM plain.t", Code::DesignMissing, "needs the weight"),
        (&engine, "SELECT svy_mean(spend) FROM panel.events", Code::DesignMissing, "is not among the columns"),
        (&engine, "SELECT svy_mean(gender) FROM panel.people", Code::InvalidArgument, "must be a number"),
        (
            &engine,
            "SELECT svy_mean(weight, weight => gender) FROM panel.people",
            Code::InvalidArgument,
            "weight must be a number",
        ),
        (
            &engine,
            "SELECT svy_mean(weight, wieght => weight) FROM panel.people",
            Code::InvalidArgument,
            "no argument \"wieght\"",
        ),
        (&engine, "SELECT svy_mean(weight, level => 95) FROM panel.people", Code::InvalidArgument, "level must be"),
        (
            &engine,
            "SELECT svy_mean(weight, lonely => 'ignore') FROM panel.people",
            Code::InvalidArgument,
            "lonely must be",
        ),
        (&engine, "SELECT svy_mean(weight => weight) FROM panel.people", Code::InvalidArgument, "x is missing"),
        (&engine, "SELECT svy_mean(*) FROM panel.people", Code::InvalidArgument, "takes no *"),
        (&engine, "SELECT svy_mean(weight, ci => 'logit') FROM panel.people", Code::InvalidArgument, "for svy_share"),
        (&engine, "SELECT svy_mean(weight, among => 'all') FROM panel.people", Code::InvalidArgument, "per_unit"),
        (&engine, "SELECT svy_mean(weight, psu => random()) FROM panel.people", Code::InvalidArgument, "each time"),
        (&engine, "SELECT svy_share(weight) FROM panel.people", Code::InvalidArgument, "Write a condition"),
        (&engine, "SELECT svy_mean(1, weight => gender) FROM panel.people", Code::InvalidArgument, "not text"),
        (
            &plain,
            "SELECT svy_mean(a.spend, weight => 1.0) FROM plain.t a JOIN plain.t b USING (person)",
            Code::DesignMissing,
            "not those of one table",
        ),
        (&engine, "SELECT svy_mean(weight, weight) FROM panel.people", Code::InvalidArgument, "by name"),
        (&engine, "SELECT svy_mean(DISTINCT weight) FROM panel.people", Code::UnsupportedSql, "no DISTINCT"),
        (&engine, "SELECT svy_mean(weight) OVER () FROM panel.people", Code::UnsupportedSql, "no window form"),
        (&engine, "SELECT person FROM panel.people WHERE svy_mean(weight)['se'] > 1", Code::InvalidSql, ""),
        (&engine, "SELECT svy_mean(svy_mean(weight)['se']) FROM panel.people", Code::InvalidSql, ""),
        (&engine, "SELECT svy_quantile(weight, 2) FROM panel.people", Code::InvalidArgument, "p must be"),
        (&engine, "SELECT svy_mean(weight / 0e0) FROM panel.people", Code::InvalidArgument, "infinite"),
        (
            &engine,
            "SELECT svy_mean(spend, weight => -weight) FROM panel.people JOIN panel.events USING (person)",
            Code::InvalidArgument,
            "negative",
        ),
        (&engine, "SELECT svy_mean(weight, fpc => 2) FROM panel.people", Code::DataInvalid, "fpc"),
        (&engine, "SELECT svy_mean(weight, fpc => home) FROM panel.people", Code::DataInvalid, "in one row"),
        (
            &engine,
            "SELECT svy_mean(weight, strata => home, psu => home) FROM panel.people",
            Code::DataInvalid,
            "single PSU",
        ),
        (
            &engine,
            "SELECT svy_mean(a.weight) FROM panel.people a JOIN panel.people b USING (home)",
            Code::AmbiguousName,
            "two weights",
        ),
        (
            &engine,
            "SELECT svy_mean(weight, frame => 'panel.nothing') FROM panel.people",
            Code::TableNotFound,
            "nothing",
        ),
        (
            &engine,
            "SELECT svy_mean(weight, frame => 'panel.events') FROM panel.people",
            Code::DesignMissing,
            "no column",
        ),
    ] {
        let error = match rows(engine, sql).await {
            Ok((batches, _)) => panic!("{sql}: {batches:?}"),
            Err(error) => error,
        };
        let said = format!("{} {}", error.message(), error.hint_text().unwrap_or_default());
        assert_eq!(error.code(), code, "{sql}: {said}");
        assert!(said.contains(words), "{sql}: {said}");
    }
}

fn engine_of_people() -> Engine {
    let rows = memory("person,spend\n1,2\n2,3\n");
    Engine::builder(MemoryCatalog::default().with_table("plain", "t", rows)).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_is_null_with_a_notice() {
    let engine = panel();
    for (sql, field, notice) in [
        ("SELECT svy_mean(weight) AS s FROM panel.people WHERE home = 1", "ci_low", "no degrees of freedom"),
        ("SELECT svy_mean(weight, weight => weight * 0.01) AS s FROM panel.people", "deff", "no design effect"),
        ("SELECT svy_ratio(weight, weight - weight) AS s FROM panel.people", "estimate", ""),
        ("SELECT svy_mean(weight, weight => 0 * weight) AS s FROM panel.people", "estimate", ""),
        ("SELECT svy_mean(weight) AS s FROM panel.people WHERE person > 99", "estimate", ""),
        (
            "SELECT svy_mean(nullif(person, 1), lonely => 'average', strata => home) AS s FROM panel.people",
            "se",
            "single PSU",
        ),
        ("SELECT svy_mean(nullif(person, 1)) AS s FROM panel.people", "p", "1 row had no value"),
        (
            "SELECT svy_mean(CASE WHEN person < 3 THEN 'NaN'::DOUBLE ELSE weight END) AS s FROM panel.people",
            "p",
            "2 rows had no value",
        ),
        (
            "SELECT svy_mean(weight, strata => nullif(region, 'N')) AS s FROM panel.people WHERE person > 1",
            "p",
            "3 rows have no stratum or PSU",
        ),
        (
            "SELECT svy_mean(weight, psu => nullif(home, 3)) FILTER (WHERE person > 2) AS s FROM panel.people",
            "p",
            "1 row has no stratum or PSU",
        ),
    ] {
        let (batches, notices) = rows(&engine, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let row = fields(batches[0].column_by_name("s").unwrap().as_struct()).remove(0);
        assert_eq!(row.get(field).copied().flatten(), None, "{sql}: {row:?}");
        assert!(notice.is_empty() || notices.iter().any(|said| said.contains(notice)), "{sql}: {notices:?}");
    }
    let nobody = one(&engine, "SELECT svy_count(*) AS s FROM panel.people WHERE person > 99").await;
    assert_eq!((nobody["estimate"], nobody["n"], nobody["df"]), (Some(0.0), Some(0.0), Some(0.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_ask_for_the_same_in_other_words_agree() {
    let engine = panel();
    let sql = "SELECT svy_mean(weight)['se'] AS a, (svy_mean(weight, level => 0.95)).se AS b, svy_mean(weight, frame => NULL)['se'] \
               AS c, svy_mean(weight, weight => weight, deff => 'srs', psu => home)['se'] AS d, count(*) AS n, \
               svy_median(weight)['se'] AS e, svy_median(weight, lonely => 'fail')['se'] AS f FROM panel.people";
    let (batches, _) = rows(&engine, sql).await.unwrap();
    let value = |name: &str| batches[0].column_by_name(name).unwrap().as_primitive::<Float64Type>().value(0);
    assert!(value("a") > 0.0 && ["b", "c", "d"].iter().all(|name| value(name) == value("a")), "{batches:?}");
    assert_eq!(value("e"), value("f"));
    // What is declared can be left out.
    let plain = one(&engine, "SELECT svy_mean(weight, strata => NULL, psu => NULL) AS s FROM panel.people").await;
    let single = "SELECT svy_mean(weight, weight => w) AS s FROM (SELECT weight, weight + 0 AS w FROM panel.people)";
    assert_eq!((plain["se"], plain["df"]), (one(&engine, single).await["se"], Some(8.0)));
    for sql in [
        "SELECT svy_quantile(weight, ?) FROM panel.people",
        "SELECT weighted_quantile(weight, ?, weight) FROM panel.people",
    ] {
        let given = RecordBatch::try_from_iter([("p", Arc::new(Float64Array::from(vec![0.5])) as ArrayRef)]).unwrap();
        let stream = engine.query(&Principal::local(), Query::new(sql).params(given)).await.unwrap();
        assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().len(), 1, "{sql}");
    }
    let computed = one(&engine, "SELECT svy_quantile(weight, CAST('0.5' AS DOUBLE)) AS s FROM panel.people").await;
    assert_eq!(computed["se"], Some(value("e")));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicate_weights_go_with_the_declared_weight() {
    let engine = engine();
    let said = "were not used for calls that name another weight";
    for (design, is_declared) in [
        ("", true),
        (", weight => weight", true),
        (", weight => weight, level => 0.95", true),
        (", weight => weight * 1", false),
        (", weight => pw", false),
        (", strata => stype", false),
        (", psu => NULL", false),
    ] {
        let sql = format!("SELECT svy_mean(api00{design}) AS s, svy_mean(api99{design}) AS t FROM jk1.t");
        let (batches, notices) = rows(&engine, &sql).await.unwrap();
        let found = fields(batches[0].column_by_name("s").unwrap().as_struct()).remove(0);
        // R: svrepdesign(type = "JK1") has 14 degrees of freedom.
        assert_eq!(found["df"] == Some(14.0), is_declared, "{design}: {found:?}");
        assert_eq!(notices.iter().any(|notice| notice.contains(said)), !is_declared, "{design}: {notices:?}");
    }
}

/// A mean a million times the spread, and the same rows in any order.
#[tokio::test(flavor = "multi_thread")]
async fn scale_and_order_change_nothing() {
    let engine = engine();
    let design = "weight => w, psu => c, strata => h";
    let base = one(&engine, &format!("SELECT svy_mean(y, {design}) AS s FROM api.made")).await;
    let moved = one(&engine, &format!("SELECT svy_mean(y + 1e8, {design}) AS s FROM api.made")).await;
    for field in ["se", "deff"] {
        let (base, moved) = (base[field].unwrap(), moved[field].unwrap());
        assert!((moved / base - 1.0).abs() < 1e-7, "{field}: {base} {moved}");
    }
    let scaled = one(&engine, "SELECT svy_mean(y, weight => w * 1000, psu => c, strata => h) AS s FROM api.made").await;
    assert!(is_same(scaled["se"], base["se"], base["estimate"]) && is_same(scaled["estimate"], base["estimate"], None));
    let total =
        |factor: &str| format!("SELECT svy_total(y, weight => w * {factor}, psu => c, strata => h) AS s FROM api.made");
    let (one_fold, many_fold) = (one(&engine, &total("1")).await, one(&engine, &total("1000")).await);
    assert!(is_same(many_fold["se"], one_fold["se"].map(|se| se * 1000.0), None));
    let sorted = "(SELECT * FROM api.made ORDER BY y DESC) AS m";
    let other_order = one(&engine, &format!("SELECT svy_mean(y, {design}) AS s FROM {sorted}")).await;
    for (field, value) in &base {
        assert_eq!(value.is_some(), other_order[field].is_some(), "{field}");
        let (one, other) = (value.unwrap_or(0.0), other_order[field].unwrap_or(0.0));
        assert!((one - other).abs() <= 1e-12 * one.abs(), "{field}: {one} {other}");
    }
}

/// Numbers from 0 to 1 that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// A thousand samples of clusters in strata from one population: of their intervals, 95% hold its mean.
#[tokio::test(flavor = "multi_thread")]
async fn intervals_hold_the_truth_as_often_as_they_say() {
    const STRATA: usize = 3;
    const CLUSTERS: usize = 40;
    const DRAWN: usize = 8;
    const SAMPLES: usize = 1000;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut population = vec![vec![Vec::new(); CLUSTERS]; STRATA];
    for (at, clusters) in population.iter_mut().enumerate() {
        for rows in clusters.iter_mut() {
            let mean = 10.0 * at as f64 + 3.0 * random.normal();
            let size = 3 + (random.next() * 5.0) as usize;
            *rows = (0..size).map(|_| mean + 5.0 * random.normal()).collect();
        }
    }
    let all: Vec<f64> = population.iter().flatten().flatten().copied().collect();
    let truth = all.iter().sum::<f64>() / all.len() as f64;

    let (mut samples, mut strata, mut clusters, mut values) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for sample in 0..SAMPLES {
        for (stratum, of) in population.iter().enumerate() {
            let mut drawn: Vec<usize> = (0..CLUSTERS).collect();
            for at in 0..DRAWN {
                let other = at + (random.next() * (CLUSTERS - at) as f64) as usize;
                drawn.swap(at, other);
            }
            for cluster in &drawn[..DRAWN] {
                for value in &of[*cluster] {
                    samples.push(sample as i64);
                    strata.push((sample * STRATA + stratum) as i64);
                    clusters.push(*cluster as i64);
                    values.push(*value);
                }
            }
        }
    }
    let columns: Vec<(&str, Arc<dyn Array>)> = vec![
        ("sample", Arc::new(Int64Array::from(samples))),
        ("stratum", Arc::new(Int64Array::from(strata))),
        ("cluster", Arc::new(Int64Array::from(clusters))),
        ("x", Arc::new(Float64Array::from(values))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let table = Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap());
    let engine = Engine::builder(MemoryCatalog::default().with_table("drawn", "t", table)).build().unwrap();
    let sql = "SELECT svy_mean(x, weight => 5.0, strata => stratum, psu => cluster, fpc => 40) AS s FROM drawn.t GROUP BY sample";
    let rows = estimates(&engine, sql).await;
    assert_eq!(rows.len(), SAMPLES);
    let held = rows.iter().filter(|row| row["ci_low"].unwrap() <= truth && truth <= row["ci_high"].unwrap()).count();
    assert!((930..=970).contains(&held), "{held} of {SAMPLES}");
}

/// Under a policy the design is that of the rows that the caller may see, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_part_of_the_design() {
    let rules = serde_json::json!({
        "principals": [{"name": "south", "roles": ["analyst"]}],
        "rules": [{"name": "south", "table": "panel.people", "roles": ["analyst"], "rows": "region = 'S'"}]
    });
    let policies: Policies = serde_json::from_value(rules).unwrap();
    let south = policies.principal("south").unwrap();
    let engine = Engine::builder(panel_catalog()).policies(policies).build().unwrap();
    for (sql, visible) in [
        (
            "SELECT svy_mean(weight) AS s FROM panel.people",
            "SELECT svy_mean(weight) AS s FROM panel.people WHERE region = 'S'",
        ),
        (
            "SELECT svy_count(DISTINCT person) AS s FROM panel.events JOIN panel.people USING (person)",
            "SELECT svy_count(DISTINCT person) AS s FROM panel.events JOIN panel.people USING (person) WHERE region = 'S'",
        ),
        (
            "SELECT svy_mean_per_unit(spend) AS s FROM panel.events e JOIN panel.people p ON p.person = e.person",
            "SELECT svy_mean_per_unit(spend) AS s FROM panel.events e JOIN panel.people p ON p.person = e.person WHERE p.region = 'S'",
        ),
    ] {
        let mut stream = engine.query(&south, Query::new(sql)).await.unwrap();
        let mut batches = Vec::new();
        while let Some(batch) = stream.try_next().await.unwrap() {
            batches.push(batch);
        }
        let found = fields(batches[0].column_by_name("s").unwrap().as_struct()).remove(0);
        assert_eq!(found, one(&engine, visible).await, "{sql}");
        assert!(stream.summary().notices.iter().any(|notice| notice.contains("hidden from you")), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_however_the_query_is_written() {
    let engine = panel();
    let using =
        one(&engine, &format!("SELECT svy_mean_per_unit(spend) AS s FROM {JOINED} WHERE events.person < 4")).await;
    for from in [
        "panel.events e JOIN panel.people p ON p.person = e.person WHERE e.person < 4",
        "panel.events e, panel.people p WHERE p.person = e.person AND e.person < 4",
        "panel.events e JOIN panel.people p ON p.person = e.person AND e.person < 4",
    ] {
        assert_eq!(one(&engine, &format!("SELECT svy_mean_per_unit(spend) AS s FROM {from}")).await, using, "{from}");
    }
    let of_nobody =
        "SELECT svy_count(DISTINCT e.person) AS s FROM panel.people p LEFT JOIN panel.events e ON p.person = e.person";
    let reached = one(&engine, of_nobody).await;
    assert_eq!((reached["estimate"], reached["n_people"]), (Some(116.0), Some(7.0)));
    let undefined =
        "SELECT svy_variance(CASE WHEN person = 1 THEN 'NaN'::double ELSE weight END) AS s FROM panel.people";
    let known = "SELECT svy_variance(weight) AS s FROM panel.people WHERE person <> 1";
    assert_eq!(one(&engine, undefined).await, one(&engine, known).await);
}
