//! Weights by period: a panel weighs its people anew each week or month, in a row for each person and period.
//!
//! The design of an estimate is that of its periods. Conditions on the period choose the PSUs of the frame, and a key that is
//! made of the period tells them apart by group. A person with rows of several periods in one estimate is one PSU.

use std::collections::HashSet;

use datafusion::common::Column;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use super::estimators::PartOf;
use super::trace;
use crate::{Code, Error, Weights};

/// The period of a design, and what a call says of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Period {
    /// The column of the table of the weights.
    column: Column,
    /// What holds of the period in all rows of the call, as conditions on that column.
    pub(super) conditions: Vec<Expr>,
}

/// What a call is made of.
pub(super) struct OfCall<'a> {
    pub(super) parts: &'a [PartOf],
    pub(super) filter: Option<&'a Expr>,
    /// Whether people are counted, each once.
    pub(super) is_distinct: bool,
}

impl Period {
    /// The period of a call over `rows`, whose weights are those of `table`. None where the design has no periods.
    ///
    /// # Errors
    /// `design_missing` where the table has no such column; `join_multiplies` where rows of another table would meet the weights
    /// of all periods.
    pub(super) fn of(
        function: &str,
        weights: &Weights,
        table: &LogicalPlan,
        rows: &LogicalPlan,
        call: &OfCall<'_>,
    ) -> Result<Option<Self>, Error> {
        let Some(name) = &weights.period else { return Ok(None) };
        let place = table.schema().index_of_column_by_name(None, name).ok_or_else(|| {
            let message =
                format!("{function}: the period of the design, \"{name}\", is no column of the weights' table.");
            Error::new(Code::DesignMissing, message).hint("weft check --data says what is wrong with a design.")
        })?;
        let column = Column::from(table.schema().qualified_field(place));
        let mut period = Self { column, conditions: Vec::new() };
        for (plan, condition) in trace::conditions(rows) {
            period.add(plan, condition, table);
        }
        call.filter.iter().for_each(|filter| period.add(rows, filter, table));
        let of_parts = call.parts.iter().map(|part| period.below(rows, part.condition.as_ref()?, table));
        let of_parts: Option<Vec<Expr>> = of_parts.collect();
        period.conditions.extend(of_parts.and_then(|parts| parts.into_iter().reduce(Expr::or)));
        if let Some(unit) = &weights.unit {
            period.refuse_all_periods(function, (name, unit), table, rows, call)?;
        }
        Ok(Some(period))
    }

    fn add(&mut self, plan: &LogicalPlan, condition: &Expr, table: &LogicalPlan) {
        let parts = split_conjunction(condition).into_iter();
        let found: Vec<Expr> = parts.filter_map(|part| self.below(plan, part, table)).collect();
        self.conditions.extend(found);
    }

    /// An expression over `plan` as one over the period, if it is made of nothing else.
    pub(super) fn below(&self, plan: &LogicalPlan, expression: &Expr, table: &LogicalPlan) -> Option<Expr> {
        if expression.is_volatile() || trace::has_subquery(expression) {
            return None;
        }
        let below = trace::onto(plan, expression, table)?;
        (below.column_refs() == HashSet::from([&self.column])).then_some(below)
    }

    /// Whether `expression` over the table is the period itself.
    pub(super) fn is_itself(&self, expression: &Expr) -> bool {
        matches!(expression, Expr::Column(column) if *column == self.column)
    }

    /// Whether the conditions leave one period.
    pub(super) fn is_one(&self) -> bool {
        let is_constant = |expression: &Expr| expression.column_refs().is_empty();
        self.conditions.iter().any(|condition| match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                (self.is_itself(left) && is_constant(right)) || (self.is_itself(right) && is_constant(left))
            }
            Expr::InList(list) => !list.negated && self.is_itself(&list.expr) && list.list.len() == 1,
            _ => false,
        })
    }

    /// The column's name.
    pub(super) fn name(&self) -> &str {
        &self.column.name
    }

    /// Refuses to sum rows of another table that are joined with each person's weights of all periods.
    fn refuse_all_periods(
        &self,
        function: &str,
        (name, unit): (&str, &str),
        table: &LogicalPlan,
        rows: &LogicalPlan,
        call: &OfCall<'_>,
    ) -> Result<(), Error> {
        if call.is_distinct || self.is_one() || is_of_table(call, rows, table) {
            return Ok(());
        }
        let links = trace::links(rows, table);
        let is_linked = |column: &str| {
            let place = table.schema().index_of_column_by_name(None, column);
            place.is_some_and(|place| links.contains(&place))
        };
        if !is_linked(unit) || is_linked(name) {
            return Ok(());
        }
        let message = format!("{function}: each row meets the weights of all periods of its person.");
        Err(Error::new(Code::JoinMultiplies, message)
            .hint(format!("Join by \"{name}\" as well as by \"{unit}\", or filter one \"{name}\" of the weights.")))
    }
}

/// Whether the variables of a call are all columns of `table`, whose rows a join with its like does not multiply.
fn is_of_table(call: &OfCall<'_>, rows: &LogicalPlan, table: &LogicalPlan) -> bool {
    let mut columns = call.parts.iter().flat_map(|part| part.variables.iter().flat_map(Expr::column_refs)).peekable();
    columns.peek().is_some()
        && columns.all(|column| trace::origin(rows, column).is_some_and(|origin| std::ptr::eq(origin.table, table)))
}
