//! GROUPING SETS, ROLLUP and CUBE over functions that are taken apart: one aggregate for each set, and their union.

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, GroupingSet};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};

use crate::{Code, Error, reach, survey};

/// Each set reads the rows anew.
const MOST_SETS: usize = 256;

/// The plan with such aggregates as unions. Names, types and nullability of its columns stay.
///
/// # Errors
/// Those of building a plan.
pub(crate) fn expand(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Aggregate(aggregate) if sets_to_expand(aggregate).is_some());
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !found {
        return Ok(plan);
    }
    let expanded = plan.transform_up_with_subqueries(|node| {
        let node = node.recompute_schema()?;
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        match sets_to_expand(aggregate) {
            Some(sets) => Ok(Transformed::yes(union(aggregate, sets)?)),
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(expanded.data)
}

fn sets_to_expand(aggregate: &Aggregate) -> Option<&GroupingSet> {
    let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() else { return None };
    let is_taken_apart = |name: &str| name == reach::NAME || survey::is_survey_function(name);
    let is_any = aggregate.aggr_expr.iter().filter_map(call).any(|call| is_taken_apart(call.func.name()));
    is_any.then_some(sets)
}

fn call(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => call(&alias.expr),
        Expr::AggregateFunction(function) => Some(function),
        _ => None,
    }
}

/// The sets, each with its keys.
fn listed(sets: &GroupingSet) -> Vec<Vec<Expr>> {
    match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(keys) => (0..=keys.len()).rev().map(|length| keys[..length].to_vec()).collect(),
        GroupingSet::Cube(keys) => {
            let is_in = |set: usize, at: usize| set >> at & 1 == 1;
            let keys_of = |set: usize| {
                keys.iter().enumerate().filter(|(at, _)| is_in(set, *at)).map(|(_, key)| key.clone()).collect()
            };
            (0..1_usize << keys.len()).rev().map(keys_of).collect()
        }
    }
}

/// How many sets there are, where they can be counted.
fn count(sets: &GroupingSet) -> Option<usize> {
    match sets {
        GroupingSet::GroupingSets(sets) => Some(sets.len()),
        GroupingSet::Rollup(keys) => Some(keys.len() + 1),
        GroupingSet::Cube(keys) => 1_usize.checked_shl(u32::try_from(keys.len()).ok()?),
    }
}

fn union(aggregate: &Aggregate, sets: &GroupingSet) -> Result<LogicalPlan> {
    if count(sets).is_none_or(|count| count > MOST_SETS) {
        let message = format!("Functions that weigh people are made for at most {MOST_SETS} grouping sets.");
        return Err(Error::new(Code::UnsupportedSql, message)
            .hint("Name the sets: GROUP BY GROUPING SETS (..).")
            .into());
    }
    let all: Vec<Expr> = sets.distinct_expr().into_iter().cloned().collect();
    let (key, value) = (|at: usize| format!("set_key_{at}"), |at: usize| format!("set_value_{at}"));
    let mut united: Option<LogicalPlanBuilder> = None;
    for set in listed(sets) {
        let places: Vec<bool> = all.iter().map(|key| set.contains(key)).collect();
        let keys = all.iter().enumerate().filter(|(at, _)| places[*at]).map(|(at, expr)| expr.clone().alias(key(at)));
        let calls = aggregate.aggr_expr.iter().enumerate().filter(|(_, expr)| grouping(expr).is_none());
        let calls = calls.map(|(at, expr)| expr.clone().unalias().alias(value(at)));
        let grouped = Aggregate::try_new(aggregate.input.clone(), keys.collect(), calls.collect())?;
        let mut columns = Vec::with_capacity(all.len() + aggregate.aggr_expr.len());
        for (at, is_key) in places.iter().enumerate() {
            let column = if *is_key {
                ident(key(at))
            } else {
                lit(ScalarValue::try_from(aggregate.schema.field(at).data_type())?).alias(key(at))
            };
            columns.push(column);
        }
        for (at, expr) in aggregate.aggr_expr.iter().enumerate() {
            columns.push(match grouping(expr) {
                Some(arguments) => lit(bits(arguments, &set)).alias(value(at)),
                None => ident(value(at)),
            });
        }
        let part = LogicalPlanBuilder::from(LogicalPlan::Aggregate(grouped)).project(columns)?;
        united = Some(match united {
            None => part,
            Some(others) => others.union(part.build()?)?,
        });
    }
    let Some(united) = united else { return Ok(LogicalPlan::Aggregate(aggregate.clone())) };
    let fields = aggregate.schema.iter();
    let declared = fields.filter(|(_, field)| field.name() != Aggregate::INTERNAL_GROUPING_ID);
    let names = (0..all.len()).map(key).chain((0..aggregate.aggr_expr.len()).map(value));
    let columns: Vec<Expr> = declared
        .zip(names)
        .map(|((qualifier, field), name)| ident(name).alias_qualified(qualifier.cloned(), field.name()))
        .collect();
    united.project(columns)?.build()
}

/// The arguments of `grouping(..)`.
fn grouping(expr: &Expr) -> Option<&[Expr]> {
    call(expr).filter(|call| call.func.name() == "grouping").map(|call| call.params.args.as_slice())
}

/// A bit for each argument, the last one lowest: whether the set leaves it out.
fn bits(arguments: &[Expr], set: &[Expr]) -> i32 {
    arguments.iter().fold(0, |bits, argument| bits << 1 | i32::from(!set.contains(argument)))
}
