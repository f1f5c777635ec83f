//! Which rows of a plan are those of a weighted sample, what they weigh, and who they are of.

use std::collections::BTreeMap;

use datafusion::common::{Column, JoinType, TableReference};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Distinct, Expr, LogicalPlan, Operator};

use crate::survey::trace::{self, is_table};
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
    fn tables<'p>(&self, plan: &'p LogicalPlan, found: &mut Vec<&'p LogicalPlan>) {
        match plan {
            plan if is_table(plan) => found.extend(self.sample(plan).map(|_| plan)),
            LogicalPlan::Aggregate(aggregate) if !self.keeps_units(aggregate) => {}
            LogicalPlan::Distinct(Distinct::All(input)) if !self.has_unit(input) => {}
            LogicalPlan::Join(join) => match join.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => self.tables(&join.left, found),
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => self.tables(&join.right, found),
                _ => plan.inputs().into_iter().for_each(|input| self.tables(input, found)),
            },
            plan => plan.inputs().into_iter().for_each(|input| self.tables(input, found)),
        }
    }

    fn has_unit(&self, plan: &LogicalPlan) -> bool {
        (0..plan.schema().fields().len()).any(|place| self.is_unit_at(plan, place))
    }

    fn is_unit_at(&self, plan: &LogicalPlan, place: usize) -> bool {
        let origins = trace::origins(plan, place);
        !origins.is_empty()
            && origins.iter().all(|origin| {
                let unit = self.sample(origin.table).and_then(|(_, weights)| weights.unit.as_ref());
                unit.is_some_and(|unit| origin.table.schema().field(origin.column).name() == unit)
            })
    }

    /// Whether an expression over `rows` is who the row is of.
    pub(super) fn is_unit(&self, rows: &LogicalPlan, expression: &Expr) -> bool {
        match expression {
            Expr::Alias(alias) => self.is_unit(rows, &alias.expr),
            Expr::Column(column) => {
                rows.schema().maybe_index_of_column(column).is_some_and(|place| self.is_unit_at(rows, place))
            }
            _ => false,
        }
    }

    /// Whether each group is of one unit, so that its rows weigh the same.
    pub(super) fn keeps_units(&self, aggregate: &Aggregate) -> bool {
        aggregate.group_expr.iter().any(|key| self.is_unit(&aggregate.input, key))
            || self.is_of_one_unit(&aggregate.input)
    }

    /// Whether a condition leaves the rows of one unit only: a number, or one of the query around it.
    fn is_of_one_unit(&self, plan: &LogicalPlan) -> bool {
        match plan {
            LogicalPlan::Filter(filter) => {
                split_conjunction(&filter.predicate).into_iter().any(|condition| {
                    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
                        return false;
                    };
                    let fixes =
                        |unit: &Expr, other: &Expr| self.is_unit(&filter.input, unit) && other.column_refs().is_empty();
                    fixes(left, right) || fixes(right, left)
                }) || self.is_of_one_unit(&filter.input)
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_) => plan.inputs().into_iter().all(|input| self.is_of_one_unit(input)),
            _ => false,
        }
    }

    /// What the rows weigh. None where they are not of a sample.
    ///
    /// # Errors
    /// `weight_required` where the weight is out of reach of `call`; `ambiguous_name` where there are two.
    pub(super) fn weighing(&self, call: &str, rows: &LogicalPlan) -> Result<Option<Weighing<'a>>, Error> {
        let mut tables = Vec::new();
        self.tables(rows, &mut tables);
        if tables.is_empty() {
            return Ok(None);
        }
        let mut found: Vec<(&'a Read, &'a Weights, usize)> = Vec::new();
        for place in 0..rows.schema().fields().len() {
            let origins = trace::origins(rows, place);
            let of_sample = origins.iter().map(|origin| {
                let is_row = tables.iter().any(|table| std::ptr::eq(*table, origin.table));
                let (read, weights) = self.sample(origin.table).filter(|_| is_row)?;
                let is_weight =
                    has_weights(read, weights) && *origin.table.schema().field(origin.column).name() == weights.weight;
                is_weight.then_some((read, weights))
            });
            let of_sample: Option<Vec<_>> = of_sample.collect();
            if let Some([(read, weights), ..]) = of_sample.as_deref() {
                found.push((*read, *weights, place));
            }
        }
        match found.as_slice() {
            [] => Err(self.out_of_reach(call, &tables)),
            [(read, weights, place), others @ ..]
                if others
                    .iter()
                    .all(|(other, ..)| other.dataset.id == read.dataset.id && other.table != read.table) =>
            {
                let weight = Expr::Column(Column::from(rows.schema().qualified_field(*place)));
                Ok(Some(Weighing { dataset: read.dataset.id.as_str(), weights, weight }))
            }
            [(one, weights, _), others @ ..] => {
                let other = others.iter().map(|(other, ..)| other).find(|other| other.dataset.id != one.dataset.id);
                let names =
                    |read: &Read| TableReference::partial(read.dataset.id.as_str(), read.table.as_str()).to_string();
                let message = format!(
                    "{call}: each row has two weights, of {} and of {}.",
                    names(one),
                    names(other.unwrap_or(&one))
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
        match (&weights.table, &weights.unit) {
            (Some(table), Some(unit)) if *table != read.table => {
                error.hint(format!("Join its table: JOIN {id}.{table} USING ({unit}).{plain}"))
            }
            _ => error.hint(format!("Select {weight} in the subquery too (with GROUP BY: as a key).{plain}")),
        }
    }
}

fn has_weights(read: &Read, weights: &Weights) -> bool {
    weights.table.as_ref().is_none_or(|table| *table == read.table)
}
