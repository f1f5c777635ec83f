//! Which rows of a plan are those of a weighted sample, what they weigh, and who they are of.

use std::collections::BTreeMap;

use datafusion::common::{Column, JoinType, TableReference};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, Operator};

use super::multiplied::Sides;
use crate::survey::trace::{self, Origin, is_table};
use crate::survey::{Read, read_of};
use crate::{Code, Error, Weights};

/// The samples whose weights apply to a query.
pub(super) struct Samples<'a> {
    reads: &'a [Read],
    /// By the id of their dataset.
    weights: BTreeMap<&'a str, &'a Weights>,
}

/// How the rows of an aggregate weigh.
pub(super) struct Weighing<'a> {
    pub(super) dataset: &'a str,
    pub(super) weights: &'a Weights,
    pub(super) weight: Expr,
}

impl<'a> Samples<'a> {
    /// The samples among what is read that `applies` says of.
    pub(super) fn of(reads: &'a [Read], applies: impl Fn(&Weights) -> bool) -> Self {
        let declared = reads.iter().filter_map(|read| Some((read.dataset.id.as_str(), read.dataset.weights.as_ref()?)));
        Self { reads, weights: declared.filter(|(_, weights)| applies(weights)).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The sample that a table is of: it has the weights, or names the units.
    fn sample(&self, table: &LogicalPlan) -> Option<(&'a Read, &'a Weights)> {
        let read = read_of(table, self.reads)?;
        let weights = *self.weights.get(read.dataset.id.as_str())?;
        let has = |name: &String| table.schema().index_of_column_by_name(None, name).is_some();
        let is_of_it = has_weights(read, weights) && has(&weights.weight) || weights.unit.as_ref().is_some_and(has);
        is_of_it.then_some((read, weights))
    }

    /// The tables of samples whose rows are still rows in `plan`, and not yet figures.
    fn tables<'p>(&self, plan: &'p LogicalPlan) -> Vec<&'p LogicalPlan> {
        let of_inputs = || plan.inputs().into_iter().flat_map(|input| self.tables(input)).collect();
        match plan {
            plan if is_table(plan) => self.sample(plan).map(|_| plan).into_iter().collect(),
            LogicalPlan::Aggregate(aggregate) => {
                let tables = self.tables(&aggregate.input);
                let is_kept = self.are_told(&tables, &aggregate.input, &aggregate.group_expr);
                if is_kept { tables } else { Vec::new() }
            }
            LogicalPlan::Distinct(Distinct::All(input)) if !self.has_unit(input) => Vec::new(),
            LogicalPlan::Join(join) => match join.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => self.tables(&join.left),
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => self.tables(&join.right),
                _ => of_inputs(),
            },
            _ => of_inputs(),
        }
    }

    /// Whether a row tells whose it is, be it by something made of the unit.
    fn has_unit(&self, plan: &LogicalPlan) -> bool {
        let all = (0..plan.schema().fields().len()).collect();
        trace::sources(plan, all).into_iter().any(|origin| self.unit_of(origin.table) == Some(origin.column))
    }

    /// The place of the unit among the columns of a table of a sample.
    fn unit_of(&self, table: &LogicalPlan) -> Option<usize> {
        let (_, weights) = self.sample(table)?;
        table.schema().index_of_column_by_name(None, weights.unit.as_ref()?)
    }

    /// The place of the weight in a table that has it, and shows it.
    fn weight_of(&self, table: &LogicalPlan) -> Option<usize> {
        let (_, weights) = self.sample(table).filter(|(read, weights)| has_weights(read, weights))?;
        let place = table.schema().index_of_column_by_name(None, &weights.weight)?;
        (!trace::is_masked(table, place)).then_some(place)
    }

    /// Whether an expression over `rows` is made of the unit, so that to count its values is to count people.
    ///
    /// # Errors
    /// `weight_required` where a policy hides who is who.
    pub(super) fn is_of_units(&self, rows: &LogicalPlan, expression: &Expr) -> Result<bool, Error> {
        let sources = trace::sources_of(rows, expression);
        let mut units = sources.iter().filter(|origin| self.unit_of(origin.table) == Some(origin.column)).peekable();
        if units.peek().is_none() {
            return Ok(false);
        }
        if units.any(|origin| trace::is_masked(origin.table, origin.column)) {
            let message = "A policy hides who the rows are of, so people cannot be counted.";
            return Err(Error::new(Code::WeightRequired, message)
                .hint("Count rows, count(*), or ask whoever wrote the policy."));
        }
        Ok(true)
    }

    /// Whether an expression over `rows` is made of a weight: then it is weighed by hand.
    pub(super) fn is_of_weights(&self, rows: &LogicalPlan, expression: &Expr) -> bool {
        let sources = trace::sources_of(rows, expression);
        sources.iter().any(|origin| self.weight_of(origin.table) == Some(origin.column))
    }

    /// Whether the rows of one group, told apart by `keys`, are of one unit (and of one of its periods), so that they weigh the same.
    pub(super) fn keeps_units(&self, rows: &LogicalPlan, keys: &[Expr]) -> bool {
        self.are_told(&self.tables(rows), rows, keys)
    }

    /// The same of `tables`, whose rows `rows` are.
    fn are_told(&self, tables: &[&LogicalPlan], rows: &LogicalPlan, keys: &[Expr]) -> bool {
        let mut tables = tables.to_vec();
        let has_weight = |table: &&LogicalPlan| self.weight_of(table).is_some();
        if tables.iter().any(has_weight) {
            tables.retain(has_weight);
        }
        let is_told = |table: &LogicalPlan, name: &String| {
            let place = table.schema().index_of_column_by_name(None, name);
            place.is_some_and(|place| {
                !trace::is_masked(table, place)
                    && (keys.iter().any(|key| is_it(rows, key, table, place)) || is_fixed_in(rows, table, place))
            })
        };
        !tables.is_empty()
            && tables.iter().all(|table| {
                let weights = self.sample(table).map(|(_, weights)| weights);
                weights.is_some_and(|weights| {
                    weights.unit.is_some()
                        && weights.unit.iter().chain(&weights.period).all(|name| is_told(table, name))
                })
            })
    }

    /// The period that nothing chooses, of rows that `keys` tell apart.
    pub(super) fn pooled_period(&self, rows: &LogicalPlan, keys: &[Expr]) -> Option<&'a str> {
        let tables = self.tables(rows);
        tables.into_iter().filter(|table| self.weight_of(table).is_some()).find_map(|table| {
            let period = self.sample(table)?.1.period.as_ref()?;
            let place = table.schema().index_of_column_by_name(None, period)?;
            let is_chosen = keys.iter().any(|key| is_it(rows, key, table, place)) || is_fixed_in(rows, table, place);
            (!is_chosen).then_some(period.as_str())
        })
    }

    /// A table of `rows` that names units, and is not joined by them to the weights of `by`.
    fn strangers(&self, rows: &LogicalPlan, by: &LogicalPlan) -> Option<&'a Read> {
        let tables = self.tables(rows);
        let sides = Sides::of(rows, self.reads);
        let unit = self.unit_of(by)?;
        tables.into_iter().find_map(|table| {
            let (read, weights) = self.sample(table)?;
            if has_weights(read, weights) || !sides.has(table) || !sides.has(by) {
                return None;
            }
            let own = self.unit_of(table)?;
            (!sides.are_equal((table, own), (by, unit))).then_some(read)
        })
    }

    /// What the rows weigh. None where they are not of a sample.
    ///
    /// # Errors
    /// `weight_required` where the weight is out of reach of `call`; `ambiguous_name` where there are two.
    pub(super) fn weighing(&self, call: &str, rows: &LogicalPlan) -> Result<Option<Weighing<'a>>, Error> {
        let tables = self.tables(rows);
        if tables.is_empty() {
            return Ok(None);
        }
        let mut found: Vec<Found<'_, 'a>> = Vec::new();
        for place in 0..rows.schema().fields().len() {
            let origins = trace::origins(rows, place);
            let is_row = |origin: &Origin<'_>| tables.iter().any(|table| std::ptr::eq(*table, origin.table));
            let is_weight = |origin: &Origin<'_>| is_row(origin) && self.weight_of(origin.table) == Some(origin.column);
            if let Some(origin) = origins.first().filter(|_| origins.iter().all(is_weight))
                && let Some((read, weights)) = self.sample(origin.table)
            {
                found.push(Found { read, weights, table: origin.table, place });
            }
        }
        // Where the tables of a dataset each have the weight, that of a table whose rows all are there goes first.
        found.sort_by_key(|found| trace::is_null_extended(rows, found.place));
        match found.as_slice() {
            [] => Err(self.out_of_reach(call, &tables)),
            [first, others @ ..]
                if others.iter().all(|other| {
                    other.read.dataset.id == first.read.dataset.id && other.read.table != first.read.table
                }) =>
            {
                if let Some(stranger) = self.strangers(rows, first.table) {
                    return Err(not_their_own(call, stranger, first));
                }
                let column =
                    |found: &Found<'_, '_>| Expr::Column(Column::from(rows.schema().qualified_field(found.place)));
                let weight = match trace::is_null_extended(rows, first.place) && !others.is_empty() {
                    true => coalesce(found.iter().map(column).collect()),
                    false => column(first),
                };
                Ok(Some(Weighing { dataset: first.read.dataset.id.as_str(), weights: first.weights, weight }))
            }
            [Found { read: one, weights, .. }, others @ ..] => {
                let other = others.iter().map(|other| other.read).find(|other| other.dataset.id != one.dataset.id);
                let names =
                    |read: &Read| TableReference::partial(read.dataset.id.as_str(), read.table.as_str()).to_string();
                let message = format!(
                    "{call}: each row has two weights, of {} and of {}.",
                    names(one),
                    names(other.unwrap_or(one))
                );
                Err(Error::new(Code::AmbiguousName, message).hint(format!(
                    "Say which: weighted_avg(x, t.{0}), weighted_count(t.{0}), svy_mean(x, weight => t.{0}).",
                    weights.weight
                )))
            }
        }
    }

    fn out_of_reach(&self, call: &str, tables: &[&LogicalPlan]) -> Error {
        let Some((read, weights)) = tables.iter().find_map(|table| self.sample(table)) else {
            return Error::new(
                Code::WeightRequired,
                format!("{call} is over a weighted sample, whose weight is not there."),
            );
        };
        let (id, weight) = (&read.dataset.id, &weights.weight);
        let message = format!(
            "Dataset \"{id}\" is a weighted sample, and the weight, \"{weight}\", is not among the columns that {call} is over."
        );
        let error = Error::new(Code::WeightRequired, message);
        let plain =
            if weights.mode == crate::WeightsMode::Required { "" } else { " Or ask with apply_weights = false." };
        let is_hidden = |table: &&LogicalPlan| {
            let place = table.schema().index_of_column_by_name(None, weight);
            place.is_some_and(|place| trace::is_masked(table, place))
        };
        if tables.iter().any(is_hidden) {
            return error.hint(format!("A policy hides it from you.{plain}"));
        }
        match (&weights.table, &weights.unit) {
            (Some(table), Some(unit)) if *table != read.table => {
                error.hint(format!("Join its table: JOIN {id}.{table} USING ({unit}).{plain}"))
            }
            _ => error.hint(format!("Select {weight} in the subquery too (with GROUP BY: as a key).{plain}")),
        }
    }
}

/// A weight among the columns of rows.
struct Found<'p, 'a> {
    read: &'a Read,
    weights: &'a Weights,
    table: &'p LogicalPlan,
    place: usize,
}

fn not_their_own(call: &str, stranger: &Read, weights: &Found<'_, '_>) -> Error {
    let unit = weights.weights.unit.as_deref().unwrap_or("unit");
    let (one, other) = (&stranger.table, &weights.read.table);
    let message =
        format!("{call}: rows of \"{one}\" are not joined to their own people's weights in \"{other}\" by \"{unit}\".");
    Error::new(Code::WeightRequired, message).hint(format!(
        "Join ON {one}.{unit} = {other}.{unit}; or say the weight: weighted_sum(x, {other}.{}).",
        weights.weights.weight
    ))
}

/// Whether `key` over `rows` is a column of `table`, or equal to it.
fn is_it(rows: &LogicalPlan, key: &Expr, table: &LogicalPlan, column: usize) -> bool {
    match key {
        Expr::Alias(alias) => is_it(rows, &alias.expr, table, column),
        Expr::Column(key) => {
            let place = rows.schema().maybe_index_of_column(key);
            place.is_some_and(|place| trace::column_in(rows, place, table) == Some(column))
        }
        _ => false,
    }
}

/// Whether a condition leaves one value of a column of `table`: a number, or one of the query around it.
fn is_fixed_in(rows: &LogicalPlan, table: &LogicalPlan, column: usize) -> bool {
    trace::conditions(rows).into_iter().any(|(plan, condition)| {
        split_conjunction(condition).into_iter().any(|part| {
            let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = part else { return false };
            (trace::is_fixed(right) && is_it(plan, left, table, column))
                || (trace::is_fixed(left) && is_it(plan, right, table, column))
        })
    })
}

fn has_weights(read: &Read, weights: &Weights) -> bool {
    weights.table.as_ref().is_none_or(|table| *table == read.table)
}
