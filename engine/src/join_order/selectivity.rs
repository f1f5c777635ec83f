//! The share of rows that a predicate keeps, from ranges and counts of values where they are known.

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::estimate::Values;

/// Of a predicate of which nothing is known: DataFusion takes the same.
pub(super) const OF_ANYTHING: f64 = 0.2;
/// Of `=` on a column of which nothing is known, mostly text.
const OF_EQUALITY: f64 = 0.05;
/// Of `<` and the like.
const OF_ORDER: f64 = 0.33;
const OF_LIKE: f64 = 0.1;
const OF_NULL: f64 = 0.05;

/// The share that `predicate` keeps of a table of `rows`.
pub(super) fn of(predicate: &Expr, rows: f64, values: &dyn Fn(&Column) -> Values) -> f64 {
    let share = match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            of(left, rows, values) * of(right, rows, values)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (a, b) = (of(left, rows, values), of(right, rows, values));
            a + b - a * b
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(value, _)) => compared(*op, values(column), value, rows),
            (Expr::Literal(value, _), Expr::Column(column)) => {
                op.swap().map_or(OF_ANYTHING, |op| compared(op, values(column), value, rows))
            }
            _ if *op == Operator::Eq => OF_EQUALITY,
            _ => OF_ORDER,
        },
        Expr::Not(inner) => 1.0 - of(inner, rows, values),
        Expr::IsNull(_) => OF_NULL,
        Expr::IsNotNull(_) => 1.0 - OF_NULL,
        Expr::Between(Between { expr, negated, low, high }) => {
            let share = match (&**expr, &**low, &**high) {
                (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) => {
                    between(values(column), number(low), number(high))
                }
                _ => OF_ORDER * OF_ORDER,
            };
            if *negated { 1.0 - share } else { share }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let one = match &**expr {
                Expr::Column(column) => equal(values(column), rows),
                _ => OF_EQUALITY,
            };
            let share = (one * list.len() as f64).min(1.0);
            if *negated { 1.0 - share } else { share }
        }
        Expr::Like(like) => {
            if like.negated {
                1.0 - OF_LIKE
            } else {
                OF_LIKE
            }
        }
        _ => OF_ANYTHING,
    };
    share.clamp(1e-9, 1.0)
}

fn compared(op: Operator, values: Values, value: &ScalarValue, rows: f64) -> f64 {
    match op {
        Operator::Eq => equal(values, rows),
        Operator::NotEq => 1.0 - equal(values, rows),
        Operator::Lt | Operator::LtEq => between(values, None, number(value)),
        Operator::Gt | Operator::GtEq => between(values, number(value), None),
        _ => OF_ANYTHING,
    }
}

fn equal(values: Values, rows: f64) -> f64 {
    match values.distinct {
        Some(distinct) => 1.0 / distinct.max(1.0),
        None => OF_EQUALITY.max(1.0 / rows.max(1.0)),
    }
}

/// The part of the column's range that lies between two values, as if its values lay evenly in it.
fn between(values: Values, low: Option<f64>, high: Option<f64>) -> f64 {
    let Some((least, greatest)) = values.range.filter(|(least, greatest)| greatest > least) else {
        return if low.is_some() && high.is_some() { OF_ORDER * OF_ORDER } else { OF_ORDER };
    };
    if low.is_none() && high.is_none() {
        return OF_ORDER;
    }
    let low = low.unwrap_or(least).max(least);
    let high = high.unwrap_or(greatest).min(greatest);
    ((high - low) / (greatest - least)).max(0.0)
}

/// A value on the line of numbers. None for text and the like.
pub(super) fn number(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::Int8(Some(value)) => f64::from(*value),
        ScalarValue::Int16(Some(value)) => f64::from(*value),
        ScalarValue::Int32(Some(value)) | ScalarValue::Date32(Some(value)) => f64::from(*value),
        ScalarValue::Int64(Some(value)) | ScalarValue::Date64(Some(value)) => *value as f64,
        ScalarValue::UInt8(Some(value)) => f64::from(*value),
        ScalarValue::UInt16(Some(value)) => f64::from(*value),
        ScalarValue::UInt32(Some(value)) => f64::from(*value),
        ScalarValue::UInt64(Some(value)) => *value as f64,
        ScalarValue::Float32(Some(value)) => f64::from(*value),
        ScalarValue::Float64(Some(value)) => *value,
        ScalarValue::Decimal128(Some(value), _, scale) => *value as f64 / 10f64.powi((*scale).into()),
        ScalarValue::TimestampSecond(Some(value), _)
        | ScalarValue::TimestampMillisecond(Some(value), _)
        | ScalarValue::TimestampMicrosecond(Some(value), _)
        | ScalarValue::TimestampNanosecond(Some(value), _) => *value as f64,
        _ => return None,
    })
}
