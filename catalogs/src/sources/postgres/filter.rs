//! Predicates as SQL: those, and only those, for which PostgreSQL keeps exactly the rows that DataFusion would keep.
//!
//! A comparison is of a column with a literal of the column's own type. Whatever else there is stays here and is applied to
//! the rows as they arrive.

use arrow::datatypes::DataType;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::columns::{Column, Compare};
use super::quote;

/// Beyond so many levels a predicate is not looked into: the server's parser has a stack, too.
const DEEPEST: usize = 200;
/// Beyond so many values a list is not sent.
const LONGEST_LIST: usize = 10_000;

/// `predicate` as SQL over `columns`. None where it cannot be asked exactly.
pub(super) fn sql(predicate: &Expr, columns: &[Column]) -> Option<String> {
    Translation { columns, depth: 0 }.predicate(predicate)
}

/// One walk down a predicate.
#[derive(Clone, Copy)]
struct Translation<'a> {
    columns: &'a [Column],
    depth: usize,
}

impl<'a> Translation<'a> {
    fn predicate(self, predicate: &Expr) -> Option<String> {
        let below = Translation { depth: self.depth + 1, ..self };
        if below.depth > DEEPEST {
            return None;
        }
        match predicate {
            Expr::Column(_) => {
                self.column(predicate).filter(|column| *column.field.data_type() == DataType::Boolean).map(Column::name)
            }
            Expr::Literal(ScalarValue::Boolean(Some(truth)), _) => Some(truth.to_string()),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                Some(format!("({} {op} {})", below.predicate(left)?, below.predicate(right)?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match self.column(left) {
                Some(column) => comparison(column, *op, value(right)?),
                None => comparison(self.column(right)?, op.swap()?, value(left)?),
            },
            Expr::Not(inner) => Some(format!("(NOT {})", below.predicate(inner)?)),
            Expr::IsNull(inner) => Some(format!("({} IS NULL)", self.column(inner)?.selected())),
            Expr::IsNotNull(inner) => Some(format!("({} IS NOT NULL)", self.column(inner)?.selected())),
            Expr::IsTrue(inner) => Some(format!("({} IS TRUE)", below.predicate(inner)?)),
            Expr::IsFalse(inner) => Some(format!("({} IS FALSE)", below.predicate(inner)?)),
            Expr::IsUnknown(inner) => Some(format!("({} IS UNKNOWN)", below.predicate(inner)?)),
            Expr::IsNotTrue(inner) => Some(format!("({} IS NOT TRUE)", below.predicate(inner)?)),
            Expr::IsNotFalse(inner) => Some(format!("({} IS NOT FALSE)", below.predicate(inner)?)),
            Expr::IsNotUnknown(inner) => Some(format!("({} IS NOT UNKNOWN)", below.predicate(inner)?)),
            Expr::Between(between) => self.between(between),
            Expr::InList(list) => self.in_list(list),
            _ => None,
        }
    }

    fn column(self, expression: &Expr) -> Option<&'a Column> {
        let Expr::Column(named) = expression else { return None };
        self.columns.iter().find(|column| *column.field.name() == named.name)
    }

    fn between(self, between: &Between) -> Option<String> {
        let column = self.column(&between.expr)?;
        let low = comparison(column, Operator::GtEq, value(&between.low)?)?;
        let high = comparison(column, Operator::LtEq, value(&between.high)?)?;
        Some(if between.negated { format!("(NOT ({low} AND {high}))") } else { format!("({low} AND {high})") })
    }

    fn in_list(self, list: &InList) -> Option<String> {
        if list.list.is_empty() || list.list.len() > LONGEST_LIST {
            return None;
        }
        let column = self.column(&list.expr)?;
        let values: Option<Vec<String>> =
            list.list.iter().map(|item| literal(column, Operator::Eq, value(item)?)).collect();
        let not = if list.negated { "NOT " } else { "" };
        Some(format!("({} {not}IN ({}))", operand(column), values?.join(", ")))
    }
}

fn value(expression: &Expr) -> Option<&ScalarValue> {
    match expression {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn comparison(column: &Column, op: Operator, value: &ScalarValue) -> Option<String> {
    let sign = match op {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        _ => return None,
    };
    let literal = literal(column, op, value)?;
    // The order of text is that of its bytes in Arrow. Equality needs no collation, and keeps the index without one.
    let is_ordered = !matches!(op, Operator::Eq | Operator::NotEq);
    let collation = match column.compare {
        Compare::Text { .. } if is_ordered => " COLLATE \"C\"",
        _ => "",
    };
    Some(format!("({}{collation} {sign} {literal})", operand(column)))
}

fn operand(column: &Column) -> String {
    match column.compare {
        Compare::Label => column.selected(),
        _ => column.name(),
    }
}

/// `value` as a literal that compares with `column` by `op` as Arrow compares.
fn literal(column: &Column, op: Operator, value: &ScalarValue) -> Option<String> {
    let is_equality = matches!(op, Operator::Eq | Operator::NotEq);
    match column.compare {
        Compare::Never => None,
        Compare::Native
            if value.data_type().equals_datatype(column.field.data_type()) || is_same_instant(column, value) =>
        {
            native(op, value)
        }
        Compare::Native => None,
        Compare::Label => typed(text(value)?, "text").filter(|_| is_equality),
        // Text that the database's encoding lacks would be an error there, and is merely unequal here. Where the order
        // of encoded bytes is not that of UTF-8, nothing can be said of it.
        Compare::Text { utf8 } => {
            let text = text(value)?;
            typed(text, "text").filter(|_| utf8 || (is_equality && text.is_ascii()))
        }
        Compare::Uuid => typed(text(value).filter(|text| is_canonical_uuid(text))?, "uuid").filter(|_| is_equality),
    }
}

/// Timestamps with a zone are instants, whatever the zone is called.
fn is_same_instant(column: &Column, value: &ScalarValue) -> bool {
    matches!(
        (column.field.data_type(), value),
        (DataType::Timestamp(_, Some(_)), ScalarValue::TimestampMicrosecond(_, Some(_)))
    )
}

fn text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        _ => None,
    }
}

fn typed(value: impl AsRef<str>, of: &str) -> Option<String> {
    Some(format!("{}::{of}", quote::literal(value.as_ref())?))
}

fn native(op: Operator, value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Boolean(Some(value)) => Some(value.to_string()),
        ScalarValue::Int16(Some(value)) => typed(value.to_string(), "int2"),
        ScalarValue::Int32(Some(value)) => typed(value.to_string(), "int4"),
        ScalarValue::Int64(Some(value)) => typed(value.to_string(), "int8"),
        ScalarValue::Float32(Some(value)) => typed(float(op, f64::from(*value), value.to_string())?, "float4"),
        ScalarValue::Float64(Some(value)) => typed(float(op, *value, value.to_string())?, "float8"),
        ScalarValue::Decimal128(Some(value), _, scale) => typed(decimal(*value, *scale)?, "numeric"),
        ScalarValue::Date32(Some(days)) => {
            let day =
                NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(chrono::TimeDelta::days((*days).into()))?;
            typed(date(day)?, "date")
        }
        ScalarValue::Time64Microsecond(Some(micros)) => {
            let seconds = u32::try_from(micros.div_euclid(1_000_000)).ok()?;
            let nanos = u32::try_from(micros.rem_euclid(1_000_000)).ok()? * 1000;
            let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?;
            typed(time.format("%H:%M:%S%.6f").to_string(), "time")
        }
        ScalarValue::TimestampMicrosecond(Some(micros), None) => typed(timestamp(*micros)?, "timestamp"),
        ScalarValue::TimestampMicrosecond(Some(micros), Some(_)) => {
            typed(format!("{}+00", timestamp(*micros)?), "timestamptz")
        }
        _ => None,
    }
}

/// PostgreSQL holds the two zeros for equal; Arrow has -0 before 0. Only the comparisons that do not part them can be asked.
fn float(op: Operator, value: f64, text: String) -> Option<String> {
    let parts_zeros = if value.is_sign_negative() {
        !matches!(op, Operator::Lt | Operator::GtEq)
    } else {
        !matches!(op, Operator::Gt | Operator::LtEq)
    };
    if value.is_nan() || (value == 0.0 && parts_zeros) {
        return None;
    }
    Some(match value {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => text,
    })
}

fn decimal(value: i128, scale: i8) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let digits = value.unsigned_abs().to_string();
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - scale)?;
    let sign = if value < 0 { "-" } else { "" };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Years of four digits: what lies beyond is written in other ways, and is not worth them.
fn date(day: NaiveDate) -> Option<String> {
    (1..=9999).contains(&day.year()).then(|| day.format("%Y-%m-%d").to_string())
}

fn timestamp(micros: i64) -> Option<String> {
    let moment: NaiveDateTime = DateTime::from_timestamp_micros(micros)?.naive_utc();
    Some(format!("{} {}", date(moment.date())?, moment.format("%H:%M:%S%.6f")))
}

fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests;
