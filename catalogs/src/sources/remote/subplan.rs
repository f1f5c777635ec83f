//! Parts of a plan that one database can answer: a table, its columns under other names, what is computed of them, and joins of
//! such parts.
//!
//! Nothing is asked as a join alone, which can have more rows than both of its sides: it is what groups and first rows are
//! taken from. A policy's barrier is no scan, so that no part reaches below one.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, JoinType, NullEquality, Result, TableReference, plan_err};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder};

use super::question::Question;
use super::table::RemoteTable;
use super::{Remote, RemoteColumn};

/// A part of a plan, as one table.
#[derive(Debug)]
pub(super) struct Subplan<'a> {
    plan: &'a LogicalPlan,
    pub(super) table: RemoteTable,
    pub(super) name: TableReference,
    /// What the columns of the plan are, in their order, by the names of the table's.
    columns: Vec<Expr>,
}

/// A column of the table, as it is or brought to another type.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) cast: Option<DataType>,
}

/// How two parts are joined: by the names of their tables' columns.
#[derive(Debug)]
pub(super) struct Joining<'a> {
    left: &'a [&'a str],
    right: &'a [&'a str],
    /// The columns that come out: the left ones, then the right ones.
    fields: Vec<FieldRef>,
    kind: &'static str,
    on: Vec<(&'a str, &'a str)>,
}

impl<'a> Subplan<'a> {
    /// The plan as one table. None where a part of it is none, or of another database.
    pub(super) fn of(plan: &'a LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source).ok()?;
                let table = provider.downcast_ref::<RemoteTable>().filter(|_| scan.fetch.is_none())?;
                let columns = scan.projected_schema.fields().iter().map(|field| named(field.name()));
                let (table, name) = (table.narrowed(&scan.filters)?, scan.table_name.clone());
                Some(Self { plan, table, name, columns: columns.collect() })
            }
            LogicalPlan::Projection(projection) => {
                let input = Self::of(&projection.input)?;
                let columns = projection.expr.iter().map(|one| input.written(one));
                Some(Self { plan, columns: columns.collect::<Option<_>>()?, ..input })
            }
            LogicalPlan::Filter(filter) => {
                let input = Self::of(&filter.input)?;
                let conditions = split_conjunction(&filter.predicate).into_iter().map(|one| input.written(one));
                let table = input.table.narrowed(&conditions.collect::<Option<Vec<_>>>()?)?;
                Some(Self { plan, table, ..input })
            }
            LogicalPlan::SubqueryAlias(alias) => Some(Self { plan, ..Self::of(&alias.input)? }),
            LogicalPlan::Join(join) => Self::of_join(plan, join),
            _ => None,
        }
    }

    fn of_join(plan: &'a LogicalPlan, join: &'a Join) -> Option<Self> {
        let kind = match join.join_type {
            JoinType::Inner => "JOIN",
            JoinType::Left => "LEFT JOIN",
            JoinType::Right => "RIGHT JOIN",
            _ => return None,
        };
        if join.filter.is_some() || join.on.is_empty() || join.null_equality != NullEquality::NullEqualsNothing {
            return None;
        }
        let (left, right) = (Self::of(&join.left)?, Self::of(&join.right)?);
        let on = join.on.iter().map(|keys| match keys {
            (Expr::Column(one), Expr::Column(other)) => Some((left.origin(one)?, right.origin(other)?)),
            _ => None,
        });
        let fields = plan.schema().fields().iter().enumerate();
        let fields: Vec<FieldRef> = fields
            .map(|(at, field)| Arc::new(Field::new(format!("c{at}"), field.data_type().clone(), field.is_nullable())))
            .collect();
        let columns = fields.iter().map(|field| named(field.name())).collect();
        let (left_names, right_names) = (left.names()?, right.names()?);
        let on = on.collect::<Option<_>>()?;
        let joining = Joining { left: &left_names, right: &right_names, fields, kind, on };
        let table = left.table.joined(&right.table, &joining)?;
        Some(Self { plan, table, name: left.name, columns })
    }

    /// The table's column that a column of the plan is.
    pub(super) fn origin(&self, column: &Column) -> Option<&str> {
        match self.columns.get(self.plan.schema().maybe_index_of_column(column)?)? {
            Expr::Column(origin) => Some(&origin.name),
            _ => None,
        }
    }

    /// What an expression over the plan is, if it is a column or a cast of one.
    pub(super) fn value(&self, expression: &Expr) -> Option<Value> {
        match self.written(expression)? {
            Expr::Column(column) => Some(Value { name: column.name, cast: None }),
            Expr::Cast(Cast { expr, field }) => match *expr {
                Expr::Column(column) => Some(Value { name: column.name, cast: Some(field.data_type().clone()) }),
                _ => None,
            },
            _ => None,
        }
    }

    /// The names of the table's columns that the plan's columns are. None where one is anything else.
    pub(super) fn names(&self) -> Option<Vec<&str>> {
        let names = self.columns.iter().map(|column| match column {
            Expr::Column(column) => Some(column.name.as_str()),
            _ => None,
        });
        names.collect()
    }

    /// An expression over the plan as one over the columns of the table.
    pub(super) fn written(&self, expression: &Expr) -> Option<Expr> {
        let written = expression.clone().transform_up(|part| match part {
            Expr::Column(column) => {
                let origin = self.plan.schema().maybe_index_of_column(&column).and_then(|at| self.columns.get(at));
                match origin {
                    Some(origin) => Ok(Transformed::yes(origin.clone())),
                    None => plan_err!("a column of none of the tables: {column}"),
                }
            }
            Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
            part => Ok(Transformed::no(part)),
        });
        written.data().ok()
    }

    /// A scan of `table` in the plan's place, whose columns are the ones of the plan, in their order. None where one of them
    /// is computed.
    pub(super) fn scan(&self, table: RemoteTable) -> Result<Option<LogicalPlan>> {
        let Some(names) = self.names() else { return Ok(None) };
        let schema = table.schema();
        let mut read = names.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        read.sort_unstable();
        read.dedup();
        let scan = LogicalPlanBuilder::scan(self.name.clone(), provider_as_source(Arc::new(table)), Some(read))?;
        let named = self.plan.schema().iter().zip(names).map(|((qualifier, field), name)| {
            Expr::Column(Column::new(Some(self.name.clone()), name)).alias_qualified(qualifier.cloned(), field.name())
        });
        scan.project(named.collect::<Vec<_>>())?.build().map(Some)
    }
}

/// A column of the table.
fn named(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The question for a join.
pub(super) fn joined<R: Remote>(left: &Question<R>, right: &Question<R>, joining: &Joining<'_>) -> Option<Question<R>> {
    let is_grouped = left.is_grouped || right.is_grouped;
    let (left_fields, right_fields) = joining.fields.split_at_checked(joining.left.len())?;
    let (left, left_from) = side(left, joining.left, left_fields)?;
    let (right, right_from) = side(right, joining.right, right_fields)?;
    let conditions = joining.on.iter().map(|(one, other)| {
        let one = joining.left.iter().position(|name| name == one)?;
        let other = joining.right.iter().position(|name| name == other)?;
        R::matched(left.get(one)?, right.get(other)?)
    });
    let conditions = conditions.collect::<Option<Vec<_>>>()?.join(" AND ");
    let from = format!("{left_from} AS l {} {right_from} AS r ON {conditions}", joining.kind);
    Some(Question { is_grouped, ..Question::of_select(from, left.into_iter().chain(right).collect()) })
}

/// One side of a join: its columns by their new names, and the select that names them so.
fn side<R: Remote>(side: &Question<R>, names: &[&str], fields: &[FieldRef]) -> Option<(Vec<R::Column>, String)> {
    let find = |name: &&str| side.columns.iter().find(|column| column.field().name() == name);
    let origins = names.iter().map(find).collect::<Option<Vec<_>>>()?;
    let selected = origins
        .iter()
        .zip(fields)
        .map(|(origin, field)| format!("{} AS {}", R::identifier(origin.field().name()), R::identifier(field.name())));
    let from = format!("(SELECT {} {})", selected.collect::<Vec<_>>().join(", "), side.tail());
    let columns = origins.into_iter().zip(fields).map(|(origin, field)| {
        let field = Field::clone(field).with_metadata(origin.field().metadata().clone());
        R::renamed(origin, Arc::new(field))
    });
    Some((columns.collect::<Option<_>>()?, from))
}
