//! Which predicates become SQL, and which stay here.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use datafusion::prelude::{Expr, cast, col, in_list, lit};
use postgres::types::Type;

use super::super::Server;
use super::super::columns::{Column, Described};
use crate::sources::remote::predicate;

fn described(name: &str, base: Type) -> Described {
    Described {
        name: name.to_owned(),
        type_name: base.name().to_owned(),
        comment: None,
        nullable: true,
        base: base.oid(),
        is_enumeration: false,
        element: None,
        modifier: -1,
        dimensions: 0,
        is_deterministic: true,
        is_utf8: true,
    }
}

fn columns() -> Vec<Column> {
    let money = Described { modifier: ((12 << 16) | 2) + 4, ..described("money", Type::NUMERIC) };
    let folded = Described { is_deterministic: false, ..described("folded", Type::TEXT) };
    let latin = Described { is_utf8: false, ..described("latin", Type::TEXT) };
    [
        described("n", Type::INT4),
        described("f", Type::FLOAT8),
        described("b", Type::BOOL),
        described("d", Type::DATE),
        described("t", Type::TEXT),
        described("padded", Type::BPCHAR),
        described("id", Type::UUID),
        described("doc", Type::JSONB),
        described("We\"ird", Type::VARCHAR),
        money,
        folded,
        latin,
    ]
    .iter()
    .map(Column::new)
    .collect()
}

fn asked(asked: &Expr) -> Option<String> {
    predicate::<Server>(asked, &columns())
}

#[test]
fn literals_carry_their_type() {
    assert_eq!(asked(&col("n").lt(lit(5))).unwrap(), "(\"n\" < '5'::int4)");
    assert_eq!(asked(&lit(5).lt(col("n"))).unwrap(), "(\"n\" > '5'::int4)");
    let decimal = lit(ScalarValue::Decimal128(Some(-105), 12, 2));
    assert_eq!(asked(&col("money").gt_eq(decimal)).unwrap(), "(\"money\" >= '-1.05'::numeric)");
    let odd = datafusion::common::Column::from_name("We\"ird");
    assert_eq!(asked(&Expr::Column(odd).eq(lit("O'Neil\\"))).unwrap(), "(\"We\"\"ird\" = E'O''Neil\\\\'::text)");
}

#[test]
fn text_is_ordered_by_bytes_and_equal_without_a_collation() {
    assert_eq!(asked(&col("t").lt(lit("x"))).unwrap(), "(\"t\" COLLATE \"C\" < 'x'::text)");
    assert_eq!(
        asked(&in_list(col("t"), vec![lit("x"), lit("y")], true)).unwrap(),
        "(\"t\" NOT IN ('x'::text, 'y'::text))"
    );
}

#[test]
fn what_compares_otherwise_in_the_server_is_not_asked() {
    assert_eq!(asked(&col("padded").eq(lit("x"))), None);
    assert_eq!(asked(&col("folded").eq(lit("x"))), None);
    assert_eq!(asked(&col("doc").eq(lit("{}"))), None);
    assert_eq!(asked(&col("t").eq(lit("nul\0"))), None);
    assert_eq!(asked(&col("latin").lt(lit("x"))), None);
    assert_eq!(asked(&col("latin").eq(lit("ж"))), None);
    assert!(asked(&col("latin").eq(lit("x"))).is_some());
    assert_eq!(asked(&col("n").eq(lit(5_i64))), None);
    assert_eq!(asked(&col("n").eq(lit(ScalarValue::Int32(None)))), None);
    assert_eq!(asked(&col("n").eq(col("f"))), None);
}

#[test]
fn two_columns_are_compared_where_both_hold_numbers_or_text_that_compare_alike() {
    assert_eq!(asked(&col("n").lt(col("n"))).unwrap(), "(\"n\" < \"n\")");
    let widened = cast(col("n"), DataType::Int64);
    assert_eq!(asked(&widened.clone().lt(widened)).unwrap(), "(\"n\" < \"n\")");
    let decimal = cast(col("n"), DataType::Decimal128(12, 2));
    assert_eq!(asked(&decimal.gt(col("money"))).unwrap(), "(\"n\" > \"money\")");
    assert_eq!(asked(&cast(col("n"), DataType::Int16).eq(col("n"))), None, "some numbers are too large for it");
    assert_eq!(asked(&cast(col("n"), DataType::Float64).eq(col("f"))), None);
    assert_eq!(asked(&col("t").lt(col("t"))).unwrap(), "(\"t\" COLLATE \"C\" < \"t\" COLLATE \"C\")");
    assert_eq!(asked(&col("f").lt(col("f"))), None, "there the zeros are equal");
    assert_eq!(asked(&col("padded").eq(col("t"))), None);
    assert_eq!(asked(&col("folded").eq(col("folded"))), None);
}

#[test]
fn dates_are_moved_by_months_and_days() {
    let interval = |months, days, nanoseconds| {
        lit(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanoseconds))))
    };
    let day = lit(ScalarValue::Date32(Some(0)));
    assert_eq!(
        asked(&(col("d") + interval(1, -2, 0)).lt(day.clone())).unwrap(),
        "(CAST(\"d\" + interval '1 months -2 days 0 microseconds' AS date) < '1970-01-01'::date)"
    );
    assert_eq!(
        asked(&day.clone().lt(col("d") - interval(0, 7, 0))).unwrap(),
        "(CAST(\"d\" - interval '0 months 7 days 0 microseconds' AS date) > '1970-01-01'::date)"
    );
    assert_eq!(asked(&(col("d") + interval(0, 0, 1)).lt(day)), None, "a date has no time");
    assert_eq!(asked(&(col("n") + interval(1, 0, 0)).lt(lit(1))), None);
}

#[test]
fn zeros_are_not_parted() {
    assert_eq!(asked(&col("f").gt(lit(0.0))).unwrap(), "(\"f\" > '0'::float8)");
    assert_eq!(asked(&col("f").eq(lit(0.0))), None);
    assert_eq!(asked(&col("f").gt_eq(lit(0.0))), None);
    assert_eq!(asked(&col("f").gt_eq(lit(-0.0))).unwrap(), "(\"f\" >= '-0'::float8)");
    assert_eq!(asked(&col("f").eq(lit(f64::NAN))), None);
    assert_eq!(asked(&col("f").lt(lit(f64::INFINITY))).unwrap(), "(\"f\" < 'Infinity'::float8)");
}

#[test]
fn uuid_is_compared_where_the_text_is_canonical() {
    let id = "0188e3a0-7c5b-7b1e-9a43-5d1f0c9f8a77";
    assert_eq!(asked(&col("id").eq(lit(id))).unwrap(), format!("(\"id\" = '{id}'::uuid)"));
    assert_eq!(asked(&col("id").eq(lit(id.to_uppercase()))), None);
    assert_eq!(asked(&col("id").lt(lit(id))), None);
}

#[test]
fn a_predicate_with_an_unaskable_part_is_not_asked() {
    let fine = col("n").eq(lit(1)).or(col("b").is_true());
    assert_eq!(asked(&fine).unwrap(), "((\"n\" = '1'::int4) OR (\"b\" IS TRUE))");
    assert_eq!(asked(&fine.clone().and(col("padded").eq(lit("x")))), None);
    assert_eq!(asked(&Expr::Not(Box::new(col("padded").eq(lit("x"))))), None);
    let deep = (0..1000).fold(fine, |all, n| all.or(col("n").eq(lit(n))));
    assert_eq!(asked(&deep), None);
}
