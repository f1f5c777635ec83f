//! A table as a restricted principal sees it: its plan is a barrier over masks over row filters over the scan.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::{Binding, PolicyBarrier, Shapes};
use crate::{Code, Error, Principal, TableProviderRef};

/// A table under rules. The raw provider is inside its plan and nowhere else.
#[derive(Debug)]
pub(crate) struct PolicyTable {
    schema: SchemaRef,
    plan: LogicalPlan,
}

/// Who asks, and what its expressions are made with.
pub(crate) struct Asker<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) state: &'a SessionState,
    /// The key of hashes that masks make.
    pub(crate) key: &'a [u8; 32],
    /// The expressions that were made before.
    pub(crate) shapes: &'a Shapes,
}

impl PolicyTable {
    /// `provider` as `binding` has it, and the id of the policy that the verifier expects above it.
    ///
    /// # Errors
    /// `internal` where a rule does not fit the table: access fails closed.
    pub(crate) fn under(
        binding: &Binding,
        provider: TableProviderRef,
        name: TableReference,
        asker: &Asker<'_>,
    ) -> Result<(Self, String), Error> {
        let policy = policy_id(binding, &name);
        let plan = secured(binding, provider, name, asker, &policy).map_err(|error| {
            Error::new(Code::Internal, "A policy does not fit this table, so the table stays closed.")
                .hint("An administrator finds the reason in the log.")
                .cause(error)
        })?;
        Ok((Self { schema: Arc::clone(plan.schema().inner()), plan }, policy))
    }
}

fn policy_id(binding: &Binding, name: &TableReference) -> String {
    let rules = binding.rules.iter().map(|rule| rule.name.as_str());
    let tenant = binding.tenant.as_ref().map(|_| "tenant");
    let columns = binding.columns.as_ref().map(|_| "columns");
    let disclosure = binding.protection.iter().flat_map(|protection| protection.names.iter().map(String::as_str));
    let names: Vec<&str> = tenant.into_iter().chain(columns).chain(rules).chain(disclosure).collect();
    format!("{} on {name}", names.join(" + "))
}

fn secured(
    binding: &Binding,
    provider: TableProviderRef,
    name: TableReference,
    asker: &Asker<'_>,
    policy: &str,
) -> Result<LogicalPlan> {
    let scan = LogicalPlanBuilder::scan(name.clone(), provider_as_source(provider), None)?.build()?;
    let shape = asker.shapes.of(binding, &name, scan.schema(), asker)?;
    let visible = match &shape.rows {
        Some(rows) => LogicalPlan::Filter(Filter::try_new(rows.clone(), Arc::new(scan))?),
        None => scan,
    };
    let shown = Projection::try_new_with_schema(shape.columns.clone(), Arc::new(visible), Arc::clone(&shape.shown))?;
    Ok(PolicyBarrier::over(LogicalPlan::Projection(shown), policy.to_owned(), shape.masked.clone()))
}

#[async_trait]
impl TableProvider for PolicyTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }

    /// Planning inlines the plan, so this runs only where something scans the table by itself: it gets the same rows.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut builder = LogicalPlanBuilder::from(self.plan.clone());
        for filter in filters {
            builder = builder.filter(filter.clone())?;
        }
        if let Some(projection) = projection {
            builder = builder.select(projection.iter().copied())?;
        }
        state.create_physical_plan(&builder.limit(0, limit)?.build()?).await
    }
}
