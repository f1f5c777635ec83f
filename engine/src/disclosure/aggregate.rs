//! An aggregate over protected rows: one that groups by person keeps them rows of people; any other makes cells of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::functions_aggregate::bool_and_or::bool_or_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::grouping::grouping_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, ExprSchemable, LogicalPlan, Projection, cast};

use super::arguments::{Made, Part, parts};
use super::cells::{Cells, Domain, Raw, Set, Value};
use super::node::{Disclosed, Judge};
use super::rewrite::{Occurrence, Seen, Walk, column_of, refused};
use super::units::{Contributions, Units};
use crate::survey::step;

/// Aggregates that say nothing of one row.
const OF_ALL: [&str; 30] = [
    "approx_distinct",
    "avg",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "effective_n",
    "grouping",
    "mean",
    "reach",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var",
    "var_pop",
    "var_samp",
    "var_sample",
    "variance",
    "avg_distinct",
    "covar",
];

/// Counts and totals, which are rounded.
const TOTALS: [&str; 9] = [
    "approx_distinct",
    "count",
    "reach",
    "regr_count",
    "sum",
    "svy_count",
    "svy_total",
    "weighted_count",
    "weighted_sum",
];

/// Those that answer with a value that somebody has, at a place in the order of all.
const MEDIANS: [&str; 4] = ["approx_median", "median", "svy_median", "weighted_median"];
const QUANTILES: [&str; 6] = [
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "percentile_cont",
    "quantile_cont",
    "svy_quantile",
    "weighted_quantile",
];

/// Those that answer with one value.
const SINGLE: [&str; 12] = [
    "any_value",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "first_value",
    "last_value",
    "max",
    "min",
    "mode",
    "nth_value",
];

/// The most contributors that a rule looks at.
const LARGEST: usize = 32;

pub(super) fn call_of(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => call_of(&alias.expr),
        Expr::AggregateFunction(call) => Some(call),
        _ => None,
    }
}

fn call(function: Arc<AggregateUDF>, argument: Expr, filter: Option<Expr>) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(
        function,
        vec![argument],
        false,
        filter.map(Box::new),
        vec![],
        None,
    ))
}

fn and(one: Option<&Expr>, other: Expr) -> Expr {
    match one {
        Some(one) => one.clone().and(other),
        None => other,
    }
}

impl Walk<'_> {
    pub(super) fn aggregate(&mut self, seen: Seen, keys: Vec<Expr>, calls: Vec<Expr>) -> Result<Seen> {
        let is_set = matches!(keys.as_slice(), [Expr::GroupingSet(_)]);
        let names = |row: &Occurrence| keys.iter().any(|key| key.try_as_col().is_some_and(|key| row.is_key(key)));
        match !is_set && seen.rows.iter().all(names) {
            true => self.per_person(seen, keys, calls),
            false => self.cells(seen, keys, calls),
        }
    }

    /// Each group is one person: it still has to be counted as one.
    fn per_person(&mut self, seen: Seen, mut keys: Vec<Expr>, mut calls: Vec<Expr>) -> Result<Seen> {
        let schema = Arc::clone(seen.plan.schema());
        let mut made = HashMap::new();
        let mut conditions = Vec::new();
        for expr in &calls {
            let own = column_of(expr);
            let Some(function) = call_of(expr) else { continue };
            let filter = function.params.filter.iter().map(|filter| filter.as_ref());
            let mut all = Made::default();
            for expr in function.params.args.iter().chain(filter) {
                let of = self.made(expr, &seen.made, &schema, &mut conditions);
                all.by = all.by.or(of.by);
                all.parts.extend(of.parts);
            }
            made.insert(own, all);
        }
        // A person is in a part by any of its rows.
        let mut renamed: HashMap<Column, Column> = HashMap::new();
        let conditions: HashMap<String, Expr> = conditions.into_iter().collect();
        for part in made.values_mut().flat_map(|made| made.parts.iter_mut()) {
            let own = match renamed.get(&part.of) {
                Some(own) => own.clone(),
                None => {
                    let condition = conditions.get(&part.of.name).cloned();
                    let condition = condition.unwrap_or_else(|| Expr::Column(part.of.clone()));
                    let name = self.name("part");
                    calls.push(call(bool_or_udaf(), condition, None).alias(&name));
                    renamed.insert(part.of.clone(), Column::new_unqualified(&name));
                    Column::new_unqualified(name)
                }
            };
            part.of = own;
        }
        for key in keys.iter().filter_map(Expr::try_as_col) {
            if let Some(known) = seen.made.get(key) {
                made.insert(key.clone(), Made { parts: Vec::new(), by: known.by.clone() });
            }
        }
        let shown: Vec<Column> = keys.iter().filter_map(Expr::try_as_col).cloned().collect();
        let mut rows = seen.rows;
        for row in &mut rows {
            let person = Expr::Column(row.person.clone());
            if !keys.contains(&person) {
                keys.push(person);
            }
            row.row = row.person.clone();
            row.names.retain(|column, _| shown.contains(column));
        }
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(seen.plan), keys, calls)?);
        Ok(Seen { plan, rows, made })
    }

    fn cells(&mut self, seen: Seen, keys: Vec<Expr>, calls: Vec<Expr>) -> Result<Seen> {
        let bare = Aggregate::try_new(Arc::new(seen.plan.clone()), keys.clone(), calls.clone())?;
        let columns: Vec<Column> =
            bare.schema.columns().into_iter().filter(|column| column.name != Aggregate::INTERNAL_GROUPING_ID).collect();
        let key_count = columns.len() - calls.len();
        let mut unseen = Unseen { walk: self, calls: Vec::new(), at: columns.len() };
        let sets = match keys.as_slice() {
            [Expr::GroupingSet(_)] => {
                let all: Vec<Expr> = grouping_set_to_exprlist(&keys)?.into_iter().cloned().collect();
                Some(unseen.grouping(all))
            }
            _ => None,
        };
        let mut domains = Domains { seen: &seen, unseen: &mut unseen, known: Vec::new() };
        domains.of(None)?;
        let values = calls.iter().map(|expr| domains.value(expr)).collect::<Result<Vec<_>>>()?;
        let domains = domains.known.into_iter().map(|(_, domain)| domain).collect();
        let unseen = unseen.calls;
        let hidden: Vec<Expr> = unseen.iter().map(|(name, _)| Expr::Column(Column::new_unqualified(name))).collect();
        let calls = calls.into_iter().chain(unseen.into_iter().map(|(name, call)| call.alias(name))).collect();
        let cells = Cells {
            keys: key_count,
            key_names: columns[..key_count].iter().map(|column| column.name.clone()).collect(),
            values,
            grouping: sets,
            domains,
            protections: seen.rows.iter().map(|row| Arc::clone(&row.protection)).collect(),
        };
        let aggregate = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(seen.plan), keys, calls)?);
        let shown = columns.iter().cloned().map(Expr::Column);
        let projected = Projection::try_new(shown.chain(hidden).collect(), Arc::new(aggregate))?;
        let plan = Disclosed::over(LogicalPlan::Projection(projected), &columns, Judge::Cells(cells), self.asked)?;
        Ok(Seen { plan, rows: Vec::new(), made: HashMap::new() })
    }
}

/// Calls that the query did not ask for.
struct Unseen<'w, 'a> {
    walk: &'w mut Walk<'a>,
    calls: Vec<(String, Expr)>,
    at: usize,
}

impl Unseen<'_, '_> {
    /// The place of a call among the columns.
    fn add(&mut self, call: Expr) -> usize {
        if let Some(known) = self.calls.iter().position(|(_, known)| *known == call) {
            return self.at + known;
        }
        let name = self.walk.name("cell");
        self.calls.push((name, call));
        self.at + self.calls.len() - 1
    }

    fn grouping(&mut self, keys: Vec<Expr>) -> usize {
        let call = AggregateFunction::new_udf(grouping_udaf(), keys, false, None, vec![], None);
        self.add(Expr::AggregateFunction(call))
    }

    fn units(&mut self, of: &Column, at_most: Option<u64>, filter: Option<Expr>) -> usize {
        self.add(step::call(Units { at_most }, vec![Expr::Column(of.clone())], filter))
    }
}

/// The parts of a group that aggregates are over: all of it, and those of each FILTER.
struct Domains<'d, 'w, 'a> {
    seen: &'d Seen,
    unseen: &'d mut Unseen<'w, 'a>,
    known: Vec<(Option<Expr>, Domain)>,
}

impl Domains<'_, '_, '_> {
    fn schema(&self) -> &DFSchema {
        self.seen.plan.schema()
    }

    fn of(&mut self, filter: Option<&Expr>) -> Result<usize> {
        if let Some(known) = self.known.iter().position(|(known, _)| known.as_ref() == filter) {
            return Ok(known);
        }
        if filter.is_some_and(crate::survey::trace::has_subquery) {
            return Err(super::rewrite::asks_about_few().into());
        }
        let mut domain = Domain::default();
        for row in &self.seen.rows {
            let protection = &row.protection;
            let is_whole = protection.fewest() > 1 && protection.is_guarded;
            let at_most = (!is_whole).then(|| protection.fewest().max(2));
            let people = self.unseen.units(&row.person, at_most, filter.cloned());
            domain.people.push(Set { column: people, is_whole });
            let count = call(count_udaf(), Expr::Column(row.row.clone()), filter.cloned());
            domain.rows.push(self.unseen.add(count));
            domain.base.push(match (protection.min_base, row.is_multiplied) {
                (base, true) if base > 0 => Some(self.unseen.units(&row.row, Some(base), filter.cloned())),
                _ => None,
            });
        }
        self.known.push((filter.cloned(), domain));
        Ok(self.known.len() - 1)
    }

    fn value(&mut self, expr: &Expr) -> Result<Value> {
        let Some(function) = call_of(expr) else {
            return Err(refused(format!("It is not known what `{expr}` says of few people.")).into());
        };
        let name = function.func.name();
        let filter = function.params.filter.as_deref();
        let mut value = Value { is_total: TOTALS.contains(&name), ..Value::default() };
        if name == "grouping" {
            value.is_open = true;
            return Ok(value);
        }
        value.domain = self.of(filter)?;
        value.is_survey = name.starts_with("svy_");
        let arguments = &function.params.args;
        for argument in arguments {
            self.parts_of(argument, filter, &mut value)?;
        }
        let is_of_all = OF_ALL.contains(&name) || name.starts_with("svy_") || name.starts_with("weighted_");
        if MEDIANS.contains(&name) {
            value.rank = Some(0.5);
        } else if QUANTILES.contains(&name) {
            // Where it is not said at which place, it may be the first or the last.
            let place = arguments.iter().skip(1).chain(arguments.first()).find_map(share);
            value.rank = Some(place.unwrap_or(0.0));
        } else if SINGLE.contains(&name) {
            value.raw = arguments.first().is_none_or(|argument| self.is_sensitive(argument)).then_some(Raw::Value);
        } else if !is_of_all {
            let rows = self.seen.rows.iter().map(|row| row.row.clone()).collect::<Vec<_>>();
            let sets = rows.iter().map(|row| self.unseen.units(row, None, filter.cloned())).collect();
            value.raw = Some(Raw::Rows(sets));
        }
        if is_of_all && name != "count" {
            value.contributions = self.contributions(arguments.first(), filter)?;
        }
        Ok(value)
    }

    /// What the argument tells apart has to be of nobody, or of enough people.
    fn parts_of(&mut self, argument: &Expr, filter: Option<&Expr>, value: &mut Value) -> Result<()> {
        let fewest = self.seen.rows.iter().map(|row| row.protection.fewest()).max().unwrap_or_default();
        if fewest < 2 {
            return Ok(());
        }
        let found = parts(argument, &self.seen.made, self.schema()).map_err(|by| {
            refused(format!("An aggregate over a protected table cannot be of {by}: it might single somebody out."))
                .hint("Aggregate columns, sums and products of them, or CASE with conditions on many people.")
        })?;
        for Part { of, is_two_sided } in found {
            let sides = [Some(of.clone()), is_two_sided.then(|| of.is_not_true())];
            for side in sides.into_iter().flatten() {
                for (at, row) in self.seen.rows.iter().enumerate() {
                    let wanted = row.protection.fewest();
                    if wanted > 1 {
                        let set = self.unseen.units(&row.person, Some(wanted), Some(and(filter, side.clone())));
                        value.parts.push((at, set));
                    }
                }
            }
        }
        Ok(())
    }

    fn is_sensitive(&self, argument: &Expr) -> bool {
        argument.column_refs().into_iter().any(|column| {
            let known = self.seen.rows.iter().find_map(|row| Some((row, row.names.get(column)?)));
            let is_of_others = || self.seen.made.get(column).is_none() && self.is_of_open_table(column);
            known.map_or_else(|| !is_of_others(), |(row, name)| row.protection.is_sensitive(name))
        })
    }

    /// Whether a column is no protected table's: those have names, or were made from such.
    fn is_of_open_table(&self, column: &Column) -> bool {
        let relations = self.seen.rows.iter().flat_map(|row| row.names.keys()).filter_map(|own| own.relation.as_ref());
        column.relation.is_some() && !relations.into_iter().any(|relation| column.relation.as_ref() == Some(relation))
    }

    /// How much each person adds, where a rule looks at it.
    fn contributions(&mut self, argument: Option<&Expr>, filter: Option<&Expr>) -> Result<Vec<(usize, usize)>> {
        let Some(argument) = argument else { return Ok(Vec::new()) };
        let is_number = argument.get_type(self.schema())?.is_numeric();
        let is_constant = matches!(argument, Expr::Literal(..));
        let mut found = Vec::new();
        for (at, row) in self.seen.rows.iter().enumerate() {
            if is_number && !is_constant && row.protection.limits_contributions() {
                let wanted = row.protection.dominance.iter().map(|rule| rule.n).max().unwrap_or_default();
                let arguments = vec![Expr::Column(row.person.clone()), cast(argument.clone(), DataType::Float64)];
                let largest = Contributions { largest: wanted.clamp(2, LARGEST) };
                found.push((at, self.unseen.add(step::call(largest, arguments, filter.cloned()))));
            }
        }
        Ok(found)
    }
}

/// A share, where an argument is one.
fn share(argument: &Expr) -> Option<f64> {
    let value = match argument {
        Expr::Literal(value, _) => value,
        Expr::Cast(cast) => return share(&cast.expr),
        _ => return None,
    };
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(share))) if (0.0..=1.0).contains(&share) => Some(share),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::lit;

    use super::*;

    #[test]
    fn shares_are_numbers_between_nothing_and_all() {
        assert_eq!(share(&lit(0.25)), Some(0.25));
        assert_eq!(share(&cast(lit(1_i64), DataType::Float64)), Some(1.0));
        assert_eq!(share(&lit(25)), None);
        assert_eq!(share(&datafusion::logical_expr::ident("p")), None);
    }
}
