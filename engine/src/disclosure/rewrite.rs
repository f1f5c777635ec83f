//! The walk from the tables up: rows carry, unseen, whose they are, until an aggregate over people makes cells of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::{Column, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Extension, Filter, Limit, LogicalPlan, Projection, SubqueryAlias, Window,
};

use super::arguments::{Made, Part, found};
use super::fingerprint::fingerprint;
use super::ledger::{Caller, Ledger};
use super::{Protection, joins, rows, unions};
use crate::policy::{Grants, PolicyBarrier};
use crate::survey::Notices;
use crate::{Code, Error, Principal};

/// Names that only this module gives.
const PREFIX: &str = "__disclosure_";

/// Who asks, and what it has been shown.
pub(crate) struct Asked<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) grants: &'a Grants,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) notices: Arc<Notices>,
}

impl Asked<'_> {
    pub(super) fn caller(&self) -> Caller {
        (self.principal.name().to_owned(), self.principal.tenant().map(str::to_owned))
    }
}

/// The plan, of which no answer says more of few people than it may.
///
/// # Errors
/// `disclosure_refused` where that cannot be told of the plan.
pub(crate) fn protect(plan: LogicalPlan, asked: &Asked<'_>) -> Result<LogicalPlan> {
    if !asked.grants.has_protections() {
        return Ok(plan);
    }
    asked.notices.be_discreet();
    let columns = plan.schema().columns();
    let mut walk = Walk { asked, next: 0 };
    let seen = walk.plan(plan)?;
    rows::count(seen, columns, asked)
}

pub(super) fn refused(why: impl Into<String>) -> Error {
    Error::new(Code::DisclosureRefused, why)
}

/// The column that an expression of a SELECT makes.
pub(super) fn column_of(expr: &Expr) -> Column {
    let (relation, name) = expr.qualified_name();
    Column::new(relation, name)
}

/// A table of protected rows, where it stands in a plan.
#[derive(Debug, Clone)]
pub(super) struct Occurrence {
    pub(super) protection: Arc<Protection>,
    /// The unseen columns with the numbers of its row and of its person.
    pub(super) row: Column,
    pub(super) person: Column,
    /// The columns that are the table's own, with their names there.
    pub(super) names: HashMap<Column, String>,
    /// The unseen columns that say of each row which branch of a UNION ALL it is from: each branch may have other values in a
    /// column, so that a figure tells of the people of each.
    pub(super) branches: Vec<Column>,
    /// Whether it may be missing, since an outer join adds it.
    pub(super) is_optional: bool,
    /// Whether one of its rows may stand in several.
    pub(super) is_multiplied: bool,
    /// Columns of the query around this one, each of which names the person whose rows these are.
    pub(super) asked_of: Vec<Column>,
}

impl Occurrence {
    /// Whether a column names its people.
    pub(super) fn is_key(&self, column: &Column) -> bool {
        let name = self.names.get(column);
        name.is_some_and(|name| self.protection.key.as_ref() == Some(name))
    }
}

/// A plan, and what its rows carry.
pub(super) struct Seen {
    pub(super) plan: LogicalPlan,
    pub(super) rows: Vec<Occurrence>,
    pub(super) made: HashMap<Column, Made>,
}

impl Seen {
    pub(super) fn open(plan: LogicalPlan) -> Self {
        Self { plan, rows: Vec::new(), made: HashMap::new() }
    }

    /// The unseen columns.
    pub(super) fn carried(&self) -> Vec<Column> {
        let rows = self.rows.iter().flat_map(|row| [&row.row, &row.person].into_iter().chain(&row.branches));
        let parts = self.made.values().flat_map(|made| made.parts.iter().map(|part| &part.of));
        let mut known = HashSet::new();
        rows.chain(parts).filter(|column| known.insert((*column).clone())).cloned().collect()
    }

    /// Columns by the names that they have further up.
    fn renamed(&mut self, rename: impl Fn(&Column) -> Option<Column>) {
        let kept = |column: &Column| rename(column).unwrap_or_else(|| column.clone());
        for row in &mut self.rows {
            (row.row, row.person) = (kept(&row.row), kept(&row.person));
            row.branches.iter_mut().for_each(|branch| *branch = kept(branch));
            row.names = row.names.iter().filter_map(|(column, name)| Some((rename(column)?, name.clone()))).collect();
        }
        let made = std::mem::take(&mut self.made);
        self.made = made
            .into_iter()
            .filter_map(|(column, mut made)| {
                made.parts.iter_mut().for_each(|part| part.of = kept(&part.of));
                Some((rename(&column)?, made))
            })
            .collect();
    }
}

pub(super) struct Walk<'a> {
    pub(super) asked: &'a Asked<'a>,
    next: usize,
}

impl Walk<'_> {
    /// A name for an unseen column.
    pub(super) fn name(&mut self, what: &str) -> String {
        self.next += 1;
        format!("{PREFIX}{what}_{}", self.next)
    }

    pub(super) fn plan(&mut self, plan: LogicalPlan) -> Result<Seen> {
        if plan.schema().fields().iter().any(|field| field.name().starts_with(PREFIX)) {
            return Err(refused(format!("Names that begin with {PREFIX} are taken.")).into());
        }
        match plan {
            LogicalPlan::Extension(extension) => self.extension(extension),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::SubqueryAlias(alias) => {
                let mut seen = self.plan(Arc::unwrap_or_clone(alias.input))?;
                let named = SubqueryAlias::try_new(Arc::new(seen.plan), alias.alias.clone())?;
                seen.plan = LogicalPlan::SubqueryAlias(named);
                seen.renamed(|column| Some(Column::new(Some(alias.alias.clone()), &column.name)));
                Ok(seen)
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.into_iter();
                let inputs = inputs.map(|input| self.plan(Arc::unwrap_or_clone(input))).collect::<Result<Vec<_>>>()?;
                unions::union(inputs, &union.schema, self)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let columns = input.schema().columns();
                let seen = self.plan(Arc::unwrap_or_clone(input))?;
                if seen.rows.is_empty() {
                    return Ok(Seen::open(LogicalPlan::Distinct(Distinct::All(Arc::new(seen.plan)))));
                }
                self.aggregate(seen, columns.into_iter().map(Expr::Column).collect(), Vec::new())
            }
            LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, .. }) => {
                let seen = self.plan(Arc::unwrap_or_clone(input))?;
                let group_expr = self.with_subqueries(group_expr, &seen)?;
                let aggr_expr = self.with_subqueries(aggr_expr, &seen)?;
                if seen.rows.is_empty() {
                    let plan = Aggregate::try_new(Arc::new(seen.plan), group_expr, aggr_expr)?;
                    return Ok(Seen::open(LogicalPlan::Aggregate(plan)));
                }
                self.aggregate(seen, group_expr, aggr_expr)
            }
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Limit(limit) => {
                let columns = limit.input.schema().columns();
                let seen = self.plan(Arc::unwrap_or_clone(limit.input))?;
                // What is not shown takes no place among those that are.
                let input = Arc::new(rows::count(seen, columns, self.asked)?);
                Ok(Seen::open(LogicalPlan::Limit(Limit { input, ..limit })))
            }
            plan @ (LogicalPlan::Sort(_) | LogicalPlan::Repartition(_)) => {
                let expressions = plan.expressions();
                let mut inputs = plan.inputs().into_iter().cloned();
                let Some(input) = inputs.next() else { return Ok(Seen::open(plan)) };
                let mut seen = self.plan(input)?;
                let expressions = self.with_subqueries(expressions, &seen)?;
                seen.plan = plan.with_new_exprs(expressions, vec![seen.plan])?;
                Ok(seen)
            }
            // Whatever else there is has either no protected rows below, or is not known to keep them apart.
            plan => self.other(plan),
        }
    }

    fn other(&mut self, plan: LogicalPlan) -> Result<Seen> {
        let inputs = plan.inputs().into_iter().cloned().collect::<Vec<_>>();
        if inputs.is_empty() {
            return Ok(Seen::open(plan));
        }
        let mut rewritten = Vec::with_capacity(inputs.len());
        for input in inputs {
            let seen = self.plan(input)?;
            if !seen.rows.is_empty() {
                let what = plan.display().to_string();
                let what = what.split([':', ' ']).next().unwrap_or_default().to_owned();
                return Err(refused(format!("Rows of protected tables cannot go through this step ({what})."))
                    .hint("Aggregate over people first.")
                    .into());
            }
            rewritten.push(seen.plan);
        }
        let expressions = self.with_subqueries(plan.expressions(), &Seen::open(LogicalPlan::default()))?;
        Ok(Seen::open(plan.with_new_exprs(expressions, rewritten)?))
    }

    /// The barrier of a protected table: from here on its rows say whose they are.
    fn extension(&mut self, extension: Extension) -> Result<Seen> {
        let barrier = extension.node.as_any().downcast_ref::<PolicyBarrier>();
        let protection = barrier.and_then(|barrier| self.asked.grants.protection(barrier.policy()));
        let (Some(barrier), Some(protection)) = (barrier, protection) else {
            let is_barrier = barrier.is_some();
            let plan = LogicalPlan::Extension(extension);
            return if is_barrier { Ok(Seen::open(plan)) } else { self.other(plan) };
        };
        let LogicalPlan::Projection(projection) = barrier.input() else {
            return Err(Error::new(Code::Internal, "A protected table is not what it was.").into());
        };
        let seed = self.asked.ledger.seed;
        let all: Vec<Column> = projection.input.schema().columns();
        let is_person = |column: &&Column| protection.people.as_ref() == Some(&column.name);
        let text = |column: &Column| {
            datafusion::logical_expr::cast(Expr::Column(column.clone()), arrow::datatypes::DataType::Utf8)
        };
        let row = fingerprint(all.iter().cloned().map(Expr::Column).collect(), seed);
        let person = all.iter().find(is_person).map(|person| fingerprint(vec![text(person)], seed));
        let (row_name, person_name) = (self.name("row"), self.name("person"));
        let person = person.unwrap_or_else(|| row.clone()).alias(&person_name);
        let names = projection.schema.columns().into_iter().map(|column| (column.clone(), column.name)).collect();
        let exprs = projection.expr.iter().cloned().chain([row.alias(&row_name), person]).collect();
        let extended = Projection::try_new(exprs, Arc::clone(&projection.input))?;
        let occurrence = Occurrence {
            protection: Arc::clone(protection),
            row: Column::new_unqualified(row_name),
            person: Column::new_unqualified(person_name),
            names,
            branches: Vec::new(),
            is_optional: false,
            is_multiplied: false,
            asked_of: Vec::new(),
        };
        let mut seen = Seen::open(barrier.with_input(LogicalPlan::Projection(extended)));
        seen.rows.push(occurrence);
        Ok(seen)
    }

    fn projection(&mut self, projection: Projection) -> Result<Seen> {
        let mut seen = self.plan(Arc::unwrap_or_clone(projection.input))?;
        let mut exprs = self.with_subqueries(projection.expr, &seen)?;
        if seen.rows.is_empty() {
            seen.plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(seen.plan))?);
            return Ok(seen);
        }
        let schema = Arc::clone(seen.plan.schema());
        let mut shown: HashMap<Column, Vec<Column>> = HashMap::new();
        let (mut made, mut conditions) = (HashMap::new(), Vec::new());
        for expr in &exprs {
            let own = column_of(expr);
            match expr.clone().unalias() {
                Expr::Column(column) => {
                    if let Some(known) = seen.made.get(&column) {
                        made.insert(own.clone(), known.clone());
                    }
                    shown.entry(column).or_default().push(own);
                }
                Expr::Literal(..) => {}
                computed => {
                    made.insert(own, self.made(&computed, &seen, &schema, &mut conditions));
                }
            }
        }
        for row in &mut seen.rows {
            let names = std::mem::take(&mut row.names).into_iter();
            let renamed = names.flat_map(|(column, name)| {
                let own = shown.get(&column).cloned().unwrap_or_default();
                own.into_iter().map(move |own| (own, name.clone()))
            });
            row.names = renamed.collect();
        }
        seen.made = made;
        let new: HashSet<String> = conditions.iter().map(|(name, _)| name.clone()).collect();
        exprs.extend(seen.carried().into_iter().filter(|column| !new.contains(&column.name)).map(Expr::Column));
        exprs.extend(conditions.into_iter().map(|(name, condition)| condition.alias(name)));
        seen.plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(seen.plan))?);
        Ok(seen)
    }

    /// What is known of a column that `expr` makes. The parts it tells apart become columns of their own.
    pub(super) fn made(
        &mut self,
        expr: &Expr,
        seen: &Seen,
        schema: &datafusion::common::DFSchema,
        conditions: &mut Vec<(String, Expr)>,
    ) -> Made {
        let is_own = |column: &Column| {
            seen.made.contains_key(column) || seen.rows.iter().any(|row| row.names.contains_key(column))
        };
        let found = match found(expr, &seen.made, schema, &is_own) {
            Ok(found) => found,
            Err(by) => return Made { by: Some(by), ..Made::default() },
        };
        let parts = found.parts.into_iter().map(|part| {
            let of = match part.of {
                Expr::Column(column) if column.name.starts_with(PREFIX) => column,
                condition => {
                    let name = self.name("part");
                    conditions.push((name.clone(), condition));
                    Column::new_unqualified(name)
                }
            };
            Part { of, is_condition: part.is_condition }
        });
        Made { parts: parts.collect(), by: None, is_step: found.is_step, gain: found.gain }
    }

    fn filter(&mut self, filter: Filter) -> Result<Seen> {
        let mut seen = self.plan(Arc::unwrap_or_clone(filter.input))?;
        for predicate in split_conjunction(&filter.predicate) {
            let Some((left, right)) = joins::equality(predicate) else { continue };
            for side in [(left, right), (right, left)] {
                if let (Expr::OuterReferenceColumn(_, outer), Expr::Column(own)) = side {
                    let named = seen.rows.iter_mut().filter(|row| row.is_key(own));
                    named.for_each(|row| row.asked_of.push(outer.clone()));
                }
            }
        }
        let mut predicates = self.with_subqueries(vec![filter.predicate], &seen)?;
        if let Some(predicate) = predicates.pop() {
            seen.plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(seen.plan))?);
        }
        Ok(seen)
    }

    fn window(&mut self, window: Window) -> Result<Seen> {
        let mut seen = self.plan(Arc::unwrap_or_clone(window.input))?;
        let exprs = self.with_subqueries(window.window_expr, &seen)?;
        if !seen.rows.is_empty() {
            return Err(refused("A window function over rows of a protected table tells of other rows.")
                .hint("Aggregate with GROUP BY, and use windows over the result.")
                .into());
        }
        seen.plan = LogicalPlan::Window(Window::try_new(exprs, Arc::new(seen.plan))?);
        Ok(seen)
    }
}

/// Whether the people of two tables are named alike.
pub(super) fn are_of_the_same(one: &Occurrence, other: &Occurrence) -> bool {
    one.protection.dataset == other.protection.dataset
}

pub(super) fn asks_about_few() -> Error {
    refused("A condition asks whether a protected table has certain rows.")
        .hint("Ask it of people: join on the column that names them, or write IN (SELECT that column ..).")
}

pub(super) fn without_subqueries(expr: Expr) -> Result<Expr> {
    match crate::survey::trace::has_subquery(&expr) {
        true => Err(asks_about_few().into()),
        false => Ok(expr),
    }
}
