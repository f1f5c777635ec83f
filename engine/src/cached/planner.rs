//! Finds out what the rows of a part are known by.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::exec::CachedExec;
use super::store::{File, Key, Store};
use super::{Cached, without_tables};
use crate::share;

/// Plans what may be kept: with a place in the store, or as it is.
#[derive(Debug)]
pub(crate) struct CachedPlanner(pub(crate) Arc<Store>);

#[async_trait]
impl ExtensionPlanner for CachedPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(cached) = node.as_any().downcast_ref::<Cached>() else { return Ok(None) };
        let [input] = physical_inputs else { return internal_err!("what is cached has one input") };
        Ok(Some(match key(cached, input)? {
            Some(key) => Arc::new(CachedExec::new(Arc::clone(input), key, Arc::clone(&self.0))),
            None => Arc::clone(input),
        }))
    }
}

/// None of what might answer differently the next time.
fn key(cached: &Cached, input: &Arc<dyn ExecutionPlan>) -> Result<Option<Key>> {
    let mut files = Vec::new();
    let mut is_known = share::is_repeatable(&cached.input);
    input.apply(|step| {
        if step.children().is_empty() {
            match files_of(step) {
                Some(own) => files.extend(own),
                None => is_known = false,
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    files.sort_unstable();
    if !is_known {
        return Ok(None);
    }
    // What is kept must not hold on to the tables.
    let part = Cached { input: without_tables(&cached.input)?, dataset: cached.dataset.clone() };
    Ok(Some(Key { part, files }))
}

/// The files that a step reads. None where it reads anything else.
fn files_of(step: &Arc<dyn ExecutionPlan>) -> Option<Vec<File>> {
    if matches!(step.name(), "EmptyExec" | "PlaceholderRowExec") {
        return Some(Vec::new());
    }
    let scan = step.downcast_ref::<DataSourceExec>()?;
    let scan = scan.data_source().downcast_ref::<FileScanConfig>()?;
    let file = |found: &PartitionedFile| {
        let meta = &found.object_meta;
        Some(File {
            store: scan.object_store_url.as_str().to_owned(),
            path: meta.location.to_string(),
            size: meta.size,
            modified: meta.last_modified,
            version: meta.version.clone()?,
        })
    };
    scan.file_groups.iter().flat_map(|group| group.files()).map(file).collect()
}
