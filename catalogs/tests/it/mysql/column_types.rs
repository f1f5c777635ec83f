//! Every type arrives, with its meaning where Arrow has one, else as the text that the server writes.

use arrow::datatypes::{DataType, TimeUnit};
use catalogs::{Scope, Source};
use engine::{Code, TableKind};
use serde_json::json;
use std::sync::Arc;

use super::server::Server;
use super::{lines, open, query, runtime, source};

/// Column, type in SQL, Arrow type (`Utf8` unless given), and values in SQL with what must arrive. NULL is in each.
type Case = (&'static str, &'static str, Option<DataType>, &'static [(&'static str, &'static str)]);

fn micros(zone: Option<&str>) -> Option<DataType> {
    Some(DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into)))
}

fn cases() -> Vec<Case> {
    let decimal = |precision, scale| Some(DataType::Decimal128(precision, scale));
    vec![
        ("b", "boolean", Some(DataType::Int8), &[("true", "1"), ("false", "0"), ("-7", "-7")]),
        ("i1", "tinyint", Some(DataType::Int8), &[("-128", "-128"), ("127", "127")]),
        ("u1", "tinyint unsigned", Some(DataType::UInt8), &[("255", "255")]),
        ("i2", "smallint", Some(DataType::Int16), &[("-32768", "-32768"), ("32767", "32767")]),
        ("u2", "smallint unsigned zerofill", Some(DataType::UInt16), &[("7", "7"), ("65535", "65535")]),
        ("i3", "mediumint", Some(DataType::Int32), &[("-8388608", "-8388608"), ("8388607", "8388607")]),
        ("u3", "mediumint unsigned", Some(DataType::UInt32), &[("16777215", "16777215")]),
        ("i4", "int", Some(DataType::Int32), &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")]),
        ("u4", "int unsigned", Some(DataType::UInt32), &[("4294967295", "4294967295")]),
        (
            "i8",
            "bigint",
            Some(DataType::Int64),
            &[("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")],
        ),
        (
            "u8",
            "bigint unsigned",
            Some(DataType::UInt64),
            &[("18446744073709551615", "18446744073709551615"), ("0", "0")],
        ),
        (
            "f4",
            "float",
            Some(DataType::Float32),
            &[("3.4028e38", "3.4028e38"), ("0.1", "0.1"), ("-0.25", "-0.25"), ("16777216", "16777216.0")],
        ),
        ("f7_3", "float(7,3)", Some(DataType::Float32), &[("1.2346", "1.235")]),
        (
            "f8",
            "double",
            Some(DataType::Float64),
            &[("1e-307", "1e-307"), ("0.1", "0.1"), ("-1.7976931348623157e308", "-1.7976931348623157e308")],
        ),
        (
            "n12_2",
            "decimal(12,2)",
            decimal(12, 2),
            &[("9999999999.99", "9999999999.99"), ("-0.01", "-0.01"), ("0", "0.00")],
        ),
        ("n10", "decimal", decimal(10, 0), &[("-9999999999", "-9999999999")]),
        (
            "n38",
            "decimal(38,0)",
            decimal(38, 0),
            &[("99999999999999999999999999999999999999", "99999999999999999999999999999999999999")],
        ),
        (
            "n38_38",
            "decimal(38,38)",
            decimal(38, 38),
            &[("-0.00000000000000000000000000000000000001", "-0.00000000000000000000000000000000000001")],
        ),
        ("n_fill", "decimal(8,2) unsigned zerofill", decimal(8, 2), &[("1.5", "1.50")]),
        (
            "n65",
            "decimal(65,30)",
            None,
            &[(
                "12345678901234567890123456789012345.123456789012345678901234567891",
                "12345678901234567890123456789012345.123456789012345678901234567891",
            )],
        ),
        ("bit1", "bit(1)", Some(DataType::UInt64), &[("b'1'", "1"), ("b'0'", "0")]),
        ("bit12", "bit(12)", Some(DataType::UInt64), &[("b'101'", "5"), ("b'100000000001'", "2049")]),
        ("bit64", "bit(64)", Some(DataType::UInt64), &[("18446744073709551615", "18446744073709551615")]),
        ("y", "year", Some(DataType::Int16), &[("1901", "1901"), ("0", "0"), ("2155", "2155")]),
        (
            "d",
            "date",
            Some(DataType::Date32),
            &[("'2024-02-29'", "2024-02-29"), ("'1000-01-01'", "1000-01-01"), ("'9999-12-31'", "9999-12-31")],
        ),
        (
            "dt",
            "datetime",
            micros(None),
            &[("'1969-12-31 23:59:59'", "1969-12-31T23:59:59"), ("'9999-12-31'", "9999-12-31T00:00:00")],
        ),
        ("dt6", "datetime(6)", micros(None), &[("'1969-12-31 23:59:59.999999'", "1969-12-31T23:59:59.999999")]),
        ("ts", "timestamp(3) NULL", micros(Some("UTC")), &[("'2024-06-01 12:00:00.125'", "2024-06-01T10:00:00.125Z")]),
        ("tm", "time", None, &[("'838:59:59'", "838:59:59"), ("'-00:00:01'", "-00:00:01"), ("'23:59:59'", "23:59:59")]),
        ("tm3", "time(3)", None, &[("'25:00:01.5'", "25:00:01.500"), ("'0'", "00:00:00.000")]),
        ("c", "char(5)", None, &[("'ab  '", "ab"), ("'字é'", "字é")]),
        (
            "vc",
            "varchar(20)",
            None,
            &[("'naïve 字 🦀'", "naïve 字 🦀"), ("''", ""), ("'a  '", "a  "), ("'back\\slash'", "back\\slash")],
        ),
        ("latin", "varchar(20) CHARACTER SET latin1", None, &[("'naïve €'", "naïve €")]),
        ("greek", "text CHARACTER SET greek", None, &[("'αβγ'", "αβγ")]),
        ("utf16", "varchar(20) CHARACTER SET utf16", None, &[("'字🦀'", "字🦀")]),
        ("sjis", "varchar(20) CHARACTER SET sjis", None, &[("'ソ'", "ソ")]),
        ("bin_text", "varchar(20) COLLATE utf8mb4_bin", None, &[("'Aa'", "Aa")]),
        ("tt", "tinytext", None, &[("'x'", "x")]),
        ("mt", "mediumtext", None, &[("'x'", "x")]),
        ("lt", "longtext", None, &[("repeat('é', 3)", "ééé")]),
        ("js", "json", None, &[("'{\"b\": 1, \"a\":  [1.10, null]}'", "{\"b\": 1, \"a\":  [1.10, null]}")]),
        ("mood", "enum('sad','it''s ok','happy')", None, &[("'it''s ok'", "it's ok"), ("1", "sad")]),
        ("tags", "set('x','y','z')", None, &[("'z,x'", "x,z"), ("''", "")]),
        ("bi", "binary(4)", Some(DataType::Binary), &[("x'00ff'", "00ff0000")]),
        ("vb", "varbinary(9)", Some(DataType::Binary), &[("x'00ff27'", "00ff27"), ("''", "")]),
        ("bl", "blob", Some(DataType::Binary), &[("x'ff'", "ff")]),
        ("lb", "longblob", Some(DataType::Binary), &[("x'5c'", "5c")]),
        (
            "pt",
            "point",
            Some(DataType::Binary),
            &[("point(1, 2)", "000000000101000000000000000000f03f0000000000000040")],
        ),
        (
            "geo",
            "geometry",
            Some(DataType::Binary),
            &[("point(1, 2)", "000000000101000000000000000000f03f0000000000000040")],
        ),
        ("id", "uuid", None, &[("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")]),
        ("ip", "inet6", None, &[("'::ffff:10.0.0.1'", "::ffff:10.0.0.1"), ("'2001:DB8::1'", "2001:db8::1")]),
        ("ip4", "inet4", None, &[("'10.0.0.1'", "10.0.0.1")]),
    ]
}

#[test]
fn every_type_arrives() {
    let Some(server) = Server::start() else { return };
    let cases = cases();
    let columns: Vec<String> = cases.iter().map(|(name, sql, ..)| format!("`{name}` {sql}")).collect();
    let depth = cases.iter().map(|(.., values)| values.len()).max().unwrap_or(0);
    let mut script = format!("CREATE TABLE every (`row` int, {}); SET time_zone = '+02:00';", columns.join(", "));
    for row in 0..=depth {
        let values: Vec<String> = cases
            .iter()
            .map(|(.., values)| values.get(row).map_or("NULL".to_owned(), |(value, _)| (*value).to_owned()))
            .collect();
        script.push_str(&format!("INSERT INTO every VALUES ({row}, {});", values.join(", ")));
    }
    server.sql(&script.replace("'back\\slash'", "concat('back', char(92), 'slash')"));

    let source = source(&server, json!({}));
    let runtime = runtime();
    let schema = runtime.block_on(open(&source, "every")).unwrap().schema();
    assert_eq!(schema.fields().len(), cases.len() + 1);
    for (name, sql, data_type, _) in &cases {
        let field = schema.field_with_name(name).unwrap();
        assert_eq!(field.data_type(), data_type.as_ref().unwrap_or(&DataType::Utf8), "{name} {sql}");
        assert!(field.is_nullable());
    }
    for (name, sql, _, values) in &cases {
        let rows =
            runtime.block_on(query(&source, &["every"], &format!("SELECT {name} FROM every ORDER BY row"))).unwrap();
        let arrived = lines(&rows);
        let nulls = vec!["~"; depth + 1 - values.len()];
        let expected: Vec<&str> = values.iter().map(|(_, text)| *text).chain(nulls).collect();
        assert_eq!(arrived, expected, "{name} {sql}");
    }
    // All of them in one read.
    let rows = runtime.block_on(query(&source, &["every"], "SELECT * FROM every")).unwrap();
    assert_eq!(lines(&rows).len(), depth + 1);
}

#[test]
fn a_value_without_a_place_in_arrow_names_its_column() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE TABLE odd (d date, dt datetime, ts timestamp, part date, feb date, fine int);
         INSERT INTO odd VALUES ('0000-00-00', '0000-00-00', 0, '2024-00-10', '2024-02-31', 1);",
    );
    let (source, runtime) = (source(&server, json!({})), runtime());
    for column in ["d", "dt", "ts", "part", "feb"] {
        let error = runtime.block_on(query(&source, &["odd"], &format!("SELECT {column} FROM odd"))).unwrap_err();
        assert_eq!(error.code(), Code::DataInvalid, "{column}");
        assert!(error.message().starts_with(&format!("Column \"{column}\" of source \"bank\" holds ")), "{error}");
    }
    let rows = runtime.block_on(query(&source, &["odd"], "SELECT fine FROM odd")).unwrap();
    assert_eq!(lines(&rows), ["1"]);
}

#[test]
fn tables_are_listed_with_what_the_source_knows_of_them() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE DATABASE `Other.One`;
         CREATE TABLE people (id int PRIMARY KEY, `Full Name` varchar(30) NOT NULL COMMENT 'As in the passport',
             twice int AS (id * 2) STORED) COMMENT 'Everyone';
         INSERT INTO people (id, `Full Name`) SELECT seq, concat('P', seq) FROM seq_1_to_1000; ANALYZE TABLE people;
         CREATE TABLE `we``ird.Table` (`a``b` int, `C.d` text); INSERT INTO `we``ird.Table` VALUES (1, 'x');
         CREATE TABLE parts (id int) PARTITION BY HASH (id) PARTITIONS 3; INSERT INTO parts VALUES (1), (2);
         CREATE TABLE kept (id int) WITH SYSTEM VERSIONING; INSERT INTO kept VALUES (1);
         CREATE VIEW v AS SELECT id FROM people;
         CREATE SEQUENCE not_a_table;
         CREATE TABLE `Other.One`.T (x int); CREATE TABLE `Other.One`.t (y int);",
    );
    let (source, runtime) = (source(&server, json!({})), runtime());
    let schemas = ["bank", "Other.One", "other.one", "mysql"].map(str::to_owned).to_vec();
    let scope = Scope { schemas, tables: Vec::new() };
    let entries = runtime.block_on(source.tables(&scope)).unwrap();
    let shown: Vec<(&str, &str, TableKind)> =
        entries.iter().map(|entry| (entry.schema.as_str(), entry.name.as_str(), entry.kind)).collect();
    assert_eq!(
        shown,
        [
            ("bank", "kept", TableKind::Table),
            ("bank", "parts", TableKind::Table),
            ("bank", "people", TableKind::Table),
            ("bank", "v", TableKind::View),
            ("bank", "we`ird.Table", TableKind::Table),
            ("Other.One", "T", TableKind::Table),
            ("Other.One", "t", TableKind::Table),
        ]
    );
    let people = entries.iter().find(|entry| entry.name == "people").unwrap();
    assert_eq!((people.comment.as_deref(), people.row_estimate), (Some("Everyone"), Some(1000)));
    let view = entries.iter().find(|entry| entry.name == "v").unwrap();
    assert_eq!((view.comment.as_deref(), view.row_estimate), (None, None));

    let schema = runtime.block_on(open(&source, "people")).unwrap().schema();
    let name = schema.field_with_name("Full Name").unwrap();
    assert!(!name.is_nullable());
    assert_eq!(name.metadata()["weft.source_type"], "varchar(30)");
    assert_eq!(name.metadata()["weft.comment"], "As in the passport");
    assert!(schema.field_with_name("twice").unwrap().is_nullable());
    assert!(runtime.block_on(open(&source, "v")).unwrap().schema().field(0).is_nullable());

    let sql = "SELECT \"C.d\", \"a`b\" FROM \"we`ird.Table\" WHERE \"a`b\" = 1";
    let rows = runtime.block_on(query(&source, &["we`ird.Table"], sql)).unwrap();
    assert_eq!(lines(&rows), ["x|1"]);
    for (table, rows) in [("parts", 2), ("kept", 1), ("v", 1000)] {
        let counted = runtime.block_on(query(&source, &[table], &format!("SELECT count(*) FROM {table}"))).unwrap();
        assert_eq!(lines(&counted), [rows.to_string()], "{table}");
    }
    let found = |scope: &Scope, schema: &str, table: &str| runtime.block_on(source.open(scope, schema, table)).unwrap();
    assert_eq!(found(&scope, "Other.One", "T").unwrap().schema().field(0).name(), "x");
    assert_eq!(found(&scope, "Other.One", "t").unwrap().schema().field(0).name(), "y");
    assert!(found(&scope, "bank", "T").is_none());
    assert!(found(&Scope::default(), "Other.One", "T").is_none());
    assert!(found(&scope, "mysql", "user").is_none());
}

#[test]
fn a_wide_table_and_odd_names_are_read() {
    let Some(server) = Server::start() else { return };
    let columns: Vec<String> = (0..1000).map(|n| format!("c{n} tinyint")).collect();
    let values: Vec<String> = (0..1000).map(|n| (n % 100).to_string()).collect();
    server.sql(&format!(
        "CREATE TABLE wide ({}); INSERT INTO wide VALUES ({});
         CREATE TABLE `from` (`select ```` from` int, `日本` text, `a\"b` int); INSERT INTO `from` VALUES (1, 'x', 2);",
        columns.join(", "),
        values.join(", ")
    ));
    let (source, runtime) = (source(&server, json!({})), runtime());
    let rows = runtime.block_on(query(&source, &["wide"], "SELECT * FROM wide WHERE c999 = 99")).unwrap();
    assert_eq!(lines(&rows), [values.join("|")]);
    let sql = "SELECT \"select `` from\", \"日本\", \"a\"\"b\" FROM \"from\" WHERE \"select `` from\" = 1";
    let rows = runtime.block_on(query(&source, &["from"], sql)).unwrap();
    assert_eq!(lines(&rows), ["1|x|2"]);
}

#[test]
fn a_dataset_may_name_its_tables() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE DATABASE sales; CREATE TABLE sales.orders (id int); CREATE TABLE people (id int)");
    let runtime = runtime();
    let named = |source: &Arc<dyn Source>, scope: &Scope| -> Vec<String> {
        let entries = runtime.block_on(source.tables(scope)).unwrap();
        entries.iter().map(|entry| format!("{}.{}", entry.schema, entry.name)).collect()
    };
    let whole = source(&server, json!({}));
    let table = |name: &str, at: &str| catalogs::ScopedTable { name: name.to_owned(), at: Some(at.to_owned()) };
    let scope = Scope {
        schemas: Vec::new(),
        tables: vec![table("p", "people"), table("o", "sales.orders"), table("x", "none")],
    };
    assert_eq!(named(&whole, &scope), ["bank.o", "bank.p"]);
    assert!(runtime.block_on(whole.open(&scope, "bank", "o")).unwrap().is_some());
    assert!(runtime.block_on(whole.open(&scope, "bank", "people")).unwrap().is_none());
    assert!(runtime.block_on(whole.open(&scope, "bank", "x")).unwrap().is_none());

    let one = source(&server, json!({"database": "sales", "table": "orders"}));
    assert_eq!(named(&one, &Scope::default()), ["sales.orders"]);
}
