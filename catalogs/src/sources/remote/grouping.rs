//! Aggregates in the database: GROUP BY over what it can answer, where every key and every function means the same there.
//!
//! It is the last change to a logical plan, after the verifier: an aggregate becomes a scan of the groups. An aggregate over
//! a policy's barrier stays here.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr::{AggregateFunction, Alias};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};

use super::kept::Notes;
use super::question::Question;
use super::subplan::Subplan;
use super::{Remote, RemoteColumn};

/// What an aggregate asks of one table, by the names of the table's columns.
#[derive(Debug)]
pub(super) struct Grouping {
    /// Columns to group by, with the fields that they become.
    pub(super) keys: Vec<(String, FieldRef)>,
    calls: Vec<(Call, FieldRef)>,
}

/// One call of an aggregate function.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The function's name.
    pub(crate) function: String,
    /// The column that it is called with; None of `count(*)`.
    column: Option<String>,
    /// The type that the column is brought to before the call, where that is another one.
    pub(crate) cast: Option<DataType>,
    /// Whether each value counts once.
    pub(crate) distinct: bool,
}

/// Moves the aggregates of `plan` into the databases that can do them.
pub(crate) fn push_aggregates(plan: LogicalPlan) -> Result<LogicalPlan> {
    let notes = Notes::of(&plan);
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        match pushed(aggregate)? {
            Some(plan) => Ok(Transformed::yes(plan)),
            None => notes.add(node, |node| kept(node).unwrap_or_default()),
        }
    })
    .data()
}

/// What an aggregate is not pushed for.
fn kept(plan: &LogicalPlan) -> Option<Vec<String>> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return None };
    let input = Subplan::of(&aggregate.input)?;
    let one = |key: &[Expr], call: &[Expr]| {
        let alone = Aggregate::try_new(Arc::clone(&aggregate.input), key.to_vec(), call.to_vec()).ok()?;
        input.table.grouped(&grouping(&alone, &input)?)
    };
    let keys = aggregate.group_expr.iter().filter(|key| one(&[(*key).clone()], &[]).is_none());
    let calls = aggregate.aggr_expr.iter().filter(|call| one(&[], &[(*call).clone()]).is_none());
    let keys = keys.map(|key| format!("groups, since those of {key} may differ there"));
    let calls = calls.map(|call| format!("groups, since {call} may differ there"));
    Some(keys.chain(calls).collect())
}

fn pushed(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let Some(input) = Subplan::of(&aggregate.input) else { return Ok(None) };
    let Some(grouping) = grouping(aggregate, &input) else { return Ok(None) };
    let Some(groups) = input.table.grouped(&grouping) else { return Ok(None) };
    let scan = LogicalPlanBuilder::scan(input.name.clone(), provider_as_source(Arc::new(groups)), None)?;
    // The plan above knows the columns by the names that the aggregate gave them.
    let columns = scan.schema().columns();
    let named = columns
        .into_iter()
        .zip(aggregate.schema.iter())
        .map(|(column, (qualifier, field))| Expr::Column(column).alias_qualified(qualifier.cloned(), field.name()));
    Ok(Some(scan.project(named)?.build()?))
}

fn grouping(aggregate: &Aggregate, input: &Subplan<'_>) -> Option<Grouping> {
    let mut fields = aggregate
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| Arc::new(Field::new(format!("c{at}"), field.data_type().clone(), field.is_nullable())));
    let mut keys = Vec::with_capacity(aggregate.group_expr.len());
    for key in &aggregate.group_expr {
        let Expr::Column(column) = key else { return None };
        keys.push((input.origin(column)?.to_owned(), fields.next()?));
    }
    let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
    for call in &aggregate.aggr_expr {
        calls.push((self::call(call, input)?, fields.next()?));
    }
    Some(Grouping { keys, calls })
}

fn call(expression: &Expr, input: &Subplan<'_>) -> Option<Call> {
    let AggregateFunction { func, params } = match expression {
        Expr::AggregateFunction(function) => function,
        Expr::Alias(Alias { expr, .. }) => match &**expr {
            Expr::AggregateFunction(function) => function,
            _ => return None,
        },
        _ => return None,
    };
    if params.filter.is_some() || !params.order_by.is_empty() || params.null_treatment.is_some() {
        return None;
    }
    let [argument] = params.args.as_slice() else { return None };
    let (column, cast) = match argument {
        Expr::Literal(value, _) if !value.is_null() && func.name() == "count" && !params.distinct => (None, None),
        argument => {
            let value = input.value(argument)?;
            (Some(value.name), value.cast)
        }
    };
    Some(Call { function: func.name().to_owned(), column, cast, distinct: params.distinct })
}

/// The question for the groups. Its columns are called `c0`, `c1`, .. in the order of the aggregate's own.
pub(super) fn question<R: Remote>(table: &Question<R>, grouping: &Grouping) -> Option<Question<R>> {
    let find = |name: &String| table.columns.iter().find(|column| column.field().name() == name);
    let mut selected = Vec::new();
    let mut columns = Vec::new();
    let mut keys = Vec::new();
    for (name, field) in &grouping.keys {
        let origin = find(name)?;
        let key = R::key(origin)?;
        selected.push(format!("{key} AS {}", R::identifier(field.name())));
        columns.push(R::derived(field, Some(origin))?);
        keys.push(key);
    }
    for (call, field) in &grouping.calls {
        let origin = match &call.column {
            Some(name) => Some(find(name)?),
            None => None,
        };
        let value = R::aggregate(call, origin, field.data_type())?;
        selected.push(format!("{value} AS {}", R::identifier(field.name())));
        let keeps_values = matches!(call.function.as_str(), "min" | "max");
        columns.push(R::derived(field, origin.filter(|_| keeps_values))?);
    }
    let by = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
    let from = format!("(SELECT {} {}{by}) AS grouped", selected.join(", "), table.tail());
    Some(Question::of_select(from, columns.into()))
}
