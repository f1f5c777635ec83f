//! The demo as a user runs it: the binary, a folder, answers on standard output.
//!
//! It runs in a temporary folder, with PostgreSQL where its programs are.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A demo with few events, since an unoptimized build makes them.
fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.args(["demo", "--scale", "0.02", "--home"]).arg(home);
    command
}

fn demo(home: &Path, more: &[&str]) -> Output {
    command(home).arg("--once").args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The answers without the lines that tell times.
fn answers(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().filter(|line| !line.ends_with(" ms")).map(str::to_owned).collect()
}

/// A folder that the account which runs PostgreSQL for root can enter.
pub(crate) fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn two_runs_give_the_same_answers_and_the_second_uses_what_the_first_made() {
    let folder = folder();
    let home = folder.path().join("demo");
    let first = demo(&home, &[]);
    let answered = answers(&first);
    for title in ["1. ", "2. ", "3. "] {
        assert!(answered.iter().any(|line| line.starts_with(title)), "{answered:#?}");
    }
    let rows = answered.iter().filter(|line| line.starts_with('│')).count();
    assert!(rows > 3 + 5 + 8 + 3, "three headers, and the rows below them: {answered:#?}");

    let again = demo(&home, &[]);
    assert_eq!(answers(&again), answered);
    assert!(text(&again.stderr).contains("Using the demo"), "{}", text(&again.stderr));

    let elsewhere = demo(&folder.path().join("another"), &[]);
    assert_eq!(answers(&elsewhere), answered);
    assert_ne!(answers(&demo(&home, &["--seed", "7"])), answered);
}

#[test]
fn the_bank_as_files_answers_the_same() {
    let folder = folder();
    let with_server = demo(&folder.path().join("server"), &[]);
    let as_files = demo(&folder.path().join("files"), &["--bank", "files"]);
    assert_eq!(answers(&as_files), answers(&with_server));
    assert!(text(&as_files.stderr).contains("in Parquet"), "{}", text(&as_files.stderr));
}

#[test]
fn the_home_of_the_demo_checks_without_a_problem() {
    let folder = folder();
    let home = folder.path().join("demo");
    answers(&demo(&home, &["--bank", "files"]));
    let check = Command::new(env!("CARGO_BIN_EXE_weft")).args(["check", "--home"]).arg(&home).output().unwrap();
    assert!(check.status.success(), "{}{}", text(&check.stdout), text(&check.stderr));
}

#[test]
fn the_examples_of_the_functions_run_on_the_demo() {
    let folder = folder();
    let home = folder.path().join("demo");
    answers(&demo(&home, &["--bank", "files"]));
    let page = include_str!("../../../docs/functions.md");
    let examples: Vec<&str> =
        page.split("```sql\n").skip(1).filter_map(|rest| rest.split_once("\n```")).map(|(sql, _)| sql).collect();
    assert!(examples.len() > 10);
    for sql in examples {
        let answer =
            Command::new(env!("CARGO_BIN_EXE_weft")).args(["query", "--home"]).arg(&home).arg(sql).output().unwrap();
        assert!(answer.status.success(), "{sql}: {}", text(&answer.stderr));
        assert!(text(&answer.stdout).matches('│').count() > 3, "{sql}: {}", text(&answer.stdout));
    }
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let folder = folder();
    std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let refused = demo(folder.path(), &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("thesis.txt"), "{}", text(&refused.stderr));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// What `weft explain` says of a join across two databases of the bank.
fn explained(home: &Path) -> String {
    let sql = "SELECT c.name, a.balance FROM customer_db.public.customers c \
               JOIN accounts_db.public.accounts a ON c.customer_id = a.customer_id WHERE a.status = 'active'";
    let output =
        Command::new(env!("CARGO_BIN_EXE_weft")).args(["explain", "--home"]).arg(home).arg(sql).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_join_across_databases_asks_each_once_and_a_demo_that_is_killed_leaves_no_server_behind() {
    let folder = folder();
    let home = folder.path().join("demo");
    let any_port = ["--http", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--bank", "postgres"];
    let mut demo = command(&home).args(any_port).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("Weft is ready")));

    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(home.join("demo.json")).unwrap()).unwrap();
    let port = record["bank"]["postgres"]["port"].as_u64().unwrap();
    let address = ("127.0.0.1", u16::try_from(port).unwrap());
    drop(TcpStream::connect(address).unwrap());

    let plan = explained(&home);
    let sent: Vec<&str> = plan.split("sql=SELECT ").skip(1).filter_map(|sql| sql.split('\n').next()).collect();
    assert_eq!(sent.len(), 2, "{plan}");
    for (table, columns) in
        [("customers", ["\"customer_id\"", "\"name\""]), ("accounts", ["\"customer_id\"", "\"balance\""])]
    {
        let sql = sent.iter().find(|sql| sql.contains(&format!("FROM \"public\".\"{table}\""))).unwrap();
        let asked: Vec<&str> = sql.split(" FROM ").next().unwrap().split(", ").collect();
        assert_eq!(asked, columns, "{plan}");
        assert_eq!(sql.contains("\"status\" = 'active'"), table == "accounts", "{plan}");
    }

    demo.kill().unwrap();
    demo.wait().unwrap();
    // A server that ends hangs up and then refuses; one that goes on would wait for us to speak.
    while let Ok(mut connection) = TcpStream::connect(address) {
        let _ = connection.read_to_end(&mut Vec::new());
    }
}
