//! What the argument of an aggregate asks of people besides its value: `sum(CASE WHEN name = 'Asha' THEN 1 ELSE 0 END)` is a
//! count of those called so, and is held to what holds for one.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::{BinaryExpr, Case};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, lit};

/// Functions whose value follows that of their argument, so that they single nobody out.
pub(super) const SMOOTH: [&str; 20] = [
    "abs",
    "ceil",
    "char_length",
    "character_length",
    "concat",
    "date_part",
    "date_trunc",
    "floor",
    "label",
    "length",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "policy_hash",
    "round",
    "sqrt",
    "trim",
    "upper",
];

/// A part of the people of a cell that an argument tells from the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Part<T> {
    pub(super) of: T,
    /// Whether those who are not in it are told as well.
    pub(super) is_two_sided: bool,
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
) -> Result<Vec<Part<Expr>>, String> {
    let mut parts = Parts { made, schema, found: Vec::new() };
    parts.of(argument, None)?;
    Ok(parts.found)
}

struct Parts<'a> {
    made: &'a HashMap<Column, Made>,
    schema: &'a DFSchema,
    found: Vec<Part<Expr>>,
}

fn both(within: Option<&Expr>, condition: Expr) -> Expr {
    match within {
        Some(within) => within.clone().and(condition),
        None => condition,
    }
}

impl Parts<'_> {
    fn tells(&mut self, within: Option<&Expr>, condition: Expr, is_two_sided: bool) {
        let part = Part { of: both(within, condition), is_two_sided };
        if !self.found.contains(&part) {
            self.found.push(part);
        }
    }

    fn of(&mut self, expr: &Expr, within: Option<&Expr>) -> Result<(), String> {
        let data_type = expr.get_type(self.schema).unwrap_or(DataType::Null);
        match expr {
            Expr::Literal(..) | Expr::ScalarSubquery(_) => Ok(()),
            Expr::Column(column) => self.column(column, &data_type, within),
            Expr::Alias(alias) => self.of(&alias.expr, within),
            Expr::Cast(cast) => self.of(&cast.expr, within),
            Expr::Negative(inner) => self.of(inner, within),
            Expr::Case(case) => self.case(case, within),
            Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => Err("a subquery".to_owned()),
            condition if data_type == DataType::Boolean => {
                self.tells(within, condition.clone(), true);
                Ok(())
            }
            Expr::BinaryExpr(binary) => self.arithmetic(binary, within),
            Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
                ("coalesce" | "nvl" | "ifnull", args) => {
                    for absent in args.split_last().map(|(_, before)| before).unwrap_or_default() {
                        self.tells(within, absent.clone().is_null(), true);
                    }
                    args.iter().try_for_each(|arg| self.of(arg, within))
                }
                ("nullif", [value, other]) => {
                    self.tells(within, value.clone().eq(other.clone()), true);
                    self.of(value, within)
                }
                (name, args) if SMOOTH.contains(&name) => args.iter().try_for_each(|arg| self.of(arg, within)),
                // The field of a struct.
                ("get_field", [of, ..]) => self.of(of, within),
                (name, _) => Err(format!("{name}()")),
            },
            other => Err(format!("`{other}`")),
        }
    }

    /// Those of whom the value says something.
    fn column(&mut self, column: &Column, data_type: &DataType, within: Option<&Expr>) -> Result<(), String> {
        let value = Expr::Column(column.clone());
        if let Some(made) = self.made.get(column) {
            if let Some(by) = &made.by {
                return Err(by.clone());
            }
            for part in made.parts.clone() {
                self.tells(within, Expr::Column(part.of), part.is_two_sided);
            }
        }
        match data_type {
            DataType::Boolean => self.tells(within, value, false),
            numeric if numeric.is_numeric() => {
                self.tells(within, value.clone().is_not_null().and(value.not_eq(lit(0))), false);
            }
            _ => self.tells(within, value.is_not_null(), false),
        }
        Ok(())
    }

    fn arithmetic(&mut self, binary: &BinaryExpr, within: Option<&Expr>) -> Result<(), String> {
        let BinaryExpr { left, op, right } = binary;
        let conditions = |parts: &Self| parts.found.iter().filter(|part| part.is_two_sided).count();
        let before = conditions(self);
        self.of(left, within)?;
        let between = conditions(self);
        match op {
            Operator::Plus | Operator::Minus => self.of(right, within),
            Operator::Multiply | Operator::StringConcat => {
                self.of(right, within)?;
                match before < between && between < conditions(self) {
                    true => Err("a product of conditions".to_owned()),
                    false => Ok(()),
                }
            }
            Operator::Divide => match right.clone().unalias_nested().data {
                Expr::Literal(..) => Ok(()),
                Expr::Column(column) if !self.made.contains_key(&column) => self.of(right, within),
                Expr::Cast(cast) if matches!(*cast.expr, Expr::Literal(..) | Expr::Column(_)) => self.of(right, within),
                _ => Err("a division by something computed".to_owned()),
            },
            other => Err(format!("the operator {other}")),
        }
    }

    fn case(&mut self, case: &Case, within: Option<&Expr>) -> Result<(), String> {
        let mut within = within.cloned();
        for (when, then) in &case.when_then_expr {
            let condition = match &case.expr {
                Some(value) => value.as_ref().clone().eq(when.as_ref().clone()),
                None => when.as_ref().clone(),
            };
            self.tells(within.as_ref(), condition.clone(), true);
            let inside = both(within.as_ref(), condition.clone());
            self.of(then, Some(&inside))?;
            within = Some(both(within.as_ref(), condition.is_not_true()));
        }
        case.else_expr.as_ref().map_or(Ok(()), |otherwise| self.of(otherwise, within.as_ref()))
    }
}
