//! An aggregate over protected rows: one that groups by person keeps them rows of people; any other makes cells of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions_aggregate::bool_and_or::bool_or_udaf;
use datafusion::functions_aggregate::grouping::grouping_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, LogicalPlan, Projection};

use super::arguments::{Made, Part};
use super::cells::Cells;
use super::domains::Domains;
use super::fingerprint;
use super::node::{Disclosed, Judge};
use super::rewrite::{Occurrence, Seen, Walk, column_of, refused};
use super::units::{People, Together, Units};
use crate::survey::step;

/// Aggregates that say nothing of one row.
pub(super) const OF_ALL: [&str; 23] = [
    "approx_distinct",
    "avg",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "effective_n",
    "reach",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
    "var_samp",
];

/// Counts and totals, which are rounded.
pub(super) const TOTALS: [&str; 9] = [
    "approx_distinct",
    "count",
    "reach",
    "regr_count",
    "sum",
    "svy_count",
    "svy_total",
    "weighted_count",
    "weighted_sum",
];

/// Those that answer with a value that somebody has, each with the argument that says at which place; None = in the middle.
const RANKED: [(&str, Option<usize>); 9] = [
    ("approx_median", None),
    ("approx_percentile_cont", Some(1)),
    ("approx_percentile_cont_with_weight", Some(2)),
    ("median", None),
    ("percentile_cont", Some(1)),
    ("svy_median", None),
    ("svy_quantile", Some(1)),
    ("weighted_median", None),
    ("weighted_quantile", Some(1)),
];

/// Those that answer with one value.
pub(super) const SINGLE: [&str; 12] = [
    "any_value",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "first_value",
    "last_value",
    "max",
    "min",
    "mode",
    "nth_value",
];

/// The most contributors that a rule looks at.
pub(super) const LARGEST: usize = 32;

pub(super) fn call_of(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => call_of(&alias.expr),
        Expr::AggregateFunction(call) => Some(call),
        _ => None,
    }
}

pub(super) fn call(function: Arc<AggregateUDF>, argument: Expr, filter: Option<Expr>) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(
        function,
        vec![argument],
        false,
        filter.map(Box::new),
        vec![],
        None,
    ))
}

impl Walk<'_> {
    pub(super) fn aggregate(&mut self, seen: Seen, keys: Vec<Expr>, calls: Vec<Expr>) -> Result<Seen> {
        let is_set = matches!(keys.as_slice(), [Expr::GroupingSet(_)]);
        let names = |row: &Occurrence| keys.iter().any(|key| key.try_as_col().is_some_and(|key| row.is_key(key)));
        match !is_set && seen.rows.iter().all(names) {
            true => self.per_person(seen, keys, calls),
            false => self.cells(seen, keys, calls),
        }
    }

    /// Each group is one person: it still has to be counted as one.
    fn per_person(&mut self, seen: Seen, mut keys: Vec<Expr>, mut calls: Vec<Expr>) -> Result<Seen> {
        let schema = Arc::clone(seen.plan.schema());
        let mut made = HashMap::new();
        let mut conditions = Vec::new();
        for expr in &calls {
            let own = column_of(expr);
            let Some(function) = call_of(expr) else { continue };
            let name = function.func.name();
            if !OF_ALL.contains(&name) && !SINGLE.contains(&name) && rank(name, &[]).is_none() {
                let why = format!("{name}() of each person shows rows of a protected table.");
                return Err(refused(why).into());
            }
            let filter = function.params.filter.iter().map(|filter| filter.as_ref());
            let mut all = Made::default();
            for expr in function.params.args.iter().chain(filter) {
                all = all.or(self.made(expr, &seen, &schema, &mut conditions));
            }
            made.insert(own, all);
        }
        // A person is in a part by any of its rows, and so it may be on both sides of a condition.
        let mut renamed: HashMap<(Column, bool), Column> = HashMap::new();
        let conditions: HashMap<String, Expr> = conditions.into_iter().collect();
        for made in made.values_mut() {
            let mut parts = Vec::new();
            for part in made.parts.drain(..) {
                let condition = conditions.get(&part.of.name).cloned();
                let condition = condition.unwrap_or_else(|| Expr::Column(part.of.clone()));
                let sides = [Some(condition.clone()), part.is_condition.then(|| condition.is_not_true())];
                for (is_outside, side) in sides.into_iter().enumerate() {
                    let Some(side) = side else { continue };
                    let key = (part.of.clone(), is_outside == 1);
                    let own = match renamed.get(&key) {
                        Some(own) => own.clone(),
                        None => {
                            let name = self.name("part");
                            calls.push(call(bool_or_udaf(), side, None).alias(&name));
                            let own = Column::new_unqualified(name);
                            renamed.insert(key, own.clone());
                            own
                        }
                    };
                    parts.push(Part { of: own, is_condition: part.is_condition });
                }
            }
            made.parts = parts;
        }
        for key in keys.iter().filter_map(Expr::try_as_col) {
            if let Some(known) = seen.made.get(key) {
                made.insert(key.clone(), Made { parts: Vec::new(), ..known.clone() });
            }
        }
        let shown: Vec<Column> = keys.iter().filter_map(Expr::try_as_col).cloned().collect();
        let mut rows = seen.rows;
        for row in &mut rows {
            let person = Expr::Column(row.person.clone());
            if !keys.contains(&person) {
                keys.push(person);
            }
            let rows = step::call(Together, vec![Expr::Column(row.row.clone())], None);
            let name = self.name("row");
            calls.push(rows.alias(&name));
            row.row = Column::new_unqualified(name);
            for branch in &mut row.branches {
                let name = self.name("branch");
                calls.push(call(bool_or_udaf(), Expr::Column(branch.clone()), None).alias(&name));
                *branch = Column::new_unqualified(name);
            }
            row.names.retain(|column, _| shown.contains(column));
        }
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(seen.plan), keys, calls)?);
        Ok(Seen { plan, rows, made })
    }

    fn cells(&mut self, seen: Seen, keys: Vec<Expr>, calls: Vec<Expr>) -> Result<Seen> {
        let bare = Aggregate::try_new(Arc::new(seen.plan.clone()), keys.clone(), calls.clone())?;
        let columns: Vec<Column> =
            bare.schema.columns().into_iter().filter(|column| column.name != Aggregate::INTERNAL_GROUPING_ID).collect();
        let key_count = columns.len() - calls.len();
        let mut unseen = Unseen { walk: self, calls: Vec::new(), at: columns.len() };
        let sets = match keys.as_slice() {
            [Expr::GroupingSet(_)] => {
                let all: Vec<Expr> = grouping_set_to_exprlist(&keys)?.into_iter().cloned().collect();
                Some(unseen.grouping(all))
            }
            _ => None,
        };
        let question =
            fingerprint::of_text(&format!("{keys:?} {}", seen.plan.display_indent()), unseen.walk.asked.ledger.seed);
        let mut domains = Domains { seen: &seen, unseen: &mut unseen, known: Vec::new() };
        domains.of(None)?;
        let values = calls.iter().map(|expr| domains.value(expr)).collect::<Result<Vec<_>>>()?;
        let domains = domains.known.into_iter().map(|(_, domain)| domain).collect();
        // One more than may leave tells that they are too many.
        let of_group = |row: &Occurrence| unseen.units(&row.row, Some(row.protection.raw_rows.saturating_add(1)), None);
        let rows = if key_count > 0 { seen.rows.iter().map(of_group).collect() } else { Vec::new() };
        let unseen = unseen.calls;
        let hidden: Vec<Expr> = unseen.iter().map(|(name, _)| Expr::Column(Column::new_unqualified(name))).collect();
        let calls = calls.into_iter().chain(unseen.into_iter().map(|(name, call)| call.alias(name))).collect();
        let cells = Cells {
            keys: key_count,
            question,
            values,
            grouping: sets,
            domains,
            rows,
            protections: seen.rows.iter().map(|row| Arc::clone(&row.protection)).collect(),
        };
        let aggregate = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(seen.plan), keys, calls)?);
        let shown = columns.iter().cloned().map(Expr::Column);
        let projected = Projection::try_new(shown.chain(hidden).collect(), Arc::new(aggregate))?;
        let plan = Disclosed::over(LogicalPlan::Projection(projected), &columns, Judge::Cells(cells), self.asked)?;
        Ok(Seen { plan, rows: Vec::new(), made: HashMap::new() })
    }
}

/// Calls that the query did not ask for.
pub(super) struct Unseen<'w, 'a> {
    walk: &'w mut Walk<'a>,
    calls: Vec<(String, Expr)>,
    at: usize,
}

impl Unseen<'_, '_> {
    /// The place of a call among the columns.
    pub(super) fn add(&mut self, call: Expr) -> usize {
        if let Some(known) = self.calls.iter().position(|(_, known)| *known == call) {
            return self.at + known;
        }
        let name = self.walk.name("cell");
        self.calls.push((name, call));
        self.at + self.calls.len() - 1
    }

    fn grouping(&mut self, keys: Vec<Expr>) -> usize {
        let call = AggregateFunction::new_udf(grouping_udaf(), keys, false, None, vec![], None);
        self.add(Expr::AggregateFunction(call))
    }

    pub(super) fn people(&mut self, row: &Occurrence, filter: Option<Expr>) -> usize {
        let arguments = [&row.person, &row.row].map(|column| Expr::Column(column.clone()));
        self.add(step::call(People, arguments.to_vec(), filter))
    }

    pub(super) fn units(&mut self, of: &Column, at_most: Option<u64>, filter: Option<Expr>) -> usize {
        self.add(step::call(Units { at_most }, vec![Expr::Column(of.clone())], filter))
    }
}

/// The share of people below the value that a function answers with; None where it is no such function. Where the place is
/// not said, it may be the first or the last.
pub(super) fn rank(name: &str, arguments: &[Expr]) -> Option<f64> {
    let (_, place) = RANKED.iter().find(|(known, _)| *known == name)?;
    Some(match place {
        None => 0.5,
        Some(at) => arguments.get(*at).and_then(share).unwrap_or(0.0),
    })
}

/// A share, where an argument is one.
fn share(argument: &Expr) -> Option<f64> {
    let value = match argument {
        Expr::Literal(value, _) => value,
        Expr::Cast(cast) => return share(&cast.expr),
        _ => return None,
    };
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(share))) if (0.0..=1.0).contains(&share) => Some(share),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{cast, lit};

    use super::*;

    #[test]
    fn shares_are_numbers_between_nothing_and_all() {
        assert_eq!(share(&lit(0.25)), Some(0.25));
        assert_eq!(share(&cast(lit(1_i64), DataType::Float64)), Some(1.0));
        assert_eq!(share(&lit(25)), None);
        assert_eq!(share(&datafusion::logical_expr::ident("p")), None);
    }
}
