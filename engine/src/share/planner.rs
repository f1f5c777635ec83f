//! One [`SharedExec`] for each place of a part, all with the same rows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::Shared;
use super::exec::{Rows, SharedExec};

/// Plans the shared parts of one plan.
#[derive(Debug, Default)]
pub(crate) struct SharedPlanner {
    parts: Mutex<HashMap<usize, Arc<Rows>>>,
}

#[async_trait]
impl ExtensionPlanner for SharedPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(shared) = node.as_any().downcast_ref::<Shared>() else { return Ok(None) };
        let [input] = physical_inputs else { return internal_err!("a shared part has one input") };
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = parts.entry(shared.part).or_default();
        Ok(Some(Arc::new(SharedExec::new(Arc::clone(input), shared.part, Arc::clone(rows)))))
    }
}
