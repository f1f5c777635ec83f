//! The second net: no protected table is read but below a step that judges.

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use super::node::Disclosed;
use crate::policy::{Grants, PolicyBarrier};
use crate::{Code, Error};

/// Checks a plan after optimization.
///
/// # Errors
/// `disclosure_refused`.
pub(crate) fn verify(plan: &LogicalPlan, grants: &Grants) -> Result<(), Error> {
    match !grants.has_protections() || is_judged(plan, grants, false)? {
        true => Ok(()),
        false => Err(Error::new(
            Code::DisclosureRefused,
            "This query would read a table past its disclosure rules, so it was refused.",
        )
        .hint("Please report it with the query id.")),
    }
}

fn is_judged(plan: &LogicalPlan, grants: &Grants, is_below: bool) -> Result<bool> {
    let mut is_below = is_below;
    if let LogicalPlan::Extension(extension) = plan {
        if let Some(barrier) = extension.node.as_any().downcast_ref::<PolicyBarrier>()
            && grants.protection(barrier.policy()).is_some()
            && !is_below
        {
            return Ok(false);
        }
        is_below |= extension.node.as_any().is::<Disclosed>();
    }
    for input in plan.inputs() {
        if !is_judged(input, grants, is_below)? {
            return Ok(false);
        }
    }
    let mut is_all = true;
    plan.apply_subqueries(|subquery| {
        is_all &= is_judged(subquery, grants, is_below)?;
        Ok(if is_all { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Stop })
    })?;
    Ok(is_all)
}
