//! What the argument of an aggregate asks of people besides its value: `sum(CASE WHEN name = 'Asha' THEN 1 ELSE 0 END)` is a
//! count of those called so, and is held to what holds for one.
//!
//! Only shapes are let through that cannot single somebody out by arithmetic: columns, their products by two, sums of such,
//! and CASE, whose conditions are groups like any other.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::{BinaryExpr, Case};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, lit};

/// Functions of one column that keep its order, or read a part of it.
const OF_COLUMN: [&str; 16] = [
    "abs",
    "btrim",
    "ceil",
    "character_length",
    "date_part",
    "date_trunc",
    "floor",
    "label",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "round",
    "sqrt",
    "upper",
];

/// A part of the people of a cell that an argument tells from the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Part<T> {
    pub(super) of: T,
    /// Whether it is a condition: the people outside are told as well. Else it is those of whom there is a value.
    pub(super) is_condition: bool,
}

/// A column that was made from others further down.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    /// The unseen columns that say of each row which parts it is in.
    pub(super) parts: Vec<Part<Column>>,
    /// What it was made by that nothing is known of.
    pub(super) by: Option<String>,
}

/// The parts that `argument` tells apart.
///
/// # Errors
/// The name of what nothing is known of.
pub(super) fn parts(
    argument: &Expr,
    made: &HashMap<Column, Made>,
    schema: &DFSchema,
    is_own: &dyn Fn(&Column) -> bool,
) -> Result<Vec<Part<Expr>>, String> {
    let mut parts = Parts { made, schema, is_own, found: Vec::new() };
    parts.of(argument, None)?;
    Ok(parts.found)
}

/// Both conditions, where there are two.
pub(super) fn both(within: Option<&Expr>, condition: Expr) -> Expr {
    match within {
        Some(within) => within.clone().and(condition),
        None => condition,
    }
}

struct Parts<'a> {
    made: &'a HashMap<Column, Made>,
    schema: &'a DFSchema,
    is_own: &'a dyn Fn(&Column) -> bool,
    found: Vec<Part<Expr>>,
}

impl Parts<'_> {
    fn tells(&mut self, within: Option<&Expr>, condition: Expr, is_condition: bool) {
        let part = Part { of: both(within, condition), is_condition };
        if !self.found.contains(&part) {
            self.found.push(part);
        }
    }

    fn of(&mut self, expr: &Expr, within: Option<&Expr>) -> Result<(), String> {
        let data_type = expr.get_type(self.schema).unwrap_or(DataType::Null);
        match expr {
            Expr::Literal(..) => Ok(()),
            Expr::Column(column) => self.column(column, &data_type, within),
            Expr::Alias(alias) => self.of(&alias.expr, within),
            Expr::Cast(cast) => self.of(&cast.expr, within),
            Expr::Negative(inner) => self.of(inner, within),
            Expr::Case(case) => self.case(case, within),
            other if crate::survey::trace::has_subquery(other) => Err("a subquery".to_owned()),
            condition if data_type == DataType::Boolean => {
                self.tells(within, condition.clone(), true);
                Ok(())
            }
            Expr::BinaryExpr(binary) => self.arithmetic(binary, within),
            Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
                ("coalesce", [value, other]) if is_literal(other) => {
                    self.tells(within, value.clone().is_null(), true);
                    self.of(value, within)
                }
                ("nullif", [value, other]) if is_literal(other) => {
                    self.tells(within, value.clone().eq(other.clone()), true);
                    self.of(value, within)
                }
                (name, args) if OF_COLUMN.contains(&name) => match args.iter().all(|arg| self.is_plain(arg)) {
                    true => args.iter().try_for_each(|arg| self.of(arg, within)),
                    false => Err(format!("{name}() of something computed")),
                },
                (name, _) => Err(format!("{name}()")),
            },
            other => Err(format!("`{other}`")),
        }
    }

    /// Whether an expression is a column as its table has it, or a literal.
    fn is_plain(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Column(column) => !self.made.contains_key(column),
            Expr::Cast(cast) => self.is_plain(&cast.expr),
            other => is_literal(other),
        }
    }

    /// `nullif(column, 0)`, as divisors are written.
    fn is_guarded(&self, divisor: &Expr) -> bool {
        match divisor {
            Expr::ScalarFunction(call) if call.name() == "nullif" => call.args.iter().all(|arg| self.is_plain(arg)),
            _ => false,
        }
    }

    /// Those of whom the value says something.
    fn column(&mut self, column: &Column, data_type: &DataType, within: Option<&Expr>) -> Result<(), String> {
        let value = Expr::Column(column.clone());
        match self.made.get(column) {
            Some(Made { by: Some(by), .. }) => return Err(by.clone()),
            Some(made) => {
                for part in made.parts.clone() {
                    self.tells(within, Expr::Column(part.of), part.is_condition);
                }
            }
            // Who chooses the values of a table can have them single somebody out.
            None if !(self.is_own)(column) => return Err("a column of a table that is not protected".to_owned()),
            None => {}
        }
        match data_type {
            DataType::Boolean => self.tells(within, value, true),
            numeric if numeric.is_numeric() => {
                self.tells(within, value.clone().is_not_null().and(value.not_eq(lit(0))), false);
            }
            _ => self.tells(within, value.is_not_null(), false),
        }
        Ok(())
    }

    fn arithmetic(&mut self, binary: &BinaryExpr, within: Option<&Expr>) -> Result<(), String> {
        let BinaryExpr { left, op, right } = binary;
        let are_plain = self.is_plain(left) && self.is_plain(right);
        let is_simple = match op {
            Operator::Plus | Operator::Minus => true,
            Operator::Multiply => are_plain || is_literal(left) || is_literal(right),
            Operator::Divide => are_plain || is_literal(right) || (self.is_plain(left) && self.is_guarded(right)),
            other => return Err(format!("the operator {other}")),
        };
        if !is_simple {
            return Err("a product of something computed".to_owned());
        }
        self.of(left, within)?;
        self.of(right, within)
    }

    fn case(&mut self, case: &Case, within: Option<&Expr>) -> Result<(), String> {
        let mut within = within.cloned();
        for (when, then) in &case.when_then_expr {
            let condition = match &case.expr {
                Some(value) => value.as_ref().clone().eq(when.as_ref().clone()),
                None => when.as_ref().clone(),
            };
            if crate::survey::trace::has_subquery(&condition) {
                return Err("a subquery".to_owned());
            }
            self.tells(within.as_ref(), condition.clone(), true);
            let inside = both(within.as_ref(), condition.clone());
            self.of(then, Some(&inside))?;
            within = Some(both(within.as_ref(), condition.is_not_true()));
        }
        case.else_expr.as_ref().map_or(Ok(()), |otherwise| self.of(otherwise, within.as_ref()))
    }
}

pub(super) fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(cast) => is_literal(&cast.expr),
        Expr::Negative(inner) => is_literal(inner),
        _ => false,
    }
}
