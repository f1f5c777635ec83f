//! The order of inner joins: those that leave few rows first.
//!
//! DataFusion joins in the order of FROM. This rule takes a tree of inner joins apart and joins greedily the two parts
//! that give the smallest result (Fegaras, "A new heuristic for optimizing large queries", DEXA 1998), going by rows
//! and ranges of values that the tables know of themselves. A tree stays as it is where a table knows nothing, or where
//! the new order would not be clearly better.

mod estimate;
mod selectivity;

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinConstraint, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, Join, LogicalPlan, Operator, Projection};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use estimate::Estimate;

/// More parts than this are left alone: people who join so many have an order in mind.
const MOST_PARTS: usize = 24;
/// The new order must cost less than this share of the old one.
const CLEARLY_BETTER: f64 = 0.9;

/// The rule.
#[derive(Debug)]
pub(crate) struct OrderJoins;

impl OptimizerRule for OrderJoins {
    fn name(&self) -> &str {
        "order_joins"
    }

    /// From below, so that what the rule has made is not given to it again.
    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !is_inner(&plan) {
            return Ok(Transformed::no(plan));
        }
        Ok(ordered(&plan)?.map_or_else(|| Transformed::no(plan), Transformed::yes))
    }
}

fn is_inner(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(join) if join.join_type == JoinType::Inner
        && join.null_equality == NullEquality::NullEqualsNothing)
}

fn ordered(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let mut tree = Tree::default();
    let Some(old_cost) = tree.take(plan) else { return Ok(None) };
    if !(3..=MOST_PARTS).contains(&tree.parts.len()) {
        return Ok(None);
    }
    let Some((joined, cost)) = tree.join_greedily()? else { return Ok(None) };
    if cost >= old_cost * CLEARLY_BETTER {
        return Ok(None);
    }
    let columns = plan.schema().columns().into_iter().map(Expr::Column).collect();
    Ok(Some(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(joined))?)))
}

/// A tree of inner joins, taken apart.
#[derive(Default)]
struct Tree {
    parts: Vec<Part>,
    predicates: Vec<Predicate>,
}

/// One input of the tree.
struct Part {
    plan: LogicalPlan,
    estimate: Estimate,
}

/// One condition over several parts.
struct Predicate {
    expression: Expr,
    /// The two sides that it wants equal, if that is all that it wants.
    equal: Option<[Expr; 2]>,
    columns: HashSet<Column>,
}

impl Tree {
    /// Takes a plan apart. The cost of its joins as they are, or None where nothing is known of a part.
    fn take(&mut self, plan: &LogicalPlan) -> Option<f64> {
        self.take_part(plan, &[]).map(|(_, cost)| cost)
    }

    /// Takes a part whose rows `filters` are applied to.
    fn take_part(&mut self, plan: &LogicalPlan, filters: &[&Expr]) -> Option<(Vec<usize>, f64)> {
        match plan {
            LogicalPlan::Join(join) if is_inner(plan) => {
                let (mut members, left_cost) = self.take_part(&join.left, &[])?;
                let (right, right_cost) = self.take_part(&join.right, &[])?;
                members.extend(right);
                for (left, right) in &join.on {
                    self.predicates.push(Predicate::new(left.clone().eq(right.clone())));
                }
                for part in join.filter.iter().flat_map(split_conjunction).chain(filters.iter().copied()) {
                    self.predicates.push(Predicate::new(part.clone()));
                }
                let rows = self.rows(&members);
                Some((members, left_cost + right_cost + rows))
            }
            LogicalPlan::Filter(filter) if is_inner(&filter.input) => {
                let filters = split_conjunction(&filter.predicate);
                if filters.iter().any(|part| part.exists_subquery()) {
                    return None;
                }
                self.take_part(&filter.input, &filters)
            }
            // It only leaves columns out, which the projection on top does as well.
            LogicalPlan::Projection(projection)
                if is_inner(&projection.input)
                    && projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) =>
            {
                self.take_part(&projection.input, filters)
            }
            plan => {
                self.parts.push(Part { plan: plan.clone(), estimate: Estimate::of(plan)? });
                Some((vec![self.parts.len() - 1], 0.0))
            }
        }
    }

    /// Rows of the join of some parts, under all predicates among them.
    fn rows(&self, members: &[usize]) -> f64 {
        let mut rows: f64 = members.iter().map(|member| self.parts[*member].estimate.rows).product();
        let mut pairs: Vec<([usize; 2], Vec<[f64; 2]>)> = Vec::new();
        for predicate in &self.predicates {
            let Some(owners) = self.owners(predicate).filter(|owners| owners.iter().all(|at| members.contains(at)))
            else {
                continue;
            };
            match (&predicate.equal, owners.as_slice()) {
                (Some([a, b]), &[first, second]) => {
                    let is_straight = self.parts[first].estimate.has_all(a);
                    let (a, b) = if is_straight { (a, b) } else { (b, a) };
                    let values = [self.parts[first].estimate.distinct(a), self.parts[second].estimate.distinct(b)];
                    match pairs.iter_mut().find(|(pair, _)| *pair == [first, second]) {
                        Some((_, keys)) => keys.push(values),
                        None => pairs.push(([first, second], vec![values])),
                    }
                }
                _ => rows *= selectivity::OF_ANYTHING,
            }
        }
        for ([first, second], keys) in pairs {
            rows /= match keys.as_slice() {
                [[a, b]] => a.max(*b),
                // Keys of several columns have no more values than their table has rows.
                keys => {
                    let values = |side: usize, part: usize| {
                        let product: f64 = keys.iter().map(|key| key[side]).product();
                        product.min(self.parts[part].estimate.base_rows)
                    };
                    values(0, first).min(values(1, second))
                }
            }
            .max(1.0);
        }
        rows.max(1.0)
    }

    /// The parts that a predicate speaks of, in order. None where one of its columns is in no part.
    fn owners(&self, predicate: &Predicate) -> Option<Vec<usize>> {
        let mut owners = Vec::new();
        for column in &predicate.columns {
            let owner = self.parts.iter().position(|part| part.estimate.has(column))?;
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        owners.sort_unstable();
        Some(owners)
    }

    /// Joins the two groups with the smallest result, until one is left. The plan and its cost.
    fn join_greedily(&self) -> Result<Option<(LogicalPlan, f64)>> {
        let mut groups: Vec<Group> = self
            .parts
            .iter()
            .enumerate()
            .map(|(at, part)| Group { members: vec![at], plan: part.plan.clone(), rows: part.estimate.rows })
            .collect();
        let mut owners = Vec::with_capacity(self.predicates.len());
        for predicate in &self.predicates {
            match self.owners(predicate) {
                Some(of) => owners.push(of),
                None => return Ok(None),
            }
        }
        let mut used = vec![false; self.predicates.len()];
        let mut cost = 0.0;
        while groups.len() > 1 {
            let Some((left, right, rows)) = self.next_pair(&groups, &owners) else { return Ok(None) };
            let second = groups.swap_remove(left.max(right));
            let first = groups.swap_remove(left.min(right));
            cost += rows;
            groups.push(self.joined(first, second, rows, &owners, &mut used)?);
        }
        // A predicate over one part alone would be lost.
        if used.contains(&false) {
            return Ok(None);
        }
        Ok(groups.pop().map(|group| (group.plan, cost)))
    }

    /// The pair with the smallest result among those that a predicate connects, else among all.
    fn next_pair(&self, groups: &[Group], owners: &[Vec<usize>]) -> Option<(usize, usize, f64)> {
        let mut best: Option<(bool, f64, f64, usize, usize)> = None;
        for left in 0..groups.len() {
            for right in left + 1..groups.len() {
                let (a, b) = (&groups[left], &groups[right]);
                let is_crossed = !owners.iter().any(|owners| {
                    owners.iter().any(|at| a.members.contains(at))
                        && owners.iter().any(|at| b.members.contains(at))
                        && owners.iter().all(|at| a.members.contains(at) || b.members.contains(at))
                });
                let members: Vec<usize> = a.members.iter().chain(&b.members).copied().collect();
                let candidate = (is_crossed, self.rows(&members), a.rows + b.rows, left, right);
                if best.is_none_or(|best| (candidate.0, candidate.1, candidate.2) < (best.0, best.1, best.2)) {
                    best = Some(candidate);
                }
            }
        }
        best.map(|(_, rows, _, left, right)| (left, right, rows))
    }

    fn joined(
        &self,
        first: Group,
        second: Group,
        rows: f64,
        owners: &[Vec<usize>],
        used: &mut [bool],
    ) -> Result<Group> {
        // The smaller side is built, the larger one streams past it.
        let (build, probe) = if first.rows <= second.rows { (first, second) } else { (second, first) };
        let mut members = build.members.clone();
        members.extend(&probe.members);
        let (mut on, mut rest) = (Vec::new(), Vec::new());
        for ((predicate, owners), used) in self.predicates.iter().zip(owners).zip(used) {
            if *used || !owners.iter().all(|at| members.contains(at)) {
                continue;
            }
            *used = true;
            let has = |group: &Group, side: &Expr| {
                let mut columns = side.column_refs().into_iter();
                columns.all(|column| group.members.iter().any(|at| self.parts[*at].estimate.has(column)))
            };
            match &predicate.equal {
                Some([a, b]) if has(&build, a) && has(&probe, b) => on.push((a.clone(), b.clone())),
                Some([a, b]) if has(&build, b) && has(&probe, a) => on.push((b.clone(), a.clone())),
                _ => rest.push(predicate.expression.clone()),
            }
        }
        let join = |filter| {
            Join::try_new(
                Arc::new(build.plan.clone()),
                Arc::new(probe.plan.clone()),
                on.clone(),
                filter,
                JoinType::Inner,
                JoinConstraint::On,
                NullEquality::NullEqualsNothing,
                false,
            )
        };
        let plan = match conjunction(rest) {
            Some(rest) if on.is_empty() => {
                LogicalPlan::Filter(Filter::try_new(rest, Arc::new(LogicalPlan::Join(join(None)?)))?)
            }
            rest => LogicalPlan::Join(join(rest)?),
        };
        Ok(Group { members, plan, rows })
    }
}

/// Parts that are joined already.
struct Group {
    members: Vec<usize>,
    plan: LogicalPlan,
    rows: f64,
}

impl Predicate {
    fn new(expression: Expr) -> Self {
        let equal = match &expression {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                if !left.column_refs().is_empty() && !right.column_refs().is_empty() =>
            {
                Some([left.as_ref().clone(), right.as_ref().clone()])
            }
            _ => None,
        };
        let columns = expression.column_refs().into_iter().cloned().collect();
        Self { expression, equal, columns }
    }
}

/// Whether an expression holds a query of its own.
trait HoldsSubquery {
    fn exists_subquery(&self) -> bool;
}

impl HoldsSubquery for Expr {
    fn exists_subquery(&self) -> bool {
        use datafusion::common::tree_node::TreeNode;
        let is_subquery =
            |expr: &Expr| Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)));
        self.exists(is_subquery).unwrap_or(true)
    }
}
