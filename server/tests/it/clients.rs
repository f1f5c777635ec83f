//! Real clients in Python against the real binary: ADBC, pandas, polars, flightsql-dbapi, and the `mcp` package. Two of
//! them compare its answers with those of DuckDB and PostgreSQL.
//!
//! `make test` makes their environment in `.venv`. Without it, CI fails and a quick local run says what it skips.

#![expect(clippy::print_stderr, clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

fn pass(script: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".venv/bin/python");
    if !python.exists() {
        assert!(std::env::var_os("CI").is_none(), "the clients' environment is missing: run `make test`");
        eprintln!("skipped: `make test` makes the environment of {script}");
        return;
    }
    let script = root.join("testdata/clients").join(script);
    let output = Command::new(python).arg(&script).arg(env!("CARGO_BIN_EXE_weft")).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("ok  "), "{said}\n{complained}");
}

#[test]
fn flight_sql_clients_in_python_work() {
    pass("flight.py");
}

#[test]
fn the_mcp_client_in_python_works() {
    pass("mcp.py");
}

#[test]
fn tpch_has_one_answer_wherever_its_tables_are() {
    pass("tpch.py");
}

#[test]
fn random_queries_have_one_answer_wherever_their_tables_are() {
    pass("differential.py");
}
