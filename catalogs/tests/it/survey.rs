//! Survey estimates of which a database makes the sums of each PSU: the figures are R's, as where the rows are read.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use engine::{Principal, Query};
use futures::TryStreamExt;

use crate::asked::Asked;

/// The tables that R's figures are of, whose designs have PSUs.
const TABLES: [&str; 3] = ["made", "lonely", "clus1"];

fn testdata(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/survey").join(file)
}

/// The statements that make the tables. What is quoted is text.
pub(crate) fn statements(quote: char, text: &str, double: &str) -> Vec<String> {
    let mut statements = Vec::new();
    for table in TABLES {
        let csv = std::fs::read_to_string(testdata(&format!("{table}.csv"))).unwrap();
        let mut lines = csv.lines();
        let names: Vec<&str> = lines.next().unwrap().split(',').map(|name| name.trim_matches('"')).collect();
        let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
        let columns = names.iter().enumerate().map(|(at, name)| {
            let values = || rows.iter().map(|row| row[at]).filter(|value| !value.is_empty());
            let data_type = if values().all(|value| value.starts_with('"')) {
                text
            } else if values().all(|value| value == "TRUE" || value == "FALSE") {
                "boolean"
            } else if values().all(|value| value.parse::<i64>().is_ok()) {
                "bigint"
            } else {
                double
            };
            format!("{quote}{name}{quote} {data_type}")
        });
        statements.push(format!("CREATE TABLE {table} ({})", columns.collect::<Vec<_>>().join(", ")));
        let rows = rows.iter().map(|row| {
            let values = row.iter().map(|value| match *value {
                "" => "NULL".to_owned(),
                value => value.replace('"', "'"),
            });
            format!("({})", values.collect::<Vec<_>>().join(", "))
        });
        statements.push(format!("INSERT INTO {table} VALUES {}", rows.collect::<Vec<_>>().join(", ")));
    }
    statements
}

type Estimates = Vec<BTreeMap<String, Option<f64>>>;

fn estimates(asked: &Asked, sql: &str) -> Estimates {
    asked.runtime.block_on(async {
        let stream = asked.engine.query(&Principal::local(), Query::new(sql)).await.unwrap();
        let batches: Vec<_> = stream.try_collect().await.unwrap();
        let mut estimates = Vec::new();
        for batch in batches {
            let column = batch.column_by_name("s").unwrap().as_struct();
            let fields: Vec<_> =
                column.columns().iter().map(|field| cast(field, &DataType::Float64).unwrap()).collect();
            for row in 0..batch.num_rows() {
                let values = fields.iter().map(|field| {
                    let field = field.as_primitive::<Float64Type>();
                    (column.is_valid(row) && field.is_valid(row)).then(|| field.value(row))
                });
                let names = column.fields().iter().map(|field| field.name().clone());
                estimates.push(names.zip(values).collect());
            }
        }
        estimates
    })
}

/// Whether all of R's figures come out, of statements of which the database makes sums. How many there are.
pub(crate) fn figures(asked: &Asked, is_asked: fn(&str) -> bool) -> usize {
    let expected = std::fs::read_to_string(testdata("expected.tsv")).unwrap();
    let mut answers: BTreeMap<&str, Option<Estimates>> = BTreeMap::new();
    let (mut wrong, mut figures) = (Vec::new(), 0);
    for line in expected.lines().skip(1) {
        let [sql, row, field, value] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let answer = answers.entry(sql).or_insert_with(|| {
            let is_of_tables = TABLES.iter().any(|table| sql.contains(&format!("api.{table}")));
            let bank = sql.replace("api.", "bank.");
            let makes_sums = is_of_tables
                && sql.contains("psu =>")
                && is_asked(sql)
                && asked.sent(&bank).iter().any(|sent| sent.contains("weft_groups") && sent.contains("GROUP BY"));
            makes_sums.then(|| estimates(asked, &bank))
        });
        let Some(answer) = answer else { continue };
        let answer = &answer[row.parse::<usize>().unwrap()];
        let wanted: Option<f64> = value.parse().ok();
        let (found, estimate) = (answer[field], answer["estimate"]);
        let is_same = match (found, wanted) {
            (None, None) => true,
            (Some(found), Some(wanted)) => {
                let estimate = estimate.unwrap_or_default().abs();
                // An end of an interval is a difference, whose digits are those of the estimate.
                let size = if field.starts_with("ci_") { wanted.abs().max(estimate) } else { wanted.abs() };
                (found - wanted).abs() <= (1e-9 * size).max(1e-12 * estimate)
            }
            _ => false,
        };
        if !is_same {
            wrong.push(format!("{sql}, row {row}: {field} is {found:?}, by R {wanted:?}"));
        }
        figures += 1;
    }
    assert!(wrong.is_empty(), "{} of {figures} differ:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
    figures
}
