//! A table as a restricted principal sees it: its plan is a barrier over masks over row filters over the scan.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::TableReference;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, TableType, try_cast};
use datafusion::physical_plan::ExecutionPlan;

use super::{PolicyBarrier, Rule};
use crate::{Code, Error, TableProviderRef};

/// A table under rules. The raw provider is inside its plan and nowhere else.
#[derive(Debug)]
pub(crate) struct PolicyTable {
    schema: SchemaRef,
    plan: LogicalPlan,
}

impl PolicyTable {
    /// `provider` under `rules`, and the id of the policy that the verifier expects above it.
    ///
    /// # Errors
    /// `internal` where a rule does not fit the table: access fails closed.
    pub(crate) fn under(
        rules: &[Arc<Rule>],
        provider: TableProviderRef,
        name: TableReference,
        state: &SessionState,
    ) -> Result<(Self, String), Error> {
        let schema = provider.schema();
        let policy = policy_id(rules, &name);
        let plan = secured(rules, provider, name, state, &policy).map_err(|error| {
            Error::new(Code::Internal, "A policy does not fit this table, so the table stays closed.")
                .hint("An administrator finds the rule in the log; `weft check` names it.")
                .cause(error)
        })?;
        Ok((Self { schema, plan }, policy))
    }
}

fn policy_id(rules: &[Arc<Rule>], name: &TableReference) -> String {
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    format!("{} on {name}", names.join(" + "))
}

fn secured(
    rules: &[Arc<Rule>],
    provider: TableProviderRef,
    name: TableReference,
    state: &SessionState,
    policy: &str,
) -> Result<LogicalPlan> {
    let mut builder = LogicalPlanBuilder::scan(name, provider_as_source(provider), None)?;
    let schema = Arc::clone(builder.schema());
    for rows in rules.iter().filter_map(|rule| rule.rows.as_deref()) {
        builder = builder.filter(state.create_logical_expr(rows, &schema)?)?;
    }
    let masks: BTreeMap<&str, &str> = rules
        .iter()
        .flat_map(|rule| rule.masks.iter().map(|(column, mask)| (column.as_str(), mask.as_str())))
        .collect();
    if let Some(stray) = masks.keys().find(|column| !schema.has_column_with_unqualified_name(column)) {
        return datafusion::common::plan_err!("a mask names column {stray}, which the table does not have");
    }
    let columns = schema
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match masks.get(field.name().as_str()) {
                Some(mask) => masked(mask, &column, &schema, state),
                None => Ok(column.alias(field.name())),
            }
        })
        .collect::<Result<Vec<Expr>>>()?;
    let plan = builder.project(columns)?.build()?;
    let masked: BTreeSet<String> = masks.keys().map(|column| (*column).to_owned()).collect();
    Ok(PolicyBarrier::over(plan, policy.to_owned(), masked))
}

/// The mask in place of the column, in the column's type: a value that does not fit it becomes NULL.
fn masked(mask: &str, column: &Expr, schema: &DFSchema, state: &SessionState) -> Result<Expr> {
    let data_type = column.get_type(schema)?;
    let mask = state.create_logical_expr(mask, schema)?;
    Ok(try_cast(mask, data_type).alias(column.qualified_name().1))
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
