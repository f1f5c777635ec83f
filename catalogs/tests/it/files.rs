//! The kinds of files: each through the contract, then what only files do.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use catalogs::{Connect, Scope, ScopedTable, Source, sources};
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;
use engine::{Code, Error, TableProviderRef};
use serde_json::{Value, json};

use crate::contract::{Expected, contract, rows, scan};
use crate::folder::{Folder, batch};

fn source(kind: &str, folder: &Folder, options: Value) -> Arc<dyn Source> {
    let connect = Connect { id: "files".to_owned(), options, root: folder.path().to_owned() };
    sources::kind(kind).unwrap().connect(connect).unwrap()
}

fn whole(name: &str) -> Scope {
    Scope { schemas: vec!["public".to_owned()], tables: vec![ScopedTable { name: name.to_owned(), at: None }] }
}

/// The table that a path is.
async fn open(kind: &str, folder: &Folder, options: Value) -> Result<TableProviderRef, Error> {
    Ok(source(kind, folder, options).open(&whole("t"), "public", "t").await?.unwrap())
}

async fn read(table: &TableProviderRef) -> Result<Vec<Vec<String>>, Error> {
    rows(scan(table).build().unwrap()).await
}

/// The error of opening or reading.
async fn failure(kind: &str, folder: &Folder, options: Value) -> Error {
    let error = match open(kind, folder, options).await {
        Ok(table) => read(&table).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(!error.message().contains(folder.path().to_str().unwrap()), "{error}");
    error
}

fn types(table: &TableProviderRef) -> Vec<(String, DataType)> {
    table.schema().fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
}

pub(crate) const PEOPLE_CSV: &str = "id,name,score\n1,Ann,1.5\n2,Bob,\n3,,2.5\n4,Dée,4.5\n5,\"E, \"\"e\"\"\",\n";
const PEOPLE_NDJSON: &str = r#"{"id": 1, "name": "Ann", "score": 1.5}
{"id": 2, "name": "Bob"}
{"id": 3, "score": 2.5, "name": null}

{"id": 4, "name": "Dée", "score": 4.5}
{"id": 5, "name": "E, \"e\""}
"#;

pub(crate) fn people() -> RecordBatch {
    batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec![Some("Ann"), Some("Bob"), None, Some("Dée"), Some("E, \"e\"")]))),
        ("score", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(2.5), Some(4.5), None]))),
    ])
}

#[tokio::test]
async fn csv_keeps_the_contract() {
    let folder = Folder::new()
        .file("data/people.csv", PEOPLE_CSV)
        .file("data/empty.csv", "id,name,score\n")
        .file("data/broken.csv", "id,name\n1,a\n2\n");
    let source = source("csv", &folder, json!({ "path": "data", "columns": { "score": "number" } }));
    contract_of(source, &folder).await;
}

#[tokio::test]
async fn ndjson_keeps_the_contract() {
    let folder =
        Folder::new().file("data/people.ndjson", PEOPLE_NDJSON).file("data/broken.ndjson", "{\"id\": 1}\n{\"id\": \n");
    folder.write("data/empty.ndjson", "");
    let source = source("ndjson", &folder, json!({ "path": "data" }));
    let error = source.open(&Scope::default(), "public", "empty").await.unwrap_err();
    assert_eq!(error.message(), "File \"empty.ndjson\" is empty: it names no column.");
    let expected = Expected {
        scope: Scope::default(),
        schema: "public",
        tables: &["broken", "empty", "people"],
        broken: Some(("broken", Code::DataInvalid)),
        secrets: &[folder.path().to_str().unwrap()],
    };
    crate::contract::contract_without_empty(source.as_ref(), &expected).await;
}

#[tokio::test]
async fn parquet_keeps_the_contract() {
    let folder = Folder::new().file("data/broken.parquet", "PAR1 is not enough");
    folder.parquet("data/people.parquet", &people());
    folder.parquet("data/empty.parquet", &people().slice(0, 0));
    contract_of(source("parquet", &folder, json!({ "path": "data" })), &folder).await;
}

async fn contract_of(source: Arc<dyn Source>, folder: &Folder) {
    let expected = Expected {
        scope: Scope::default(),
        schema: "public",
        tables: &["broken", "empty", "people"],
        broken: Some(("broken", Code::DataInvalid)),
        secrets: &[folder.path().to_str().unwrap()],
    };
    contract(source.as_ref(), &expected).await;
}

#[tokio::test]
async fn a_file_that_is_replaced_and_a_file_that_is_new_are_seen_by_the_next_opening() {
    let folder = Folder::new().file("t/a.csv", "x\n1\n");
    let source = source("csv", &folder, json!({ "path": "t" }));
    let open = || async { source.open(&whole("t"), "public", "t").await.unwrap().unwrap() };
    let first = open().await;
    assert!(Arc::ptr_eq(&first, &open().await), "the same files are not opened again");
    folder.write("t/b.csv", "x,y\n2,new\n");
    assert_eq!(read(&open().await).await.unwrap(), [["1", "-"], ["2", "new"]]);
    folder.write("t/new.csv", "x\n7\n");
    fs::rename(folder.path().join("t/new.csv"), folder.path().join("t/a.csv")).unwrap();
    fs::remove_file(folder.path().join("t/b.csv")).unwrap();
    assert_eq!(read(&open().await).await.unwrap(), [["7"]]);
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let folder = Folder::new().file("t.parquet", "torn");
    let source = source("parquet", &folder, json!({ "path": "t.parquet" }));
    assert_eq!(source.open(&whole("t"), "public", "t").await.unwrap_err().code(), Code::DataInvalid);
    folder.parquet("t.parquet", &people());
    let table = source.open(&whole("t"), "public", "t").await.unwrap().unwrap();
    assert_eq!(read(&table).await.unwrap().len(), 5);
}

#[tokio::test]
async fn partitioned_folders_are_typed_columns_and_are_pruned() {
    let folder = Folder::new();
    let part = |value: i64| batch(vec![("v", Arc::new(Int64Array::from(vec![value])) as ArrayRef)]);
    folder.parquet("events/year=2023/day=2023-12-31/city=S%C3%A3o%20Paulo/a.parquet", &part(1));
    folder.parquet("events/year=2024/day=2024-01-01/city=Rome/a.parquet", &part(2));
    folder.parquet("events/year=2024/day=2024-01-02/city=__HIVE_DEFAULT_PARTITION__/a.parquet", &part(3));
    folder.write("events/_SUCCESS", "");
    folder.write("events/year=2024/.a.parquet.crc", "x");
    let source = source("parquet", &folder, json!({ "path": "events" }));
    let names: Vec<_> = source.tables(&Scope::default()).await.unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["events"]);
    let table = source.open(&Scope::default(), "public", "events").await.unwrap().unwrap();
    let expected =
        [("v", DataType::Int64), ("year", DataType::Int64), ("day", DataType::Date32), ("city", DataType::Utf8)];
    assert_eq!(types(&table), expected.map(|(name, data_type)| (name.to_owned(), data_type)));
    assert_eq!(
        read(&table).await.unwrap(),
        [
            ["1", "2023", "2023-12-31", "São Paulo"],
            ["2", "2024", "2024-01-01", "Rome"],
            ["3", "2024", "2024-01-02", "-"],
        ]
    );
    for (filter, expected, files) in [
        (col("year").eq(lit(2024_i64)), &["2", "3"][..], 2),
        (col("city").is_null(), &["3"], 1),
        (col("city").not_eq(lit("Rome")), &["1"], 1),
        (col("year").eq(lit(2024_i64)).and(col("v").gt(lit(2_i64))), &["3"], 2),
        (col("year").eq(lit(1999_i64)), &[], 0),
    ] {
        let plan = scan(&table).filter(filter.clone()).unwrap().project([col("v")]).unwrap().build().unwrap();
        let found: Vec<String> = rows(plan.clone()).await.unwrap().into_iter().flatten().collect();
        assert_eq!(found, expected, "{filter}");
        let plan = SessionContext::new().state().create_physical_plan(&plan).await.unwrap();
        let text = displayable(plan.as_ref()).indent(true).to_string();
        assert_eq!(text.matches("a.parquet").count(), files, "{text}");
        assert!(!text.contains(folder.path().to_str().unwrap()), "{text}");
    }
    // Counts come from statistics where they are exact; NULL partitions must not be counted.
    let counted = scan(&table)
        .aggregate(
            Vec::<datafusion::logical_expr::Expr>::new(),
            ["city", "year", "v"].map(|name| datafusion::functions_aggregate::count::count(col(name))),
        )
        .unwrap();
    assert_eq!(rows(counted.build().unwrap()).await.unwrap(), [["2", "3", "3"]]);
}

#[tokio::test]
async fn files_must_lie_in_the_same_partition_folders() {
    let folder = Folder::new().file("t/k=1/a.csv", "x\n1\n").file("t/b.csv", "x\n1\n");
    let error = failure("csv", &folder, json!({ "path": "t" })).await;
    assert_eq!(error.code(), Code::SchemaChanged);
    assert_eq!(error.message(), "File \"k=1/a.csv\" lies in other key=value folders than \"b.csv\" of the same table.");
}

#[tokio::test]
async fn a_pattern_takes_what_it_matches() {
    let folder = Folder::new()
        .file("d [1]/sales-2023.csv", "x\n1\n")
        .file("d [1]/sales-2024.csv", "x\n2\n")
        .file("d [1]/deep/er/sales-2025.csv", "x\n3\n")
        .file("d [1]/other.csv", "x\n9\n");
    let read_all = |path: &'static str| {
        let folder = &folder;
        async move {
            let table = open("csv", folder, json!({ "path": path })).await.unwrap();
            read(&table).await.unwrap().concat()
        }
    };
    assert_eq!(read_all("d [[]1]/sales-*.csv").await, ["1", "2"]);
    assert_eq!(read_all("d [[]1]/**/sales-*.csv").await, ["1", "2", "3"]);
    assert_eq!(read_all("d ?1?/deep").await, ["3"]);
    assert_eq!(read_all("d [1]").await, ["1", "2", "3", "9"]);
    let error = failure("csv", &folder, json!({ "path": "d [[]1]/none-*.csv" })).await;
    assert_eq!(error.code(), Code::SourceUnavailable);
    assert_eq!(error.message(), "\"none-*.csv\" holds no file that ends in .csv, .tsv.");
}

#[tokio::test]
async fn csv_types_come_from_values_and_options() {
    let text = "zip,n,price,day,at,flag,code,note\n01234,1,1.25,2024-01-31,2024-01-31 10:00:00,true,7,\n";
    let folder = Folder::new().file("t.csv", text);
    let options = json!({ "path": "t.csv", "columns": { "price": "decimal(10,2)", "code": "text" } });
    let table = open("csv", &folder, options).await.unwrap();
    let expected = [
        ("zip", DataType::Utf8),
        ("n", DataType::Int64),
        ("price", DataType::Decimal128(10, 2)),
        ("day", DataType::Date32),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("flag", DataType::Boolean),
        ("code", DataType::Utf8),
        ("note", DataType::Utf8),
    ];
    assert_eq!(types(&table), expected.map(|(name, data_type)| (name.to_owned(), data_type)));
    assert_eq!(
        read(&table).await.unwrap(),
        [["01234", "1", "1.25", "2024-01-31", "2024-01-31T10:00:00", "true", "7", "-"]]
    );
}

#[tokio::test]
async fn csv_dialects_are_read() {
    let folder = Folder::new()
        .file("a.csv", "x;y\n1;'a;b'\n NA;NA\n")
        .file("b.tsv", "x\ty\n1\t2\n")
        .file("c.csv", "1,2\n3,4\n")
        .file("d.csv", "\u{feff}x,y,,x\r\n1,\"two\r\nlines\",3,4\r\n");
    let options = json!({ "path": "a.csv", "delimiter": ";", "quote": "'", "null_values": ["NA", " NA"] });
    let table = open("csv", &folder, options).await.unwrap();
    assert_eq!(read(&table).await.unwrap(), [["-", "-"], ["1", "a;b"]]);
    let table = open("csv", &folder, json!({ "path": "b.tsv" })).await.unwrap();
    assert_eq!(read(&table).await.unwrap(), [["1", "2"]]);
    let table = open("csv", &folder, json!({ "path": "c.csv", "header": false })).await.unwrap();
    assert_eq!(types(&table)[1].0, "column_2");
    assert_eq!(read(&table).await.unwrap(), [["1", "2"], ["3", "4"]]);
    let table = open("csv", &folder, json!({ "path": "d.csv" })).await.unwrap();
    let names: Vec<_> = types(&table).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["x", "y", "column_3", "x_2"]);
    assert_eq!(read(&table).await.unwrap(), [["1", "two\r\nlines", "3", "4"]]);
}

#[tokio::test]
async fn compressed_files_are_read_and_torn_ones_are_told() {
    // gzip of "x\n1\n".
    let gzip =
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xab, 0xe0, 0x32, 0xe4, 2, 0, 0x15, 0x3c, 0xd0, 0xa4, 4, 0, 0, 0_u8];
    let folder = Folder::new().file("t.csv.gz", gzip).file("torn.csv.gz", &gzip[..14]).file("no.csv.gz", "x\n1\n");
    let source = source("csv", &folder, json!({ "path": "." }));
    let names: Vec<_> = source.tables(&Scope::default()).await.unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["no", "t", "torn"]);
    let table = open("csv", &folder, json!({ "path": "t.csv.gz" })).await.unwrap();
    assert_eq!(read(&table).await.unwrap(), [["1"]]);
    for path in ["torn.csv.gz", "no.csv.gz"] {
        let error = failure("csv", &folder, json!({ "path": path })).await;
        assert_eq!(error.code(), Code::DataInvalid);
        assert_eq!(error.message(), format!("File \"{path}\" is torn: it cannot be unpacked to its end."));
    }
}

#[tokio::test]
async fn bad_rows_are_told_by_their_line_and_never_by_their_values() {
    let many: String = (0..3000).map(|n| format!("{n},x\n")).collect();
    let folder = Folder::new()
        .file("ragged.csv", "a,b\n1,\"two\nlines\"\n\n3\n")
        .file("long.csv", "a,b\n1,2,3\n")
        .file("latin.csv", b"a,b\n1,x\n2,\xe9t\xe9\n")
        .file("late.csv", format!("n,s\n{many}s3cret,x\n"))
        .file("late_ragged.csv", format!("n,s\n{many}1\n"))
        .file("empty.csv", "")
        .file("bad.ndjson", "{\"a\": 1}\n[1]\n")
        .file("cut.ndjson", "{\"a\": 1}\n{\"a\": \"s3cret")
        .file("array.ndjson", "[{\"a\": 1}]\n")
        .file("late.ndjson", format!("{}{}", "{\"a\": 1}\n".repeat(5), "{\"a\": \"s3cret\"}\n"))
        .file("mixed.ndjson", "{\"a\": 1}\n{\"a\": {\"b\": 1}}\n");
    let few = 1000;
    for (path, message) in [
        ("ragged.csv", "File \"ragged.csv\", line 5, has 1 field where 2 are expected."),
        ("long.csv", "File \"long.csv\", line 2, has 3 fields where 2 are expected."),
        ("latin.csv", "File \"latin.csv\", line 3, is not UTF-8 text."),
        ("late.csv", "File \"late.csv\", line 3002, has a value of column \"n\" that is not of the column's type."),
        ("late_ragged.csv", "File \"late_ragged.csv\", line 3002, has 1 field where 2 are expected."),
        ("empty.csv", "File \"empty.csv\" is empty: it names no column."),
    ] {
        let error = failure("csv", &folder, json!({ "path": path, "infer_rows": few })).await;
        assert_eq!((error.code(), error.message()), (Code::DataInvalid, message));
    }
    for (path, message) in [
        ("bad.ndjson", "File \"bad.ndjson\", line 2, is not a JSON object."),
        ("cut.ndjson", "File \"cut.ndjson\", line 2, is not a JSON object."),
        ("array.ndjson", "File \"array.ndjson\", line 1, is not a JSON object."),
        ("late.ndjson", "File \"late.ndjson\", line 6, has a value that is not of its column's type."),
        ("mixed.ndjson", "File \"mixed.ndjson\" mixes values, lists and objects in one column."),
    ] {
        let infer = if path == "late.ndjson" { 3 } else { 1000 };
        let error = failure("ndjson", &folder, json!({ "path": path, "infer_rows": infer })).await;
        assert_eq!((error.code(), error.message()), (Code::DataInvalid, message));
    }
}

#[tokio::test]
async fn parquet_files_that_are_torn_empty_missing_or_something_else_are_told() {
    let folder = Folder::new().file("empty.parquet", "").file("text.parquet", "a,b\n1,2\n".repeat(100));
    folder.parquet("whole.parquet", &people());
    let bytes = fs::read(folder.path().join("whole.parquet")).unwrap();
    folder.write("torn.parquet", &bytes[..bytes.len() / 2]);
    for (path, code, message) in [
        ("empty.parquet", Code::DataInvalid, "File \"empty.parquet\" is empty: it is no Parquet file."),
        ("text.parquet", Code::DataInvalid, "File \"text.parquet\" is torn, or is no Parquet file."),
        ("torn.parquet", Code::DataInvalid, "File \"torn.parquet\" is torn, or is no Parquet file."),
        ("gone.parquet", Code::SourceUnavailable, "\"gone.parquet\" does not exist."),
    ] {
        let error = failure("parquet", &folder, json!({ "path": path })).await;
        assert_eq!((error.code(), error.message()), (code, message));
        assert!(error.hint_text().is_some());
    }
    // Pages that are damaged behind a whole footer are found when they are read.
    let mut damaged = bytes;
    damaged[8..60].fill(0xff);
    folder.write("damaged.parquet", damaged);
    let error = failure("parquet", &folder, json!({ "path": "damaged.parquet" })).await;
    assert_eq!(error.code(), Code::DataInvalid, "{error}");
}

#[tokio::test]
async fn a_parquet_file_that_is_replaced_after_it_was_found_never_mixes() {
    let folder = Folder::new();
    let numbers = |values: [i64; 2]| batch(vec![("id", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]);
    folder.parquet("t.parquet", &numbers([1, 2]));
    let options = json!({ "path": "t.parquet" });
    let table = open("parquet", &folder, options.clone()).await.unwrap();
    // As long as the first one, to the byte, and in its place at once.
    folder.parquet("next", &numbers([3, 4]));
    fs::rename(folder.path().join("next"), folder.path().join("t.parquet")).unwrap();
    let error = read(&table).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::SchemaChanged, "File \"t.parquet\" changed while it was read."));
    assert_eq!(read(&open("parquet", &folder, options).await.unwrap()).await.unwrap(), [["3"], ["4"]]);
}

#[tokio::test]
async fn no_part_of_a_parquet_file_is_skipped_that_may_hold_nan() {
    let folder = Folder::new();
    let columns = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ("double", Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None])) as ArrayRef),
        ("real", Arc::new(Float32Array::from(vec![Some(1.0), Some(f32::NAN), None])) as ArrayRef),
    ];
    folder.parquet("t/1.parquet", &batch(columns));
    let table = open("parquet", &folder, json!({ "path": "t" })).await.unwrap();
    let found = async |condition: Expr| {
        let plan = scan(&table).filter(condition).unwrap().project([col("id")]).unwrap().build().unwrap();
        rows(plan).await.unwrap()
    };
    // Twice, as the footer is kept in between.
    for _ in 0..2 {
        assert_eq!(found(col("double").gt(lit(100.0))).await, [["2"]]);
        assert_eq!(found(col("double").eq(lit(f64::NAN))).await, [["2"]]);
        assert_eq!(found(col("real").gt(lit(100.0_f32))).await, [["2"]]);
        assert_eq!(found(col("double").is_null()).await, [["3"]]);
        assert_eq!(found(col("id").gt(lit(100_i64))).await, [[""; 1]; 0]);
    }
}

#[tokio::test]
async fn files_of_one_table_may_differ_where_no_value_is_lost() {
    let folder = Folder::new();
    let one = batch(vec![
        ("id", Arc::new(Int32Array::from(vec![1])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["a"])) as ArrayRef),
    ]);
    let two = batch(vec![
        ("day", Arc::new(Date32Array::from(vec![0])) as ArrayRef),
        ("id", Arc::new(Int64Array::from(vec![1_i64 << 40])) as ArrayRef),
    ]);
    folder.parquet("t/1.parquet", &one);
    folder.parquet("t/2.parquet", &two);
    let table = open("parquet", &folder, json!({ "path": "t" })).await.unwrap();
    assert_eq!(read(&table).await.unwrap(), [["1", "a", "-"], ["1099511627776", "-", "1970-01-01"]]);
    let plan = scan(&table).filter(col("id").gt(lit(5_i64))).unwrap().project([col("id")]).unwrap().build().unwrap();
    assert_eq!(rows(plan).await.unwrap(), [["1099511627776"]]);
    let wrong = batch(vec![("id", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]);
    folder.parquet("t/3.parquet", &wrong);
    let error = failure("parquet", &folder, json!({ "path": "t" })).await;
    assert_eq!(error.code(), Code::SchemaChanged);
    assert_eq!(
        error.message(),
        "Column \"id\" is Utf8 in file \"3.parquet\" and Int64 in \"1.parquet\" of the same table."
    );
}

#[tokio::test]
async fn csv_columns_are_matched_by_name() {
    let folder = Folder::new()
        .file("t/1.csv", "id,name\n1,a\n")
        .file("t/2.csv", "name,id,extra\nb,2,true\n")
        .file("t/3.csv", "id\nx3\n")
        .file("t/4.csv", "");
    let table = open("csv", &folder, json!({ "path": "t" })).await.unwrap();
    let expected = [("id", DataType::Utf8), ("name", DataType::Utf8), ("extra", DataType::Boolean)];
    assert_eq!(types(&table), expected.map(|(name, data_type)| (name.to_owned(), data_type)));
    assert_eq!(read(&table).await.unwrap(), [["1", "a", "-"], ["2", "b", "true"], ["x3", "-", "-"]]);
    folder.write("t/5.csv", "foo,bar\n1,2\n");
    let error = failure("csv", &folder, json!({ "path": "t" })).await;
    assert_eq!(error.code(), Code::SchemaChanged);
    assert_eq!(
        error.message(),
        "File \"5.csv\" has other columns (foo, bar) than \"1.csv\" of the same table (id, name, extra)."
    );
}

#[tokio::test]
async fn nested_json_is_read() {
    let text = "{\"id\": 1, \"tags\": [\"a\"], \"at\": {\"x\": 1}}\n{\"id\": 2, \"tags\": [], \"at\": {\"y\": null}}\n";
    let folder =
        Folder::new().file("a/1.ndjson", text).file("a/2.jsonl", "{\"id\": \"three\", \"at\": {\"x\": 2.5}}\n");
    let table = open("ndjson", &folder, json!({ "path": "a" })).await.unwrap();
    let ids = scan(&table).project([col("id")]).unwrap().build().unwrap();
    assert_eq!(rows(ids).await.unwrap(), [["1"], ["2"], ["three"]]);
    assert!(
        matches!(table.schema().field_with_name("at").unwrap().data_type(), DataType::Struct(fields) if fields.len() == 2)
    );
}

#[tokio::test]
async fn options_are_checked_when_a_source_is_made() {
    let folder = Folder::new();
    for options in [json!({ "delimiter": ";;" }), json!({ "columns": { "a": "blob" } }), json!({ "colour": 1 })] {
        let connect = Connect { id: "x".to_owned(), options, root: folder.path().to_owned() };
        let error = sources::kind("csv").unwrap().connect(connect).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
}
