//! An expression that fails on some row tells that there is such a row: a few times a day, and without the value.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};

use super::ledger::{Caller, Ledger};
use super::rewrite::{Asked, Seen, refused};
use super::{Protection, fingerprint};
use crate::{Code, Error};

/// Queries of a caller that may fail on the rows of a table in a day.
const FAILURES: u64 = 5;

/// Functions that answer whatever they are given.
const SAFE: [&str; 8] = ["btrim", "character_length", "coalesce", "concat", "label", "lower", "nullif", "upper"];

/// What a query that reads protected rows has to answer for when it fails.
#[derive(Debug)]
pub(crate) struct Failures {
    ledger: Arc<Ledger>,
    caller: Caller,
    tables: Vec<String>,
    question: u64,
}

fn account(protection: &Protection) -> String {
    format!("failures on {}", protection.full_name())
}

impl Failures {
    /// None where nothing that `plan` reads is protected.
    pub(crate) fn of(plan: &LogicalPlan, asked: &Asked<'_>) -> Option<Self> {
        let tables: Vec<String> = asked.grants.protections().map(|protection| account(protection)).collect();
        if tables.is_empty() {
            return None;
        }
        let question = fingerprint::of_text(&plan.display_indent().to_string(), asked.ledger.seed);
        Some(Self { ledger: Arc::clone(&asked.ledger), caller: asked.caller(), tables, question })
    }

    /// The error as the caller may read it.
    pub(crate) fn told(&self, error: Error) -> Error {
        if matches!(
            error.code(),
            Code::Cancelled
                | Code::DeadlineExceeded
                | Code::DisclosureRefused
                | Code::Overloaded
                | Code::SourceUnavailable
        ) {
            return error;
        }
        for table in &self.tables {
            self.ledger.admits(&self.caller, table, std::iter::once(self.question), FAILURES);
        }
        if matches!(error.code(), Code::OutOfMemory | Code::BudgetExceeded | Code::ResultTooLarge) {
            return error;
        }
        refused("An expression of the query fails on some row of a protected table.")
            .hint("Divide by nullif(divisor, 0), and cast after aggregating.")
            .cause(error)
    }
}

/// Refuses expressions that can fail on rows of which that has happened too often today.
pub(super) fn check(exprs: &[Expr], around: &Seen, asked: &Asked<'_>) -> Result<()> {
    let caller = asked.caller();
    for row in &around.rows {
        let has_failed = asked.ledger.count(&caller, &account(&row.protection)) >= FAILURES;
        if has_failed && exprs.iter().any(|expr| can_fail(expr, around)) {
            let table = row.protection.full_name();
            return Err(refused(format!("Too many queries have failed on rows of {table} today."))
                .hint("Until tomorrow, ask without divisions, casts and functions on its rows.")
                .into());
        }
    }
    Ok(())
}

fn can_fail(expr: &Expr, around: &Seen) -> bool {
    let fails = |part: &Expr| match part {
        Expr::BinaryExpr(BinaryExpr { op: Operator::Divide | Operator::Modulo, .. }) => true,
        Expr::ScalarFunction(call) => !SAFE.contains(&call.name()),
        Expr::AggregateFunction(call) => call.func.name() == "reach",
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(around.plan.schema()).unwrap_or(DataType::Null);
            !(from.is_numeric() && cast.field.data_type() == &DataType::Float64 || from == DataType::Boolean)
        }
        _ => false,
    };
    expr.exists(|part| Ok(fails(part))).unwrap_or(true)
}
