//! What the argument of an aggregate asks of people besides its value: `sum(CASE WHEN name = 'Asha' THEN 1 ELSE 0 END)` is a
//! count of those called so, and is held to what holds for one.
//!
//! Only shapes are let through that cannot single somebody out by arithmetic: columns, their products by two, sums of such,
//! and CASE, whose conditions are groups like any other. What makes steps of a column, such as `round(x)`, stands alone: the
//! difference of two steps would be an indicator. So would be what rounding leaves of a small number next to a large one, which
//! is why the literals of an argument have a bound.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, ScalarValue};
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

const OF_STEPS: &str = "steps of a column together with others";

/// Those of which some numbers have no value.
const NOT_OF_ALL: [&str; 5] = ["ln()", "log()", "log10()", "log2()", "sqrt()"];

/// How large, or small, the literals of an argument may be together: doubles have nearly sixteen digits, and what is beside a
/// number so many times as large is rounded away.
const GAIN: f64 = 1e6;

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
    /// Whether it keeps the order of what it was made from, and not the distances.
    pub(super) is_step: bool,
    /// By how much literals have enlarged what is in it.
    pub(super) gain: Gain,
}

impl Made {
    /// The same, where it may be made as `other` is as well.
    pub(super) fn or(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self.by = self.by.or(other.by);
        self.is_step |= other.is_step;
        self.gain = self.gain.or(other.gain);
        self
    }
}

/// By how much the literals of an expression enlarge what is in it: at most, and at least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gain {
    most: f64,
    least: f64,
}

impl Default for Gain {
    fn default() -> Self {
        Self { most: 1.0, least: 1.0 }
    }
}

impl Gain {
    fn or(self, other: Self) -> Self {
        Self { most: self.most.max(other.most), least: self.least.min(other.least) }
    }
}

/// What an argument tells apart, and how it is made.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) parts: Vec<Part<Expr>>,
    pub(super) is_step: bool,
    pub(super) gain: Gain,
}

/// What `argument` tells apart.
///
/// # Errors
/// The name of what nothing is known of.
pub(super) fn found(
    argument: &Expr,
    made: &HashMap<Column, Made>,
    schema: &DFSchema,
    is_own: &dyn Fn(&Column) -> bool,
) -> Result<Found, String> {
    let gain = gain(argument, made);
    if gain.most > GAIN * gain.least {
        return Err("numbers that are very large or very small".to_owned());
    }
    let mut parts = Parts { made, schema, is_own, found: Vec::new(), is_step: false };
    parts.of(argument, None)?;
    Ok(Found { parts: parts.found, is_step: parts.is_step, gain })
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
    is_step: bool,
}

impl Parts<'_> {
    fn tells(&mut self, within: Option<&Expr>, condition: Expr, is_condition: bool) {
        let part = Part { of: both(within, condition), is_condition };
        if !self.found.contains(&part) {
            self.found.push(part);
        }
    }

    fn of(&mut self, expr: &Expr, within: Option<&Expr>) -> Result<(), String> {
        match expr {
            Expr::Alias(alias) => self.of(&alias.expr, within),
            _ if self.is_step(expr) => self.step(expr, within),
            Expr::Column(column) if self.made.get(column).is_some_and(|made| made.is_step) => {
                self.is_step = true;
                self.column(column, &expr.get_type(self.schema).unwrap_or(DataType::Null), within)
            }
            Expr::Cast(cast) => self.of(&cast.expr, within),
            Expr::Negative(inner) => self.of(inner, within),
            // One step, moved or stretched, is one.
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus | Operator::Minus | Operator::Multiply, right })
                if is_literal(left) || is_literal(right) =>
            {
                self.of(if is_literal(left) { right } else { left }, within)
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) if is_literal(right) => {
                self.of(left, within)
            }
            _ => self.term(expr, within),
        }
    }

    /// Whether an expression keeps the order of a column and not the distances.
    fn is_step(&self, expr: &Expr) -> bool {
        match expr {
            Expr::ScalarFunction(call) => OF_COLUMN.contains(&call.name()),
            Expr::Cast(cast) => {
                let from = cast.expr.get_type(self.schema).unwrap_or(DataType::Null);
                // One of two, which are told as a condition.
                let is_condition = from == DataType::Boolean;
                !is_literal(&cast.expr) && !is_condition && !keeps_distances(&from, cast.field.data_type())
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Divide, .. }) => {
                !expr.get_type(self.schema).is_ok_and(|data_type| data_type.is_floating() || data_type.is_decimal())
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Modulo, .. }) => true,
            _ => false,
        }
    }

    /// Steps of one column: those of whom there is a value, and of whom the step is one.
    fn step(&mut self, expr: &Expr, within: Option<&Expr>) -> Result<(), String> {
        self.is_step = true;
        let (name, of): (String, Vec<&Expr>) = match expr {
            Expr::ScalarFunction(call) => (format!("{}()", call.name()), call.args.iter().collect()),
            Expr::Cast(cast) => ("a cast".to_owned(), vec![cast.expr.as_ref()]),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) => {
                ("a division of whole numbers".to_owned(), vec![left.as_ref(), right.as_ref()])
            }
            other => return Err(format!("`{other}`")),
        };
        if !of.iter().all(|of| self.is_plain(of)) {
            return Err(format!("{name} of something computed"));
        }
        for of in of {
            self.term(of, within)?;
            // Where there is none, the whole figure says so.
            if NOT_OF_ALL.contains(&name.as_str()) && !is_literal(of) {
                self.tells(within, of.clone().lt_eq(lit(0)), false);
            }
        }
        let data_type = expr.get_type(self.schema).unwrap_or(DataType::Null);
        self.value(expr.clone(), &data_type, within);
        Ok(())
    }

    /// What may stand in sums and products.
    fn term(&mut self, expr: &Expr, within: Option<&Expr>) -> Result<(), String> {
        let data_type = expr.get_type(self.schema).unwrap_or(DataType::Null);
        match expr {
            Expr::Literal(..) => Ok(()),
            Expr::Column(column) if self.made.get(column).is_some_and(|made| made.is_step) => Err(OF_STEPS.to_owned()),
            Expr::Column(column) => self.column(column, &data_type, within),
            Expr::Alias(alias) => self.term(&alias.expr, within),
            _ if self.is_step(expr) => Err(OF_STEPS.to_owned()),
            Expr::Cast(cast) => self.term(&cast.expr, within),
            Expr::Negative(inner) => self.term(inner, within),
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
                    self.term(value, within)
                }
                ("nullif", [value, other]) if is_literal(other) => {
                    self.tells(within, value.clone().eq(other.clone()), true);
                    self.term(value, within)
                }
                (name, _) => Err(format!("{name}()")),
            },
            other => Err(format!("`{other}`")),
        }
    }

    /// Whether an expression is a column as its table has it, or a literal.
    fn is_plain(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Column(column) => !self.made.contains_key(column),
            Expr::Cast(cast) => !self.is_step(expr) && self.is_plain(&cast.expr),
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
        self.value(value, data_type, within);
        Ok(())
    }

    fn value(&mut self, value: Expr, data_type: &DataType, within: Option<&Expr>) {
        match data_type {
            DataType::Boolean => self.tells(within, value, true),
            numeric if numeric.is_numeric() => {
                self.tells(within, value.clone().is_not_null().and(value.not_eq(lit(0))), false);
            }
            _ => self.tells(within, value.is_not_null(), false),
        }
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
        self.term(left, within)?;
        self.term(right, within)
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
            self.term(then, Some(&inside))?;
            within = Some(both(within.as_ref(), condition.is_not_true()));
        }
        case.else_expr.as_ref().map_or(Ok(()), |otherwise| self.term(otherwise, within.as_ref()))
    }
}

/// Whether a cast leaves numbers as far from each other as they are.
fn keeps_distances(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (from, to) if from == to => true,
        (from, DataType::Float64) => from.is_numeric(),
        (from, to) if from.is_integer() && (to.is_integer() || to.is_decimal()) => true,
        (from, to) if from.is_decimal() && to.is_decimal() => scale(to) >= scale(from),
        // Of texts and times there are no sums.
        (from, to) => !from.is_numeric() && !to.is_numeric() && *to != DataType::Boolean && *from != DataType::Boolean,
    }
}

fn scale(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

/// By how much the literals of an expression enlarge what is in it. Those of conditions are compared only.
fn gain(expr: &Expr, made: &HashMap<Column, Made>) -> Gain {
    let of = |expr: &Expr| gain(expr, made);
    match expr {
        Expr::Column(column) => made.get(column).map(|made| made.gain).unwrap_or_default(),
        Expr::Literal(value, _) if value.data_type().is_numeric() || value.data_type().is_string() => {
            match value.cast_to(&DataType::Float64) {
                Ok(ScalarValue::Float64(Some(number))) if number != 0.0 => {
                    Gain { most: number.abs().max(1.0), least: number.abs().min(1.0) }
                }
                _ => Gain::default(),
            }
        }
        Expr::Alias(alias) => of(&alias.expr),
        Expr::Cast(cast) => of(&cast.expr),
        Expr::Negative(inner) => of(inner),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (one, other) = (of(left), of(right));
            match op {
                Operator::Multiply => Gain { most: one.most * other.most, least: one.least * other.least },
                Operator::Divide => Gain { most: one.most / other.least, least: one.least / other.most },
                Operator::Plus | Operator::Minus => one.or(other),
                _ => Gain::default(),
            }
        }
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref());
            results.map(of).fold(Gain::default(), Gain::or)
        }
        Expr::ScalarFunction(call) => call.args.iter().map(of).fold(Gain::default(), Gain::or),
        _ => Gain::default(),
    }
}

pub(super) fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(cast) => is_literal(&cast.expr),
        Expr::Negative(inner) => is_literal(inner),
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => is_literal(left) && is_literal(right),
        _ => false,
    }
}
