//! What stays here of a plan, and why: conditions, groups, first rows and joins over a database's table that it is not asked for.
//! The notes stand at the table's scan, for EXPLAIN and for receipts.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, TableScan};

use super::subplan::Subplan;
use super::table::RemoteTable;

/// The plan with notes at the first scan of a database's table in it.
pub(super) fn noted(plan: LogicalPlan, mut notes: Vec<String>) -> Result<Transformed<LogicalPlan>> {
    if notes.is_empty() {
        return Ok(Transformed::no(plan));
    }
    let noted = plan.transform_down(|node| match &node {
        LogicalPlan::TableScan(scan) => {
            let Some(table) = table(scan) else { return Ok(Transformed::no(node)) };
            let source = provider_as_source(Arc::new(table.with_notes(std::mem::take(&mut notes))));
            let scan = LogicalPlan::TableScan(TableScan { source, ..scan.clone() });
            Ok(Transformed::new(scan, true, TreeNodeRecursion::Stop))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(Transformed::yes(noted.data))
}

/// The plan with notes of the conditions and joins that stayed here. Groups and first rows are noted where they are not pushed.
pub(crate) fn note_kept(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let notes = match &node {
            LogicalPlan::Filter(filter) => of_conditions(filter),
            LogicalPlan::Join(join) => of_join(&node, join).into_iter().collect(),
            _ => Vec::new(),
        };
        noted(node, notes)
    })
    .data()
}

fn table(scan: &TableScan) -> Option<RemoteTable> {
    source_as_provider(&scan.source).ok()?.downcast_ref::<RemoteTable>().cloned()
}

fn of_conditions(filter: &Filter) -> Vec<String> {
    let Some(input) = Subplan::of(&filter.input) else { return Vec::new() };
    let is_known = |one: &Expr| input.written(one).is_some_and(|one| input.table.narrowed(&[one]).is_some());
    split_conjunction(&filter.predicate).into_iter().filter(|one| !is_known(one)).map(of_condition).collect()
}

fn of_condition(condition: &Expr) -> String {
    let mut reason = "compares what compares otherwise there".to_owned();
    let found = condition.apply(|part| {
        reason = match part {
            Expr::ScalarFunction(call) => format!("calls {}", call.name()),
            Expr::Cast(_) | Expr::TryCast(_) => "converts a value".to_owned(),
            Expr::BinaryExpr(binary) if binary.op.is_numerical_operators() => "calculates".to_owned(),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Ok(TreeNodeRecursion::Stop)
    });
    debug_assert!(found.is_ok(), "a walk that nothing stops");
    format!("condition {condition}, which {reason}")
}

fn of_join(plan: &LogicalPlan, join: &Join) -> Option<String> {
    let (left, right) = (Subplan::of(&join.left)?, Subplan::of(&join.right)?);
    if !left.table.is_beside(&right.table) {
        return None;
    }
    let reason = match Subplan::of(plan) {
        Some(_) => "of which more rows can come out than go into it",
        None => "whose keys compare otherwise there, or which has more than equal keys",
    };
    Some(format!("join, {reason}"))
}
