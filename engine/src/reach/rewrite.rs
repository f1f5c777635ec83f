//! The plan of `reach`: an aggregate with `reach(unit, w)` becomes two, first per unit, then per group.
//!
//! ```text
//! SELECT k, reach(u, w) FROM t GROUP BY k
//! SELECT k, weighted_count(rw) FROM (SELECT k, u, reach_unit_weight(w) FILTER (WHERE u IS NOT NULL) AS rw FROM t GROUP BY k, u)
//!   GROUP BY k
//! ```
//!
//! Aggregates next to it that can be taken in two steps go through both levels. With others, or with several units, each
//! row is copied once per unit and once for the others, and the first level also groups by the copy: the input is still
//! read once, and each aggregate still sees each row once.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, cast, ident, lit, when,
};

use super::unit_weight::function as unit_weight_of;
use super::{NAME, misplaced};
use crate::grouping;
use crate::merging::merged_by;
use crate::weighted::weighted_count;
use crate::{Code, Error};

/// The column that numbers the copies of a row.
const COPY: &str = "reach_copy";
/// The copy that aggregates other than `reach` see.
const COPY_OF_OTHERS: i64 = 0;

/// The plan with every `reach` taken apart, in subqueries too. Names, types and nullability of its columns stay.
///
/// # Errors
/// `unsupported_sql` where `reach` stands as a window function or has DISTINCT.
pub(crate) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !mentions_reach(&plan)? {
        return Ok(plan);
    }
    let rewritten = plan.transform_up_with_subqueries(|node| {
        // Parents learn the new plan of their children; columns stay as they are.
        let node = node.recompute_schema()?;
        match node {
            LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(|call| reach_call(call).is_some()) => {
                Ok(Transformed::yes(TwoLevels::of(&aggregate)?.plan(&aggregate)?))
            }
            node => Ok(Transformed::no(node)),
        }
    })?;
    if mentions_reach(&rewritten.data)? {
        return Err(misplaced().into());
    }
    Ok(rewritten.data)
}

fn mentions_reach(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(is_reach(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn is_reach(expr: &Expr) -> bool {
    match expr {
        Expr::AggregateFunction(call) => call.func.name() == NAME,
        Expr::WindowFunction(call) => call.fun.name() == NAME,
        _ => false,
    }
}

fn reach_call(expr: &Expr) -> Option<&AggregateFunction> {
    aggregate_call(expr).filter(|call| call.func.name() == NAME)
}

fn aggregate_call(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => aggregate_call(&alias.expr),
        Expr::AggregateFunction(call) => Some(call),
        _ => None,
    }
}

/// One aggregate of the SELECT, on both levels.
enum Part<'a> {
    /// The sum over units, and which of the units.
    Reach { call: &'a AggregateFunction, unit: usize },
    /// Any other.
    Other { call: &'a AggregateFunction, merged_by: Option<Arc<AggregateUDF>> },
}

struct TwoLevels<'a> {
    parts: Vec<Part<'a>>,
    /// The different units.
    units: Vec<&'a Expr>,
    /// Whether rows are copied, since not all aggregates can share one first level.
    copied: bool,
}

impl<'a> TwoLevels<'a> {
    fn of(aggregate: &'a Aggregate) -> Result<Self> {
        let mut units: Vec<&Expr> = Vec::new();
        let mut parts = Vec::with_capacity(aggregate.aggr_expr.len());
        for expr in &aggregate.aggr_expr {
            parts.push(match (reach_call(expr), aggregate_call(expr)) {
                (Some(call), _) => {
                    let (unit, _) = arguments(call)?;
                    let at = units.iter().position(|known| *known == unit).unwrap_or_else(|| {
                        units.push(unit);
                        units.len() - 1
                    });
                    Part::Reach { call, unit: at }
                }
                (None, Some(call)) => Part::Other { call, merged_by: merged_by(call) },
                (None, None) => return Err(misplaced().into()),
            });
        }
        let one_step = |part: &Part| matches!(part, Part::Other { merged_by: None, .. });
        let copied = units.len() > 1 || parts.iter().any(one_step);
        Ok(Self { parts, units, copied })
    }

    fn plan(&self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let keys = aggregate.group_expr.len();
        let key = |at: usize| format!("reach_key_{at}");
        let part = |at: usize| format!("reach_part_{at}");

        let mut first_keys: Vec<Expr> =
            aggregate.group_expr.iter().enumerate().map(|(at, expr)| expr.clone().unalias().alias(key(at))).collect();
        first_keys.extend(self.copied.then(|| ident(COPY)));
        for (at, unit) in self.units.iter().enumerate() {
            let unit = match self.is_copy(copy_of_unit(at)) {
                Some(is_copy) => when(is_copy, (*unit).clone()).end()?,
                None => (*unit).clone(),
            };
            // Copies of a row that are of no unit would all go to one partition.
            let prefix = if self.copied { "reach_" } else { grouping::UNIT };
            first_keys.push(unit.alias(format!("{prefix}{at}")));
        }
        let first_parts = self.parts.iter().enumerate().map(|(at, this)| Ok(self.first_level(this)?.alias(part(at))));
        let first = Aggregate::try_new(self.source(aggregate)?, first_keys, first_parts.collect::<Result<_>>()?)?;

        let second_keys: Vec<Expr> = (0..keys).map(|at| ident(key(at))).collect();
        let second_parts =
            self.parts.iter().enumerate().map(|(at, this)| self.second_level(this, ident(part(at))).alias(part(at)));
        let second = Aggregate::try_new(Arc::new(LogicalPlan::Aggregate(first)), second_keys, second_parts.collect())?;
        let second = LogicalPlan::Aggregate(second);

        let mut columns = Vec::with_capacity(aggregate.schema.fields().len());
        for at in 0..aggregate.schema.fields().len() {
            let (qualifier, field) = aggregate.schema.qualified_field(at);
            let column = match at.checked_sub(keys).and_then(|at| self.parts.get(at).map(|this| (at, this))) {
                None => ident(key(at)),
                Some((at, this)) => {
                    let column = Column::from_name(part(at));
                    let is_as_declared =
                        second.schema().qualified_field_from_column(&column)?.1.data_type() == field.data_type();
                    let column = Expr::Column(column);
                    let column = if is_as_declared { column } else { cast(column, field.data_type().clone()) };
                    this.or_value_of_nothing(column, field.is_nullable(), field.data_type())?
                }
            };
            columns.push(column.alias_qualified(qualifier.cloned(), field.name()));
        }
        LogicalPlanBuilder::from(second).project(columns)?.build()
    }

    /// The input, each row once per copy.
    fn source(&self, aggregate: &Aggregate) -> Result<Arc<LogicalPlan>> {
        if !self.copied {
            return Ok(Arc::clone(&aggregate.input));
        }
        let has_others = self.parts.iter().any(|part| matches!(part, Part::Other { .. }));
        let copies = has_others.then_some(COPY_OF_OTHERS).into_iter().chain((0..self.units.len()).map(copy_of_unit));
        let copied = LogicalPlanBuilder::values(copies.map(|copy| vec![lit(copy)]).collect())?
            .project([ident("column1").alias(COPY)])?
            .cross_join(aggregate.input.as_ref().clone())?
            .build()?;
        Ok(Arc::new(copied))
    }

    /// Whether a row is of this copy, where there are copies.
    fn is_copy(&self, copy: i64) -> Option<Expr> {
        self.copied.then(|| ident(COPY).eq(lit(copy)))
    }

    fn first_level(&self, part: &Part) -> Result<Expr> {
        let (call, conditions) = match part {
            Part::Reach { call, unit } => {
                let (unit_expr, weight) = arguments(call)?;
                let mut first = (*call).clone();
                first.func = unit_weight_of();
                first.params.args = vec![weight.clone()];
                first.params.order_by.clear();
                let known = unit_expr.clone().is_not_null();
                (first, [self.is_copy(copy_of_unit(*unit)), Some(known)])
            }
            Part::Other { call, .. } => ((*call).clone(), [self.is_copy(COPY_OF_OTHERS), None]),
        };
        let mut call = call;
        let filter = call.params.filter.take().map(|filter| *filter);
        call.params.filter = conditions.into_iter().flatten().chain(filter).reduce(Expr::and).map(Box::new);
        Ok(Expr::AggregateFunction(call))
    }

    fn second_level(&self, part: &Part, value: Expr) -> Expr {
        let (func, filter) = match part {
            Part::Reach { .. } => (weighted_count(), None),
            Part::Other { merged_by: Some(func), .. } if !self.copied => (Arc::clone(func), None),
            // The others' copy is one row per group, and holds their values.
            Part::Other { .. } => (first_value_udaf(), self.is_copy(COPY_OF_OTHERS).map(Box::new)),
        };
        Expr::AggregateFunction(AggregateFunction::new_udf(func, vec![value], false, filter, vec![], None))
    }
}

impl Part<'_> {
    /// A count over no rows at all is 0, though no row came up from the first level to say so.
    fn or_value_of_nothing(
        &self,
        column: Expr,
        is_nullable: bool,
        data_type: &arrow::datatypes::DataType,
    ) -> Result<Expr> {
        match self {
            Part::Other { call, .. } if !is_nullable => {
                Ok(coalesce(vec![column, lit(call.func.default_value(data_type)?)]))
            }
            _ => Ok(column),
        }
    }
}

fn copy_of_unit(unit: usize) -> i64 {
    i64::try_from(unit).map_or(i64::MAX, |unit| unit.saturating_add(COPY_OF_OTHERS + 1))
}

/// The unit and the weight.
fn arguments(call: &AggregateFunction) -> Result<(&Expr, &Expr), Error> {
    if call.params.distinct {
        return Err(Error::new(Code::UnsupportedSql, "reach(unit, w) counts each unit once and takes no DISTINCT."));
    }
    match call.params.args.as_slice() {
        [unit, weight] => Ok((unit, weight)),
        _ => Err(misplaced()),
    }
}
