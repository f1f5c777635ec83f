//! Predicates as SQL: those, and only those, for which the database keeps exactly the rows that DataFusion would keep.
//!
//! A comparison is of a column with a literal of the column's own type. Whatever else there is stays here and is applied to
//! the rows as they arrive.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, InList, Like};
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
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                Some(format!("({} {op} {})", below.predicate(left)?, below.predicate(right)?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match self.column(left) {
                Some(column) => comparison::<R>(column, *op, value(right)?),
                None => comparison::<R>(self.column(right)?, op.swap()?, value(left)?),
            },
            Expr::Not(inner) => Some(format!("(NOT {})", below.predicate(inner)?)),
            Expr::IsNull(inner) => Some(format!("({} IS NULL)", self.column(inner)?.selected())),
            Expr::IsNotNull(inner) => Some(format!("({} IS NOT NULL)", self.column(inner)?.selected())),
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

    fn between(&self, between: &Between) -> Option<String> {
        let column = self.column(&between.expr)?;
        let low = comparison::<R>(column, Operator::GtEq, value(&between.low)?)?;
        let high = comparison::<R>(column, Operator::LtEq, value(&between.high)?)?;
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

/// `column op value`.
pub(super) fn comparison<R: Remote>(column: &R::Column, op: Operator, value: &ScalarValue) -> Option<String> {
    let sign = match op {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        _ => return None,
    };
    Some(format!("({} {sign} {})", R::operand(column, op)?, R::literal(column, op, value)?))
}
