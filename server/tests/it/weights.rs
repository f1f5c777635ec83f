//! `weft weights rake` as a user has it: weights of R, reports, files, and what is refused.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PEOPLE: &str = "\
id,gender,age,ok,w
1,F,1,true,1
2,F,2,true,2
3,M,1,false,1
4,M,2,true,4
5,M,2,false,2
";

const MARGINS: &str = "variable,category,population\ngender,F,60\ngender,M,40\nage,1,30\nage,02,70\n";

/// A folder with people and their margins.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "people.csv", PEOPLE);
    put(&folder, "margins.csv", MARGINS);
    folder
}

fn put(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).unwrap();
}

fn weft(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    for variable in ["WEFT_HOME", "WEFT_LOG", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command.current_dir(folder).stdin(Stdio::null()).args(args).output().unwrap()
}

/// Rakes `rows` of a folder with the table `people`.
fn rake(folder: &TempDir, rows: &str, args: &[&str]) -> Output {
    let all = ["weights", "rake", "--table", "people=people.csv", rows];
    weft(folder.path(), &[&all, args].concat())
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn assert_ok(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", err(output));
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, said: &[&str]) {
    let text = err(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for said in said {
        assert!(text.contains(said), "{said:?} is not in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What a query says of a written table, as CSV.
fn asked(folder: &TempDir, file: &str, sql: &str) -> String {
    let table = format!("t={file}");
    let output = weft(folder.path(), &["query", "--format", "csv", "--table", &table, sql]);
    assert_ok(&output);
    out(&output)
}

#[test]
fn weights_and_margins_are_written_and_the_report_says_how_it_went() {
    let folder = folder();
    let output = rake(&folder, "people", &["--margins", "margins.csv", "--weight", "w", "-o", "raked.csv"]);
    assert_ok(&output);
    insta::assert_snapshot!(out(&output), @"
    5 rows raked to 2 margins in 7 iterations; largest deviation 4.8e-10
    base weights: column w
    ┌────────┬──────────┬──────┬────────┬────────┬───────┬───────────┬──────────┬──────────┬─────────┐
    │ margin │ category │ rows │ target │ before │ after │ deviation │ target % │ before % │ after % │
    ├────────┼──────────┼──────┼────────┼────────┼───────┼───────────┼──────────┼──────────┼─────────┤
    │ gender │ F        │    2 │   60.0 │    3.0 │  60.0 │ 3.179e-10 │     60.0 │     30.0 │    60.0 │
    │ gender │ M        │    3 │   40.0 │    7.0 │  40.0 │ 4.769e-10 │     40.0 │     70.0 │    40.0 │
    │ age    │ 1        │    2 │   30.0 │    2.0 │  30.0 │       0.0 │     30.0 │     20.0 │    30.0 │
    │ age    │ 2        │    3 │   70.0 │    8.0 │  70.0 │       0.0 │     70.0 │     80.0 │    70.0 │
    └────────┴──────────┴──────┴────────┴────────┴───────┴───────────┴──────────┴──────────┴─────────┘
    ┌─────────┬──────┬───────┬───────┬──────┬──────┬───────┬───────────────┬─────────────┐
    │ weights │ rows │ zeros │   min │ mean │  max │   sum │ design effect │ effective n │
    ├─────────┼──────┼───────┼───────┼──────┼──────┼───────┼───────────────┼─────────────┤
    │ before  │    5 │     0 │   1.0 │  2.0 │  4.0 │  10.0 │           1.3 │       3.846 │
    │ after   │    5 │     0 │ 6.904 │ 20.0 │ 36.9 │ 100.0 │         1.276 │       3.919 │
    └─────────┴──────┴───────┴───────┴──────┴──────┴───────┴───────────────┴─────────────┘
    ");
    insta::assert_snapshot!(err(&output), @"
    note: svy_* functions take raked weights as given and do not residualise on the margins: standard errors of what is related to the margins are usually too large.
    (5 rows to raked.csv, the margins to raked.margins.csv)
    ");
    assert_eq!(names(&folder), ["margins.csv", "people.csv", "raked.csv", "raked.margins.csv"]);
    let sums = "SELECT gender, age, round(sum(raked_weight), 6) AS s, count(w) AS n FROM t \
        GROUP BY GROUPING SETS ((gender), (age)) ORDER BY 1, 2";
    assert_eq!(asked(&folder, "raked.csv", sums), "gender,age,s,n\nF,,60.0,2\nM,,40.0,3\n,1,30.0,2\n,2,70.0,3\n");
    let kept = fs::read_to_string(folder.path().join("raked.margins.csv")).unwrap();
    assert_eq!(kept, "variable,category,population\ngender,F,60\ngender,M,40\nage,1,30\nage,2,70\n");
    // What is kept can be raked to again.
    assert_ok(&rake(&folder, "people", &["--margins", "raked.margins.csv", "-o", "again.parquet", "--name", "w2"]));
    let columns = "SELECT id, gender, age, ok, w, w2 > 0 AS w2 FROM t ORDER BY id LIMIT 1";
    assert_eq!(asked(&folder, "again.parquet", columns), "id,gender,age,ok,w,w2\n1,F,1,true,1,true\n");
}

#[test]
fn weights_are_those_of_r() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/survey");
    for name in ["raking.csv", "raking.margins.csv"] {
        fs::copy(data.join(name), folder.path().join(name)).unwrap();
    }
    let ages = "category,share\n15,20\n22,24\n31,23\n41,16\n51,17\n";
    put(&folder, "age.csv", ages);
    let exact = ["weights", "rake", "--table", "r=raking.csv", "--weight", "w", "--tolerance", "1e-12", "r"];
    let cases: [(&str, &[&str]); 4] = [
        ("raked", &["--margins", "raking.margins.csv"]),
        ("post", &["--margin", "age=age.csv", "--total", "58200"]),
        ("trimmed", &["--margins", "raking.margins.csv", "--trim", "0.2,4"]),
        ("capped", &["--margins", "raking.margins.csv", "--trim", "0,3"]),
    ];
    for (column, args) in cases {
        let file = format!("{column}.parquet");
        assert_ok(&weft(folder.path(), &[&exact, args, &["-o", &file]].concat()));
        let sql = format!(
            "SELECT count(*) AS n, max(abs(raked_weight - {column}) / {column}) < 1e-9 AS ok FROM t WHERE w > 0"
        );
        assert_eq!(asked(&folder, &file, &sql), "n,ok\n593,true\n", "{column}");
        assert_eq!(asked(&folder, &file, "SELECT sum(raked_weight) AS s FROM t WHERE w = 0"), "s\n0.0\n");
    }
}

#[test]
fn the_report_is_json_where_it_is_asked_for() {
    let folder = folder();
    let args = ["--margins", "margins.csv", "--equal-weights", "--trim", "0.2,2", "--json", "-o", "raked.parquet"];
    let output = rake(&folder, "SELECT * FROM people", &args);
    assert_ok(&output);
    assert_eq!(err(&output), "");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["converged"], true);
    assert_eq!(report["base_weights"], "1 for each row");
    assert_eq!((&report["output"], &report["margins_output"]), (&"raked.parquet".into(), &"raked.margins.csv".into()));
    assert_eq!(report["deviations"].as_array().unwrap().len() as u64, report["iterations"].as_u64().unwrap());
    assert_eq!(report["margins"][0]["category"], "F");
    assert_eq!((&report["margins"][0]["target"], &report["margins"][0]["before"]), (&60.0.into(), &2.0.into()));
    assert_eq!(report["trim"]["high"], 40.0);
    assert_eq!(report["weights"]["before"]["design_effect"], 1.0);
    assert!(report["notices"][0].as_str().unwrap().contains("svy_*"));
}

#[test]
fn one_margin_takes_one_step_and_a_select_can_cross_variables() {
    let folder = folder();
    put(&folder, "cells.csv", "Category,Population\nF1,10\nF2,20\nM1,30\nM2,40\n");
    let sql = "SELECT *, gender || age AS cell FROM people";
    let output = rake(&folder, sql, &["--margin", "cell=cells.csv", "--weight", "w"]);
    assert_ok(&output);
    assert!(out(&output).starts_with("5 rows raked to 1 margin in 1 iteration; "), "{}", out(&output));
    assert!(err(&output).contains("(no file was written)"), "{}", err(&output));
    assert_eq!(names(&folder), ["cells.csv", "margins.csv", "people.csv"]);
}

#[test]
fn margins_that_cannot_hold_together_end_in_an_error_with_the_report_and_without_a_file() {
    let folder = folder();
    put(&folder, "people.csv", "a,b\n1,1\n1,1\n2,2\n");
    put(&folder, "margins.csv", "variable,category,population\na,1,60\na,2,40\nb,1,40\nb,2,60\n");
    let args = ["--margins", "margins.csv", "-o", "raked.csv", "--iterations", "50"];
    let output = rake(&folder, "people", &args);
    assert_fails(&output, 1, &["error[invalid_argument]", "after 50 iterations", "merge small categories"]);
    assert!(out(&output).starts_with("3 rows not yet raked to 2 margins in 50 iterations"), "{}", out(&output));
    assert_eq!(names(&folder), ["margins.csv", "people.csv"]);
    assert_fails(&rake(&folder, "people", &[&args[..], &["--write-unconverged"]].concat()), 1, &["do not hold"]);
    assert_eq!(names(&folder), ["margins.csv", "people.csv", "raked.csv", "raked.margins.csv"]);
}

#[test]
fn a_file_that_exists_is_replaced_only_by_force() {
    let folder = folder();
    put(&folder, "raked.csv", "old");
    let args = ["--margins", "margins.csv", "-o", "raked.csv"];
    assert_fails(&rake(&folder, "people", &args), 2, &["raked.csv exists", "--force"]);
    assert_eq!(fs::read_to_string(folder.path().join("raked.csv")).unwrap(), "old");
    assert_ok(&rake(&folder, "people", &[&args[..], &["--force"]].concat()));
    assert!(
        fs::read_to_string(folder.path().join("raked.csv")).unwrap().starts_with("id,gender,age,ok,w,raked_weight\n")
    );
    assert_fails(&rake(&folder, "people", &["--margins", "margins.csv", "-o", "x.json"]), 2, &[".parquet or .csv"]);
}

#[test]
fn what_is_wrong_in_the_margins_is_told_with_its_line() {
    let folder = folder();
    let cases = [
        ("", "no column variable"),
        ("variable,category,population\n", "it has no rows"),
        ("variable,category,people\na,b,1\n", "no column population"),
        ("variable,category,population,Share\na,b,1,1\n", "two columns population or share"),
        ("variable,category,population\ngender,F,1\ngender,M\n", "line 3 has 2 fields and not 3"),
        (
            "variable,category,population\ngender,F,\"1,200\"\n",
            "line 2 has the population \"1,200\", which is no number",
        ),
        ("variable,category,population\ngender,F,-1\n", "line 2 has the population -1"),
        ("variable,category,population\ngender,F,nan\n", "line 2 has the population nan"),
        ("variable,category,population\ngender,F,inf\n", "line 2 has the population inf"),
        ("variable,category,population\ngender,F,\n", "line 2 has no population"),
        ("variable,category,population\ngender,,5\n", "line 2 has no category"),
        ("variable,category,population\ngender,F,1\ngender,M,2\ngender,F,3\n", "line 4 has gender = F again"),
        ("variable,category,population\nage,1,1\nage,01,2\n", "the category 1 twice: once as 01"),
        (
            "variable,category,population\ngender,F,5\ngender,M,5\nage,1,5\nage,2,6\n",
            "gender adds up to 10, that of age to 11",
        ),
        ("variable,category,population\ngender,F,5\n", "lacks categories of the rows: M (3 rows). It has F."),
        ("variable,category,population\ngender,F,5\ngender,M,5\ngender,X,5\n", "No row has gender = X"),
        ("variable,category,population\ngendre,F,5\n", "Did you mean gender?"),
        ("variable,category,population\ngender,F,.5\ngender,M,.5\n", "nothing says of what"),
    ];
    for (text, said) in cases {
        put(&folder, "bad.csv", text);
        assert_fails(&rake(&folder, "people", &["--margins", "bad.csv", "-o", "raked.csv"]), 1, &[said, "hint: "]);
    }
    fs::write(folder.path().join("bad.csv"), b"variable,category,population\ngender,\xff,1\n").unwrap();
    assert_fails(&rake(&folder, "people", &["--margins", "bad.csv"]), 1, &["line 2 is not UTF-8"]);
    let twice = ["--margins", "margins.csv", "--margin", "gender=margins.csv"];
    assert_fails(&rake(&folder, "people", &twice), 1, &["a column variable", "--margins"]);
    let twice = ["--margins", "margins.csv", "--margins", "margins.csv"];
    assert_fails(&rake(&folder, "people", &twice), 1, &["another margin of gender"]);
    assert_fails(&rake(&folder, "people", &["--margins", "absent.csv"]), 2, &["absent.csv cannot be read"]);
    assert_fails(&rake(&folder, "people", &[]), 2, &["--margins"]);
    assert!(!folder.path().join("raked.csv").exists());
}

#[test]
fn what_is_wrong_in_the_rows_is_told_with_what_to_do() {
    let folder = folder();
    let of = |sql: &str, args: &[&str]| rake(&folder, sql, &[&["--margins", "margins.csv"], args].concat());
    let with = |weight: &str| format!("SELECT gender, age, {weight} AS w FROM people");
    let cases = [
        (with("CASE WHEN id > 3 THEN w END"), "data_invalid]: The base weight is NULL in 3 rows: column w"),
        (with("w - 2"), "row 1 has -1 (2 such rows in all)"),
        (with("CASE WHEN id = 2 THEN CAST('NaN' AS DOUBLE) ELSE CAST(1 AS DOUBLE) END"), "row 2 has NaN"),
        (with("CASE WHEN id = 3 THEN CAST('inf' AS DOUBLE) ELSE CAST(1 AS DOUBLE) END"), "row 3 has inf"),
        (with("0"), "add up to 0"),
        (with("CASE WHEN gender = 'F' THEN 0 ELSE 1 END"), "No row that weighs anything has gender = F"),
        (with("'heavy'"), "and not numbers"),
        ("SELECT nullif(gender, 'F') AS gender, age, w FROM people".to_owned(), "gender is NULL in 2 rows"),
        ("SELECT gender, w FROM people".to_owned(), "column_not_found]: The rows have no column age"),
        (
            "SELECT *, 1 AS raked_weight FROM people".to_owned(),
            "conflict]: The rows have a column raked_weight already",
        ),
        ("SELECT * FROM people WHERE id > 9".to_owned(), "data_invalid]: There are no rows to weigh"),
        ("SELECT * FROM nobody".to_owned(), "table_not_found"),
    ];
    for (sql, said) in cases {
        assert_fails(&of(&sql, &["--weight", "w", "-o", "raked.csv"]), 1, &[said]);
    }
    assert_fails(&of("people", &["--weight", "v"]), 1, &["no column v"]);
    assert_fails(&of("people", &["--trim", "3"]), 2, &["LOW,HIGH"]);
    assert_fails(&of("people", &["--trim", "1,1.2"]), 1, &["Within the bounds gender = F", "at most 48"]);
    assert_fails(&of("people", &["--total=-5"]), 1, &["total -5"]);
    assert_eq!(names(&folder), ["margins.csv", "people.csv"]);
}

#[test]
fn rows_and_weights_are_those_that_the_home_and_its_policies_give() {
    let folder = folder();
    for sub in ["datasets", "policies"] {
        fs::create_dir(folder.path().join(sub)).unwrap();
    }
    let dataset = "dataset: {id: panel}\ndatabase: {type: csv}\ntables:\n  - {name: people, path: people.csv}\n\
        weights: {table: people, weight: w, mode: required}\n";
    put(&folder, "datasets/panel.yaml", dataset);
    let policy = "principals:\n  - {name: meera, roles: [analyst]}\nrules:\n  - name: few\n    table: panel.people\n    \
        roles: [analyst]\n    rows: \"id < 5\"\n    masks: {id: \"0\"}\n";
    put(&folder, "policies/panel.yaml", policy);
    let rake = |args: &[&str]| {
        let all = ["weights", "rake", "--home", ".", "--margins", "margins.csv"];
        weft(folder.path(), &[&all, args].concat())
    };
    let output = rake(&["panel.people", "--as", "meera", "-o", "raked.csv"]);
    assert_ok(&output);
    let told = "4 rows raked to 2 margins in";
    assert!(out(&output).starts_with(told), "{}", out(&output));
    assert!(out(&output).contains("\nbase weights: column w, as dataset panel declares\n"), "{}", out(&output));
    assert_eq!(asked(&folder, "raked.csv", "SELECT count(*) AS n, max(id) AS id FROM t"), "n,id\n4,0\n");
    // A declared weight is not forgotten silently.
    let without = "SELECT gender, age FROM panel.people";
    assert_fails(&rake(&[without]), 1, &["column_not_found", "no column w", "declares it as its weight"]);
    assert_ok(&rake(&[without, "--equal-weights"]));
}
