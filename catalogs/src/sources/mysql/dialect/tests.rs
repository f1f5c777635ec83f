//! Which predicates become SQL, and which stay here.

use datafusion::common::ScalarValue;
use datafusion::prelude::{Expr, col, in_list, lit};

use super::super::Server;
use super::super::columns::{Column, Described};
use crate::sources::remote::predicate;

fn described(name: &str, type_name: &str) -> Described {
    let base = type_name.split([' ', '(']).next().unwrap_or(type_name);
    Described {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        base: base.to_owned(),
        nullable: true,
        ..Described::default()
    }
}

fn text(name: &str, charset: &str) -> Described {
    Described { charset: Some(charset.to_owned()), ..described(name, "varchar(20)") }
}

fn columns() -> Vec<Column> {
    [
        described("n", "int(11)"),
        described("u", "bigint(20) unsigned"),
        described("f", "double"),
        described("y", "year(4)"),
        described("d", "date"),
        described("second", "datetime"),
        Described { digits: Some(6), ..described("at", "timestamp(6)") },
        described("span", "time"),
        described("bytes", "varbinary(9)"),
        described("id", "uuid"),
        described("doc", "json"),
        text("t", "utf8mb4"),
        text("narrow", "utf8mb3"),
        text("latin", "latin1"),
        text("wide", "utf16"),
        Described { charset: Some("utf8mb4".to_owned()), ..described("mood", "enum('sad','ok')") },
        Described { precision: Some(12), scale: Some(2), ..described("money", "decimal(12,2)") },
    ]
    .iter()
    .map(Column::new)
    .collect()
}

fn asked(asked: &Expr) -> Option<String> {
    predicate::<Server>(asked, &columns())
}

fn moment(micros: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(micros), None))
}

#[test]
fn literals_carry_their_type() {
    assert_eq!(asked(&col("n").lt(lit(5))).unwrap(), "(`n` < 5)");
    assert_eq!(asked(&col("u").eq(lit(u64::MAX))).unwrap(), "(`u` = 18446744073709551615)");
    let decimal = lit(ScalarValue::Decimal128(Some(-105), 12, 2));
    assert_eq!(asked(&col("money").gt_eq(decimal)).unwrap(), "(`money` >= -1.05)");
    assert_eq!(asked(&col("d").eq(lit(ScalarValue::Date32(Some(1))))).unwrap(), "(`d` = DATE'1970-01-02')");
    assert_eq!(asked(&col("y").lt(lit(99_i16))).unwrap(), "((`y` + 0) < 99)");
    let bytes = lit(ScalarValue::Binary(Some(vec![0, 39])));
    assert_eq!(asked(&col("bytes").eq(bytes)).unwrap(), "(`bytes` = CAST(x'0027' AS BINARY))");
}

#[test]
fn two_columns_are_compared_as_numbers() {
    assert_eq!(asked(&col("n").lt(col("money"))).unwrap(), "(`n` < `money`)");
    assert_eq!(asked(&col("t").eq(col("t"))), None);
    assert_eq!(asked(&col("d").eq(col("d"))), None);
}

#[test]
fn text_is_compared_by_bytes() {
    assert_eq!(asked(&col("t").eq(lit("O'Neil\\"))).unwrap(), "(`t` = CAST(x'4f274e65696c5c' AS BINARY))");
    assert_eq!(asked(&col("narrow").lt(lit("x"))).unwrap(), "(`narrow` < CAST('x' AS BINARY))");
    assert_eq!(
        asked(&in_list(col("t"), vec![lit("x"), lit("y")], true)).unwrap(),
        "(`t` NOT IN (CAST('x' AS BINARY), CAST('y' AS BINARY)))"
    );
    assert_eq!(asked(&col("latin").eq(lit("é"))).unwrap(), "(`latin` = CAST(x'e9' AS BINARY))");
    assert_eq!(asked(&col("latin").eq(lit("€"))), None);
    assert_eq!(asked(&col("latin").gt(lit("€"))).unwrap(), "(CONVERT(`latin` USING utf8mb4) > CAST('€' AS BINARY))");
    assert_eq!(asked(&col("wide").eq(lit("x"))).unwrap(), "(CONVERT(`wide` USING utf8mb4) = CAST('x' AS BINARY))");
    assert_eq!(asked(&col("mood").eq(lit("sad"))).unwrap(), "(CONVERT(`mood` USING utf8mb4) = CAST('sad' AS BINARY))");
}

#[test]
fn a_pattern_has_an_escape_of_its_own() {
    assert_eq!(
        asked(&col("t").like(lit("a|\\%b\\c%"))).unwrap(),
        "(`t` LIKE _utf8mb4 'a|||%bc%' COLLATE utf8mb4_bin ESCAPE '|')"
    );
    assert_eq!(
        asked(&col("latin").not_like(lit("\\\\_"))).unwrap(),
        "(NOT (CONVERT(`latin` USING utf8mb4) LIKE _utf8mb4 x'5c5f' COLLATE utf8mb4_bin ESCAPE '|'))"
    );
    assert_eq!(asked(&col("doc").like(lit("%"))), None);
}

#[test]
fn a_moment_is_as_fine_as_its_column() {
    assert_eq!(
        asked(&col("second").eq(moment(1_000_000))).unwrap(),
        "(`second` = TIMESTAMP'1970-01-01 00:00:01.000000')"
    );
    assert_eq!(asked(&col("second").eq(moment(1))), None);
    assert_eq!(asked(&col("second").eq(lit(ScalarValue::TimestampMicrosecond(Some(0), Some("UTC".into()))))), None);
    let zoned = lit(ScalarValue::TimestampMicrosecond(Some(1), Some("+00:00".into())));
    assert_eq!(asked(&col("at").lt(zoned)).unwrap(), "(`at` < TIMESTAMP'1970-01-01 00:00:00.000001')");
}

#[test]
fn what_compares_otherwise_in_the_server_is_not_asked() {
    assert_eq!(asked(&col("doc").eq(lit("{}"))), None);
    assert_eq!(asked(&col("span").eq(lit("00:00:00"))), None);
    assert_eq!(asked(&col("n").eq(lit(5_i64))), None);
    assert_eq!(asked(&col("n").eq(lit(ScalarValue::Int32(None)))), None);
    assert_eq!(asked(&col("n")), None);
    assert_eq!(asked(&col("n").eq(col("f"))), None);
    let id = "0188e3a0-7c5b-7b1e-9a43-5d1f0c9f8a77";
    assert_eq!(asked(&col("id").eq(lit(id))).unwrap(), format!("(`id` = '{id}')"));
    assert_eq!(asked(&col("id").eq(lit(id.to_uppercase()))), None);
    assert_eq!(asked(&col("id").lt(lit(id))), None);
}

#[test]
fn zeros_are_not_parted() {
    assert_eq!(asked(&col("f").gt(lit(0.0))).unwrap(), "(`f` > 0e0)");
    assert_eq!(asked(&col("f").eq(lit(0.0))), None);
    assert_eq!(asked(&col("f").gt_eq(lit(-0.0))).unwrap(), "(`f` >= 0e0)");
    assert_eq!(asked(&col("f").eq(lit(f64::NAN))), None);
    assert_eq!(asked(&col("f").lt(lit(f64::INFINITY))), None);
    assert_eq!(asked(&col("f").lt(lit(0.1))).unwrap(), "(`f` < 1e-1)");
}
