//! `reach(unit, w)`: how many people the rows reach, each person counted once.
//!
//! SQL sees a function, but nothing runs under this name: [`rewrite`] turns it into two levels of GROUP BY, first by unit,
//! then without. That vectorizes, spills and distributes, where a set of units in each group's state would do none of it.

mod rewrite;
mod unit_weight;

#[cfg(test)]
mod tests;

use datafusion::common::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{self as datafusion_doc, Accumulator};
use datafusion_macros::user_doc;

pub(crate) use rewrite::rewrite;
pub(crate) use unit_weight::unit_weight;

use crate::weighted::{Function, Parameter};
use crate::{Code, Error};

/// As it is called in SQL.
pub(crate) const NAME: &str = "reach";

#[user_doc(
    doc_section(label = "Weighted functions"),
    description = "The number of people reached: the sum of the weights of the distinct units, each counted once however many rows it has. 0 (not NULL) of no rows. Rows without unit or weight are left out. A unit's weight must be the same in all its rows of a group (to 9 digits), else the answer would depend on which row is taken: where weights change with a period, group by the period. It cannot be used with `OVER` or `DISTINCT`.",
    syntax_example = "reach(unit, w)",
    sql_example = "SELECT service, reach(person_id, weight) FROM panel.events JOIN panel.people USING (person_id) GROUP BY service",
    argument(
        name = "unit",
        description = "Who is counted once, such as a person's id: anything that can be grouped by."
    ),
    argument(name = "w", description = "The unit's weight."),
    related_udf(name = "weighted_count")
)]
#[derive(Debug)]
struct Reach;

/// The function that SQL is planned with.
pub(crate) fn function() -> Function {
    Function::of_rewrite(NAME, const { &[Parameter::unit("unit"), Parameter::WEIGHT] }, Reach.doc(), refuse_to_run)
}

fn refuse_to_run(_: &AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
    Err(misplaced().into())
}

/// The error of `reach` anywhere but as an aggregate of a SELECT.
fn misplaced() -> Error {
    Error::new(
        Code::UnsupportedSql,
        "reach(unit, w) has no window form, and must be an aggregate of its own in a SELECT.",
    )
    .hint("Compute it with GROUP BY in a subquery, and join or window its result.")
}
