//! Declared designs against their data.

use std::sync::Arc;

use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use engine::{Code, DesignReport, Engine, MemoryCatalog, Principal, ReplicateMethod, Replicates, Severity, Weights};

use super::survey::{declared, memory, weights};

const SOUND: &str =
    "person,month,home,region,weight,homes\n1,1,1,N,10,30\n2,1,1,N,12,30\n3,1,2,N,9,30\n4,1,3,S,20,40\n5,1,4,S,22,40\n";

fn design() -> Weights {
    Weights {
        table: Some("people".to_owned()),
        unit: Some("person".to_owned()),
        strata: vec!["region".to_owned()],
        psu: Some("home".to_owned()),
        fpc: Some("homes".to_owned()),
        ..weights("weight")
    }
}

/// A table whose numbers are floats, but for `region`, which is a text.
fn table(rows: &str) -> Arc<MemTable> {
    let of = |name: &str| match name {
        "region" => Field::new(name, DataType::Utf8, true),
        _ => Field::new(name, DataType::Float64, true),
    };
    let schema = Arc::new(Schema::new(rows.lines().next().unwrap().split(',').map(of).collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true).build(rows.as_bytes()).unwrap();
    Arc::new(MemTable::try_new(schema, vec![reader.collect::<Result<_, _>>().unwrap()]).unwrap())
}

fn engine(weights: Weights, rows: &str) -> Engine {
    let catalog = declared(MemoryCatalog::default(), "panel", weights).with_table("panel", "people", table(rows));
    let events = memory("person,spend\n1,5\n2,7\n");
    Engine::builder(catalog.with_table("panel", "events", events)).build().unwrap()
}

async fn checked(weights: Weights, rows: &str) -> DesignReport {
    engine(weights, rows).check_design(&Principal::local(), "panel").await.unwrap().unwrap()
}

/// The codes of what was found, each with its count.
async fn found(weights: Weights, rows: &str) -> Vec<(Severity, &'static str, Option<u64>)> {
    let findings = checked(weights, rows).await.findings;
    findings.iter().map(|finding| (finding.severity, finding.code, finding.count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_design_is_told_in_figures() {
    let report = checked(design(), SOUND).await;
    assert_eq!(report.findings, []);
    let [table] = report.tables.as_slice() else { panic!("{report:?}") };
    assert_eq!((table.table.as_str(), table.rows, table.units), ("people", 5, Some(5)));
    assert_eq!((table.psus, table.strata, table.weights), (Some(4), Some(2), [73.0, 73.0]));
    let kish = 73.0_f64.powi(2) / (100.0 + 144.0 + 81.0 + 400.0 + 484.0);
    assert!((table.effective_n.unwrap() / kish - 1.0).abs() < 1e-12, "{table:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_data_is_found_and_counted() {
    let plain = || Weights { strata: Vec::new(), psu: None, fpc: None, ..design() };
    let clustered = || Weights { fpc: None, ..design() };
    let cases: [(Weights, String, Severity, &str, u64); 15] = [
        (plain(), SOUND.replace("N,12", "N,-12"), Severity::Error, "negative_weight", 1),
        (plain(), SOUND.replace("N,12", "N,NaN").replace("N,9", "N,NaN"), Severity::Error, "undefined_weight", 2),
        (plain(), SOUND.replace("N,12", "N,inf").replace("N,9", "N,9.5"), Severity::Error, "infinite_weight", 1),
        (plain(), SOUND.replace("N,12", "N,"), Severity::Warning, "outside_design", 1),
        (clustered(), SOUND.replace("2,1,1,N", "2,1,1,"), Severity::Warning, "outside_design", 1),
        (clustered(), SOUND.replace("2,1,1,N", "2,1,,N"), Severity::Warning, "outside_design", 1),
        (plain(), SOUND.replace("N,12", "N,0"), Severity::Note, "zero_weight", 1),
        (plain(), SOUND.replace("2,1,1,N", "1,1,1,N"), Severity::Error, "several_weights", 1),
        (plain(), SOUND.replace("2,1,1,N,12", "1,1,1,N,10"), Severity::Error, "repeated_unit", 1),
        (design(), SOUND.replacen("9,30", "9,31", 1), Severity::Error, "varying_fpc", 1),
        (design(), SOUND.replace(",40", ",1.5"), Severity::Error, "fpc_below_psus", 1),
        (design(), SOUND.replace(",40", ",-1"), Severity::Error, "fpc_not_positive", 1),
        (design(), SOUND.replace(",40", ","), Severity::Error, "no_fpc", 1),
        (clustered(), SOUND.replace("4,1,3,S", "4,1,2,S"), Severity::Note, "cluster_in_several_strata", 1),
        (clustered(), SOUND.replace("5,1,4,S", "5,1,3,S"), Severity::Note, "single_psu", 1),
    ];
    for (weights, rows, severity, code, count) in cases {
        let found = found(weights, &rows).await;
        assert!(found.contains(&(severity, code, Some(count))), "{code}: {found:?}\n{rows}");
        let others = found.iter().filter(|(_, other, _)| *other != code);
        assert!(others.clone().all(|(_, other, _)| *other == "repeated_unit"), "{code}: {found:?}");
    }
    let zero = SOUND.lines().enumerate().map(|(at, line)| match at {
        0 => format!("{line}\n"),
        _ => line.splitn(5, ',').take(4).collect::<Vec<_>>().join(",") + ",0,30\n",
    });
    assert_eq!(found(plain(), &zero.collect::<String>()).await, [(Severity::Error, "all_weights_zero", None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_of_several_periods_have_a_weight_in_each() {
    let rows = format!("{SOUND}1,2,1,N,11,30\n2,2,1,N,13,30\n3,2,2,N,8,30\n4,2,3,S,21,40\n5,2,4,S,23,40\n");
    let codes =
        |found: Vec<(Severity, &'static str, Option<u64>)>| found.into_iter().map(|it| it.1).collect::<Vec<_>>();
    assert_eq!(codes(found(design(), &rows).await), ["several_weights", "repeated_unit"]);
    let by_month = || Weights { period: Some("month".to_owned()), ..design() };
    let report = checked(by_month(), &rows).await;
    assert_eq!(report.findings, []);
    let table = &report.tables[0];
    assert_eq!((table.units, table.periods, table.psus, table.weights), (Some(5), Some(2), Some(4), [73.0, 76.0]));
    let twice = format!("{rows}5,2,4,S,24,40\n");
    assert_eq!(codes(found(by_month(), &twice).await), ["several_weights", "repeated_unit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_design_names_what_was_meant() {
    let cases = [
        (Weights { weight: "wieght".to_owned(), ..design() }, "column_missing", "weight"),
        (Weights { strata: vec!["regoin".to_owned()], ..design() }, "column_missing", "region"),
        (Weights { weight: "region".to_owned(), ..design() }, "column_not_numeric", "CAST"),
        (Weights { table: Some("poeple".to_owned()), ..design() }, "table_missing", "people"),
        (Weights { table: None, weight: "wt".to_owned(), ..design() }, "column_missing", "weight"),
    ];
    for (weights, code, hint) in cases {
        let report = checked(weights, SOUND).await;
        let [finding] = report.findings.as_slice() else { panic!("{report:?}") };
        assert_eq!((finding.severity, finding.code), (Severity::Error, code));
        assert!(finding.hint.as_ref().unwrap().contains(hint), "{finding:?}");
        assert_eq!(report.tables, []);
    }
    let everywhere = checked(Weights { table: None, ..design() }, SOUND).await;
    assert_eq!(everywhere.tables.iter().map(|table| table.table.as_str()).collect::<Vec<_>>(), ["people"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicates_must_be_there_in_each_row() {
    let replicates = |columns: &[&str], method| Replicates {
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        method,
        scale: None,
        rscales: None,
        rho: None,
        mse: false,
        combined: true,
        df: None,
    };
    let of = |columns: &[&str], method| Weights { replicates: Some(replicates(columns, method)), ..weights("weight") };
    let rows = "weight,r1,r2,r3\n10,9,11,12\n20,,-1,19\n,1,1,1\n";
    let codes =
        |found: Vec<(Severity, &'static str, Option<u64>)>| found.into_iter().map(|it| it.1).collect::<Vec<_>>();
    assert_eq!(
        codes(found(of(&["r*"], ReplicateMethod::Jk1), rows).await),
        ["replicate_missing", "outside_design", "negative_replicate"]
    );
    assert_eq!(codes(found(of(&["r1", "r4"], ReplicateMethod::Jk1), rows).await), ["column_missing"]);
    assert_eq!(codes(found(of(&["q*"], ReplicateMethod::Jk1), rows).await), ["replicates_incomplete"]);
    assert_eq!(codes(found(of(&["r2", "r3"], ReplicateMethod::Jkn), rows).await), ["replicates_incomplete"]);
    let sound = checked(of(&["r2", "r3"], ReplicateMethod::Brr), rows).await;
    assert_eq!((sound.tables[0].replicates, sound.tables[0].psus), (Some(2), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_without_a_design_has_nothing_to_check() {
    let plain = MemoryCatalog::default().with_table("plain", "t", memory("a\n1\n"));
    let engine = Engine::builder(plain).build().unwrap();
    assert_eq!(engine.check_design(&Principal::local(), "plain").await.unwrap(), None);
    let missing = engine.check_design(&Principal::local(), "plian").await.unwrap_err();
    assert_eq!((missing.code(), missing.hint_text()), (Code::DatasetNotFound, Some("Did you mean \"plain\"?")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_tells_administrators_of_the_design() {
    let engine = engine(design(), &SOUND.replace("N,12", "N,-12"));
    let told = engine.refresh(&Principal::local(), "panel").await.unwrap().design.unwrap();
    assert!(told.has_errors());
    let analyst = Principal::new("asha", ["analyst".to_owned()]);
    assert_eq!(engine.refresh(&analyst, "panel").await.unwrap().design, None);
}
