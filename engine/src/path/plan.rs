//! SQL to a plan: one statement, names resolved in what the principal may see, parameters bound by position.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::catalog::{TableFunctionArgs, TableProvider};
use datafusion::common::TableReference;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, ParamValues, Result as DfResult, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF, lit,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::parser::Statement;
use datafusion::sql::planner::{SqlToRel, object_name_to_table_reference};
use datafusion::sql::resolve::resolve_table_references;

use super::parse::{Asked, parse};
use super::resolve::Names;
use crate::policy::Grants;
use crate::survey::{self, Read};
use crate::{Code, Engine, Error, Principal, Query, system};

/// A plan whose names are resolved, and which nothing governs yet.
pub(super) struct Planned {
    pub(super) state: SessionState,
    pub(super) plan: LogicalPlan,
    pub(super) grants: Grants,
    pub(super) datasets: BTreeSet<String>,
    pub(super) reads: Vec<Read>,
    parameters: SchemaRef,
}

impl Planned {
    /// Plans a query and puts its parameters' values in.
    pub(super) async fn bind(engine: &Engine, principal: &Principal, query: &Query) -> Result<Self, Error> {
        let planned = Self::open(engine, principal, query).await?;
        let values = values(query.params.as_ref(), &planned.parameters)?;
        planned.with_values(values)
    }

    /// Plans a query whose parameters may still have no values.
    pub(super) async fn describe(engine: &Engine, principal: &Principal, query: &Query) -> Result<Self, Error> {
        if query.params.is_some() {
            return Self::bind(engine, principal, query).await;
        }
        let planned = Self::open(engine, principal, query).await?;
        let nulls = planned
            .parameters
            .fields()
            .iter()
            .map(|field| ScalarValue::try_from(field.data_type()))
            .collect::<DfResult<Vec<_>>>()?;
        planned.with_values(nulls.into())
    }

    fn with_values(mut self, values: ParamValues) -> Result<Self, Error> {
        if !self.parameters.fields().is_empty() {
            self.plan = self.plan.with_param_values(values)?;
        }
        Ok(self)
    }

    pub(super) fn parameters(&self) -> SchemaRef {
        Arc::clone(&self.parameters)
    }

    async fn open(engine: &Engine, principal: &Principal, query: &Query) -> Result<Self, Error> {
        let mut state = engine.inner.sessions.open();
        for function in &query.functions {
            state.register_udf(Arc::clone(function))?;
        }
        let default_dataset = query.dataset.as_deref().or(engine.inner.default_dataset.as_deref());
        let names = Names { engine, principal, query, default_dataset, state: &state };
        let Statements { plan, grants, reads } = match parse(query)? {
            Asked::Statement(statement) => statement_plan(*statement, &names).await?,
            Asked::Tables => {
                let listing = Query::new(system::SHOW_TABLES);
                match parse(&listing)? {
                    Asked::Statement(statement) => statement_plan(*statement, &names).await?,
                    _ => return Err(Error::new(Code::Internal, "SHOW TABLES has no query of its own.")),
                }
            }
            Asked::Columns(name) => columns_plan(object_name_to_table_reference(name, true)?, &names).await?,
        };
        let parameters = parameters(&plan)?;
        let datasets: BTreeSet<String> = reads.iter().map(|read| read.dataset.id.clone()).collect();
        Ok(Self { state, plan, grants, datasets, reads, parameters })
    }
}

/// A statement, planned, and what it reads.
struct Statements {
    plan: LogicalPlan,
    grants: Grants,
    reads: Vec<Read>,
}

async fn statement_plan(mut statement: Statement, names: &Names<'_>) -> Result<Statements, Error> {
    let frames = survey::complete(&mut statement)?;
    let (references, _ctes) = resolve_table_references(&statement, true)?;
    let mut grants = Grants::default();
    let mut reads = Vec::with_capacity(references.len());
    let mut tables = HashMap::with_capacity(references.len());
    for reference in references {
        match names.resolve(&reference, &mut grants).await {
            Ok(resolved) => {
                tables.insert(reference, Arc::clone(&resolved.source));
                reads.push(names.read(resolved, None));
            }
            // References include functions in FROM, such as generate_series(1, 9).
            Err(error) if error.code() == Code::TableNotFound && is_function(&reference, names.state) => {}
            Err(error) => return Err(error),
        }
    }
    for frame in frames {
        let resolved = names.resolve(&TableReference::parse_str(&frame), &mut grants).await?;
        reads.push(names.read(resolved, Some(frame)));
    }
    let context = Context { state: names.state, tables, functions: Mutex::default() };
    let plan = SqlToRel::new(&context).statement_to_plan(statement)?;
    for provider in context.functions.into_inner().unwrap_or_else(PoisonError::into_inner) {
        grants.grant(&provider, None);
    }
    Ok(Statements { plan, grants, reads })
}

fn is_function(reference: &TableReference, state: &SessionState) -> bool {
    matches!(reference, TableReference::Bare { table } if state.table_functions().contains_key(table.as_ref()))
}

/// DESCRIBE: the columns of a table as rows.
async fn columns_plan(name: TableReference, names: &Names<'_>) -> Result<Statements, Error> {
    let mut grants = Grants::default();
    let resolved = names.resolve(&name, &mut grants).await?;
    let rows = resolved
        .source
        .schema()
        .fields()
        .iter()
        .map(|field| {
            let data_type = system::type_name(field.data_type());
            vec![lit(field.name().as_str()), lit(data_type), lit(field.is_nullable())]
        })
        .collect::<Vec<_>>();
    let builder = LogicalPlanBuilder::values(rows)?;
    let titles = ["column_name", "data_type", "nullable"];
    let columns = builder.schema().columns();
    let named = columns.into_iter().zip(titles).map(|(column, title)| Expr::Column(column).alias(title));
    Ok(Statements { plan: builder.project(named)?.build()?, grants, reads: vec![names.read(resolved, None)] })
}

/// The parameters of a plan by position. A gap, such as `$1` and `$3`, is an error.
fn parameters(plan: &LogicalPlan) -> Result<SchemaRef, Error> {
    let mut by_position: BTreeMap<usize, Option<FieldRef>> = BTreeMap::new();
    for (name, field) in plan.get_parameter_fields()? {
        let position = name.strip_prefix('$').and_then(|digits| digits.parse().ok()).ok_or_else(|| {
            Error::new(Code::InvalidArgument, format!("Parameter {name} has no position."))
                .hint("Write parameters ? or $1, $2, ..")
        })?;
        by_position.insert(position, field);
    }
    let expected = 1..=by_position.len();
    if !by_position.keys().copied().eq(expected) {
        return Err(Error::new(Code::InvalidArgument, "Parameters must be $1, $2, .. without a gap."));
    }
    let fields = by_position.into_iter().map(|(position, field)| {
        let data_type = field.map_or(DataType::Utf8, |field| crate::stream::plain_type(field.data_type()));
        Field::new(position.to_string(), if data_type.is_null() { DataType::Utf8 } else { data_type }, true)
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// The values of a one-row batch, each in its parameter's type where it fits without loss.
fn values(params: Option<&RecordBatch>, wanted: &Schema) -> Result<ParamValues, Error> {
    let given = params.map_or(0, RecordBatch::num_columns);
    if given != wanted.fields().len() {
        return Err(Error::new(
            Code::InvalidArgument,
            format!("The query has {} parameters, and {given} values came with it.", wanted.fields().len()),
        ));
    }
    let Some(params) = params else { return Ok(ParamValues::List(Vec::new())) };
    if params.num_columns() > 0 && params.num_rows() != 1 {
        return Err(Error::new(Code::InvalidArgument, "Parameters are one row of values."));
    }
    let fitted = params
        .columns()
        .iter()
        .zip(wanted.fields())
        .map(|(column, field)| Ok(fitted(ScalarValue::try_from_array(column, 0)?, field.data_type())))
        .collect::<DfResult<Vec<_>>>()?;
    Ok(fitted.into())
}

fn fitted(value: ScalarValue, wanted: &DataType) -> ScalarValue {
    if value.is_null() {
        return ScalarValue::try_from(wanted).unwrap_or(value);
    }
    let Ok(cast) = value.cast_to(wanted) else { return value };
    let is_same = cast.cast_to(&value.data_type()).is_ok_and(|back| back == value);
    if is_same { cast } else { value }
}

/// What SQL planning may ask: the resolved tables of one query, and the functions of the session.
struct Context<'a> {
    state: &'a SessionState,
    tables: HashMap<TableReference, Arc<dyn TableSource>>,
    /// Tables made by functions in FROM, such as `generate_series`: they read nothing, and are granted.
    functions: Mutex<Vec<Arc<dyn TableProvider>>>,
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        let missing = || Error::new(Code::TableNotFound, format!("Table \"{name}\" does not exist."));
        Ok(self.tables.get(&name).cloned().ok_or_else(missing)?)
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> DfResult<Arc<dyn TableSource>> {
        let function = self.state.table_functions().get(name).ok_or_else(|| {
            Error::new(Code::FunctionNotFound, format!("There is no function \"{name}\" that makes a table."))
        })?;
        let simplify = SimplifyContext::builder().with_config_options(Arc::clone(self.state.config_options())).build();
        let simplifier = ExprSimplifier::new(simplify);
        let schema = DFSchema::empty();
        let args = args
            .into_iter()
            .map(|arg| simplifier.simplify(simplifier.coerce(arg, &schema)?))
            .collect::<DfResult<Vec<_>>>()?;
        let provider = function.create_table_provider_with_args(TableFunctionArgs::new(&args, self.state))?;
        self.functions.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&provider));
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DfResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
