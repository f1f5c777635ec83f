//! Predicates as SQL: those, and only those, for which the database keeps exactly the rows that DataFusion would keep.
//!
//! A comparison is of a column, or of one moved by an interval, with a literal of the column's own type, or of two columns.
//! Whatever else there is stays here and is applied to the rows as they arrive.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, Cast, InList, Like};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::{Remote, RemoteColumn};

/// Beyond so many levels a predicate is not looked into: the server's parser has a stack, too.
const DEEPEST: usize = 200;
/// Beyond so many values a list is not sent.
const LONGEST_LIST: usize = 10_000;

/// `predicate` as SQL over `columns`. None where it cannot be asked exactly.
pub(crate) fn sql<R: Remote>(predicate: &Expr, columns: &[R::Column]) -> Option<String> {
    Translation::<R> { columns, depth: 0 }.predicate(predicate)
}

/// One walk down a predicate.
struct Translation<'a, R: Remote> {
    columns: &'a [R::Column],
    depth: usize,
}

impl<'a, R: Remote> Translation<'a, R> {
    fn predicate(&self, predicate: &Expr) -> Option<String> {
        let below = Self { depth: self.depth + 1, columns: self.columns };
        if below.depth > DEEPEST {
            return None;
        }
        match predicate {
            Expr::Column(_) => self.column(predicate)?.truth(),
            Expr::Literal(ScalarValue::Boolean(Some(truth)), _) => Some(constant(*truth).to_owned()),
            Expr::Literal(ScalarValue::Boolean(None), _) => Some("(1 = NULL)".to_owned()),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                Some(format!("({} {op} {})", below.predicate(left)?, below.predicate(right)?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (value(left), value(right)) {
                (None, Some(value)) => self.compared(left, *op, value),
                (Some(value), None) => self.compared(right, op.swap()?, value),
                (None, None) => R::compared(self.widened(left)?, *op, self.widened(right)?),
                (Some(_), Some(_)) => None,
            },
            Expr::Not(inner) => Some(format!("(NOT {})", below.predicate(inner)?)),
            Expr::IsNull(inner) => Some(format!("({} IS NULL)", self.same_null(inner)?.selected())),
            Expr::IsNotNull(inner) => Some(format!("({} IS NOT NULL)", self.same_null(inner)?.selected())),
            Expr::IsTrue(inner) => Some(format!("({} IS TRUE)", below.predicate(inner)?)),
            Expr::IsFalse(inner) => Some(format!("({} IS FALSE)", below.predicate(inner)?)),
            Expr::IsUnknown(inner) => Some(format!("({} IS NULL)", below.predicate(inner)?)),
            Expr::IsNotTrue(inner) => Some(format!("({} IS NOT TRUE)", below.predicate(inner)?)),
            Expr::IsNotFalse(inner) => Some(format!("({} IS NOT FALSE)", below.predicate(inner)?)),
            Expr::IsNotUnknown(inner) => Some(format!("({} IS NOT NULL)", below.predicate(inner)?)),
            Expr::Between(between) => self.between(between),
            Expr::InList(list) => self.in_list(list),
            Expr::Like(like) => self.like(like),
            _ => None,
        }
    }

    fn column(&self, expression: &Expr) -> Option<&'a R::Column> {
        let Expr::Column(named) = expression else { return None };
        self.columns.iter().find(|column| *column.field().name() == named.name)
    }

    /// A column as it is, or cast to a type that holds all of its values and compares them alike.
    fn widened(&self, expression: &Expr) -> Option<&'a R::Column> {
        let Expr::Cast(Cast { expr, field }) = expression else { return self.column(expression) };
        let column = self.column(expr)?;
        holds_all(field.data_type(), column.field().data_type()).then_some(column)
    }

    /// A column, as it is or as a double, which is NULL where the column is.
    fn same_null(&self, expression: &Expr) -> Option<&'a R::Column> {
        match expression {
            Expr::Cast(Cast { expr, field }) if *field.data_type() == DataType::Float64 => {
                self.column(expr).filter(|column| column.field().data_type().is_numeric())
            }
            expression => self.column(expression),
        }
    }

    /// A column, or a column moved by an interval, against a value of the column's type.
    fn compared(&self, expression: &Expr, op: Operator, value: &ScalarValue) -> Option<String> {
        let Expr::BinaryExpr(BinaryExpr { left, op: sum @ (Operator::Plus | Operator::Minus), right }) = expression
        else {
            return comparison::<R>(self.column(expression)?, op, value);
        };
        let column = self.column(left)?;
        let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(by)), _) = &**right else { return None };
        let moved = R::moved(column, *sum, *by)?;
        Some(format!("({moved} {} {})", sign(op)?, R::literal(column, op, value)?))
    }

    fn between(&self, between: &Between) -> Option<String> {
        let low = self.compared(&between.expr, Operator::GtEq, value(&between.low)?)?;
        let high = self.compared(&between.expr, Operator::LtEq, value(&between.high)?)?;
        Some(if between.negated { format!("(NOT ({low} AND {high}))") } else { format!("({low} AND {high})") })
    }

    fn in_list(&self, list: &InList) -> Option<String> {
        if list.list.is_empty() || list.list.len() > LONGEST_LIST {
            return None;
        }
        let column = self.column(&list.expr)?;
        let values: Option<Vec<String>> =
            list.list.iter().map(|item| R::literal(column, Operator::Eq, value(item)?)).collect();
        let not = if list.negated { "NOT " } else { "" };
        Some(format!("({} {not}IN ({}))", R::operand(column, Operator::Eq)?, values?.join(", ")))
    }

    fn like(&self, like: &Like) -> Option<String> {
        let Expr::Literal(pattern, _) = &*like.pattern else { return None };
        if like.case_insensitive || like.escape_char.is_some_and(|escape| escape != '\\') {
            return None;
        }
        let pattern = pattern.try_as_str()??;
        // A backslash at the end escapes nothing: databases refuse it.
        let ends_escaped = pattern.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        if ends_escaped {
            return None;
        }
        let like_sql = R::like(self.column(&like.expr)?, pattern)?;
        Some(if like.negated { format!("(NOT {like_sql})") } else { like_sql })
    }
}

/// A truth value in every dialect.
pub(super) fn constant(truth: bool) -> &'static str {
    if truth { "(1 = 1)" } else { "(1 = 0)" }
}

fn value(expression: &Expr) -> Option<&ScalarValue> {
    match expression {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

/// Whether every value of one type is one of another, which compares them in the same order.
fn holds_all(wide: &DataType, narrow: &DataType) -> bool {
    let whole = |data_type: &DataType| match data_type {
        DataType::Int8 | DataType::UInt8 => Some((3, 0)),
        DataType::Int16 | DataType::UInt16 => Some((5, 0)),
        DataType::Int32 | DataType::UInt32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::UInt64 => Some((20, 0)),
        DataType::Decimal128(precision, scale) => Some((i16::from(*precision) - i16::from(*scale), *scale)),
        _ => None,
    };
    if wide.is_integer() && narrow.is_integer() {
        let is_wider = wide.primitive_width() > narrow.primitive_width();
        return is_wider && (wide.is_signed_integer() || narrow.is_unsigned_integer());
    }
    match (wide, whole(wide), whole(narrow)) {
        (DataType::Decimal128(..), Some((digits, scale)), Some((least, places))) => digits >= least && scale >= places,
        _ => false,
    }
}

fn sign(op: Operator) -> Option<&'static str> {
    Some(match op {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        _ => return None,
    })
}

/// `column op value`.
pub(super) fn comparison<R: Remote>(column: &R::Column, op: Operator, value: &ScalarValue) -> Option<String> {
    Some(format!("({} {} {})", R::operand(column, op)?, sign(op)?, R::literal(column, op, value)?))
}

/// `one op other`, where each is already written as it compares.
pub(crate) fn between_columns(one: &str, op: Operator, other: &str) -> Option<String> {
    Some(format!("({one} {} {other})", sign(op)?))
}
