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
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, ident};
use engine::RowSums;

use super::kept::noted;
use super::question::Question;
use super::subplan::Subplan;
use super::sums::{Rows, Sums};
use super::{Relation, Remote, RemoteColumn};

/// What an aggregate asks of one table, by the names of the table's columns.
#[derive(Debug)]
pub(super) struct Grouping {
    /// Columns to group by, with the fields that they become.
    pub(super) keys: Vec<(String, FieldRef)>,
    calls: Vec<Wanted>,
}

/// What is asked of the rows of a group.
#[derive(Debug)]
enum Wanted {
    Call(Call, FieldRef),
    Sums(Box<Sums>),
}

impl Grouping {
    /// Whether it asks for the sums of a survey design.
    pub(super) fn has_sums(&self) -> bool {
        self.calls.iter().any(|wanted| matches!(wanted, Wanted::Sums(_)))
    }

    /// Whether there are so many groups, as far as the database knows of its columns, that their sums are more to fetch than the rows
    /// would be.
    pub(super) fn is_larger_than<C: RemoteColumn>(&self, table: &Relation<C>) -> bool {
        const ROWS_PER_GROUP: u64 = 4;
        let is_key = |column: &C| self.keys.iter().any(|(name, _)| name == column.field().name());
        let columns = table.columns.iter().zip(table.values.iter());
        let groups = columns.filter(|(column, _)| is_key(column)).filter_map(|(_, values)| values.distinct).max();
        let rows = table.row_estimate.filter(|_| self.has_sums());
        rows.zip(groups).is_some_and(|(rows, groups)| groups.saturating_mul(ROWS_PER_GROUP) > rows)
    }
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
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        match pushed(aggregate)? {
            Some(plan) => Ok(Transformed::yes(plan)),
            None => {
                let notes = kept(aggregate).unwrap_or_default();
                noted(node, notes)
            }
        }
    })
    .data()
}

/// What an aggregate is not pushed for.
fn kept(aggregate: &Aggregate) -> Option<Vec<String>> {
    let input = Subplan::of(&aggregate.input)?;
    let one = |key: &[Expr], call: &[Expr]| {
        let alone = Aggregate::try_new(Arc::clone(&aggregate.input), key.to_vec(), call.to_vec()).ok()?;
        input.table.grouped(&grouping(&alone, &input)?)
    };
    let keys = aggregate.group_expr.iter().filter(|key| one(&[(*key).clone()], &[]).is_none());
    let calls = aggregate.aggr_expr.iter().filter(|call| one(&[], &[(*call).clone()]).is_none());
    let keys = keys.map(|key| format!("groups, since those of {key} may differ there"));
    // The higher levels of an estimate are for nobody else.
    let is_inner = |call: &&Expr| function(call).is_some_and(|call| is_level(call) && RowSums::of(call).is_none());
    let calls = calls.filter(|call| !is_inner(call)).map(|call| format!("groups, since {call} may differ there"));
    let notes: Vec<String> = keys.chain(calls).collect();
    let is_all_here = aggregate.aggr_expr.iter().any(|call| is_inner(&call));
    Some(if notes.is_empty() && !is_all_here {
        vec!["groups, which are not much fewer than the rows".to_owned()]
    } else {
        notes
    })
}

fn pushed(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let Some(input) = Subplan::of(&aggregate.input) else { return Ok(None) };
    let Some(grouping) = grouping(aggregate, &input) else { return Ok(None) };
    let Some(groups) = input.table.grouped(&grouping) else { return Ok(None) };
    let scan = LogicalPlanBuilder::scan(input.name.clone(), provider_as_source(Arc::new(groups)), None)?;
    let keys = grouping.keys.iter().map(|(_, field)| Some(ident(field.name())));
    let calls = grouping.calls.iter().zip(&aggregate.aggr_expr).map(|(wanted, call)| match wanted {
        Wanted::Call(_, field) => Some(ident(field.name())),
        Wanted::Sums(sums) => sums.composed(function(call)?),
    });
    let Some(columns) = keys.chain(calls).collect::<Option<Vec<_>>>() else { return Ok(None) };
    // The plan above knows the columns by the names that the aggregate gave them.
    let named = columns
        .into_iter()
        .zip(aggregate.schema.iter())
        .map(|(column, (qualifier, field))| column.alias_qualified(qualifier.cloned(), field.name()));
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
        let Expr::Column(origin) = input.written(key)? else { return None };
        keys.push((origin.name, fields.next()?));
    }
    let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
    for call in &aggregate.aggr_expr {
        let (function, field) = (function(call)?, fields.next()?);
        calls.push(match Sums::of(function, input, field.name()) {
            Some(sums) => Wanted::Sums(Box::new(sums)),
            None => Wanted::Call(self::call(function, input)?, field),
        });
    }
    Some(Grouping { keys, calls })
}

/// Whether a call is a level of a survey estimate.
fn is_level(call: &AggregateFunction) -> bool {
    call.func.name().starts_with("svy_")
}

fn function(expression: &Expr) -> Option<&AggregateFunction> {
    match expression {
        Expr::AggregateFunction(function) => Some(function),
        Expr::Alias(Alias { expr, .. }) => function(expr),
        _ => None,
    }
}

fn call(AggregateFunction { func, params }: &AggregateFunction, input: &Subplan<'_>) -> Option<Call> {
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
    // What groups and calls name of the table.
    let mut read: Vec<String> = Vec::new();
    for (name, field) in &grouping.keys {
        let origin = find(name)?;
        let key = R::key(origin)?;
        selected.push(format!("{key} AS {}", R::identifier(field.name())));
        columns.push(R::derived(field, Some(origin))?);
        read.push(R::identifier(name));
        keys.push(key);
    }
    let mut rows = Rows::of(&table.columns);
    for wanted in &grouping.calls {
        let (call, field) = match wanted {
            Wanted::Call(call, field) => (call, field),
            Wanted::Sums(sums) => {
                for (field, value) in sums.select(table, &mut rows)? {
                    selected.push(format!("{value} AS {}", R::identifier(field.name())));
                    columns.push(R::derived(&field, None)?);
                }
                continue;
            }
        };
        let origin = match &call.column {
            Some(name) => {
                read.push(R::identifier(name));
                Some(find(name)?)
            }
            None => None,
        };
        let value = R::aggregate(call, origin, field.data_type())?;
        selected.push(format!("{value} AS {}", R::identifier(field.name())));
        let keeps_values = matches!(call.function.as_str(), "min" | "max");
        columns.push(R::derived(field, origin.filter(|_| keeps_values))?);
    }
    let by = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
    read.sort_unstable();
    read.dedup();
    let tail = if rows.are_plain() { table.tail() } else { rows.from(table, &read, &keys) };
    let from = format!("(SELECT {} {tail}{by}) AS grouped", selected.join(", "));
    Some(Question { is_grouped: true, ..Question::of_select(from, columns.into()) })
}
