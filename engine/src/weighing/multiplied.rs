//! Whether a join multiplies rows: then an aggregate over one of its sides counts the same row several times.
//!
//! A side is multiplied unless each other side has at most one row for each of its rows. That follows from keys (declared,
//! constraints, GROUP BY) and from what the conditions make equal; where it does not, the query checks it when it runs.

mod columns;
mod conditions;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Constraint, JoinType, Result};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, LogicalPlanBuilder};

use crate::survey::trace::{self, is_table};
use crate::survey::{Read, read_of};

/// A column of one side of a join: the side's number, and its place there.
type Place = (usize, usize);

/// The sides of the joins of a plan, and what is known of their rows.
pub(super) struct Sides<'a> {
    plan: &'a LogicalPlan,
    sides: Vec<&'a LogicalPlan>,
    reads: &'a [Read],
    equal: Vec<[Place; 2]>,
    constant: Vec<Place>,
    conditions: Vec<(&'a LogicalPlan, &'a Expr)>,
}

/// A side that must have each value of some columns once.
#[derive(Debug)]
pub(super) struct Check {
    /// The side's rows, as the query reads them.
    pub(super) rows: LogicalPlan,
    pub(super) columns: Vec<Expr>,
    /// What an error calls it.
    pub(super) name: String,
    /// The side whose rows it would multiply.
    pub(super) of: String,
}

/// What multiplies the rows that an aggregate is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Multiplied {
    pub(super) side: String,
    pub(super) by: String,
}

impl<'a> Sides<'a> {
    pub(super) fn of(plan: &'a LogicalPlan, reads: &'a [Read]) -> Self {
        let mut sides = Vec::new();
        collect_sides(plan, &mut sides);
        let mut known = Self { plan, sides, reads, equal: Vec::new(), constant: Vec::new(), conditions: Vec::new() };
        if known.sides.len() > 1 {
            known.collect_conditions(plan);
        }
        known
    }

    /// What must be checked so that none of the rows that `values` come from is there twice: any of several ways will do. Of values
    /// of several sides, and of whole rows, one side must be there once.
    ///
    /// # Errors
    /// [`Multiplied`] where no check would help.
    pub(super) fn once(&self, values: &[Expr]) -> Result<Vec<Vec<Check>>, Multiplied> {
        let mut own = self.sources_of(values);
        if own.is_empty() {
            own.extend(0..self.sides.len());
        }
        let (mut ways, mut refused) = (Vec::new(), None);
        for side in own {
            match self.checks(side) {
                Ok(checks) if checks.is_empty() => return Ok(Vec::new()),
                Ok(checks) => ways.push(checks),
                Err(multiplied) => refused = refused.or(Some(multiplied)),
            }
        }
        match (refused, ways.is_empty()) {
            (Some(multiplied), true) => Err(multiplied),
            _ => Ok(ways),
        }
    }

    /// What must be checked so that each row of `side` is there once.
    fn checks(&self, side: usize) -> Result<Vec<Check>, Multiplied> {
        let mut known = vec![false; self.sides.len()];
        known[side] = true;
        let mut checks = Vec::new();
        loop {
            let is_given = self.given(&known);
            let others = || (0..self.sides.len()).filter(|other| !known[*other]);
            let has_key = |other: &usize| {
                let keys = self.keys(*other);
                keys.iter().any(|key| key.iter().all(|column| is_given.contains(&(*other, *column))))
            };
            if let Some(other) = others().find(has_key) {
                known[other] = true;
                continue;
            }
            let Some(first) = others().next() else { return Ok(checks) };
            let linked = others().find_map(|other| {
                let mut columns: Vec<usize> =
                    is_given.iter().filter(|(of, _)| *of == other).map(|(_, column)| *column).collect();
                columns.sort_unstable();
                columns.dedup();
                (!columns.is_empty()).then_some((other, columns))
            });
            let check = linked.and_then(|(other, columns)| Some((other, self.check(other, &columns, side)?)));
            let Some((other, check)) = check else {
                return Err(Multiplied { side: self.name(side), by: self.name(first) });
            };
            known[other] = true;
            checks.push(check);
        }
    }

    /// Sets of columns of which a side has each combination once.
    fn keys(&self, side: usize) -> Vec<Vec<usize>> {
        let Some(plan) = self.sides.get(side) else { return Vec::new() };
        match plan {
            LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.as_slice() {
                [Expr::GroupingSet(_)] => Vec::new(),
                keys => vec![(0..keys.len()).collect()],
            },
            LogicalPlan::Distinct(Distinct::All(input)) => vec![(0..input.schema().fields().len()).collect()],
            LogicalPlan::Values(values) if values.values.len() < 2 => vec![Vec::new()],
            LogicalPlan::EmptyRelation(_) => vec![Vec::new()],
            plan if is_table(plan) => self.keys_of_table(plan),
            _ => Vec::new(),
        }
    }

    fn keys_of_table(&self, table: &LogicalPlan) -> Vec<Vec<usize>> {
        let Some(read) = read_of(table, self.reads) else { return Vec::new() };
        let mut keys = Vec::new();
        if let LogicalPlan::TableScan(scan) = table {
            let constraints = scan.source.constraints().into_iter().flat_map(|constraints| constraints.iter());
            keys.extend(constraints.map(|constraint| match constraint {
                Constraint::PrimaryKey(columns) | Constraint::Unique(columns) => columns.clone(),
            }));
        }
        if let Some(weights) = &read.dataset.weights
            && weights.table.as_ref() == Some(&read.table)
            && weights.unit.is_some()
        {
            let names = weights.unit.iter().chain(&weights.period);
            let places = names.map(|name| table.schema().index_of_column_by_name(None, name)).collect::<Option<_>>();
            keys.extend(places);
        }
        // A mask makes one of many values.
        keys.retain(|key: &Vec<usize>| !key.iter().any(|column| trace::is_masked(table, *column)));
        keys
    }

    /// The check that a side has each value of `columns` once. None where it cannot be read by itself.
    fn check(&self, side: usize, columns: &[usize], of: usize) -> Option<Check> {
        let rows = *self.sides.get(side)?;
        let mut conditions: Vec<Expr> =
            self.conditions.iter().filter_map(|(plan, condition)| self.onto(plan, condition, side)).collect();
        let columns: Vec<Expr> =
            columns.iter().map(|place| Expr::Column(Column::from(rows.schema().qualified_field(*place)))).collect();
        conditions.extend(columns.iter().map(|column| column.clone().is_not_null()));
        let rows = LogicalPlanBuilder::from(rows.clone());
        let rows = match conditions.into_iter().reduce(Expr::and) {
            Some(condition) => rows.filter(condition).ok()?,
            None => rows,
        };
        let rows = rows.build().ok()?;
        let is_correlated = rows.exists(|node| Ok(!node.all_out_ref_exprs().is_empty())).unwrap_or(true);
        (!is_correlated).then(|| Check { rows, columns, name: self.name(side), of: self.name(of) })
    }

    /// A condition over `plan` as one over the rows of a side. None where it is about others too.
    fn onto(&self, plan: &LogicalPlan, condition: &Expr, side: usize) -> Option<Expr> {
        let rows = *self.sides.get(side)?;
        if condition.column_refs().is_empty() || condition.is_volatile() || condition.contains_outer() {
            return None;
        }
        let has_plan = |part: &Expr| matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_));
        if condition.exists(|part| Ok(has_plan(part))).unwrap_or(true) {
            return None;
        }
        let mut is_its = true;
        let moved = condition.clone().transform(|part| {
            let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
            let place = plan.schema().maybe_index_of_column(column);
            match place.and_then(|place| self.direct(plan, place)).filter(|(of, _)| *of == side) {
                Some((_, found)) => {
                    Ok(Transformed::yes(Expr::Column(Column::from(rows.schema().qualified_field(found)))))
                }
                None => {
                    is_its = false;
                    Ok(Transformed::no(part))
                }
            }
        });
        moved.data().ok().filter(|_| is_its)
    }

    fn name(&self, side: usize) -> String {
        let Some(plan) = self.sides.get(side) else { return String::new() };
        match read_of(plan, self.reads) {
            Some(read) => format!("{}.{}", read.dataset.id, read.table),
            None => {
                let columns: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
                format!("({})", columns.join(", "))
            }
        }
    }

    /// Whether a table is one of the sides.
    pub(super) fn has(&self, table: &LogicalPlan) -> bool {
        self.side(table).is_some()
    }

    fn side(&self, plan: &LogicalPlan) -> Option<usize> {
        self.sides.iter().position(|side| std::ptr::eq(*side, plan))
    }

    /// The parts of unions, DISTINCT and GROUP BY that `values` come from, with what they are there: a join below may have
    /// multiplied them. Not where all rows of the part are told apart by columns of the values' own side.
    pub(super) fn below(&self, values: &[Expr]) -> Vec<(&'a LogicalPlan, Vec<Expr>)> {
        let mut found = Vec::new();
        for (number, side) in self.sides.iter().enumerate() {
            let of_side = |column: &Column| {
                let place = self.plan.schema().maybe_index_of_column(column)?;
                self.direct(self.plan, place).filter(|(of, _)| *of == number).map(|(_, place)| place)
            };
            let mut places: Vec<usize> = values.iter().flat_map(Expr::column_refs).filter_map(of_side).collect();
            places.sort_unstable();
            places.dedup();
            if places.is_empty() && !(values.is_empty() && matches!(side, LogicalPlan::Union(_))) {
                continue;
            }
            let column =
                |input: &LogicalPlan, place: &usize| Expr::Column(Column::from(input.schema().qualified_field(*place)));
            match side {
                LogicalPlan::Union(union) => {
                    let parts = union.inputs.iter().map(|input| &**input);
                    found.extend(parts.map(|input| (input, places.iter().map(|place| column(input, place)).collect())));
                }
                LogicalPlan::Distinct(Distinct::All(input)) => {
                    let all: Vec<Expr> =
                        (0..input.schema().fields().len()).map(|place| column(input, &place)).collect();
                    let own: Vec<Expr> = places.iter().map(|place| column(input, place)).collect();
                    if !are_of_one_side(input, &own, &all, self.reads) {
                        found.push((&**input, own));
                    }
                }
                LogicalPlan::Aggregate(aggregate) => {
                    let keys = aggregate.group_expr.iter().cloned().map(Expr::unalias).collect::<Vec<_>>();
                    let own: Vec<Expr> = places.iter().filter_map(|place| keys.get(*place).cloned()).collect();
                    if !own.is_empty() && !are_of_one_side(&aggregate.input, &own, &keys, self.reads) {
                        found.push((&*aggregate.input, own));
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// Whether all of `columns` come from the side that `own` come from.
fn are_of_one_side(plan: &LogicalPlan, own: &[Expr], columns: &[Expr], reads: &[Read]) -> bool {
    let sides = Sides::of(plan, reads);
    sides.sources_of(columns).is_subset(&sides.sources_of(own))
}

/// What is joined: everything down to which no join is looked through.
fn collect_sides<'a>(plan: &'a LogicalPlan, sides: &mut Vec<&'a LogicalPlan>) {
    match plan {
        plan if is_table(plan) => sides.push(plan),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => collect_sides(&join.left, sides),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => collect_sides(&join.right, sides),
            _ => plan.inputs().into_iter().for_each(|input| collect_sides(input, sides)),
        },
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::SubqueryAlias(_) => plan.inputs().into_iter().for_each(|input| collect_sides(input, sides)),
        plan => sides.push(plan),
    }
}
