//! The command line as a user has it: the binary, its exit codes, what it writes where.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const PEOPLE: &str = "id,name,city,amount\n1,Asha,Delhi,10.5\n2,Ravi,Pune,20\n3,Neha,,30.25\n";

/// A folder with a file of people in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("people.csv"), PEOPLE).unwrap();
    folder
}

fn weft(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.current_dir(folder).stdin(Stdio::null());
    for variable in ["WEFT_HOME", "WEFT_LOG", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

fn query(folder: &Path, args: &[&str]) -> Output {
    weft(folder).args(["query", "--table", "people=people.csv"]).args(args).output().unwrap()
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

#[test]
fn a_file_is_asked_without_any_configuration() {
    let folder = folder();
    let output = query(folder.path(), &["SELECT name, city, amount FROM people ORDER BY id"]);
    assert_ok(&output);
    insta::assert_snapshot!(out(&output), @r"
    ┌──────┬───────┬────────┐
    │ name │ city  │ amount │
    ├──────┼───────┼────────┤
    │ Asha │ Delhi │   10.5 │
    │ Ravi │ Pune  │   20.0 │
    │ Neha │ NULL  │  30.25 │
    └──────┴───────┴────────┘
    ");
    assert!(err(&output).starts_with("(3 rows in "), "{}", err(&output));
    let full = query(folder.path(), &["--format", "csv", "SELECT count(*) AS n FROM local.public.people"]);
    assert_eq!(out(&full), "n\n3\n");
}

#[test]
fn every_format_is_written() {
    let folder = folder();
    let written = |format: &str| {
        let output = query(folder.path(), &["--format", format, "SELECT id, name FROM people WHERE id = 1"]);
        assert_ok(&output);
        output.stdout
    };
    assert_eq!(written("csv"), b"id,name\n1,Asha\n");
    assert_eq!(written("ndjson"), b"{\"id\":1,\"name\":\"Asha\"}\n");
    let json: serde_json::Value = serde_json::from_slice(&written("json")).unwrap();
    assert_eq!(json["rows"], serde_json::json!([[1, "Asha"]]));
    assert!(String::from_utf8(written("markdown")).unwrap().contains("| Asha |"));
    assert!(written("parquet").starts_with(b"PAR1"));
    assert!(written("arrow").starts_with(&[0xff; 4]));
}

#[test]
fn the_name_of_the_file_says_the_format_and_other_commands_can_read_it() {
    let folder = folder();
    for name in ["copy.parquet", "copy.ndjson", "copy.csv"] {
        assert_ok(&query(folder.path(), &["-o", name, "SELECT * FROM people"]));
        let sql = "SELECT sum(amount) AS total, count(city) AS cities FROM copy";
        let table = format!("copy={name}");
        let back = weft(folder.path()).args(["query", "--format", "csv", "--table", &table, sql]).output().unwrap();
        assert_eq!(out(&back), "total,cities\n60.75,2\n", "{name}: {}", err(&back));
    }
    assert_ok(&query(folder.path(), &["-o", "copy.arrow", "SELECT * FROM people"]));
    assert!(fs::read(folder.path().join("copy.arrow")).unwrap().starts_with(b"ARROW1"));
}

#[test]
fn a_query_that_fails_leaves_the_old_file_and_nothing_else() {
    let folder = folder();
    let file = folder.path().join("out.csv");
    fs::write(&file, "old").unwrap();
    let late = "SELECT 10 / (id - 3) FROM people";
    assert_fails(&query(folder.path(), &["-o", "out.csv", late]), 1, &["error[arithmetic_error]"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["out.csv", "people.csv"]);
}

#[test]
fn what_the_query_does_wrong_is_exit_code_1() {
    let folder = folder();
    let fails = |sql: &str, said: &[&str]| assert_fails(&query(folder.path(), &[sql]), 1, said);
    fails("SELECT * FROM peple", &["error[table_not_found]", "hint: ", "people"]);
    fails("SELECT nmae FROM people", &["error[column_not_found]", "hint: ", "name"]);
    fails("SELECT nosuch(id) FROM people", &["error[function_not_found]"]);
    fails("SELEC 1", &["error[invalid_sql]"]);
    fails("SELECT 1; SELECT 2", &["error[unsupported_sql]"]);
    fails("INSERT INTO people VALUES (1)", &["error[read_only]"]);
    fails("SET x = 1", &["error[read_only]"]);
}

#[test]
fn wrong_usage_and_configuration_are_exit_code_2() {
    let folder = folder();
    let fails = |args: &[&str], said: &[&str]| {
        assert_fails(&weft(folder.path()).args(args).output().unwrap(), 2, said);
    };
    fails(&[], &["Usage: weft"]);
    fails(&["nonsense"], &["unrecognized subcommand"]);
    fails(&["query"], &["<SQL>"]);
    fails(&["query", ""], &["There is no SQL"]);
    fails(&["query", "--format", "xlsx", "SELECT 1"], &["parquet"]);
    fails(&["query", "-o", "out.xlsx", "SELECT 1"], &["does not say the format", "--format"]);
    fails(&["query", "-o", "no/such/folder/out.csv", "SELECT 1"], &["cannot be written"]);
    fails(&["query", "--timeout", "soon", "SELECT 1"], &["30s"]);
    fails(&["query", "--table", "people", "SELECT 1"], &["NAME=PATH"]);
    fails(&["query", "--table", "t=people.docx", "SELECT 1"], &["no kind of source"]);
    fails(&["query", "--home", "nowhere", "SELECT 1"], &["not a folder"]);
    fails(&["query", "--as", "nobody", "SELECT 1"], &["nobody"]);
    fails(&["check"], &["not a Weft home"]);
}

#[test]
fn sql_comes_from_standard_input() {
    let folder = folder();
    let mut child = weft(folder.path())
        .args(["query", "--format", "csv", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT 1 AS one;\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(out(&output), "one\n1\n");
}

#[test]
fn parameters_are_bound_by_position() {
    let folder = folder();
    let sql = "SELECT name FROM people WHERE city = ? OR amount > ? ORDER BY 1";
    let output = query(folder.path(), &["--format", "csv", "--param", "Delhi", "--param", "25", sql]);
    assert_eq!(out(&output), "name\nAsha\nNeha\n", "{}", err(&output));
    let sql = "SELECT id FROM people WHERE amount - 100 < $1 ORDER BY 1";
    let output = query(folder.path(), &["--format", "csv", "--param", "-75", sql]);
    assert_eq!(out(&output), "id\n1\n2\n", "{}", err(&output));
    let missing = query(folder.path(), &["SELECT * FROM people WHERE id = ?"]);
    assert_fails(&missing, 1, &["error[invalid_argument]"]);
}

#[test]
fn a_cut_is_told() {
    let folder = folder();
    let output = query(folder.path(), &["--format", "csv", "--max-rows", "2", "SELECT id FROM people ORDER BY 1"]);
    assert_eq!(out(&output), "id\n1\n2\n");
    assert!(err(&output).contains("note: "), "{}", err(&output));
}

#[test]
fn a_deadline_is_kept() {
    let folder = folder();
    let endless = "SELECT count(*) FROM range(100000000000) WHERE value < 0";
    assert_fails(&query(folder.path(), &["--timeout", "200ms", endless]), 1, &["error[deadline_exceeded]"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = folder();
    for format in ["table", "csv", "json", "arrow"] {
        let mut child = weft(folder.path())
            .args(["query", "--format", format, "SELECT value FROM range(50000000)"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_ok(&output);
        assert_eq!(err(&output), "", "{format}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_cancels_the_query_and_leaves_no_file() {
    let folder = folder();
    let mut child = weft(folder.path())
        .args(["query", "-o", "out.csv", "SELECT value FROM range(100000000000)"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while fs::read_dir(folder.path()).unwrap().count() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("error[cancelled]"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn check_says_all_problems_at_once() {
    let folder = folder();
    let home = folder.path().join("home");
    fs::create_dir_all(home.join("datasets")).unwrap();
    fs::write(home.join("weft.yaml"), "htp:\n  listen: x\nlimits:\n  max_rows: many\n").unwrap();
    fs::write(home.join("datasets/broken.yaml"), "id: [\n").unwrap();
    let output = weft(folder.path()).args(["check", "--home", "home"]).output().unwrap();
    assert_fails(
        &output,
        2,
        &["problems", "weft.yaml:1: htp", "\"http\"", "weft.yaml:4: limits.max_rows", "broken.yaml"],
    );
    fs::write(home.join("weft.yaml"), "limits:\n  max_rows: 5\n").unwrap();
    fs::remove_file(home.join("datasets/broken.yaml")).unwrap();
    let output = weft(folder.path()).args(["check", "--home", "home"]).output().unwrap();
    assert_ok(&output);
    assert!(out(&output).contains("0 problems"), "{}", out(&output));
}

#[test]
fn check_holds_declared_designs_against_their_data() {
    let folder = folder();
    let home = folder.path().join("home");
    fs::create_dir_all(home.join("datasets")).unwrap();
    let design = |weights: &str| {
        let file = format!(
            "dataset: {{id: panel}}\ndatabase: {{type: csv, connection: {{path: people.csv}}}}\nweights: {{table: people, unit: person, \
             weight: weight{weights}}}\n"
        );
        fs::write(home.join("datasets/panel.yaml"), file).unwrap();
    };
    let check = |args: &[&str]| weft(folder.path()).args(["check", "--home", "home"]).args(args).output().unwrap();
    design("");
    fs::write(home.join("people.csv"), "person,weight,month\n1,10,1\n2,12,1\n3,8,1\n").unwrap();
    let sound = check(&["--data"]);
    assert_ok(&sound);
    assert!(
        out(&sound).contains("panel.people: 3 rows, 3 units, 3 PSUs in 1 stratum, weights sum to 30"),
        "{}",
        out(&sound)
    );
    fs::write(home.join("people.csv"), "person,weight,month\n1,10,1\n2,12,1\n1,-8,2\n2,,2\n").unwrap();
    assert_ok(&check(&[]));
    let faulty = check(&["--data"]);
    assert_eq!(faulty.status.code(), Some(2), "{}", err(&faulty));
    for said in [
        "panel.people: error[negative_weight]: 1 row has a negative weight \"weight\".",
        "panel.people: warning[outside_design]: 1 row is outside the design: 1 without \"weight\".",
        "  hint: ",
    ] {
        assert!(out(&faulty).contains(said), "{said}\n{}", out(&faulty));
    }
    design(", period: month, strata: regon");
    let missing = out(&check(&["--data"]));
    assert!(missing.contains("error[column_missing]: weights.strata: the table has no column \"regon\"."), "{missing}");
}

#[test]
fn datasets_are_listed_and_described() {
    let folder = folder();
    let datasets = |args: &[&str]| {
        weft(folder.path()).args(["datasets", "--table", "people=people.csv"]).args(args).output().unwrap()
    };
    let output = datasets(&[]);
    assert_ok(&output);
    assert!(out(&output).contains("│ local "), "{}", out(&output));
    let output = datasets(&["local"]);
    assert_ok(&output);
    for said in ["people", "amount", "city"] {
        assert!(out(&output).contains(said), "{}", out(&output));
    }
    let output = datasets(&["local", "--format", "csv"]);
    assert!(out(&output).starts_with("table,column,type,nullable,comment\npeople,id,"), "{}", out(&output));
    assert_ok(&datasets(&["system"]));
    assert_fails(&datasets(&["locl"]), 1, &["error[dataset_not_found]", "\"local\""]);
}

#[test]
fn join_health_is_measured_between_tables_and_datasets() {
    let folder = folder();
    fs::write(folder.path().join("visits.csv"), "visit,person_id,city\n1,1,DELHI\n2,1,delhi \n3,9,Pune\n").unwrap();
    let joins = |args: &[&str]| {
        let tables = ["datasets", "joins", "--table", "people=people.csv", "--table", "visits=visits.csv"];
        weft(folder.path()).args(tables).args(args).output().unwrap()
    };
    let output = joins(&["people", "local.visits"]);
    assert_ok(&output);
    insta::assert_snapshot!(out(&output), @r"
    ┌─────────────┬────────────────────────┬───────┬─────────────┬───────────┬────────────┬─────────────┬───────────────────────────────────────────┬─────────────────────┬──────────────────────┬───────────┬─────────────────┬──────────────────┬─────────┐
    │ left        │ right                  │ types │ cardinality │ left_keys │ right_keys │ shared_keys │ mend                                      │ left_unmatched_rows │ right_unmatched_rows │ join_rows │ left_duplicates │ right_duplicates │ sampled │
    ├─────────────┼────────────────────────┼───────┼─────────────┼───────────┼────────────┼─────────────┼───────────────────────────────────────────┼─────────────────────┼──────────────────────┼───────────┼─────────────────┼──────────────────┼─────────┤
    │ people.id   │ local.visits.person_id │ NULL  │ one_to_many │         3 │          2 │           1 │ NULL                                      │                   2 │                    1 │         2 │               0 │                1 │    NULL │
    │ people.city │ local.visits.city      │ NULL  │ one_to_one  │         2 │          3 │           1 │ lower(trim(a.city)) = lower(trim(b.city)) │                   2 │                    2 │         1 │               0 │                0 │    NULL │
    └─────────────┴────────────────────────┴───────┴─────────────┴───────────┴────────────┴─────────────┴───────────────────────────────────────────┴─────────────────────┴──────────────────────┴───────────┴─────────────────┴──────────────────┴─────────┘
    ");
    let output = joins(&["--format", "csv", "--on", "id=visit", "local", "visits"]);
    assert_ok(&output);
    let values = out(&output).lines().nth(1).map(str::to_owned).unwrap();
    let figures = "false,3,0,3,0,1,3,0,3,0,1,one_to_one,3,1.0,1.0,3,1.0,1.0,0,0,,,,,,false,1.0,";
    assert_eq!(values, format!("local,local.people,id,BIGINT,local,visits,visit,BIGINT,{figures}"));
    assert_fails(&joins(&["local.peple", "visits"]), 1, &["error[table_not_found]", "\"local.people\""]);
    assert_fails(&joins(&["locl", "visits"]), 1, &["error[table_not_found]", "the dataset \"local\""]);
    assert_fails(&joins(&["nosuch.people", "visits"]), 1, &["error[dataset_not_found]"]);
    assert_fails(&joins(&["people"]), 2, &["<B>"]);
    assert_fails(&joins(&["--on", "id", "people", "visits"]), 2, &["A_COLUMN=B_COLUMN"]);
    let help = weft(folder.path()).args(["datasets", "joins", "--help"]).output().unwrap();
    assert!(out(&help).contains("Examples:\n  weft datasets joins"), "{}", out(&help));
}

#[test]
fn a_plan_is_explained_and_analyzed() {
    let folder = folder();
    let explain = |args: &[&str]| {
        let args = [&["explain", "--table", "people=people.csv", "SELECT max(amount) FROM people"], args].concat();
        weft(folder.path()).args(args).output().unwrap()
    };
    let output = explain(&[]);
    assert_ok(&output);
    assert!(out(&output).contains("physical_plan\n  "), "{}", out(&output));
    let output = explain(&["--analyze"]);
    assert_ok(&output);
    assert!(out(&output).contains("output_rows=1"), "{}", out(&output));
}

#[test]
fn mcp_writes_nothing_but_the_protocol() {
    let folder = folder();
    let mut child = weft(folder.path())
        .args(["mcp", "--table", "people=people.csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let hello = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","#,
        r#""capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#,
        "\n"
    );
    let mut input = child.stdin.take().unwrap();
    input.write_all(hello.as_bytes()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let answer = lines.next().unwrap().unwrap();
    assert!(answer.starts_with("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\""), "{answer}");
    drop(input);
    assert!(lines.next().is_none());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn help_tells_every_command_with_an_example() {
    let folder = folder();
    let help = |args: &[&str]| {
        let output = weft(folder.path()).args(args).output().unwrap();
        assert_ok(&output);
        out(&output)
    };
    let all = help(&["--help"]);
    for command in ["check", "datasets", "demo", "explain", "mcp", "query", "serve", "weights"] {
        assert!(all.contains(&format!("\n  {command} ")), "{all}");
        let one = help(&[command, "--help"]);
        assert!(one.contains("Usage: weft"), "{one}");
    }
    assert!(help(&["--version"]).starts_with("weft "));
}

#[test]
fn a_receipt_is_shown_and_asked_again() {
    let folder = folder();
    let write = |name: &str, text: &str| {
        let path = folder.path().join("home").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("weft.yaml", "data_dir: state\n");
    write("data/people.csv", PEOPLE);
    write("datasets/shop.yaml", "dataset: {id: shop, name: Shop}\ndatabase: {type: csv, connection: {path: data}}\n");
    let home = |args: &[&str]| weft(folder.path()).env("WEFT_HOME", "home").args(args).output().unwrap();
    assert_ok(&home(&[
        "query",
        "SELECT city, sum(amount) AS s FROM shop.people WHERE id < $1 GROUP BY city",
        "--param",
        "3",
    ]));
    let list = home(&["audit", "list"]);
    let asked: serde_json::Value = serde_json::from_str(out(&list).lines().last().unwrap()).unwrap();
    let id = asked["asked"]["query_id"].as_str().unwrap();

    let shown = home(&["receipts", "show", id]);
    assert_ok(&shown);
    for said in [
        "parameters:      3",
        "unweighted base: 2 rows",
        "source:          shop, people.csv, ",
        "policies:        none",
    ] {
        assert!(out(&shown).contains(said), "{said}: {}", out(&shown));
    }
    let json: serde_json::Value = serde_json::from_str(&out(&home(&["receipts", "show", id, "--json"]))).unwrap();
    assert_eq!(json["answer"]["rows"], 2);

    let same = home(&["receipts", "replay", id]);
    assert_ok(&same);
    assert_eq!(out(&same), "The same answer, of the same versions.\n");
    write("data/people.csv", &PEOPLE.replace("10.5", "11.5"));
    let other = home(&["receipts", "replay", id, "--json"]);
    assert_eq!(other.status.code(), Some(1), "{}", err(&other));
    let changes: serde_json::Value = serde_json::from_str(&out(&other)).unwrap();
    let what: Vec<&str> = changes.as_array().unwrap().iter().map(|change| change["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["values of \"s\"", "version of shop people.csv"]);
    assert_fails(&home(&["receipts", "show", "01a20699-a810-72b7-bfd8-67ea488845d2"]), 2, &["no query with this id"]);
}
