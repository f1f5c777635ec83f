//! A table as a restricted principal sees it: its plan is a barrier over masks over row filters over the scan.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::TableReference;
use datafusion::common::{Column, DFSchema, Result, ScalarValue, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection, TableType, lit};
use datafusion::physical_plan::ExecutionPlan;

use super::{Binding, Mask, PolicyBarrier, Rule};
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
    let builder = LogicalPlanBuilder::scan(name, provider_as_source(provider), None)?;
    let schema = Arc::clone(builder.schema());
    let builder = match rows(binding, &schema, asker)? {
        Some(rows) => builder.filter(rows)?,
        None => builder,
    };
    // Where several rules mask a column, the last one of the file does.
    let masks: BTreeMap<&str, &Mask> =
        binding.rules.iter().flat_map(|rule| rule.masks.iter().map(|(column, mask)| (column.as_str(), mask))).collect();
    let is_visible = |column: &str| binding.columns.as_ref().is_none_or(|columns| columns.contains(column));
    let named = masks.keys().copied().chain(binding.columns.iter().flatten().map(String::as_str));
    for column in named {
        if !schema.has_column_with_unqualified_name(column) {
            return plan_err!("a policy names column {column}, which the table does not have");
        }
    }
    let (mut columns, mut fields) = (Vec::new(), Vec::new());
    for (qualifier, field) in schema.iter().filter(|(_, field)| is_visible(field.name())) {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match masks.get(field.name().as_str()) {
            Some(mask) => {
                columns.push(mask.of(&column, asker.principal, &schema, asker.state, asker.key)?);
                fields.push((None, Arc::new(Field::new(field.name(), field.data_type().clone(), true))));
            }
            None => {
                columns.push(column.alias(field.name()));
                fields.push((None, Arc::clone(field)));
            }
        }
    }
    // What stands in place of a column has its type: finding that out from the expressions would take most of the time here.
    let shown = DFSchema::new_with_metadata(fields, schema.metadata().clone())?;
    let below = Arc::new(builder.build()?);
    let plan = LogicalPlan::Projection(Projection::try_new_with_schema(columns, below, Arc::new(shown))?);
    let masked = masks.keys().filter(|column| is_visible(column)).map(|column| (*column).to_owned()).collect();
    Ok(PolicyBarrier::over(plan, policy.to_owned(), masked))
}

/// The condition that each visible row meets; None = all rows are visible.
fn rows(binding: &Binding, schema: &DFSchema, asker: &Asker<'_>) -> Result<Option<Expr>> {
    let of = |rule: &&Rule| match &rule.rows {
        // Who lacks an attribute meets no condition that speaks of it.
        Some(rows) => match rows.of(asker.principal, schema, asker.state)? {
            Some(rows) if rows.get_type(schema)? == DataType::Boolean => Ok(rows),
            Some(rows) => plan_err!("a condition is true or false, and `{rows}` is not"),
            None => Ok(lit(false)),
        },
        None => Ok(lit(true)),
    };
    let (all, any) = binding.rows();
    let all = all.iter().map(of).collect::<Result<Vec<_>>>()?;
    let any = any.iter().map(of).collect::<Result<Vec<_>>>()?;
    let tenant = binding.tenant.as_ref().map(|column| of_tenant(column, schema, asker.principal)).transpose()?;
    Ok(conjunction(tenant.into_iter().chain(all).chain(disjunction(any))))
}

/// The rows of the principal's tenant.
fn of_tenant(column: &str, schema: &DFSchema, principal: &Principal) -> Result<Expr> {
    let (qualifier, field) = schema.qualified_field_with_unqualified_name(column)?;
    let Some(tenant) = principal.tenant() else { return Ok(lit(false)) };
    match ScalarValue::from(tenant).cast_to(field.data_type()) {
        Ok(tenant) if !tenant.is_null() => {
            Ok(Expr::Column(Column::new(qualifier.cloned(), field.name())).eq(lit(tenant)))
        }
        // A tenant that no value of the column can be has no rows.
        _ => Ok(lit(false)),
    }
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
