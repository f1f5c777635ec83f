//! Aggregates that a plan needs more than once are computed once: a CTE that is named twice, a share of a total.
//!
//! DataFusion plans each mention of a CTE by itself. After the verifier, equal aggregates are found, and each place reads what
//! the first of them made. An aggregate says nothing before it has read all its input, so nobody waits for longer.

mod exec;
mod planner;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

pub(crate) use planner::SharedPlanner;

/// A part of a plan that is in it several times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct Shared {
    input: LogicalPlan,
    /// Which of the plan's shared parts it is.
    part: usize,
}

/// `plan`, with the aggregates marked that are in it several times.
///
/// # Errors
/// Those of walking a plan.
pub(crate) fn share_equal_parts(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut parts = Parts::default();
    plan.apply_with_subqueries(|node| {
        parts.count(node);
        Ok(descend(node))
    })?;
    parts.places.retain(|_, places| places.count > 1);
    if parts.places.is_empty() {
        return Ok(plan);
    }
    let marked = plan
        .transform_down_with_subqueries(|node| {
            if descend(&node) == TreeNodeRecursion::Jump {
                return Ok(Transformed::new(node, false, TreeNodeRecursion::Jump));
            }
            let Some(part) = parts.mark(&node) else { return Ok(Transformed::no(node)) };
            let shared = Shared { input: node, part };
            let node = LogicalPlan::Extension(Extension { node: Arc::new(shared) });
            Ok(Transformed::new(node, true, TreeNodeRecursion::Jump))
        })
        .data()?;
    // What is in a larger part too may be left in one place only.
    marked
        .transform_down_with_subqueries(|node| match shared(&node) {
            Some(shared) if parts.marked(shared.part) < 2 => Ok(Transformed::yes(shared.input.clone())),
            _ => Ok(Transformed::no(node)),
        })
        .data()
}

/// A recursion runs its own part again and again, each time on other rows.
fn descend(node: &LogicalPlan) -> TreeNodeRecursion {
    match node {
        LogicalPlan::RecursiveQuery(_) => TreeNodeRecursion::Jump,
        _ => TreeNodeRecursion::Continue,
    }
}

fn shared(node: &LogicalPlan) -> Option<&Shared> {
    match node {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}

/// What makes an aggregate equal to another: the plan, and the very tables; plans compare tables by name only.
type Key = (LogicalPlan, Vec<usize>);

#[derive(Debug, Default)]
struct Places {
    part: usize,
    count: usize,
    marked: usize,
}

#[derive(Debug, Default)]
struct Parts {
    places: HashMap<Key, Places>,
}

impl Parts {
    fn count(&mut self, node: &LogicalPlan) {
        if let Some(key) = key(node) {
            let part = self.places.len();
            self.places.entry(key).or_insert(Places { part, ..Places::default() }).count += 1;
        }
    }

    /// The part that `node` is, if it is one that is shared.
    fn mark(&mut self, node: &LogicalPlan) -> Option<usize> {
        let places = self.places.get_mut(&key(node)?)?;
        places.marked += 1;
        Some(places.part)
    }

    fn marked(&self, part: usize) -> usize {
        self.places.values().find(|places| places.part == part).map_or(0, |places| places.marked)
    }
}

/// None of what is no aggregate, or would answer differently a second time.
fn key(node: &LogicalPlan) -> Option<Key> {
    let LogicalPlan::Aggregate(_) = node else { return None };
    Some((node.clone(), tables_of(node)?))
}

/// Whether a plan answers the same when it is asked again of the same tables.
pub(crate) fn is_repeatable(plan: &LogicalPlan) -> bool {
    tables_of(plan).is_some()
}

/// The tables of a plan that answers the same when it is asked again of them.
fn tables_of(plan: &LogicalPlan) -> Option<Vec<usize>> {
    let mut tables = Vec::new();
    let mut is_repeatable = true;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            match source_as_provider(&scan.source) {
                Ok(provider) => tables.push(Arc::as_ptr(&provider).cast::<()>() as usize),
                Err(_) => is_repeatable = false,
            }
        }
        let differs = |expr: &Expr| expr.is_volatile() || expr.contains_outer();
        node.apply_expressions(|expr| {
            is_repeatable &= !differs(expr);
            Ok(TreeNodeRecursion::Continue)
        })
    });
    (walked.is_ok() && is_repeatable).then_some(tables)
}

impl UserDefinedLogicalNodeCore for Shared {
    fn name(&self) -> &str {
        "Shared"
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
        write!(f, "Shared: part {}", self.part + 1)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Self { input, part: self.part }),
            _ => internal_err!("a shared part has one input"),
        }
    }
}
