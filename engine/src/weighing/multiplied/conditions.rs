//! What conditions say of the sides of joins: which columns are equal, and which have one value.

use std::collections::HashMap;

use datafusion::common::JoinType;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator};

use super::{Place, Sides};
use crate::survey::trace;

impl<'a> Sides<'a> {
    /// What the conditions between here and the sides say.
    pub(super) fn collect_conditions(&mut self, plan: &'a LogicalPlan) {
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
    pub(in crate::weighing) fn are_equal(&self, one: (&LogicalPlan, usize), other: (&LogicalPlan, usize)) -> bool {
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

    /// The columns whose values are given by the known sides, or are constant.
    pub(super) fn given(&self, known: &[bool]) -> Vec<Place> {
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
}
