//! Conditions on a recoded column, as conditions on the codes that are stored: `class = 'A'` becomes `class IN ('A', 'A1')`,
//! which files and databases can answer. Whatever else is asked of it is computed here.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator, TableScan, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::recode::Recode;

/// Rewrites the conditions of filters and scans. The next pass moves them on to the source.
#[derive(Debug)]
pub(crate) struct DecodeFilters;

impl OptimizerRule for DecodeFilters {
    fn name(&self) -> &str {
        "decode_filters"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter) => {
                let conditions = decoded_all(split_conjunction_owned(filter.predicate.clone()));
                match conditions.transformed.then(|| conjunction(conditions.data)).flatten() {
                    Some(predicate) => {
                        let filter = Filter::try_new(predicate, Arc::clone(&filter.input))?;
                        Ok(Transformed::yes(LogicalPlan::Filter(filter)))
                    }
                    None => Ok(Transformed::no(LogicalPlan::Filter(filter))),
                }
            }
            LogicalPlan::TableScan(scan) => {
                let conditions = decoded_all(scan.filters.clone());
                Ok(conditions.update_data(|filters| LogicalPlan::TableScan(TableScan { filters, ..scan })))
            }
            plan => Ok(Transformed::no(plan)),
        }
    }
}

fn decoded_all(conditions: Vec<Expr>) -> Transformed<Vec<Expr>> {
    let mut is_other = false;
    let decoded = conditions.into_iter().map(|condition| match decoded(&condition) {
        Some(decoded) => {
            is_other = true;
            decoded
        }
        None => condition,
    });
    let decoded = decoded.collect();
    Transformed::new_transformed(decoded, is_other)
}

/// A condition that holds for the same rows, where it need not be NULL for the same rows. None where it stays.
fn decoded(condition: &Expr) -> Option<Expr> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let sides = (decoded(left), decoded(right));
            if let (None, None) = sides {
                return None;
            }
            let [left, right] = [(sides.0, left), (sides.1, right)]
                .map(|(decoded, side)| Box::new(decoded.unwrap_or_else(|| *side.clone())));
            Some(Expr::BinaryExpr(BinaryExpr { left, op: *op, right }))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Eq | Operator::NotEq), right }) => {
            match (left.as_ref(), right.as_ref()) {
                (column, Expr::Literal(value, _)) | (Expr::Literal(value, _), column) => {
                    among(column, [value], *op == Operator::NotEq)
                }
                _ => None,
            }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let literals = list.iter().map(|one| match one {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            });
            among(expr, literals.collect::<Option<Vec<_>>>()?, *negated)
        }
        Expr::IsNull(column) => {
            let (recode, column) = Recode::in_call(column)?;
            let is_null = column.clone().is_null();
            let missing = recode.missing();
            Some(if missing.is_empty() { is_null } else { is_null.or(in_list(column, missing, false)) })
        }
        Expr::IsNotNull(column) => {
            let (recode, column) = Recode::in_call(column)?;
            Some(not_among(column, recode.missing()))
        }
        _ => None,
    }
}

/// `column IN (values)`, or NOT IN, of a recoded column.
fn among<'a>(column: &Expr, values: impl IntoIterator<Item = &'a ScalarValue>, is_negated: bool) -> Option<Expr> {
    let (recode, column) = Recode::in_call(column)?;
    let mut codes = Vec::new();
    for value in values {
        codes.extend(recode.codes_of(value)?);
    }
    if is_negated {
        codes.extend(recode.missing());
        return Some(not_among(column, codes));
    }
    Some(if codes.is_empty() { lit(false) } else { in_list(column, codes, false) })
}

fn not_among(column: &Expr, codes: Vec<ScalarValue>) -> Expr {
    if codes.is_empty() { column.clone().is_not_null() } else { in_list(column, codes, true) }
}

fn in_list(column: &Expr, codes: Vec<ScalarValue>, negated: bool) -> Expr {
    column.clone().in_list(codes.into_iter().map(lit).collect(), negated)
}
