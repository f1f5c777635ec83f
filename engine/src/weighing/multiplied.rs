//! Whether a join multiplies rows: then an aggregate over one of its sides counts the same row several times.
//!
//! A side is multiplied unless each other side has at most one row for each of its rows. That follows from keys (declared,
//! constraints, GROUP BY) and from what the conditions make equal; where it does not, the query checks it when it runs.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Constraint, JoinType, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator,
};

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
        let mut own = Vec::new();
        for column in values.iter().flat_map(Expr::column_refs) {
            if let Some(place) = self.plan.schema().maybe_index_of_column(column) {
                self.sources(self.plan, place, &mut own);
            }
        }
        own.sort_unstable();
        own.dedup();
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

    /// The columns whose values are given by the known sides, or are constant.
    fn given(&self, known: &[bool]) -> Vec<Place> {
        let mut classes: HashMap<Place, usize> = HashMap::new();
        let mut number = 0..;
        for [one, other] in &self.equal {
            let of = |place: &Place| classes.get(place).copied();
            match (of(one), of(other)) {
                (Some(kept), Some(gone)) => {
                    classes.values_mut().filter(|class| **class == gone).for_each(|class| *class = kept);
                }
                (Some(class), None) => _ = classes.insert(*other, class),
                (None, Some(class)) => _ = classes.insert(*one, class),
                (None, None) => {
                    let class = number.next().unwrap_or_default();
                    classes.extend([(*one, class), (*other, class)]);
                }
            }
        }
        let is_source = |place: &Place| known.get(place.0) == Some(&true) || self.constant.contains(place);
        let sources: Vec<usize> =
            classes.iter().filter(|(place, _)| is_source(place)).map(|(_, class)| *class).collect();
        let linked = classes.iter().filter(|(_, class)| sources.contains(class)).map(|(place, _)| *place);
        linked.chain(self.constant.iter().copied()).collect()
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

    /// The column of a side that the column at `place` is, value by value.
    fn direct(&self, plan: &LogicalPlan, place: usize) -> Option<Place> {
        if let Some(side) = self.side(plan) {
            return Some((side, place));
        }
        match plan {
            LogicalPlan::Projection(projection) => self.direct_of(&projection.input, projection.expr.get(place)?),
            plan => {
                let (input, place) = below(plan, place)?;
                self.direct(input, place)
            }
        }
    }

    fn direct_of(&self, input: &LogicalPlan, expression: &Expr) -> Option<Place> {
        match expression {
            Expr::Alias(alias) => self.direct_of(input, &alias.expr),
            Expr::Cast(cast) if keeps_apart(&cast.expr.get_type(input.schema()).ok()?, cast.field.data_type()) => {
                self.direct_of(input, &cast.expr)
            }
            Expr::Column(column) => self.direct(input, input.schema().maybe_index_of_column(column)?),
            _ => None,
        }
    }

    /// The sides that a column is computed from.
    fn sources(&self, plan: &LogicalPlan, place: usize, found: &mut Vec<usize>) {
        if let Some(side) = self.side(plan) {
            found.push(side);
            return;
        }
        let of = |input: &LogicalPlan, expression: &Expr, found: &mut Vec<usize>| {
            for column in expression.column_refs() {
                if let Some(place) = input.schema().maybe_index_of_column(column) {
                    self.sources(input, place, found);
                }
            }
        };
        match plan {
            LogicalPlan::Projection(projection) => {
                projection.expr.get(place).into_iter().for_each(|expression| of(&projection.input, expression, found));
            }
            LogicalPlan::Window(window) if place >= window.input.schema().fields().len() => {
                let own = place - window.input.schema().fields().len();
                window.window_expr.get(own).into_iter().for_each(|expression| of(&window.input, expression, found));
            }
            plan => {
                if let Some((input, place)) = below(plan, place) {
                    self.sources(input, place, found);
                }
            }
        }
    }

    /// What the conditions between here and the sides say.
    fn collect_conditions(&mut self, plan: &'a LogicalPlan) {
        if self.side(plan).is_some() {
            return;
        }
        match plan {
            LogicalPlan::Join(join)
                if matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) =>
            {
                for (left, right) in &join.on {
                    self.equal.extend(self.pair(join, left, right));
                }
                for condition in join.filter.iter().flat_map(|filter| split_conjunction(filter)) {
                    match condition {
                        _ if join.join_type == JoinType::Inner => self.learn(plan, condition),
                        // What an outer join asks of one of its inputs does not hold in rows without a partner.
                        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                            let pair = self.pair(join, left, right).or_else(|| self.pair(join, right, left));
                            self.equal.extend(pair);
                        }
                        _ => {}
                    }
                }
            }
            LogicalPlan::Filter(filter) => {
                for condition in split_conjunction(&filter.predicate) {
                    self.learn(&filter.input, condition);
                    self.conditions.push((&filter.input, condition));
                }
            }
            _ => {}
        }
        for input in plan.inputs() {
            self.collect_conditions(input);
        }
    }

    fn pair(&self, join: &Join, left: &Expr, right: &Expr) -> Option<[Place; 2]> {
        self.direct_of(&join.left, left).zip(self.direct_of(&join.right, right)).map(<[_; 2]>::from)
    }

    fn learn(&mut self, plan: &LogicalPlan, condition: &Expr) {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return };
        match (self.direct_of(plan, left), self.direct_of(plan, right)) {
            (Some(one), Some(other)) => self.equal.push([one, other]),
            (Some(place), None) if trace::is_fixed(right) => self.constant.push(place),
            (None, Some(place)) if trace::is_fixed(left) => self.constant.push(place),
            _ => {}
        }
    }

    /// Whether two columns of tables are equal in all rows that have both.
    pub(super) fn are_equal(&self, one: (&LogicalPlan, usize), other: (&LogicalPlan, usize)) -> bool {
        let place = |(table, column): (&LogicalPlan, usize)| Some((self.side(table)?, column));
        let (Some(one), Some(other)) = (place(one), place(other)) else { return false };
        self.equals_of(one).contains(&other)
    }

    /// What a column is equal to, through others.
    fn equals_of(&self, place: Place) -> Vec<Place> {
        let mut found = vec![place];
        let mut at = 0;
        while let Some(place) = found.get(at).copied() {
            let next = self.equal.iter().filter_map(|[one, other]| match (*one == place, *other == place) {
                (true, _) => Some(*other),
                (_, true) => Some(*one),
                _ => None,
            });
            let new: Vec<Place> = next.filter(|next| !found.contains(next)).collect();
            found.extend(new);
            at += 1;
        }
        found
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
    let of = |expressions: &[Expr]| {
        let mut found = Vec::new();
        for column in expressions.iter().flat_map(Expr::column_refs) {
            if let Some(place) = plan.schema().maybe_index_of_column(column) {
                sides.sources(plan, place, &mut found);
            }
        }
        found
    };
    let own = of(own);
    of(columns).iter().all(|side| own.contains(side))
}

/// Whether different values stay different when they are cast.
fn keeps_apart(from: &DataType, to: &DataType) -> bool {
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let is_wider = || from.primitive_width() <= to.primitive_width();
    let is_widened = (from.is_signed_integer() && to.is_signed_integer() && is_wider())
        || (from.is_unsigned_integer() && to.is_unsigned_integer() && is_wider());
    from == to || is_widened || (is_text(to) && (is_text(from) || from.is_integer()))
}

/// The input that the column at `place` comes through unchanged, and its place there.
fn below(plan: &LogicalPlan, place: usize) -> Option<(&LogicalPlan, usize)> {
    match plan {
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Some((&*join.right, place)),
                _ if place < left => Some((&*join.left, place)),
                JoinType::LeftMark => None,
                _ => Some((&*join.right, place - left)),
            }
        }
        LogicalPlan::Window(window) => {
            (place < window.input.schema().fields().len()).then_some((&*window.input, place))
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::SubqueryAlias(_) => plan.inputs().first().map(|input| (*input, place)),
        _ => None,
    }
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
