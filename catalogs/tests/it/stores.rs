//! Files in stores: against an S3 server that checks every signature and right, and against an https server of our own.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod server;

use std::error::Error as _;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use catalogs::{Connect, Home, Scope, ScopedTable, Source, sources};
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::physical_plan::{displayable, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use engine::{Code, Error, TableProviderRef};
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::contract::{Expected, contract, rows, scan};
use crate::files::{PEOPLE_CSV, people};
use crate::folder::{Folder, batch};
use server::Server;

fn try_source(kind: &str, options: Value, folder: &Folder) -> Result<Arc<dyn Source>, Error> {
    let connect = Connect { id: "lake".to_owned(), options, root: folder.path().to_owned() };
    sources::kind(kind).unwrap().connect(connect)
}

fn source(kind: &str, server: &Server, options: Value) -> Arc<dyn Source> {
    try_source(kind, options, &server.folder).unwrap()
}

fn scope(at: Option<&str>) -> Scope {
    let table = ScopedTable { name: "t".to_owned(), at: at.map(str::to_owned) };
    Scope { schemas: vec!["public".to_owned()], tables: vec![table] }
}

/// The table that the source's path is.
async fn open(source: &Arc<dyn Source>) -> Result<TableProviderRef, Error> {
    Ok(source.open(&scope(None), "public", "t").await?.unwrap())
}

async fn read(table: &TableProviderRef) -> Result<Vec<Vec<String>>, Error> {
    rows(scan(table).build().unwrap()).await
}

async fn ids(table: &TableProviderRef, filter: Expr) -> Vec<String> {
    let plan = scan(table).filter(filter).unwrap().project([col("id")]).unwrap().build().unwrap();
    rows(plan).await.unwrap().concat()
}

async fn failure(source: &Arc<dyn Source>) -> Error {
    match open(source).await {
        Ok(table) => read(&table).await.unwrap_err(),
        Err(error) => error,
    }
}

/// Everything that an error says, also to the log.
fn whole(error: &Error) -> String {
    let mut text = format!("{error} {:?} {error:?}", error.hint_text());
    let mut at = error.source();
    while let Some(here) = at {
        text = format!("{text} {here} {here:?}");
        at = here.source();
    }
    text
}

fn numbers(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    batch(vec![("id", Arc::new(Int64Array::from_iter_values(values)) as ArrayRef)])
}

fn set(mut options: Value, key: &str, value: Value) -> Value {
    options[key] = value;
    options
}

#[tokio::test]
async fn files_in_a_store_keep_the_contract() {
    let Some(server) = Server::s3() else { return };
    let data = Folder::new()
        .file("csv/people.csv", PEOPLE_CSV)
        .file("csv/empty.csv", "id,name,score\n")
        .file("csv/broken.csv", "id,name\n1,a\n2\n")
        .file("parquet/broken.parquet", "PAR1 is not enough")
        .file("parquet/_SUCCESS", "")
        .file("parquet/notes/readme.txt", "x");
    data.parquet("parquet/people.parquet", &people());
    data.parquet("parquet/empty.parquet", &people().slice(0, 0));
    server.put_all("data", &data).await;
    let (id, secret) = server.key("reader");
    for kind in ["csv", "parquet"] {
        let options = server.options("reader", &format!("s3://lake/data/{kind}"));
        let options = if kind == "csv" { set(options, "columns", json!({ "score": "number" })) } else { options };
        let source = source(kind, &server, options);
        assert_eq!(source.location(), format!("s3://lake/data/{kind}"));
        assert!(!format!("{source:?}").contains(secret) && !format!("{source:?}").contains(id));
        let expected = Expected {
            scope: Scope::default(),
            schema: "public",
            tables: &["broken", "empty", "people"],
            broken: Some(("broken", Code::DataInvalid)),
            secrets: &[secret, id],
        };
        contract(source.as_ref(), &expected).await;
    }
    assert!(server.requests().iter().all(|request| request.starts_with("GET") || !request.contains("/lake/data?")));
}

#[tokio::test]
async fn nothing_is_asked_before_the_first_use() {
    let Some(server) = Server::s3() else { return };
    let before = server.requests().len();
    let source = source("parquet", &server, server.options("reader", "s3://lake/x.parquet"));
    source.location();
    assert_eq!(server.requests().len(), before);
}

#[tokio::test]
async fn objects_folders_patterns_and_compressed_files_are_read() {
    let Some(server) = Server::s3() else { return };
    // gzip of "x\n1\n".
    let gzip =
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xab, 0xe0, 0x32, 0xe4, 2, 0, 0x15, 0x3c, 0xd0, 0xa4, 4, 0, 0, 0_u8];
    let long: String = (0..700_000).map(|n| format!("{{\"id\": {n}}}\n")).collect();
    let data = Folder::new()
        .file("sales/2023/a b+é%20.csv", "x\n1\n")
        .file("sales/2024/b.csv.gz", gzip)
        .file("sales/2024/.hidden.csv", "x\n9\n")
        .file("sales/2024/deep/er/c.csv", "x\n3\n")
        .file("sales/other.txt", "x")
        .file("bare", "x\n7\n")
        .file("late.csv", format!("n\n{}x\n", "1\n".repeat(3000)))
        .file("long.ndjson", long);
    server.put_all("d", &data).await;
    for (path, expected) in [
        ("s3://lake/d/sales/2023/a b+é%20.csv", &["1"][..]),
        ("s3://lake/d/sales", &["1", "1", "3"]),
        ("s3://lake/d/sales/", &["1", "1", "3"]),
        ("s3://lake/d/sales/*/*.csv", &["1"]),
        ("s3://lake/d/sales/202[34]/*.csv*", &["1", "1"]),
        ("s3://lake/d/sales/**/*.csv", &["1", "3"]),
        ("s3://lake/d/sales/2024/dee?", &["3"]),
        ("s3://lake/d/bare", &["7"]),
    ] {
        let table = open(&source("csv", &server, server.options("reader", path))).await.unwrap();
        assert_eq!(read(&table).await.unwrap().concat(), expected, "{path}");
    }
    let ndjson = source("ndjson", &server, server.options("reader", "s3://lake/d/long.ndjson"));
    let table = open(&ndjson).await.unwrap();
    assert_eq!(ids(&table, col("id").gt(lit(699_998_i64))).await, ["699999"]);
    // Tables of a folder, and tables of a dataset by their paths in it.
    let sales = source("csv", &server, server.options("reader", "s3://lake/d"));
    let names: Vec<_> = sales.tables(&Scope::default()).await.unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["late", "sales"]);
    for (at, expected) in [("sales/2024", &["1", "3"][..]), ("sales", &["1", "1", "3"]), ("s3://lake/d/bare", &["7"])] {
        let table = sales.open(&scope(Some(at)), "public", "t").await.unwrap().unwrap();
        assert_eq!(read(&table).await.unwrap().concat(), expected, "{at}");
    }
    for (path, code, message) in [
        ("s3://lake/d/none.csv", Code::SourceUnavailable, "\"none.csv\" does not exist."),
        ("s3://lake/d/none", Code::SourceUnavailable, "\"none\" does not exist."),
        ("s3://lake/d/sales/*.tsv", Code::SourceUnavailable, "\"*.tsv\" holds no file that ends in .csv, .tsv."),
        ("s3://other/x.csv", Code::SourceUnavailable, "\"x.csv\" does not exist."),
        ("s3://other/x", Code::SourceUnavailable, "The bucket of \"x\" does not exist."),
        (
            "s3://lake/d/late.csv",
            Code::DataInvalid,
            "File \"late.csv\", line 3002, has a value of column \"n\" that is not of the column's type.",
        ),
    ] {
        let options = set(server.options("reader", path), "infer_rows", json!(1000));
        let error = failure(&source("csv", &server, options)).await;
        assert_eq!((error.code(), error.message()), (code, message), "{path}: {}", whole(&error));
    }
}

#[tokio::test]
async fn a_filter_on_folders_asks_for_no_other_folder() {
    let Some(server) = Server::s3() else { return };
    let data = Folder::new();
    let months = (2020..=2025_i64).flat_map(|year| (1..=12_i64).map(move |month| (year, month)));
    for (year, month) in months {
        data.parquet(&format!("year={year}/month={month:02}/a.parquet"), &numbers([year * 100 + month]));
    }
    data.write("_SUCCESS", "");
    server.put_all("events", &data).await;
    let is_list = |request: &&String| request.contains("list-type=2");
    for path in ["s3://lake/events", "s3://lake/events/**/*.parquet"] {
        let source = source("parquet", &server, server.options("reader", path));
        let before = server.requests().len();
        let table = open(&source).await.unwrap();
        let columns: Vec<_> = table.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(columns, [DataType::Int64, DataType::Int64, DataType::Int64]);
        let opened = server.requests().len();
        assert!(opened - before <= 9 + 4, "a sample tells the columns: {:?}", &server.requests()[before..]);

        let one = col("year").eq(lit(2023_i64)).and(col("month").eq(lit(5_i64)));
        assert_eq!(ids(&table, one).await, ["202305"], "{path}");
        let asked = server.requests().split_off(opened);
        assert!(asked.iter().all(|request| request.contains("year=2023")), "{asked:?}");
        let folders = asked.iter().filter(is_list).filter(|request| !request.contains("month=05"));
        assert!(folders.count() <= 1 && asked.len() <= 6, "{asked:?}");

        let at = server.requests().len();
        assert!(ids(&table, col("year").eq(lit(1999_i64))).await.is_empty());
        assert_eq!(server.requests().len(), at, "no folder matches, and the folders are known");
        assert_eq!(ids(&table, col("month").gt(lit(11_i64))).await.len(), 6);
        assert_eq!(read(&table).await.unwrap().len(), 72);
        // Footers that were read are kept.
        let at = server.requests().len();
        read(&table).await.unwrap();
        let again = server.requests().split_off(at);
        assert!(again.len() <= 72 + 1, "{}", again.len());
    }
    // Nothing on this way names a credential.
    let table = open(&source("parquet", &server, server.options("reader", "s3://lake/events"))).await.unwrap();
    let plan = scan(&table).filter(col("year").eq(lit(2020_i64))).unwrap().build().unwrap();
    let plan = SessionContext::new().state().create_physical_plan(&plan).await.unwrap();
    let text = format!("{} {plan:?} {table:?}", displayable(plan.as_ref()).indent(true));
    assert!(text.contains("year=2020/month=01/a.parquet"), "{text}");
    assert!(!text.contains(server.key("reader").1) && !text.contains(server.key("reader").0), "{text}");
}

/// Asks until an answer is as it should be, for as long as listings may be kept.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("this never came to hold: {what}");
}

#[tokio::test]
async fn new_objects_are_seen_and_what_they_bring_is_learned() {
    let Some(server) = Server::s3() else { return };
    let data = Folder::new();
    data.parquet("flat/a.parquet", &numbers([1]));
    for key in 1..=9 {
        data.parquet(&format!("hive/k={key}/a.parquet"), &numbers([key]));
    }
    server.put_all("d", &data).await;
    let flat = source("parquet", &server, server.options("reader", "s3://lake/d/flat"));
    let hive = source("parquet", &server, server.options("reader", "s3://lake/d/hive"));
    assert_eq!(read(&open(&flat).await.unwrap()).await.unwrap(), [["1"]]);
    assert_eq!(read(&open(&hive).await.unwrap()).await.unwrap().len(), 9);

    let more = Folder::new();
    more.parquet("flat/b.parquet", &numbers([2]));
    let wide = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![50])) as ArrayRef),
        ("extra", Arc::new(StringArray::from(vec!["e"]))),
    ]);
    // No sample of few looks into this folder, and its key is text.
    more.parquet("hive/k=2b/a.parquet", &wide);
    server.put_all("d", &more).await;
    until("the new file is read", async || {
        let rows = read(&open(&flat).await.unwrap()).await.unwrap();
        (rows == [["1"], ["2"]]).then_some(())
    })
    .await;
    let table = until("the new folder is read with its column", async || {
        let table = open(&hive).await.unwrap();
        let names: Vec<_> = table.schema().fields().iter().map(|field| field.name().clone()).collect();
        // A question on the way may find what its columns have no room for, and says so.
        if let Err(error) = read(&table).await {
            assert_eq!(error.code(), Code::SchemaChanged, "{error}");
        }
        (names == ["id", "extra", "k"]).then_some(table)
    })
    .await;
    assert_eq!(ids(&table, col("k").eq(lit("2b"))).await, ["50"]);
    assert_eq!(ids(&table, col("extra").is_null().and(col("k").eq(lit("3")))).await, ["3"]);
    assert_eq!(read(&table).await.unwrap().len(), 10);
}

#[tokio::test]
async fn rights_are_told_apart_and_credentials_are_not_told() {
    let Some(server) = Server::s3() else { return };
    let data = Folder::new().file("a.csv", "x\n1\n").file("sub/b.csv", "x\n2\n");
    data.parquet("p.parquet", &numbers([7]));
    server.put_all("d", &data).await;
    // One object takes no right to list.
    for (kind, path, expected) in [("csv", "s3://lake/d/a.csv", "1"), ("parquet", "s3://lake/d/p.parquet", "7")] {
        let source = source(kind, &server, server.options("single", path));
        source.test().await.unwrap();
        assert_eq!(read(&open(&source).await.unwrap()).await.unwrap(), [[expected]]);
    }
    let wrong = |path: &str| set(server.options("reader", path), "secret_access_key", json!("hunter2hunter2"));
    let unknown = |path: &str| set(server.options("reader", path), "access_key_id", json!("AKIAHUNTER2"));
    for (options, message) in [
        (server.options("single", "s3://lake/d"), "The store does not allow to list the files of \"d\"."),
        (server.options("single", "s3://lake/d/*.csv"), "The store does not allow to list the files of \"*.csv\"."),
        (server.options("nobody", "s3://lake/d"), "The store does not allow to list the files of \"d\"."),
        (server.options("nobody", "s3://lake/d/a.csv"), "The store does not allow to read \"a.csv\"."),
        (wrong("s3://lake/d/a.csv"), "The store does not allow to read \"a.csv\"."),
        (wrong("s3://lake/d"), "The store does not accept the credentials that ask for \"d\"."),
        (unknown("s3://lake/d"), "The store does not accept the credentials that ask for \"d\"."),
    ] {
        let source = source("csv", &server, options.clone());
        let error = failure(&source).await;
        assert_eq!((error.code(), error.message()), (Code::SourceRejected, message), "{}", whole(&error));
        assert!(error.hint_text().is_some());
        let secrets = [options["secret_access_key"].as_str().unwrap(), options["access_key_id"].as_str().unwrap()];
        let said = format!("{} {source:?} {}", whole(&error), source.location());
        assert!(!secrets.iter().any(|secret| said.contains(secret)), "{said}");
    }
}

#[tokio::test]
async fn a_clock_that_is_too_far_off_is_named() {
    let Some(server) = Server::s3() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let body = "<Error><Code>RequestTimeTooSkewed</Code><Message>too large</Message></Error>";
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = BufReader::new(&stream).lines();
            while head.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let head = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    let options = set(server.options("reader", "s3://lake/d"), "endpoint", json!(endpoint));
    let error = failure(&source("csv", &server, options)).await;
    assert_eq!(error.code(), Code::SourceRejected, "{}", whole(&error));
    assert!(error.message().contains("finds the clock of this machine"), "{}", whole(&error));
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_never_mixes() {
    let Some(server) = Server::s3() else { return };
    // As long as each other, to the byte, so that only the version tells them apart.
    let text = |c: char| format!("id,v\n{}", (0..1_500_000).map(|n| format!("{n:07},{c}\n")).collect::<String>());
    let parquet = |values: [i64; 2]| {
        let folder = Folder::new();
        folder.parquet("x.parquet", &numbers(values));
        std::fs::read(folder.path().join("x.parquet")).unwrap()
    };
    server.put("t.csv", text('a')).await;
    server.put("t.parquet", parquet([1, 2])).await;

    let csv = source("csv", &server, server.options("reader", "s3://lake/t.csv"));
    let plan = scan(&open(&csv).await.unwrap()).build().unwrap();
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let plan = context.state().create_physical_plan(&plan).await.unwrap();
    let mut stream = execute_stream(plan, context.task_ctx()).unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    server.put("t.csv", text('b')).await;
    let error = loop {
        match stream.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a file of several parts was read to its end"),
            Err(error) => break Error::from(error),
        }
    };
    assert_eq!((error.code(), error.message()), (Code::SchemaChanged, "File \"t.csv\" changed while it was read."));
    let table = open(&csv).await.unwrap();
    assert_eq!(ids(&table, col("v").eq(lit("a"))).await, [""; 0]);
    assert_eq!(read(&table).await.unwrap().len(), 1_500_000);

    let source = source("parquet", &server, server.options("reader", "s3://lake/t.parquet"));
    let table = open(&source).await.unwrap();
    server.put("t.parquet", parquet([3, 4])).await;
    let error = read(&table).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::SchemaChanged, "File \"t.parquet\" changed while it was read."));
    assert_eq!(read(&open(&source).await.unwrap()).await.unwrap(), [["3"], ["4"]]);
    // Before the first batch it is simply found anew: here between finding it and looking into it.
    server.put("t.parquet", parquet([5, 6])).await;
    let fresh = try_source("parquet", server.options("reader", "s3://lake/t.parquet"), &server.folder).unwrap();
    fresh.test().await.unwrap();
    server.put("t.parquet", parquet([7, 8])).await;
    assert_eq!(read(&open(&fresh).await.unwrap()).await.unwrap(), [["7"], ["8"]]);
}

#[tokio::test]
async fn a_store_that_is_gone_is_told_within_bounds() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = json!({
        "path": "s3://lake/d/a.csv", "endpoint": format!("http://{free}"), "access_key_id": "hunter2",
        "secret_access_key": "hunter2", "connect_timeout": "1s",
    });
    let source = try_source("csv", options, &Folder::new()).unwrap();
    let error = failure(&source).await;
    assert_eq!(error.code(), Code::SourceUnavailable);
    assert_eq!(error.message(), "The store of \"a.csv\" cannot be reached, or fails.");
    assert!(!whole(&error).contains("hunter2"), "{}", whole(&error));
}

#[tokio::test]
async fn files_behind_https_are_read() {
    let Some(server) = Server::https() else { return };
    let long: String = (0..700_000).map(|n| format!("{n:07}\n")).collect();
    server.folder.write("files/a b.csv", "id\n1\n");
    server.folder.write("files/long.csv", format!("id\n{long}"));
    server.folder.parquet("files/p.parquet", &numbers([7]));
    let url = |path: &str| format!("https://localhost:{}/{path}", server.port());
    let options = |path: &str| json!({ "path": url(path), "tls_ca_file": "ca.pem" });
    for (kind, path, expected) in [
        ("csv", "files/a%20b.csv", "1"),
        ("csv", "tagless/a%20b.csv", "1"),
        ("csv", "whole/a%20b.csv", "1"),
        ("csv", "get/a%20b.csv", "1"),
        ("csv", "moved/a%20b.csv", "1"),
        ("csv", "fails/a%20b.csv", "1"),
        ("csv", "signed/a%20b.csv?sig=hunter2", "1"),
        ("parquet", "files/p.parquet", "7"),
        ("parquet", "tagless/p.parquet", "7"),
        ("parquet", "get/p.parquet", "7"),
        ("parquet", "moved/p.parquet", "7"),
        ("parquet", "signed/p.parquet?sig=hunter2", "7"),
    ] {
        let source = source(kind, &server, options(path));
        let table = open(&source).await.unwrap_or_else(|error| panic!("{path}: {}", whole(&error)));
        assert_eq!(read(&table).await.unwrap(), [[expected]], "{path}");
        assert_eq!(source.location(), url(path).split('?').next().unwrap());
        assert!(!format!("{source:?} {table:?}").contains("hunter2"));
    }
    for path in ["files/long.csv", "whole/long.csv"] {
        let table = open(&source("csv", &server, options(path))).await.unwrap();
        assert_eq!(ids(&table, col("id").eq(lit("0699999"))).await, ["0699999"], "{path}");
    }
    let parts = server.requests().iter().filter(|request| request.contains("GET /files/long.csv")).count();
    assert!(parts >= 4, "it is read in parts: {parts}");

    for (kind, options, code, message) in [
        ("csv", options("files/none.csv"), Code::SourceUnavailable, "\"none.csv\" does not exist."),
        ("csv", options("files/"), Code::SourceRejected, "\"files\" is a folder, and https cannot list files."),
        ("csv", options("endless/a.csv"), Code::SourceUnavailable, "\"a.csv\" does not exist."),
        ("csv", options("endless/long.csv"), Code::SourceRejected, "The server does not say how long \"long.csv\" is."),
        (
            "csv",
            options("signed/a%20b.csv?sig=hunter3"),
            Code::SourceRejected,
            "The store does not allow to read \"a b.csv\".",
        ),
        (
            "parquet",
            options("whole/p.parquet"),
            Code::SourceRejected,
            "The server of \"p.parquet\" does not send parts of files, which Parquet is read by.",
        ),
        (
            "csv",
            json!({ "path": url("files/a%20b.csv") }),
            Code::SourceUnavailable,
            "The server of \"a b.csv\" cannot show that it is the one that is meant.",
        ),
        (
            "csv",
            json!({ "path": url("files/a%20b.csv"), "tls_ca_file": "own.csv" }),
            Code::SourceRejected,
            "The file of option \"tls_ca_file\" cannot be read as PEM certificates.",
        ),
    ] {
        let error = failure(&source(kind, &server, options.clone())).await;
        assert_eq!((error.code(), error.message()), (code, message), "{options} {}", whole(&error));
        assert!(error.hint_text().is_some() && !whole(&error).contains("hunter"), "{}", whole(&error));
    }
    // A redirect does not take the encryption away.
    let error = failure(&source("csv", &server, options("plain/a%20b.csv"))).await;
    assert!(matches!(error.code(), Code::SourceRejected | Code::SourceUnavailable), "{}", whole(&error));

    // Files of one place, by their names below its URL.
    let below = source("csv", &server, options("files/"));
    below.test().await.unwrap();
    let table = below.open(&scope(Some("a%20b.csv")), "public", "t").await.unwrap().unwrap();
    assert_eq!(read(&table).await.unwrap(), [["1"]]);
}

#[test]
fn a_table_of_the_command_line_may_be_in_a_store() {
    for place in ["s3://b/x.parquet", "s3://b/e/**/*.parquet", "https://h.example/x.csv.gz?sig=x.y", "gs://b/x.ndjson"]
    {
        let home = Home::of_tables(&[("t", place)]);
        assert_eq!(home.unwrap_or_else(|problems| panic!("{place}: {problems}")).counts(), (1, 1));
    }
    for place in ["s3://b/folder", "http://h.example/x.csv", "https://u:hunter2@h.example/x.csv"] {
        let problems = Home::of_tables(&[("t", place)]).unwrap_err().to_string();
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn an_option_that_does_not_exist_is_refused_by_its_name() {
    for kind in ["csv", "ndjson", "parquet"] {
        let options = json!({ "path": "s3://b/x", "acces_key_id": "hunter2" });
        let error = try_source(kind, options, &Folder::new()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("acces_key_id") && !error.message().contains("hunter2"), "{error}");
    }
}
