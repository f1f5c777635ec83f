//! How numbers are written, compared and divided, and the extremes of floats.

use engine::{Code, Principal};

use super::{code, engine, rows};

async fn answers(cases: &[(&str, &str)]) {
    let engine = engine();
    for (sql, expected) in cases {
        let answer = rows(&engine, &Principal::local(), sql).await;
        assert_eq!(answer.join("; "), *expected, "{sql}");
    }
}

#[tokio::test]
async fn a_literal_with_a_point_is_exact() {
    answers(&[
        ("SELECT 0.1 + 0.2", "0.3"),
        ("SELECT arrow_typeof(0.1), arrow_typeof(-12.50)", "Decimal128(1, 1)|Decimal128(4, 2)"),
        ("SELECT count(*) FROM (VALUES ('9999999999.99'::decimal(12,2))) t(n) WHERE n = 9999999999.99", "1"),
        ("SELECT count(*) FROM (VALUES ('9999999999.99'::decimal(12,2))) t(n) WHERE n IN (3, 9999999999.99)", "1"),
        ("SELECT count(*) FROM (VALUES ('0.07'::decimal(12,2))) t(n) WHERE n BETWEEN 0.06 - 0.01 AND 0.06 + 0.01", "1"),
    ])
    .await;
}

#[tokio::test]
async fn a_literal_with_an_exponent_is_a_double_of_any_size() {
    answers(&[
        ("SELECT arrow_typeof(1e3), 1e300 > 1, -1E-3, 1e308 * 10", "Float64|true|-0.001|inf"),
        ("SELECT 'a1e5' AS \"1e5\", 1e1::int", "a1e5|10"),
    ])
    .await;
}

#[tokio::test]
async fn a_literal_that_meets_a_float_is_the_float_that_its_digits_say() {
    answers(&[
        ("SELECT count(*) FROM (VALUES (0.30000000000000004e0)) t(f) WHERE f = 0.30000000000000004", "1"),
        ("SELECT count(*) FROM (VALUES (0.30000000000000004e0)) t(f) WHERE f IN (1, 0.30000000000000004)", "1"),
        (
            "SELECT count(*) FROM (VALUES (0.30000000000000004e0)) t(f) \
             WHERE f BETWEEN 0.30000000000000004 AND 0.30000000000000004",
            "1",
        ),
        ("SELECT arrow_typeof(1e0 * 0.5), arrow_typeof('1.5'::decimal(12,2) * 0.5)", "Float64|Decimal128(14, 3)"),
        (
            "SELECT count(*) FROM (VALUES (0.1e0)) t(f) WHERE EXISTS (SELECT 1 FROM (VALUES (1)) u(i) WHERE i = 1 AND f < 0.2)",
            "1",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_quotient_of_decimals_is_exact_to_sixteen_places_and_one_of_integers_an_integer() {
    answers(&[
        ("SELECT 1.0 / 3, 7 / 2, 1 / 3.0, 100.0 * 1 / 3", "0.3333333333333333|3|0.3333333333333333|33.33333333333333"),
        ("SELECT '1'::decimal(12,2) / '3'::decimal(12,2)", "0.3333333333333333"),
        ("SELECT sum(id) * 1.0 / count(*) FROM (VALUES (1), (2)) t(id)", "1.5000000000000000"),
        ("SELECT 1.0 / 4e0, arrow_typeof(1.5 / 0.1)", "0.25|Decimal128(38, 16)"),
        // As large as it gets: no digit is lost before the point.
        (
            "SELECT '99999999999999999999.99'::decimal(22,2) / '0.01'::decimal(3,2)",
            "9999999999999999999999.0000000000000000",
        ),
    ])
    .await;
    for sql in ["SELECT 1 / 0", "SELECT 1.0 / 0"] {
        assert_eq!(code(&engine(), sql).await, Code::ArithmeticError, "{sql}");
    }
}

#[tokio::test]
async fn extremes_of_floats_know_infinities_and_nan() {
    let floats = "(VALUES (1, 'Infinity'::double), (1, 'Infinity'), (2, 'NaN'), (2, 3), (2, 'NaN'), (2, 1), (3, 'NaN'), \
                  (4, '-Infinity'), (5, NULL), (6, 1), (6, 'NaN'), (6, 5)) t(g, f)";
    let grouped = |kind: &str| format!("SELECT g, min(f::{kind}), max(f::{kind}) FROM {floats} GROUP BY g ORDER BY g");
    let expected = "1|inf|inf; 2|1.0|NaN; 3|NaN|NaN; 4|-inf|-inf; 5||; 6|1.0|NaN";
    let whole = format!("SELECT min(f), max(f), min(f) FILTER (WHERE g = 3) FROM {floats}");
    let window = format!("SELECT DISTINCT max(f) OVER (PARTITION BY g) FROM {floats} WHERE g = 6");
    answers(&[
        (&grouped("double"), expected),
        (&grouped("real"), expected),
        (&whole, "-inf|NaN|NaN"),
        (&window, "NaN"),
        (
            "SELECT DISTINCT f FROM (VALUES ('NaN'::double), (1), (NULL), ('NaN'), ('Infinity'), (2)) t(f) \
             ORDER BY 1 DESC NULLS LAST LIMIT 3",
            "NaN; inf; 2.0",
        ),
        ("SELECT g, min(t), max(t) FROM (VALUES (1, 'a'), (1, 'b')) t(g, t) GROUP BY g", "1|a|b"),
    ])
    .await;
}

#[tokio::test]
async fn sums_and_averages_of_integers_are_exact_or_an_error() {
    let largest = "9223372036854775807";
    let both = format!(
        "(VALUES (1, {largest}), (1, {largest}), (1, -{largest}), (2, 3), (2, 4), (2, NULL), (3, NULL)) t(g, x)"
    );
    let running = "(VALUES (1, 9223372036854775807), (2, 1), (3, -5)) t(n, x)";
    answers(&[
        (
            &format!("SELECT g, sum(x), avg(x), mean(x) FROM {both} GROUP BY g ORDER BY g"),
            "1|9223372036854775807|3.0744573456182584e18|3.0744573456182584e18; 2|7|3.5|3.5; 3|||",
        ),
        (&format!("SELECT sum(x), avg(x) FROM {both} WHERE g > 1"), "7|3.5"),
        (&format!("SELECT sum(DISTINCT x), avg(DISTINCT x), count(DISTINCT g) FROM {both}"), "7|1.75|3"),
        (
            &format!("SELECT sum(x) FILTER (WHERE x < 0), avg(x) FILTER (WHERE x = 4) FROM {both}"),
            "-9223372036854775807|4.0",
        ),
        (
            &format!("SELECT sum(x) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING) FROM {running}"),
            "; 9223372036854775807; 1",
        ),
        ("SELECT arrow_typeof(sum(x)), sum(x), avg(x) FROM (VALUES (1::smallint), (2)) t(x)", "Int64|3|1.5"),
        (
            "SELECT sum(x), avg(x), avg(DISTINCT x) FROM (SELECT arrow_cast('18446744073709551614', 'UInt64') AS x) t",
            "18446744073709551614|1.8446744073709552e19|1.8446744073709552e19",
        ),
        ("SELECT avg(x), sum(x) FROM (VALUES (1.5), (2.5)) t(x)", "2.00000|4.0"),
        ("SELECT avg(x::real), sum(x::real) FROM (VALUES (1.5), (2.5)) t(x)", "2.0|4.0"),
        ("SELECT sum(x + 0.5), sum(x + 1.5), sum(x) FROM (VALUES (1), (2)) t(x)", "4.0|6.0|3"),
        ("SELECT avg(NULL::int), sum(NULL::int)", "|"),
    ])
    .await;
    for sql in [
        format!("SELECT sum(x) FROM {both} WHERE x > 9"),
        format!("SELECT g, sum(x) FROM {both} WHERE x > 9 GROUP BY g"),
        format!("SELECT sum(x) OVER (ORDER BY n) FROM {running}"),
    ] {
        assert_eq!(code(&engine(), &sql).await, Code::ArithmeticError, "{sql}");
    }
}

#[tokio::test]
async fn a_sum_of_decimals_is_exact_or_an_error() {
    let widest = "9".repeat(28) + "." + &"9".repeat(10);
    let of = |values: [&str; 3]| {
        let rows = values.map(|value| format!("(1, CAST('{value}' AS DECIMAL(38, 10)))"));
        format!("FROM (VALUES {}) t(k, n)", rows.join(", "))
    };
    let (whole, beyond) = (of([&widest, "0.0000000001", "-2"]), of([&widest, "5", "-2.5"]));
    let exact = format!("{}8.0000000000", "9".repeat(27));
    for figure in ["sum(n)", "sum(DISTINCT n)"] {
        answers(&[(&format!("SELECT {figure} {whole}"), &exact)]).await;
    }
    answers(&[(&format!("SELECT k, sum(n) {whole} GROUP BY k"), &format!("1|{exact}"))]).await;
    for sql in [
        format!("SELECT sum(n) {beyond}"),
        format!("SELECT sum(DISTINCT n) {beyond}"),
        format!("SELECT k, sum(n) {beyond} GROUP BY k"),
        format!("SELECT sum(n) OVER (PARTITION BY k) {beyond}"),
        format!("SELECT k, sum(n) FROM (SELECT k, n {beyond} UNION ALL SELECT k, n {beyond}) u GROUP BY k"),
    ] {
        assert_eq!(code(&engine(), &sql).await, Code::ArithmeticError, "{sql}");
    }
}
