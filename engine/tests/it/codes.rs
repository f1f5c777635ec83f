//! Codebooks: a column is its recoded form wherever its table is named, and says what its values mean.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::datasource::MemTable;
use engine::policy::Policies;
use engine::{
    Code, Codebook, Coding, Dataset, Engine, Meaning, MemoryCatalog, Principal, Query, TableProviderRef, Weights,
    WeightsMode,
};

use crate::{collect, error, rows};

fn table(columns: Vec<(&str, ArrayRef)>) -> TableProviderRef {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())
}

/// People whose class is coded as panels do it, whose answers are coded as SPSS does it, and whose region is a number that
/// becomes a text.
fn people() -> TableProviderRef {
    let class = ["A1", "A", "B", "C", "D", "E"];
    table(vec![
        ("id", Arc::new(Int64Array::from_iter_values(1..=6)) as ArrayRef),
        ("class", Arc::new(StringArray::from_iter_values(class))),
        ("answer", Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(2), Some(-9), Some(99), None]))),
        ("region", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 1, 2]))),
        ("spend", Arc::new(Float64Array::from(vec![Some(10.0), Some(20.0), Some(-9.0), Some(40.0), Some(50.0), None]))),
        ("weight", Arc::new(Float64Array::from(vec![1.0, 2.0, 1.0, 1.0, 4.0, 1.0]))),
    ])
}

fn classes() -> TableProviderRef {
    let names = ["A", "B", "C/D/E"];
    table(vec![
        ("class", Arc::new(StringArray::from_iter_values(names)) as ArrayRef),
        ("rank", Arc::new(Int64Array::from_iter_values(1..=3))),
    ])
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(value, label)| ((*value).to_owned(), (*label).to_owned())).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn codebook() -> Codebook {
    let class = Coding {
        question: Some("Which class is the household of?".to_owned()),
        labels: pairs(&[("A", "Upper"), ("B", "Middle"), ("A1", "gone")]),
        merge: vec![("A".to_owned(), texts(&["A", "A1"])), ("C/D/E".to_owned(), texts(&["C", "D", "E"]))],
        order: texts(&["C/D/E", "B", "A"]),
        missing: Vec::new(),
    };
    let answer = Coding {
        labels: pairs(&[("2", "no"), ("1", "yes"), ("-9", "refused")]),
        missing: texts(&["-9", "99"]),
        ..Coding::default()
    };
    let region = Coding {
        labels: pairs(&[("north", "The north"), ("3", "The south")]),
        merge: vec![("north".to_owned(), texts(&["1", "2"]))],
        missing: texts(&["4"]),
        ..Coding::default()
    };
    let spend = Coding { missing: texts(&["-9"]), ..Coding::default() };
    let columns = [("class", class), ("answer", answer), ("region", region), ("spend", spend)];
    let columns = columns.map(|(column, coding)| (column.to_owned(), coding));
    Codebook::from([("people".to_owned(), columns.into())])
}

fn panel(codebook: Codebook) -> Engine {
    let weights = Weights {
        table: Some("people".to_owned()),
        unit: None,
        weight: "weight".to_owned(),
        period: None,
        strata: texts(&["class"]),
        psu: Some("id".to_owned()),
        fpc: None,
        replicates: None,
        mode: WeightsMode::Offered,
    };
    let dataset = Dataset { id: "panel".to_owned(), codebook, weights: Some(weights), ..Dataset::default() };
    let catalog = MemoryCatalog::default().with_dataset(dataset);
    let catalog = catalog.with_table("panel", "people", people()).with_table("raw", "people", people());
    let policies: Policies = serde_json::from_value(serde_json::json!({
        "principals": [{"name": "meera", "roles": ["analyst"]}, {"name": "noor", "roles": ["guest"]}],
        "rules": [
            {"name": "upper", "table": "panel.people", "roles": ["analyst"], "rows": "class = 'A'"},
            {"name": "blurred", "table": "panel.people", "roles": ["guest"], "rows": "answer IS NOT NULL",
             "masks": {"class": "CASE WHEN class = 'A' THEN 'A' ELSE 'other' END", "spend": "NULL"}},
        ]
    }))
    .unwrap();
    Engine::builder(catalog.with_table("panel", "classes", classes())).policies(policies).build().unwrap()
}

/// The same columns, recoded by hand.
const BY_HAND: &str = "(SELECT id, CASE WHEN class IN ('A', 'A1') THEN 'A' WHEN class IN ('C', 'D', 'E') THEN 'C/D/E' \
                       ELSE class END AS class, CASE WHEN answer IN (-9, 99) THEN NULL ELSE answer END AS answer, \
                       CASE WHEN region IN (1, 2) THEN 'north' WHEN region = 4 THEN NULL \
                       ELSE CAST(region AS text) END AS region, nullif(spend, -9) AS spend, weight FROM raw.people)";

#[tokio::test]
async fn a_coded_column_is_its_recoded_form_wherever_it_is_used() {
    let engine = panel(codebook());
    let local = Principal::local();
    for sql in [
        "SELECT * FROM {t} p ORDER BY id",
        "SELECT class, count(*), sum(spend), weighted_avg(spend, weight) FROM {t} p GROUP BY class ORDER BY class",
        "SELECT answer, count(*) FROM {t} p GROUP BY answer ORDER BY answer",
        "SELECT id FROM {t} p WHERE class = 'A' ORDER BY id",
        "SELECT id FROM {t} p WHERE 'A' <> class ORDER BY id",
        "SELECT id FROM {t} p WHERE class IN ('B', 'C/D/E') ORDER BY id",
        "SELECT id FROM {t} p WHERE class NOT IN ('B', 'C/D/E') ORDER BY id",
        "SELECT id FROM {t} p WHERE class = 'A1' OR class = 'C'",
        "SELECT id FROM {t} p WHERE class >= 'B' AND class LIKE 'C%' ORDER BY id",
        "SELECT id FROM {t} p WHERE answer = 2 ORDER BY id",
        "SELECT id FROM {t} p WHERE answer <> 2 ORDER BY id",
        "SELECT id FROM {t} p WHERE NOT (answer = 2) ORDER BY id",
        "SELECT id FROM {t} p WHERE answer = -9 OR answer > 50",
        "SELECT id FROM {t} p WHERE answer IS NULL ORDER BY id",
        "SELECT id FROM {t} p WHERE answer IS NOT NULL ORDER BY id",
        "SELECT id FROM {t} p WHERE (answer IS NULL) = (class = 'A') ORDER BY id",
        "SELECT id FROM {t} p WHERE answer IS DISTINCT FROM 2 ORDER BY id",
        "SELECT id FROM {t} p WHERE region = 'north' ORDER BY id",
        "SELECT id FROM {t} p WHERE region <> '3' ORDER BY id",
        "SELECT id FROM {t} p WHERE region IN ('3', '4', '1') ORDER BY id",
        "SELECT id FROM {t} p WHERE region IS NULL OR upper(region) = '3' ORDER BY id",
        "SELECT id FROM {t} p WHERE spend > -100 ORDER BY id",
        "SELECT p.id, c.rank FROM {t} p JOIN panel.classes c ON c.class = p.class ORDER BY 1",
        "SELECT c.rank, count(p.id) FROM panel.classes c LEFT JOIN {t} p USING (class) GROUP BY 1 ORDER BY 1",
        "SELECT a.id, b.id FROM {t} a JOIN {t} b ON a.class = b.class AND a.id < b.id ORDER BY 1, 2",
        "SELECT id FROM {t} p WHERE class IN (SELECT class FROM panel.classes WHERE rank = 1) ORDER BY id",
        "SELECT c.rank FROM panel.classes c WHERE EXISTS (SELECT 1 FROM {t} p WHERE p.class = c.class) ORDER BY 1",
        "WITH q AS (SELECT class, region FROM {t} p WHERE id > 1) SELECT DISTINCT class, region FROM q ORDER BY 1, 2",
        "SELECT class, row_number() OVER (PARTITION BY class ORDER BY id) FROM {t} p ORDER BY id",
        "SELECT class FROM {t} p UNION SELECT region FROM {t} q ORDER BY 1",
        "SELECT count(class), count(answer), count(region), count(spend) FROM {t} p",
    ] {
        let coded = rows(&engine, &local, &sql.replace("{t}", "panel.people")).await;
        let by_hand = rows(&engine, &local, &sql.replace("{t}", BY_HAND)).await;
        assert_eq!(coded, by_hand, "{sql}");
    }
}

#[tokio::test]
async fn rules_see_recoded_values_and_nobody_sees_raw_ones() {
    let engine = panel(codebook());
    let principal = |name: &str, role: &str| Principal::new(name, [role.to_owned()]);
    let (meera, noor) = (principal("meera", "analyst"), principal("noor", "guest"));
    let masked = format!(
        "(SELECT id, CASE WHEN class = 'A' THEN 'A' ELSE 'other' END AS class, answer, region, \
         CAST(NULL AS DOUBLE) AS spend, weight FROM {BY_HAND} b WHERE answer IS NOT NULL)"
    );
    let filtered = format!("(SELECT * FROM {BY_HAND} b WHERE class = 'A')");
    for sql in [
        "SELECT * FROM {t} p ORDER BY id",
        "SELECT class, count(*), sum(spend) FROM {t} p GROUP BY class ORDER BY class",
        "SELECT id FROM {t} p WHERE class = 'A' ORDER BY id",
        "SELECT id FROM {t} p WHERE class = 'A1' OR class = 'B'",
        "SELECT id FROM {t} p WHERE answer = 2 ORDER BY id",
        "SELECT id FROM {t} p WHERE answer = 99 OR answer IS NULL",
        "SELECT id FROM {t} p WHERE region = 'north' ORDER BY id",
        "SELECT p.id, c.rank FROM {t} p JOIN panel.classes c ON c.class = p.class ORDER BY 1",
        "SELECT p.id FROM {t} p JOIN raw.people r ON r.class = p.class ORDER BY 1",
    ] {
        for (principal, by_hand) in [(&meera, &filtered), (&noor, &masked)] {
            let governed = rows(&engine, principal, &sql.replace("{t}", "panel.people")).await;
            let expected = rows(&engine, &Principal::local(), &sql.replace("{t}", by_hand)).await;
            assert_eq!(governed, expected, "{sql}");
        }
    }
    // Row 4 is hidden from both: evaluated on it, the division would fail.
    let sql = "SELECT id FROM panel.people WHERE 1 / (id - 4) > -10 AND class = 'A' ORDER BY id";
    assert_eq!(
        (rows(&engine, &meera, sql).await, rows(&engine, &noor, sql).await),
        (texts(&["1", "2"]), texts(&["1", "2"]))
    );
    // A mask has its own values, and not the labels of those it hides.
    let sql = "SELECT DISTINCT class, label(class) FROM panel.people ORDER BY class";
    assert_eq!(rows(&engine, &noor, sql).await, ["A|A", "other|other"]);
    assert_eq!(rows(&engine, &meera, sql).await, ["A|Upper"]);
}

#[tokio::test]
async fn labels_and_their_order_are_functions() {
    let engine = panel(codebook());
    let local = Principal::local();
    for (sql, expected) in [
        ("SELECT id, label(class) FROM panel.people WHERE id IN (1, 4) ORDER BY id", vec!["1|Upper", "4|C/D/E"]),
        (
            "SELECT label(answer), count(*) FROM panel.people GROUP BY label(answer) ORDER BY 2, 1",
            vec!["yes|1", "no|2", "|3"],
        ),
        (
            "SELECT label(class) AS k, count(*) FROM panel.people GROUP BY k ORDER BY label_order(k)",
            vec!["C/D/E|3", "Middle|1", "Upper|2"],
        ),
        (
            "SELECT class, label_order(class) FROM panel.people GROUP BY class ORDER BY label_order(class) DESC",
            vec!["A|3", "B|2", "C/D/E|1"],
        ),
        // Without an order of its own, labels are in the order in which they are declared.
        ("SELECT label_order(answer) FROM panel.people ORDER BY id", vec!["2", "1", "1", "", "", ""]),
        (
            "SELECT label(region), label_order(region) FROM panel.people WHERE id < 5 ORDER BY id",
            vec!["The north|1", "The north|1", "The south|2", "|"],
        ),
        (
            "WITH q AS (SELECT class AS k FROM panel.people) SELECT DISTINCT label(k) FROM q WHERE k = 'B'",
            vec!["Middle"],
        ),
        (
            "SELECT label(p.class) FROM panel.people p JOIN panel.classes c USING (class) WHERE c.rank = 2",
            vec!["Middle"],
        ),
        ("SELECT id FROM panel.people WHERE label(class) = 'Upper' ORDER BY id", vec!["1", "2"]),
        (
            "SELECT label(class) AS k FROM panel.people GROUP BY class HAVING label_order(class) < 3 ORDER BY label_order(class)",
            vec!["C/D/E", "Middle"],
        ),
        (
            "SELECT (SELECT max(label(q.class)) FROM panel.people q WHERE q.id = p.id) FROM panel.people p WHERE id = 1",
            vec!["Upper"],
        ),
        // What has no label is the value.
        (
            "SELECT label(id), label(rank), label('x'), label(NULL) FROM panel.people, panel.classes LIMIT 1",
            vec!["1|1|x|"],
        ),
        ("SELECT label_order(id) FROM panel.people LIMIT 1", vec![""]),
    ] {
        assert_eq!(rows(&engine, &local, sql).await, expected, "{sql}");
    }
    let wrong = error(&engine, &local, Query::new("SELECT label(class, id) FROM panel.people")).await;
    assert_eq!(wrong.code(), Code::InvalidSql);
}

#[tokio::test]
async fn answers_and_listings_say_what_codes_mean() {
    let engine = panel(codebook());
    let local = Principal::local();
    let sql = "SELECT class, label(class) AS text, count(*) AS n, min(answer) FROM panel.people GROUP BY class";
    let described = engine.describe(&local, &Query::new(sql)).await.unwrap().schema;
    let stream = engine.query(&local, Query::new(sql)).await.unwrap();
    assert_eq!(stream.schema(), described);
    let class = Meaning::of(described.field(0));
    assert_eq!(class.question.as_deref(), Some("Which class is the household of?"));
    assert_eq!(serde_json::to_string(&class.labels).unwrap(), r#"{"A":"Upper","B":"Middle"}"#);
    assert_eq!(class.order, ["C/D/E", "B", "A"]);
    assert_eq!(Meaning::of(described.field(1)).order, ["C/D/E", "Middle", "Upper"]);
    assert!(described.fields()[2..].iter().all(|field| field.metadata().is_empty()));
    collect(stream).await.unwrap();

    let sql = "SELECT column_name, data_type, labels, value_order FROM system.columns \
               WHERE table_name = 'people' AND dataset_id = 'panel' AND labels IS NOT NULL ORDER BY ordinal";
    assert_eq!(
        rows(&engine, &local, sql).await,
        [
            r#"class|VARCHAR|{"A":"Upper","B":"Middle"}|["C/D/E","B","A"]"#,
            r#"answer|BIGINT|{"2":"no","1":"yes"}|["2","1"]"#,
            r#"region|VARCHAR|{"north":"The north","3":"The south"}|["north","3"]"#,
        ]
    );
}

#[tokio::test]
async fn a_design_is_of_recoded_columns_too() {
    let engine = panel(codebook());
    let local = Principal::local();
    let given = "weight => weight, strata => class, psu => id, lonely => 'average'";
    for (declared, by_hand) in [
        ("lonely => 'average'", given),
        (
            "lonely => 'average'",
            "weight => weight, strata => class, psu => id, lonely => 'average', frame => 'panel.people'",
        ),
    ] {
        let sql = |design: &str| {
            format!(
                "SELECT round(s['estimate'], 9), round(s['se'], 9), s['df'] FROM \
                 (SELECT svy_mean(spend, {design}) AS s FROM panel.people WHERE id < 6) t"
            )
        };
        assert_eq!(rows(&engine, &local, &sql(declared)).await, rows(&engine, &local, &sql(by_hand)).await);
    }
    // Three strata of recoded classes: five PSUs in the domain less three.
    let sql = format!("SELECT svy_mean(weight, {given})['df'] FROM panel.people WHERE id < 6");
    assert_eq!(rows(&engine, &local, &sql).await, ["2"]);
    let sql = "SELECT label(class), svy_count(*, lonely => 'remove')['estimate'] FROM panel.people GROUP BY class \
               ORDER BY label_order(class)";
    assert_eq!(rows(&engine, &local, sql).await, ["C/D/E|6.0", "Middle|1.0", "Upper|3.0"]);
}

#[tokio::test]
async fn a_codebook_that_does_not_fit_its_table_closes_that_table_only() {
    let of = |column: &str, coding: Coding| {
        panel(Codebook::from([("people".to_owned(), [(column.to_owned(), coding)].into())]))
    };
    let local = Principal::local();
    let coding = Coding { missing: texts(&["99"]), ..Coding::default() };
    let engine = of("clas", coding.clone());
    let told = error(&engine, &local, Query::new("SELECT id FROM panel.people")).await;
    assert_eq!(told.code(), Code::SchemaChanged);
    assert!(told.message().contains("\"clas\""), "{told}");
    assert_eq!(told.hint_text(), Some("Did you mean \"class\"?"));
    assert_eq!(rows(&engine, &local, "SELECT count(*) FROM panel.classes").await, ["3"]);
    let sql = "SELECT DISTINCT table_name FROM system.columns WHERE dataset_id = 'panel'";
    assert_eq!(rows(&engine, &local, sql).await, ["classes"]);

    let engine = of("answer", Coding { missing: texts(&["refused"]), ..Coding::default() });
    let told = error(&engine, &local, Query::new("SELECT id FROM panel.people")).await;
    assert_eq!(told.code(), Code::SchemaChanged);
    assert!(told.message().contains("\"refused\"") && told.message().contains("BIGINT"), "{told}");
}

#[tokio::test]
async fn conditions_on_recoded_columns_reach_the_source_as_conditions_on_codes() {
    let engine = panel(codebook());
    let plan = |sql: &str| {
        let engine = engine.clone();
        let sql = format!("EXPLAIN {sql}");
        async move { rows(&engine, &Principal::local(), &sql).await.join("\n") }
    };
    let shown = plan("SELECT id FROM panel.people WHERE class = 'A' AND region <> 'north'").await;
    assert!(!shown.contains("recode"), "{shown}");
    assert!(shown.contains("A1"), "{shown}");
}
