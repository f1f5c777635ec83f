//! A plan to a governed plan: rewrites that give weights their meaning, the caller's cut, and the proof that each
//! scan is one that the principal was granted.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::plan::Planned;
use crate::disclosure::Failures;
use crate::journal::Kind;
use crate::policy::{Grants, Reads, verify_logical};
use crate::survey::{self, Notices};
use crate::weighted::{is_weighted, weight_of};
use crate::{Code, Engine, Error, Principal, Query, codes, disclosure, grouping_sets, reach, stream, system, weighing};

/// A plan that may run.
pub(super) struct Governed {
    pub(super) state: SessionState,
    pub(super) plan: LogicalPlan,
    pub(super) grants: Grants,
    schema: SchemaRef,
    datasets: BTreeSet<String>,
    kind: Kind,
    /// What is found out about estimates while they are made.
    pub(super) notices: Arc<Notices>,
    /// What it means for protected tables when it fails.
    pub(super) failures: Option<Failures>,
}

impl Planned {
    /// Applies the rules that hold for every plan.
    ///
    /// # Errors
    /// `read_only`, `permission_denied`, `design_missing`, and what the rewrites refuse.
    pub(super) fn govern(self, engine: &Engine, principal: &Principal, query: &Query) -> Result<Governed, Error> {
        verify_logical(&self.plan, &self.grants)?;
        refuse_explaining_policies(principal, &self)?;
        let notices = Arc::new(Notices::new(engine.inner.quality));
        let plan = codes::resolve(self.plan)?;
        let plan = match query.is_of_rows {
            true => plan,
            false => weighing::apply(plan, &self.reads, query, &notices)?,
        };
        let kind = kind(&plan, &self.datasets)?;
        note_weights(&plan, &notices)?;
        let asked = disclosure::Asked {
            principal,
            grants: &self.grants,
            ledger: Arc::clone(&engine.inner.ledger),
            notices: Arc::clone(&notices),
        };
        let failures = disclosure::Failures::of(&plan, &asked);
        let plan = disclosure::protect(plan, &asked)?;
        let asked = Arc::clone(plan.schema());
        let plan = grouping_sets::expand(plan)?;
        let plan = reach::rewrite(survey::rewrite(plan, &self.reads, self.grants.has_policies(), &notices)?)?;
        let plan = self.state.analyzer().execute_and_check(plan, self.state.config_options(), |_, _| {})?;
        let schema = stream::plain_schema(plan.schema().as_arrow(), asked.as_arrow());
        let plan = match query.max_rows {
            // One row more than the caller wants tells whether there was more.
            Some(rows) if kind != Kind::Explain => {
                let fetch = usize::try_from(rows).unwrap_or(usize::MAX).saturating_add(1);
                LogicalPlanBuilder::from(plan).limit(0, Some(fetch))?.build()?
            }
            _ => plan,
        };
        Ok(Governed {
            state: self.state,
            plan,
            grants: self.grants,
            schema,
            datasets: self.datasets,
            kind,
            notices,
            failures,
        })
    }
}

impl Governed {
    pub(super) fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The datasets that the query reads, without the engine's own.
    pub(super) fn datasets(&self) -> Vec<String> {
        self.datasets.iter().filter(|dataset| *dataset != system::DATASET).cloned().collect()
    }

    /// What the final plan reads, checked again.
    pub(super) fn verify(&self, plan: &LogicalPlan) -> Result<Reads, Error> {
        disclosure::verify(plan, &self.grants)?;
        verify_logical(plan, &self.grants)
    }
}

/// EXPLAIN shows predicates, source SQL and row counts from below a policy: only admins see that.
fn refuse_explaining_policies(principal: &Principal, planned: &Planned) -> Result<(), Error> {
    let explains = matches!(planned.plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
    if explains && !principal.is_admin() && planned.grants.has_policies() {
        return Err(Error::new(
            Code::PermissionDenied,
            "The plan of a query on restricted tables is for administrators.",
        )
        .hint("Run the query itself; system.queries has its times and rows."));
    }
    Ok(())
}

/// Takes note of what weighted functions weigh by. A survey function's design is known once it is taken apart.
fn note_weights(plan: &LogicalPlan, notices: &Notices) -> Result<(), Error> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let weight = match expr {
                    Expr::AggregateFunction(call) => weight_of(call.func.name(), &call.params.args),
                    Expr::WindowFunction(call) => weight_of(call.fun.name(), &call.params.args),
                    _ => None,
                };
                weight.into_iter().for_each(|weight| notices.weigh(weight));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

fn kind(plan: &LogicalPlan, datasets: &BTreeSet<String>) -> Result<Kind, Error> {
    if matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)) {
        return Ok(Kind::Explain);
    }
    if !datasets.is_empty() && datasets.iter().all(|dataset| dataset == system::DATASET) {
        return Ok(Kind::Metadata);
    }
    let (mut aggregated, mut is_weighed) = (false, false);
    plan.apply_with_subqueries(|node| {
        aggregated |= matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_));
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let function = match expr {
                    Expr::AggregateFunction(function) => Some(function.func.name()),
                    Expr::WindowFunction(function) => Some(function.fun.name()),
                    _ => None,
                };
                is_weighed |= function.is_some_and(is_weighted);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(if is_weighed {
        Kind::Weighted
    } else if aggregated {
        Kind::Aggregated
    } else {
        Kind::Raw
    })
}
