//! Small figures of whole tables that many queries need, such as how many PSUs each stratum has: kept between queries, as long as
//! the files that they were read from are the same.
//!
//! What is kept is known by its plan after optimization, policies and all, by its dataset as it is configured, and by name, size
//! and time of each file. What comes from a database has no version to be known by, and is read each time.

mod exec;
mod planner;
mod store;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::builder::LogicalTableSource;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::Dataset;
use crate::survey::trace;
pub(crate) use planner::CachedPlanner;
pub(crate) use store::Store;

/// Marks a part of a plan whose rows may be kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct Cached {
    input: LogicalPlan,
    dataset: Configured,
}

/// The same plan over tables that hold nothing but their names and columns.
fn without_tables(plan: &LogicalPlan) -> Result<LogicalPlan> {
    plan.clone()
        .transform(|node| match node {
            LogicalPlan::TableScan(mut scan) => {
                scan.source = Arc::new(LogicalTableSource::new(scan.source.schema()));
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            node => Ok(Transformed::no(node)),
        })
        .data()
}

impl Cached {
    /// `input`, kept if it can be: what asks another query, or the one around it, is not known by its own tables alone.
    pub(crate) fn over(input: LogicalPlan, dataset: &Arc<Dataset>) -> LogicalPlan {
        let asks_others = |plan: &LogicalPlan| {
            let mut asks = !plan.all_out_ref_exprs().is_empty();
            plan.apply_expressions(|expression| {
                asks |= trace::has_subquery(expression);
                Ok(TreeNodeRecursion::Continue)
            })?;
            Ok(asks)
        };
        if input.exists(asks_others).unwrap_or(true) {
            return input;
        }
        let dataset = Configured(Arc::clone(dataset));
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input, dataset }) })
    }
}

/// A dataset as it is configured now: another configuration is another one.
#[derive(Debug, Clone)]
struct Configured(Arc<Dataset>);

impl PartialEq for Configured {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Configured {}

impl PartialOrd for Configured {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Arc::as_ptr(&self.0).partial_cmp(&Arc::as_ptr(&other.0))
    }
}

impl Hash for Configured {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl UserDefinedLogicalNodeCore for Cached {
    fn name(&self) -> &str {
        "Cached"
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
        write!(f, "Cached: {}", self.dataset.0.id)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Self { input, dataset: self.dataset.clone() }),
            _ => internal_err!("what is cached has one input"),
        }
    }
}
