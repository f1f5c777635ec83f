//! The second net: no plan runs unless each of its scans is one that name resolution handed out, and each scan of a
//! restricted table stands under the barrier of its policy. Whatever is not known is refused.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use super::PolicyBarrier;
use super::physical::PolicyBarrierExec;
use crate::disclosure::Protection;
use crate::{Code, Error};

/// The providers that one query's names resolved to, and under which policy each may be read (None = any).
#[derive(Debug, Default)]
pub(crate) struct Grants {
    by_provider: HashMap<usize, Option<String>>,
    /// What binds answers, by policy.
    protections: HashMap<String, Arc<Protection>>,
}

impl Grants {
    /// Lets the query read `provider`: under `policy`, or freely.
    pub(crate) fn grant(&mut self, provider: &Arc<dyn TableProvider>, policy: Option<String>) {
        self.by_provider.insert(address(provider), policy);
    }

    /// What the answer may say of the table that is read under `policy`.
    pub(crate) fn protect(&mut self, policy: String, protection: Protection) {
        self.protections.insert(policy, Arc::new(protection));
    }

    /// What an answer may say of the table that is read under `policy`.
    pub(crate) fn protection(&self, policy: &str) -> Option<&Arc<Protection>> {
        self.protections.get(policy)
    }

    /// All that binds the answer.
    pub(crate) fn protections(&self) -> impl Iterator<Item = &Arc<Protection>> {
        self.protections.values()
    }

    /// Whether an answer may not say everything of some table.
    pub(crate) fn has_protections(&self) -> bool {
        !self.protections.is_empty()
    }

    /// Whether any table of the query is read under a policy.
    pub(crate) fn has_policies(&self) -> bool {
        self.by_provider.values().any(Option::is_some)
    }

    /// The policies that tables of the query are read under, sorted.
    pub(crate) fn policies(&self) -> Vec<String> {
        let policies: BTreeSet<&String> = self.by_provider.values().flatten().collect();
        policies.into_iter().cloned().collect()
    }

    fn of(&self, provider: &Arc<dyn TableProvider>) -> Option<&Option<String>> {
        self.by_provider.get(&address(provider))
    }
}

/// A provider's identity while the plan that holds it lives.
fn address(provider: &Arc<dyn TableProvider>) -> usize {
    Arc::as_ptr(provider).cast::<()>() as usize
}

/// What a verified logical plan reads.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Scans that stand under no barrier, and rows written in the query itself.
    pub(crate) open: usize,
}

/// Checks a logical plan against the grants of its query.
///
/// # Errors
/// `read_only` for a statement that writes; `permission_denied` for a scan that was not granted.
pub(crate) fn verify_logical(plan: &LogicalPlan, grants: &Grants) -> Result<Reads, Error> {
    let mut reads = Reads::default();
    walk(plan, grants, None, &mut reads)?;
    Ok(reads)
}

fn refused() -> Error {
    Error::new(Code::PermissionDenied, "This query would read a table past its policy, so it was refused.")
        .hint("Please report it with the query id.")
}

fn walk(plan: &LogicalPlan, grants: &Grants, under: Option<&str>, reads: &mut Reads) -> Result<(), Error> {
    let mut inner = under;
    match plan {
        LogicalPlan::Dml(_)
        | LogicalPlan::Ddl(_)
        | LogicalPlan::Copy(_)
        | LogicalPlan::Statement(_)
        | LogicalPlan::DescribeTable(_) => return Err(read_only()),
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).map_err(|_| refused())?;
            match grants.of(&provider) {
                Some(None) => reads.open += 1,
                Some(Some(policy)) if under == Some(policy.as_str()) => {}
                None if provider.is::<CteWorkTable>() => {}
                _ => return Err(refused()),
            }
        }
        LogicalPlan::Values(_) => reads.open += 1,
        LogicalPlan::Extension(extension) => {
            if let Some(barrier) = extension.node.as_any().downcast_ref::<PolicyBarrier>() {
                inner = Some(barrier.policy());
            }
        }
        _ => {}
    }
    for input in plan.inputs() {
        walk(input, grants, inner, reads)?;
    }
    let mut failure = None;
    plan.apply_subqueries(|subquery| {
        Ok(match walk(subquery, grants, None, reads) {
            Ok(()) => TreeNodeRecursion::Jump,
            Err(error) => {
                failure = Some(error);
                TreeNodeRecursion::Stop
            }
        })
    })?;
    failure.map_or(Ok(()), Err)
}

pub(crate) fn read_only() -> Error {
    Error::new(Code::ReadOnly, "Weft only reads: this statement would write or set something.")
        .hint("Ask with SELECT, WITH, VALUES, EXPLAIN, SHOW TABLES or DESCRIBE.")
}

/// Checks that planning lost no barrier: leaves that read data outside one are no more than the logical plan had.
///
/// # Errors
/// `permission_denied`.
pub(crate) fn verify_physical(plan: &Arc<dyn ExecutionPlan>, reads: Reads) -> Result<(), Error> {
    if open_leaves(plan) > reads.open { Err(refused()) } else { Ok(()) }
}

fn open_leaves(plan: &Arc<dyn ExecutionPlan>) -> usize {
    if plan.is::<PolicyBarrierExec>() {
        return 0;
    }
    let children = plan.children();
    if children.is_empty() {
        let reads_nothing = matches!(plan.name(), "EmptyExec" | "PlaceholderRowExec" | "WorkTableExec" | "ExplainExec");
        return usize::from(!reads_nothing);
    }
    children.into_iter().map(open_leaves).sum()
}
