//! Which side of a join a column comes from.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::common::JoinType;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use super::{Place, Sides};

impl Sides<'_> {
    /// The column of a side that the column at `place` is, value by value.
    pub(super) fn direct(&self, plan: &LogicalPlan, place: usize) -> Option<Place> {
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

    pub(super) fn direct_of(&self, input: &LogicalPlan, expression: &Expr) -> Option<Place> {
        match expression {
            Expr::Alias(alias) => self.direct_of(input, &alias.expr),
            Expr::Cast(cast) if keeps_apart(&cast.expr.get_type(input.schema()).ok()?, cast.field.data_type()) => {
                self.direct_of(input, &cast.expr)
            }
            Expr::Column(column) => self.direct(input, input.schema().maybe_index_of_column(column)?),
            _ => None,
        }
    }

    /// The sides that `expressions` are computed from.
    pub(super) fn sources_of(&self, expressions: &[Expr]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        self.sources(self.plan, places_of(self.plan, expressions.iter()), &mut found);
        found
    }

    /// The sides that the columns at `places` are computed from.
    fn sources(&self, plan: &LogicalPlan, places: BTreeSet<usize>, found: &mut BTreeSet<usize>) {
        if places.is_empty() {
            return;
        }
        if let Some(side) = self.side(plan) {
            found.insert(side);
            return;
        }
        match plan {
            LogicalPlan::Projection(projection) => {
                let wanted = places.iter().filter_map(|place| projection.expr.get(*place));
                self.sources(&projection.input, places_of(&projection.input, wanted), found);
            }
            LogicalPlan::Window(window) => {
                let columns = window.input.schema().fields().len();
                let computed = places.iter().filter_map(|place| window.window_expr.get(place.checked_sub(columns)?));
                let mut below = places_of(&window.input, computed);
                below.extend(places.iter().filter(|place| **place < columns));
                self.sources(&window.input, below, found);
            }
            LogicalPlan::Join(_) => {
                let through = places.iter().filter_map(|place| below(plan, *place));
                let (left, right): (Vec<_>, Vec<_>) = through
                    .partition(|(input, _)| plan.inputs().first().is_some_and(|left| std::ptr::eq(*left, *input)));
                for inputs in [left, right] {
                    if let Some((input, _)) = inputs.first() {
                        self.sources(input, inputs.iter().map(|(_, place)| *place).collect(), found);
                    }
                }
            }
            plan => {
                if let Some(input) = places.first().and_then(|place| below(plan, *place)).map(|(input, _)| input) {
                    self.sources(input, places, found);
                }
            }
        }
    }
}

/// The places in `input` of the columns that `expressions` mention.
fn places_of<'e>(input: &LogicalPlan, expressions: impl Iterator<Item = &'e Expr>) -> BTreeSet<usize> {
    let columns = expressions.flat_map(Expr::column_refs);
    columns.filter_map(|column| input.schema().maybe_index_of_column(column)).collect()
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
