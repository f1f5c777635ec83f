//! The figures of an aggregate, and the parts of its groups that each of them tells of.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, Result};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, cast};

use super::aggregate::{LARGEST, OF_ALL, SINGLE, TOTALS, Unseen, call, call_of, rank};
use super::arguments::{Part, both, found, is_literal};
use super::cells::{Base, Domain, Raw, Set, Value};
use super::rewrite::{Seen, refused};
use super::units::Contributions;
use crate::survey::step;

/// The parts of a group that aggregates are over: all of it, those of each FILTER, and those of each condition in an argument.
pub(super) struct Domains<'d, 'w, 'a> {
    pub(super) seen: &'d Seen,
    pub(super) unseen: &'d mut Unseen<'w, 'a>,
    pub(super) known: Vec<(Option<Expr>, Domain)>,
}

impl Domains<'_, '_, '_> {
    pub(super) fn of(&mut self, filter: Option<&Expr>) -> Result<usize> {
        self.of_tables(filter, &|_| true)
    }

    /// Those of some of the tables.
    fn of_tables(&mut self, filter: Option<&Expr>, is_meant: &dyn Fn(usize) -> bool) -> Result<usize> {
        if let Some(known) = self.known.iter().position(|(known, _)| known.as_ref() == filter) {
            return Ok(known);
        }
        if filter.is_some_and(crate::survey::trace::has_subquery) {
            return Err(super::rewrite::asks_about_few().into());
        }
        let mut domain = Domain::default();
        for (table, row) in self.seen.rows.iter().enumerate() {
            if !is_meant(table) {
                domain.people.push(Set::Open);
                domain.base.push(Base::Open);
                continue;
            }
            let protection = &row.protection;
            domain.people.push(match protection.is_guarded() {
                true => Set::All(self.unseen.people(row, filter.cloned())),
                false => Set::Enough(self.unseen.units(&row.person, Some(protection.fewest()), filter.cloned())),
            });
            domain.base.push(match (protection.min_base, row.is_multiplied) {
                (0, _) => Base::Open,
                (base, true) => Base::Different(self.unseen.units(&row.row, Some(base), filter.cloned())),
                (_, false) => {
                    let count = call(count_udaf(), Expr::Column(row.row.clone()), filter.cloned());
                    Base::Count(self.unseen.add(count))
                }
            });
        }
        self.known.push((filter.cloned(), domain));
        Ok(self.known.len() - 1)
    }

    pub(super) fn value(&mut self, expr: &Expr) -> Result<Value> {
        let Some(function) = call_of(expr) else {
            return Err(refused(format!("It is not known what `{expr}` says of few people.")).into());
        };
        let name = function.func.name();
        let filter = function.params.filter.as_deref();
        let arguments = &function.params.args;
        let mut value = Value { call: expr.to_string(), is_total: TOTALS.contains(&name), ..Value::default() };
        if name == "grouping" {
            value.is_open = true;
            return Ok(value);
        }
        value.is_survey = name.starts_with("svy_");
        value.domains.push(self.of(filter)?);
        for (at, row) in self.seen.rows.iter().enumerate() {
            for branch in &row.branches {
                let of = both(filter, Expr::Column(branch.clone()));
                value.domains.push(self.of_tables(Some(&of), &|table| table == at)?);
            }
        }
        self.arguments(function, filter, &mut value)?;
        let is_of_all = OF_ALL.contains(&name) || name.starts_with("svy_") || name.starts_with("weighted_");
        if let Some(rank) = rank(name, arguments) {
            value.ranks = self.ranks(rank, arguments.first(), filter);
        } else if SINGLE.contains(&name) {
            let order = function.params.order_by.iter().map(|key| &key.expr);
            let is_sensitive = arguments.is_empty() || arguments.iter().chain(order).any(|of| self.is_sensitive(of));
            value.raw = is_sensitive.then_some(Raw::Value);
        } else if !is_of_all {
            let rows = self.seen.rows.iter().map(|row| row.row.clone()).collect::<Vec<_>>();
            let sets = rows.iter().map(|row| self.unseen.units(row, None, filter.cloned())).collect();
            value.raw = Some(Raw::Rows(sets));
        }
        if is_of_all && name != "count" {
            value.contributions = self.contributions(arguments, filter)?;
        }
        Ok(value)
    }

    /// What the arguments tell apart has to be of enough people, on both sides.
    fn arguments(&mut self, function: &AggregateFunction, filter: Option<&Expr>, value: &mut Value) -> Result<()> {
        if !self.seen.rows.iter().any(|row| row.protection.is_strict()) {
            return Ok(());
        }
        let counts = function.func.name() == "count";
        let schema = Arc::clone(self.seen.plan.schema());
        let is_own = |column: &Column| {
            self.seen.made.contains_key(column) || self.seen.rows.iter().any(|row| row.names.contains_key(column))
        };
        let mut conditional = 0;
        for (at, argument) in function.params.args.iter().enumerate() {
            if counts && argument.try_as_col().is_some_and(|column| !is_own(column)) {
                let side = argument.clone().is_not_null();
                value.domains.push(self.of(Some(&both(filter, side)))?);
                continue;
            }
            let is_condition = argument.get_type(&schema).is_ok_and(|data_type| data_type == DataType::Boolean);
            let is_bare = argument.try_as_col().is_some() || is_literal(argument) || is_condition;
            let found = found(argument, &self.seen.made, &schema, &is_own).and_then(|found| match at == 0 || is_bare {
                true => Ok(found),
                false => Err("several things computed".to_owned()),
            });
            let found = found.map_err(|by| {
                refused(format!("An aggregate over a protected table cannot be of {by}: it might single somebody out."))
                    .hint("Aggregate columns, products of two, sums of such, or CASE with conditions on many people.")
            })?;
            let found = found.parts;
            conditional += usize::from(!is_condition && found.iter().any(|part| part.is_condition));
            for Part { of, is_condition } in found {
                if is_condition {
                    for side in [of.clone(), of.is_not_true()] {
                        value.domains.push(self.of(Some(&both(filter, side)))?);
                    }
                    continue;
                }
                for (table, row) in self.seen.rows.iter().enumerate() {
                    let fewest = row.protection.fewest();
                    let filter = Some(both(filter, of.clone()));
                    value.parts.push((table, self.unseen.units(&row.person, Some(fewest), filter)));
                }
            }
        }
        match conditional > 1 {
            true => Err(refused("An aggregate of two conditional values might single somebody out.").into()),
            false => Ok(()),
        }
    }

    fn is_sensitive(&self, argument: &Expr) -> bool {
        argument.column_refs().into_iter().any(|column| {
            let known = self.seen.rows.iter().find_map(|row| Some((row, row.names.get(column)?)));
            known.is_none_or(|(row, name)| row.protection.is_sensitive(name))
        })
    }

    /// So many people have to have a value that on each side of the place there are enough of them.
    fn ranks(&mut self, share: f64, argument: Option<&Expr>, filter: Option<&Expr>) -> Vec<(usize, u64)> {
        let Some(argument) = argument else { return Vec::new() };
        let mut ranks = Vec::new();
        for row in &self.seen.rows {
            let side = share.min(1.0 - share);
            // Of no more than a million; the ends have no side.
            let wanted = (row.protection.fewest() as f64 / side).ceil().min(1e6) as u64;
            let has_value = Some(both(filter, argument.clone().is_not_null()));
            let wanted = if side > 0.0 { wanted } else { u64::MAX };
            ranks.push((self.unseen.units(&row.person, Some(wanted.min(1_000_000)), has_value), wanted));
        }
        ranks
    }

    /// How much each person adds to what is summed, by each column of its own, where a rule looks at it.
    fn contributions(&mut self, arguments: &[Expr], filter: Option<&Expr>) -> Result<Vec<(usize, usize)>> {
        let columns = arguments.iter().flat_map(Expr::column_refs).map(|column| Expr::Column(column.clone()));
        let whole = arguments.first().filter(|whole| !is_literal(whole)).cloned();
        let mut amounts: Vec<Expr> = Vec::new();
        for amount in whole.into_iter().chain(columns) {
            let is_number = amount.get_type(self.seen.plan.schema())?.is_numeric();
            if is_number && !amounts.contains(&amount) {
                amounts.push(amount);
            }
        }
        let mut found = Vec::new();
        for (at, row) in self.seen.rows.iter().enumerate().filter(|(_, row)| row.protection.limits_contributions()) {
            let wanted = row.protection.dominance.iter().map(|rule| rule.n).max().unwrap_or_default();
            for amount in &amounts {
                let arguments = vec![Expr::Column(row.person.clone()), cast(amount.clone(), DataType::Float64)];
                let largest = Contributions { largest: wanted.clamp(2, LARGEST) };
                found.push((at, self.unseen.add(step::call(largest, arguments, filter.cloned()))));
            }
        }
        Ok(found)
    }
}
