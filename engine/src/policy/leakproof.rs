//! The rule that lets harmless predicates through a barrier.
//!
//! A predicate is leak-proof when evaluating it on a hidden row can neither fail nor show anything: a column that is
//! not masked, compared with a literal, and AND, OR, NOT of such. Casts, arithmetic and functions never pass.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::PolicyBarrier;

/// Moves leak-proof predicates from above a barrier to below it.
#[derive(Debug)]
pub(crate) struct PushLeakproofFilters;

impl OptimizerRule for PushLeakproofFilters {
    fn name(&self) -> &str {
        "push_leakproof_filters"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::Extension(extension) = filter.input.as_ref() else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let Some(barrier) = extension.node.as_any().downcast_ref::<PolicyBarrier>() else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let (below, above): (Vec<Expr>, Vec<Expr>) = split_conjunction_owned(filter.predicate.clone())
            .into_iter()
            .partition(|predicate| is_leakproof(predicate, barrier.masked()));
        let Some(below) = conjunction(below) else { return Ok(Transformed::no(LogicalPlan::Filter(filter))) };
        let input = LogicalPlan::Filter(Filter::try_new(below, Arc::new(barrier.input().clone()))?);
        let plan = barrier.with_input(input);
        Ok(Transformed::yes(match conjunction(above) {
            Some(above) => LogicalPlan::Filter(Filter::try_new(above, Arc::new(plan))?),
            None => plan,
        }))
    }
}

fn is_leakproof(predicate: &Expr, masked: &BTreeSet<String>) -> bool {
    let is_column = |expr: &Expr| matches!(expr, Expr::Column(column) if !masked.contains(&column.name));
    let is_literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
    match predicate {
        Expr::Column(_) => is_column(predicate),
        Expr::Not(inner) => is_leakproof(inner, masked),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => is_column(inner),
        Expr::IsTrue(inner) | Expr::IsFalse(inner) | Expr::IsNotTrue(inner) | Expr::IsNotFalse(inner) => {
            is_leakproof(inner, masked)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            is_leakproof(left, masked) && is_leakproof(right, masked)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.supports_propagation() => {
            (is_column(left) && is_literal(right)) || (is_literal(left) && is_column(right))
        }
        Expr::Between(between) => is_column(&between.expr) && is_literal(&between.low) && is_literal(&between.high),
        Expr::InList(InList { expr, list, .. }) => is_column(expr) && list.iter().all(is_literal),
        Expr::Like(like) => is_column(&like.expr) && is_literal(&like.pattern),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{cast, col, lit};

    use super::*;

    #[test]
    fn a_column_compared_with_literals_is_leakproof() {
        let masked = BTreeSet::from(["salary".to_owned()]);
        for predicate in [
            col("id").eq(lit(1)),
            lit(1).lt_eq(col("id")),
            col("id").in_list(vec![lit(1), lit(2)], false),
            col("id").between(lit(1), lit(2)).and(col("city").like(lit("P%"))),
            col("city").is_null().or(Expr::Not(Box::new(col("is_open")))),
        ] {
            assert!(is_leakproof(&predicate, &masked), "{predicate}");
        }
    }

    #[test]
    fn what_can_fail_or_shows_a_masked_value_is_not_leakproof() {
        let masked = BTreeSet::from(["salary".to_owned()]);
        for predicate in [
            (lit(1) / (col("id") - lit(4))).gt(lit(0)),
            (col("id") + lit(1)).eq(lit(4)),
            cast(col("city"), arrow::datatypes::DataType::Int64).eq(lit(1)),
            col("salary").gt(lit(1)),
            col("id").eq(col("age")),
            col("id").eq(lit(1)).or(col("salary").is_null()),
            col("id").in_list(vec![lit(1), col("age")], false),
        ] {
            assert!(!is_leakproof(&predicate, &masked), "{predicate}");
        }
    }
}
