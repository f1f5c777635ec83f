//! Every type arrives, with its meaning where Arrow has one, else as the text that PostgreSQL writes.

use arrow::datatypes::{DataType, TimeUnit};
use catalogs::{Scope, Source};
use engine::{Code, TableKind};
use serde_json::json;
use std::sync::Arc;

use super::server::Server;
use super::{lines, open, query, runtime, source};

/// Column, type in SQL, Arrow type (`Utf8` unless given), and values in SQL with what must arrive. NULL is in each.
type Case = (&'static str, &'static str, Option<DataType>, &'static [(&'static str, &'static str)]);

fn list(item: DataType) -> Option<DataType> {
    Some(DataType::new_list(item, true))
}

fn micros(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into))
}

fn cases() -> Vec<Case> {
    let decimal = |precision, scale| Some(DataType::Decimal128(precision, scale));
    vec![
        ("i2", "int2", Some(DataType::Int16), &[("-32768", "-32768"), ("32767", "32767")]),
        ("i4", "int4", Some(DataType::Int32), &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")]),
        (
            "i8",
            "int8",
            Some(DataType::Int64),
            &[("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")],
        ),
        (
            "f4",
            "float4",
            Some(DataType::Float32),
            &[("3.4028235e38", "3.4028235e38"), ("'NaN'", "NaN"), ("'-Infinity'", "-inf"), ("'-0'", "-0.0")],
        ),
        (
            "f8",
            "float8",
            Some(DataType::Float64),
            &[("1e-307", "1e-307"), ("'NaN'", "NaN"), ("'Infinity'", "inf"), ("0.1", "0.1")],
        ),
        ("b", "bool", Some(DataType::Boolean), &[("true", "true"), ("false", "false")]),
        (
            "n12_2",
            "numeric(12,2)",
            decimal(12, 2),
            &[("9999999999.99", "9999999999.99"), ("-0.01", "-0.01"), ("0", "0.00")],
        ),
        (
            "n38",
            "numeric(38,0)",
            decimal(38, 0),
            &[("99999999999999999999999999999999999999", "99999999999999999999999999999999999999")],
        ),
        (
            "n38_38",
            "numeric(38,38)",
            decimal(38, 38),
            &[("-0.00000000000000000000000000000000000001", "-0.00000000000000000000000000000000000001")],
        ),
        (
            "n38_19",
            "numeric(38,19)",
            decimal(38, 19),
            &[("1234567890123456789.1234567890123456789", "1234567890123456789.1234567890123456789")],
        ),
        ("n2_5", "numeric(2,5)", decimal(5, 5), &[("0.00099", "0.00099")]),
        ("n5_m3", "numeric(5,-3)", decimal(8, 0), &[("12345678", "12346000")]),
        (
            "n_free",
            "numeric",
            None,
            &[
                (
                    "12345678901234567890123456789012345678901234567890.5",
                    "12345678901234567890123456789012345678901234567890.5",
                ),
                ("'NaN'", "NaN"),
            ],
        ),
        ("n_wide", "numeric(100,50)", None, &[("1", "1.00000000000000000000000000000000000000000000000000")]),
        ("money", "money", None, &[("'-12.34'", "-$12.34")]),
        ("t", "text", None, &[("'naïve 字 🦀'", "naïve 字 🦀"), ("''", "")]),
        ("vc", "varchar(5)", None, &[("'abc'", "abc")]),
        ("bp", "char(5)", None, &[("'abc'", "abc  ")]),
        ("c1", "\"char\"", None, &[("'x'", "x")]),
        ("nm", "name", None, &[("'some_name'", "some_name")]),
        ("ci", "citext", None, &[("'AbC'", "AbC")]),
        ("hs", "hstore", None, &[("'a=>1,b=>NULL'", "\"a\"=>\"1\", \"b\"=>NULL")]),
        ("by", "bytea", Some(DataType::Binary), &[("'\\x00ff27'", "00ff27"), ("''", "")]),
        ("d", "date", Some(DataType::Date32), &[("'2024-02-29'", "2024-02-29"), ("'0044-03-15 BC'", "-0043-03-15")]),
        (
            "tm",
            "time",
            Some(DataType::Time64(TimeUnit::Microsecond)),
            &[("'23:59:59.999999'", "23:59:59.999999"), ("'00:00'", "00:00:00")],
        ),
        ("tmz", "timetz", None, &[("'12:00+05:30'", "12:00:00+05:30")]),
        (
            "ts",
            "timestamp",
            Some(micros(None)),
            &[("'1969-12-31 23:59:59.999999'", "1969-12-31T23:59:59.999999"), ("'9999-12-31'", "9999-12-31T00:00:00")],
        ),
        ("tz", "timestamptz", Some(micros(Some("UTC"))), &[("'2024-06-01 12:00+02'", "2024-06-01T10:00:00Z")]),
        ("iv", "interval", None, &[("'1 year -2 days 03:04:05.6'", "1 year -2 days +03:04:05.6")]),
        ("id", "uuid", None, &[("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")]),
        ("js", "json", None, &[("'{\"b\": 1, \"a\":  [1.10, null]}'", "{\"b\": 1, \"a\":  [1.10, null]}")]),
        ("jb", "jsonb", None, &[("'{\"b\":1,\"a\":1.10}'", "{\"a\": 1.10, \"b\": 1}")]),
        ("xm", "xml", None, &[("'<a>1</a>'", "<a>1</a>")]),
        ("mood", "mood", None, &[("'it''s ok'", "it's ok")]),
        ("dom", "posint", Some(DataType::Int32), &[("7", "7")]),
        ("domdom", "small_price", decimal(6, 2), &[("1234.5", "1234.50")]),
        ("pair", "pair", None, &[("ROW(1,'x')", "(1,x)"), ("ROW(NULL,NULL)", "(,)")]),
        ("rng", "int4range", None, &[("'[1,5)'", "[1,5)")]),
        ("mrng", "int4multirange", None, &[("'{[1,5),[7,9)}'", "{[1,5),[7,9)}")]),
        ("ip", "inet", None, &[("'10.0.0.1/8'", "10.0.0.1/8"), ("'::1'", "::1/128")]),
        ("net", "cidr", None, &[("'10.0.0.0/8'", "10.0.0.0/8")]),
        ("mac", "macaddr", None, &[("'08:00:2b:01:02:03'", "08:00:2b:01:02:03")]),
        ("mac8", "macaddr8", None, &[("'08:00:2b:01:02:03:04:05'", "08:00:2b:01:02:03:04:05")]),
        ("bits", "bit(3)", None, &[("B'101'", "101")]),
        ("vbits", "varbit", None, &[("B'10101'", "10101")]),
        ("pt", "point", None, &[("'(1,2)'", "(1,2)")]),
        ("poly", "polygon", None, &[("'((0,0),(1,1),(2,0))'", "((0,0),(1,1),(2,0))")]),
        ("circ", "circle", None, &[("'<(0,0),5>'", "<(0,0),5>")]),
        ("tsv", "tsvector", None, &[("'a fat cat'", "'a' 'cat' 'fat'")]),
        ("tsq", "tsquery", None, &[("'fat & rat'", "'fat' & 'rat'")]),
        ("o", "oid", None, &[("4294967295", "4294967295")]),
        ("rc", "regclass", None, &[("'pg_catalog.pg_class'", "pg_class")]),
        ("lsn", "pg_lsn", None, &[("'16/B374D848'", "16/B374D848")]),
        ("snap", "pg_snapshot", None, &[("'10:20:10,14'", "10:20:10,14")]),
        ("jp", "jsonpath", None, &[("'$.a'", "$.\"a\"")]),
        (
            "i4s",
            "int4[]",
            list(DataType::Int32),
            &[("'{1,NULL,3}'", "[1, ~, 3]"), ("'{}'", "[]"), ("'[5:6]={1,2}'", "[1, 2]")],
        ),
        ("i8s", "int8[]", list(DataType::Int64), &[("'{-9223372036854775808}'", "[-9223372036854775808]")]),
        ("f8s", "float8[]", list(DataType::Float64), &[("'{0.5,NaN}'", "[0.5, NaN]")]),
        ("bs", "bool[]", list(DataType::Boolean), &[("'{t,f,NULL}'", "[true, false, ~]")]),
        ("ns", "numeric(6,2)[]", list(DataType::Decimal128(6, 2)), &[("'{1.5,NULL}'", "[1.50, ~]")]),
        ("nfs", "numeric[]", list(DataType::Utf8), &[("'{1.5,NaN}'", "[1.5, NaN]")]),
        ("txs", "text[]", list(DataType::Utf8), &[("'{\"a,b\",\"NULL\",NULL,\"\"}'", "[a,b, NULL, ~, ]")]),
        ("ds", "date[]", list(DataType::Date32), &[("'{2024-01-01}'", "[2024-01-01]")]),
        ("tzs", "timestamptz[]", list(micros(Some("UTC"))), &[("'{2024-01-01 00:00+00}'", "[2024-01-01T00:00:00Z]")]),
        (
            "ids",
            "uuid[]",
            list(DataType::Utf8),
            &[("'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", "[a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11]")],
        ),
        ("moods", "mood[]", list(DataType::Utf8), &[("'{sad,NULL}'", "[sad, ~]")]),
        ("doms", "posint[]", list(DataType::Utf8), &[("'{1,2}'", "[1, 2]")]),
        ("grid", "int4[][]", None, &[("'{{1,2},{3,4}}'", "{{1,2},{3,4}}")]),
        ("i2v", "int2vector", None, &[("'1 2'", "1 2")]),
    ]
}

fn prepare(server: &Server) {
    server.sql(
        "CREATE EXTENSION citext; CREATE EXTENSION hstore;
         CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
         CREATE TYPE pair AS (a int, b text);
         CREATE DOMAIN posint AS int CHECK (value > 0);
         CREATE DOMAIN price AS numeric(6,2); CREATE DOMAIN small_price AS price CHECK (value < 5000);",
    );
}

#[test]
fn every_type_arrives() {
    let Some(server) = Server::start() else { return };
    prepare(&server);
    let cases = cases();
    let columns: Vec<String> = cases.iter().map(|(name, sql, ..)| format!("{name} {sql}")).collect();
    let depth = cases.iter().map(|(.., values)| values.len()).max().unwrap_or(0);
    let mut script = format!("CREATE TABLE every (row int, {});", columns.join(", "));
    for row in 0..=depth {
        let values: Vec<String> = cases
            .iter()
            .map(|(_, sql, _, values)| {
                values.get(row).map_or("NULL".to_owned(), |(value, _)| format!("({value})::{sql}"))
            })
            .collect();
        script.push_str(&format!("INSERT INTO every VALUES ({row}, {});", values.join(", ")));
    }
    server.sql(&script);

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
        "CREATE TABLE odd (d date, ts timestamp, tz timestamptz, tm time, n numeric(5,2), far timestamp, grid int[], fine int);
         INSERT INTO odd VALUES ('infinity', '-infinity', 'infinity', '24:00', 'NaN', '294276-12-31', '{{1},{2}}', 1);",
    );
    let (source, runtime) = (source(&server, json!({})), runtime());
    for column in ["d", "ts", "tz", "tm", "n", "far", "grid"] {
        let error = runtime.block_on(query(&source, &["odd"], &format!("SELECT {column} FROM odd"))).unwrap_err();
        assert_eq!(error.code(), Code::DataInvalid, "{column}");
        assert!(error.message().starts_with(&format!("Column \"{column}\" of source \"bank\" holds ")), "{error}");
    }
    let rows = runtime.block_on(query(&source, &["odd"], "SELECT fine FROM odd")).unwrap();
    assert_eq!(lines(&rows), ["1"]);
}

#[test]
fn text_that_is_not_utf8_is_invalid_data() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
    let admin = source(&server, json!({"database": "bytes"}));
    server.sql_in("bytes", "CREATE TABLE t (c text); INSERT INTO t VALUES (convert_from('\\xff', 'SQL_ASCII'))");
    let error = runtime().block_on(query(&admin, &["t"], "SELECT c FROM t")).unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::DataInvalid, "Source \"bank\" sent a value that cannot be read.")
    );
}

#[test]
fn tables_are_listed_with_what_the_source_knows_of_them() {
    let Some(server) = Server::start() else { return };
    server.sql(
        "CREATE SCHEMA \"Other.One\";
         CREATE TABLE people (id int PRIMARY KEY, \"Full Name\" varchar(30) NOT NULL, twice int GENERATED ALWAYS AS (id * 2) STORED);
         COMMENT ON TABLE people IS 'Everyone'; COMMENT ON COLUMN people.\"Full Name\" IS 'As in the passport';
         INSERT INTO people SELECT n, 'P' || n FROM generate_series(1, 1000) n; ANALYZE people;
         CREATE TABLE \"we\"\"ird.Table\" (\"a\"\"b\" int, \"C.d\" text); INSERT INTO \"we\"\"ird.Table\" VALUES (1, 'x');
         CREATE TABLE parts (id int) PARTITION BY RANGE (id);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10); INSERT INTO parts VALUES (1), (2);
         CREATE VIEW v AS SELECT id FROM people; CREATE MATERIALIZED VIEW mv AS SELECT id FROM people;
         CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES;
         CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE ft (line text NOT NULL) SERVER files OPTIONS (filename 'PG_VERSION');
         CREATE SEQUENCE not_a_table; CREATE INDEX not_one_either ON people (twice);
         CREATE TABLE \"Other.One\".\"T\" (x int);",
    );
    let (source, runtime) = (source(&server, json!({})), runtime());
    let scope = Scope {
        schemas: vec!["public".to_owned(), "Other.One".to_owned(), "pg_catalog".to_owned()],
        tables: Vec::new(),
    };
    let entries = runtime.block_on(source.tables(&scope)).unwrap();
    let shown: Vec<(&str, &str, TableKind)> =
        entries.iter().map(|entry| (entry.schema.as_str(), entry.name.as_str(), entry.kind)).collect();
    assert_eq!(
        shown,
        [
            ("public", "ft", TableKind::Table),
            ("public", "mv", TableKind::View),
            ("public", "nothing", TableKind::Table),
            ("public", "parts", TableKind::Table),
            ("public", "parts_1", TableKind::Table),
            ("public", "people", TableKind::Table),
            ("public", "v", TableKind::View),
            ("public", "we\"ird.Table", TableKind::Table),
            ("Other.One", "T", TableKind::Table),
        ]
    );
    let people = entries.iter().find(|entry| entry.name == "people").unwrap();
    assert_eq!((people.comment.as_deref(), people.row_estimate), (Some("Everyone"), Some(1000)));

    let schema = runtime.block_on(open(&source, "people")).unwrap().schema();
    let name = schema.field_with_name("Full Name").unwrap();
    assert!(!name.is_nullable());
    assert_eq!(name.metadata()["weft.source_type"], "character varying(30)");
    assert_eq!(name.metadata()["weft.comment"], "As in the passport");
    assert!(schema.field_with_name("twice").unwrap().is_nullable());
    let foreign = runtime.block_on(open(&source, "ft")).unwrap().schema();
    assert!(foreign.field(0).is_nullable());

    let sql = "SELECT \"C.d\", \"a\"\"b\" FROM \"we\"\"ird.Table\" WHERE \"a\"\"b\" = 1";
    let rows = runtime.block_on(query(&source, &["we\"ird.Table"], sql)).unwrap();
    assert_eq!(lines(&rows), ["x|1"]);
    for (table, rows) in [("ft", 1), ("mv", 1000), ("nothing", 1), ("parts", 2), ("v", 1000)] {
        let counted = runtime.block_on(query(&source, &[table], &format!("SELECT count(*) FROM {table}"))).unwrap();
        assert_eq!(lines(&counted), [rows.to_string()], "{table}");
    }
    assert!(runtime.block_on(source.open(&scope, "Other.One", "T")).unwrap().is_some());
    assert!(runtime.block_on(source.open(&scope, "public", "T")).unwrap().is_none());
    assert!(runtime.block_on(source.open(&Scope::default(), "Other.One", "T")).unwrap().is_none());
    assert!(runtime.block_on(source.open(&scope, "pg_catalog", "pg_class")).unwrap().is_none());
}

#[test]
fn a_dataset_may_name_its_tables() {
    let Some(server) = Server::start() else { return };
    server.sql("CREATE SCHEMA sales; CREATE TABLE sales.orders (id int); CREATE TABLE people (id int)");
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
    assert_eq!(named(&whole, &scope), ["public.o", "public.p"]);
    assert!(runtime.block_on(whole.open(&scope, "public", "o")).unwrap().is_some());
    assert!(runtime.block_on(whole.open(&scope, "public", "people")).unwrap().is_none());
    assert!(runtime.block_on(whole.open(&scope, "public", "x")).unwrap().is_none());

    let one = source(&server, json!({"schema": "sales", "table": "orders"}));
    assert_eq!(named(&one, &Scope::default()), ["sales.orders"]);
}
