//! The plan of survey functions: an aggregate with them becomes levels of plain ones, from rows to PSUs to strata to estimates.
//!
//! ```text
//! SELECT k, svy_mean(x) FROM t GROUP BY k
//! SELECT k, svy_estimate(s, psus) FROM
//!   (SELECT k, h, svy_stratum(p) AS s FROM (SELECT k, h, c, svy_psu(x, w) AS p FROM t GROUP BY k, h, c) GROUP BY k, h)
//!   LEFT JOIN (SELECT h, count(*) AS psus FROM (SELECT DISTINCT h, c FROM frame) GROUP BY h) USING (h)
//!   GROUP BY k
//! ```
//!
//! A filter is a domain: it leaves rows out below, and the frame keeps counting the PSUs of the whole design. Aggregates next to
//! them that can be taken in steps go through all levels; others are taken apart, and joined by the keys.

mod frame;
mod levels;
mod per_unit;
mod points;
mod quantile;
mod spread;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, cast, ident, lit};

use super::design::{Design, Read};
use super::function::{Call, Survey};
use super::notices::Notices;
use crate::merging::merged_by;
use crate::{Code, Error};
use levels::Levels;

/// The plan with every survey function taken apart, in subqueries too. Names, types and nullability of its columns stay.
///
/// # Errors
/// What is wrong with a design or a call.
pub(crate) fn rewrite(
    plan: LogicalPlan,
    reads: &[Read],
    is_restricted: bool,
    notices: &Arc<Notices>,
) -> Result<LogicalPlan> {
    if !mentions_survey(&plan)? {
        return Ok(plan);
    }
    if is_restricted {
        notices.restrict();
    }
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let node = node.recompute_schema()?;
        match node {
            LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(|call| survey_call(call).is_some()) => {
                Ok(Transformed::yes(taken_apart(&aggregate, reads, notices)?))
            }
            node => Ok(Transformed::no(node)),
        }
    })?;
    if mentions_survey(&rewritten.data)? {
        return Err(misplaced().into());
    }
    Ok(rewritten.data)
}

fn mentions_survey(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(is_survey(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn is_survey(expr: &Expr) -> bool {
    match expr {
        Expr::AggregateFunction(call) => call.func.inner().is::<Survey>(),
        Expr::WindowFunction(call) => super::is_survey_function(call.fun.name()),
        _ => false,
    }
}

fn aggregate_call(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => aggregate_call(&alias.expr),
        Expr::AggregateFunction(call) => Some(call),
        _ => None,
    }
}

fn survey_call(expr: &Expr) -> Option<(&AggregateFunction, &Survey)> {
    let call = aggregate_call(expr)?;
    Some((call, call.func.inner().downcast_ref::<Survey>()?))
}

/// The error of a survey function anywhere but as an aggregate of a SELECT.
pub(super) fn misplaced() -> Error {
    Error::new(
        Code::UnsupportedSql,
        "Survey functions (svy_..) have no window form, and each must be an aggregate of its own in a SELECT.",
    )
    .hint("Compute it with GROUP BY in a subquery, and filter, join or window its result.")
}

/// An aggregate as one or several plans with the same keys, joined.
fn taken_apart(aggregate: &Aggregate, reads: &[Read], notices: &Arc<Notices>) -> Result<LogicalPlan> {
    let keys: Vec<Expr> = aggregate.group_expr.iter().map(|key| key.clone().unalias()).collect();
    let mut levels: Vec<Levels> = Vec::new();
    let mut two_passes = Vec::new();
    let mut plain = Vec::new();
    // Calls that ask for what another one does, in other words.
    let mut known: Vec<(usize, Call)> = Vec::new();
    let mut again = Vec::new();
    for (at, expr) in aggregate.aggr_expr.iter().enumerate() {
        match (survey_call(expr), aggregate_call(expr)) {
            (Some((call, survey)), _) => {
                let call = Call::of(call, survey, &aggregate.input, reads)?;
                notices.weigh(&call.design.weight);
                if call.design.ignores_replicates {
                    notices.without_replicates();
                }
                if let Some((first, _)) = known.iter().find(|(_, known)| known.is_same(&call)) {
                    again.push((at, *first));
                    continue;
                }
                known.push((at, call.clone()));
                if call.needs_two_passes() {
                    two_passes.push((at, call));
                    continue;
                }
                match levels.iter_mut().find(|known| known.takes(&call)) {
                    Some(known) => known.add(at, call),
                    None => levels.push(Levels::of(at, call)),
                }
            }
            (None, Some(call)) => plain.push((at, call)),
            (None, None) => return Err(misplaced().into()),
        }
    }
    let has_levels = !levels.is_empty();
    let is_merged = |(_, call): &(usize, &AggregateFunction)| has_levels && merged_by(call).is_some();
    let (merged, apart): (Vec<_>, Vec<_>) = plain.into_iter().partition(is_merged);
    if let Some(first) = levels.first_mut() {
        first.merge(&merged);
    }
    let mut joined: Option<LogicalPlan> = None;
    let pieces = levels.iter().map(|levels| levels.plan(&aggregate.input, &keys, reads, notices));
    let two_passes = two_passes.iter().map(|(at, call)| match call.probability {
        Some(probability) => quantile::plan(*at, call, probability, &aggregate.input, &keys, reads, notices),
        None if call.estimator.is_per_unit() => per_unit::plan(*at, call, &aggregate.input, &keys, reads, notices),
        None => spread::plan(*at, call, &aggregate.input, &keys, reads, notices),
    });
    let apart = (!apart.is_empty()).then(|| plain_piece(aggregate, &keys, &apart));
    for (piece, plan) in pieces.chain(two_passes).chain(apart).enumerate() {
        let plan = with_keys(plan?, keys.len(), piece)?;
        joined = Some(match joined {
            None => plan,
            Some(others) => join(others, plan, keys.len(), piece)?,
        });
    }
    let mut joined = joined.ok_or_else(misplaced)?;
    if !again.is_empty() {
        let columns = joined.schema().columns().into_iter().map(Expr::Column);
        let again = again.into_iter().map(|(at, first)| ident(value(first)).alias(value(at)));
        joined = LogicalPlanBuilder::from(joined.clone()).project(columns.chain(again))?.build()?;
    }
    as_declared(joined, aggregate, keys.len())
}

/// The name of a key, and of the value of an aggregate, in every piece.
fn key(at: usize) -> String {
    format!("svy_key_{at}")
}

fn value(at: usize) -> String {
    format!("svy_value_{at}")
}

/// The name of a key in one piece of several.
fn key_of(piece: usize, at: usize) -> String {
    format!("svy_key_{at}_{piece}")
}

/// The aggregates that cannot be taken in steps.
fn plain_piece(aggregate: &Aggregate, keys: &[Expr], calls: &[(usize, &AggregateFunction)]) -> Result<LogicalPlan> {
    let keys = keys.iter().enumerate().map(|(at, expr)| expr.clone().alias(key(at))).collect();
    let calls = calls.iter().map(|(at, call)| Expr::AggregateFunction((*call).clone()).alias(value(*at)));
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(&aggregate.input), keys, calls.collect())?))
}

/// A piece, its keys named as its own.
fn with_keys(plan: LogicalPlan, keys: usize, piece: usize) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .map(|column| {
            let name = (0..keys).find(|at| column.name == key(*at)).map(|at| key_of(piece, at));
            match name {
                Some(name) => Expr::Column(column).alias(name),
                None => Expr::Column(column),
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn join(left: LogicalPlan, right: LogicalPlan, keys: usize, piece: usize) -> Result<LogicalPlan> {
    let builder = LogicalPlanBuilder::from(left);
    if keys == 0 {
        return builder.cross_join(right)?.build();
    }
    let of = |piece: usize| (0..keys).map(|at| Column::from_name(key_of(piece, at))).collect::<Vec<_>>();
    builder.join_detailed(right, JoinType::Inner, (of(0), of(piece)), None, NullEquality::NullEqualsNull)?.build()
}

/// The columns as the aggregate had them.
fn as_declared(plan: LogicalPlan, aggregate: &Aggregate, keys: usize) -> Result<LogicalPlan> {
    let mut columns = Vec::with_capacity(aggregate.schema.fields().len());
    for (at, (qualifier, field)) in aggregate.schema.iter().enumerate() {
        let column = match at.checked_sub(keys) {
            None => ident(key_of(0, at)),
            Some(at) => {
                let column = Column::from_name(value(at));
                let is_as_declared =
                    plan.schema().qualified_field_from_column(&column)?.1.data_type() == field.data_type();
                let column = Expr::Column(column);
                let column = if is_as_declared { column } else { cast(column, field.data_type().clone()) };
                match aggregate.aggr_expr.get(at).and_then(aggregate_call) {
                    // A count of no rows is 0, though none came up to say so.
                    Some(call) if !field.is_nullable() => {
                        coalesce(vec![column, lit(call.func.default_value(field.data_type())?)])
                    }
                    _ => column,
                }
            }
        };
        columns.push(column.alias_qualified(qualifier.cloned(), field.name()));
    }
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Whether two calls share their levels.
fn share_levels(one: &Call, other: &Call) -> bool {
    let design = |call: &Call| -> (Design, bool) { (call.design.clone(), call.is_distinct) };
    design(one) == design(other)
}
