//! The node that a restricted table's filter and masks stand under. Predicates from above stop here; only
//! [`PushLeakproofFilters`](super::PushLeakproofFilters) moves some of them on.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

/// Marks the rows that a policy lets through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct PolicyBarrier {
    input: LogicalPlan,
    /// Which rules on which table: the verifier compares it.
    policy: String,
    /// Columns whose values are not the source's.
    masked: BTreeSet<String>,
}

impl PolicyBarrier {
    pub(crate) fn over(input: LogicalPlan, policy: String, masked: BTreeSet<String>) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input, policy, masked }) })
    }

    pub(crate) fn policy(&self) -> &str {
        &self.policy
    }

    pub(crate) fn masked(&self) -> &BTreeSet<String> {
        &self.masked
    }

    pub(crate) fn input(&self) -> &LogicalPlan {
        &self.input
    }

    pub(crate) fn with_input(&self, input: LogicalPlan) -> LogicalPlan {
        Self::over(input, self.policy.clone(), self.masked.clone())
    }
}

impl UserDefinedLogicalNodeCore for PolicyBarrier {
    fn name(&self) -> &str {
        "PolicyBarrier"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyBarrier: {}", self.policy)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Self { input, policy: self.policy.clone(), masked: self.masked.clone() }),
            _ => internal_err!("a policy barrier has one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }

    /// Fewer visible rows are still visible rows.
    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}
