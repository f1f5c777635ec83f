//! Means per person: each person's rows are summed first, then people are averaged, those without rows counting 0.
//!
//! ```text
//! SELECT k, svy_mean_per_unit(x) FROM t JOIN people USING (u) GROUP BY k
//! SELECT k, svy_mean(coalesce(sum, 0)) FROM (SELECT DISTINCT k FROM rows) CROSS JOIN people
//!   LEFT JOIN (SELECT k, u, sum(x) AS sum FROM rows GROUP BY k, u) USING (k, u) GROUP BY k
//! ```
//!
//! People are those of the frame who meet the conditions on people alone; a key that is a person's own joins them.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, ident, lit};

use super::frame::FrameOf;
use super::levels::Levels;
use super::{key, value};
use crate::reach::unit_weight;
use crate::survey::design::{Design, Read};
use crate::survey::estimators::{MEAN, PartOf};
use crate::survey::function::Call;
use crate::survey::notices::Notices;
use crate::survey::options::Among;
use crate::survey::trace;
use crate::{Code, Error};

const SUM: &str = "svy_unit_sum";
const ROWS: &str = "svy_unit_rows";
const SUM_UNIT: &str = "svy_sum_unit";
const UNIT: &str = "svy_frame_unit";
const WEIGHT: &str = "svy_frame_weight";
const PSU: &str = "svy_frame_psu";
const FPC: &str = "svy_frame_fpc";

fn stratum(at: usize) -> String {
    format!("svy_frame_stratum_{at}")
}

fn sum_key(at: usize) -> String {
    format!("svy_sum_key_{at}")
}

fn group_key(at: usize) -> String {
    format!("svy_group_key_{at}")
}

fn person_key(at: usize) -> String {
    format!("svy_person_key_{at}")
}

/// The means of a call by key.
pub(super) fn plan(
    at: usize,
    call: &Call,
    rows: &Arc<LogicalPlan>,
    keys: &[Expr],
    reads: &[Read],
    notices: &Arc<Notices>,
) -> Result<LogicalPlan> {
    let people = People::of(call, rows)?;
    let variable = call.variable()?;

    // Each person's sum, by key.
    let of_unit = keys.iter().enumerate().map(|(at, expr)| expr.clone().alias(sum_key(at)));
    let of_unit = of_unit.chain([people.unit.clone().alias(SUM_UNIT)]).collect();
    let filtered = |call_of: Expr| match &call.filter {
        Some(filter) => call_of.filter(filter.clone()).build(),
        None => Ok(call_of),
    };
    let sums = vec![filtered(sum(variable.clone()))?.alias(SUM), filtered(count(variable.clone()))?.alias(ROWS)];
    let sums = LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(rows), of_unit, sums)?);
    let sums = LogicalPlanBuilder::from(sums).filter(ident(ROWS).gt(lit(0_i64)))?.build()?;

    // Each person of the frame, once for each group that the person can be in.
    let mut in_groups = LogicalPlanBuilder::from(people.plan(keys, rows)?);
    let groups = (!keys.is_empty()).then(|| {
        let groups = keys.iter().enumerate().map(|(at, expr)| expr.clone().alias(group_key(at))).collect();
        Aggregate::try_new(Arc::clone(rows), groups, vec![]).map(LogicalPlan::Aggregate)
    });
    let groups = groups.transpose()?;
    if let Some(groups) = groups.clone() {
        let own: Vec<usize> = (0..keys.len()).filter(|at| people.below(rows, &keys[*at]).is_some()).collect();
        in_groups = if own.is_empty() {
            in_groups.cross_join(groups)?
        } else {
            let names =
                |name: fn(usize) -> String| own.iter().map(|at| Column::from_name(name(*at))).collect::<Vec<_>>();
            let on = (names(person_key), names(group_key));
            in_groups.join_detailed(groups, JoinType::Inner, on, None, NullEquality::NullEqualsNull)?
        };
    }
    let kind = match call.options.among {
        Among::Frame => JoinType::Left,
        Among::Present => JoinType::Inner,
    };
    let names = |name: fn(usize) -> String, unit: &str| {
        (0..keys.len()).map(|at| Column::from_name(name(at))).chain([Column::from_name(unit)]).collect::<Vec<_>>()
    };
    let on = (names(group_key, UNIT), names(sum_key, SUM_UNIT));
    let each = in_groups.join_detailed(sums, kind, on, None, NullEquality::NullEqualsNull)?.build()?;

    let design = Design {
        weight: ident(WEIGHT),
        psu: call.design.psu.as_ref().map(|_| ident(PSU)),
        strata: (0..call.design.strata.len()).map(|at| ident(stratum(at))).collect(),
        fpc: call.design.fpc.as_ref().map(|_| ident(FPC)),
        unit: Some(ident(UNIT)),
        ..call.design.clone()
    };
    let part = PartOf { variables: vec![coalesce(vec![ident(SUM), lit(0.0)])], condition: None };
    let mean = Call { estimator: MEAN, design, parts: vec![part], filter: None, ..call.clone() };
    let each_key: Vec<Expr> = (0..keys.len()).map(|at| ident(group_key(at))).collect();
    let of = FrameOf { rows, design: &call.design, keys, reads };
    let means = Levels::of(at, mean).plan_over(&Arc::new(each), of, &each_key, notices)?;
    let Some(groups) = groups else { return Ok(means) };
    // A group in which nobody has a value is there all the same.
    let names = |name: fn(usize) -> String| (0..keys.len()).map(|at| Column::from_name(name(at))).collect::<Vec<_>>();
    let on = (names(group_key), names(key));
    let columns = (0..keys.len()).map(|at| ident(group_key(at)).alias(key(at))).chain([ident(value(at))]);
    LogicalPlanBuilder::from(groups)
        .join_detailed(means, JoinType::Left, on, None, NullEquality::NullEqualsNull)?
        .project(columns.collect::<Vec<_>>())?
        .build()
}

/// The people of the frame.
struct People<'a> {
    table: &'a LogicalPlan,
    call: &'a Call,
    unit: &'a Expr,
}

impl<'a> People<'a> {
    fn of(call: &'a Call, rows: &'a LogicalPlan) -> Result<Self, Error> {
        let name = "svy_mean_per_unit";
        let unit = call.design.unit.as_ref().ok_or_else(|| {
            Error::new(Code::DesignMissing, format!("{name} needs to know who is a person."))
                .hint("Say unit => column, or declare `unit` with the dataset's weights.")
        })?;
        if call.design.replicates.is_some() {
            return Err(Error::new(Code::UnsupportedSql, format!("{name} does not work with replicate weights yet.")));
        }
        let table = trace::table_of(rows, &call.design.weight).ok_or_else(|| {
            Error::new(
                Code::DesignMissing,
                format!("{name}: the weight is not a column of one table, so its people are not known."),
            )
        })?;
        Ok(Self { table, call, unit })
    }

    /// An expression over the table of people. None where it is one over rows.
    fn below(&self, plan: &LogicalPlan, expression: &Expr) -> Option<Expr> {
        trace::onto(plan, expression, self.table)
    }

    fn column(&self, rows: &LogicalPlan, expression: &Expr, what: &str) -> Result<Expr, Error> {
        self.below(rows, expression).ok_or_else(|| {
            Error::new(Code::DesignMissing, format!("svy_mean_per_unit: the {what} is not of the table of the unit."))
                .hint("The weight, strata and PSUs of people must be columns of the table that lists them.")
        })
    }

    /// The people who meet the conditions on people, with the columns of the design and the keys that are their own.
    fn plan(&self, keys: &[Expr], rows: &LogicalPlan) -> Result<LogicalPlan> {
        let design = &self.call.design;
        let mut columns = vec![self.column(rows, self.unit, "unit")?.alias(UNIT)];
        for (at, expr) in design.strata.iter().enumerate() {
            columns.push(self.column(rows, expr, "stratum")?.alias(stratum(at)));
        }
        if let Some(psu) = &design.psu {
            columns.push(self.column(rows, psu, "PSU")?.alias(PSU));
        }
        if let Some(fpc) = &design.fpc {
            columns.push(self.column(rows, fpc, "fpc")?.alias(FPC));
        }
        for (at, expr) in keys.iter().enumerate() {
            columns.extend(self.below(rows, expr).map(|own| own.alias(person_key(at))));
        }
        let mut people = LogicalPlanBuilder::from(self.table.clone());
        for condition in self.conditions(rows) {
            people = people.filter(condition)?;
        }
        // A person is one, also where the table has several rows of each.
        let weight = unit_weight(self.column(rows, &design.weight, "weight")?, None).alias(WEIGHT);
        people.aggregate(columns, [weight])?.build()
    }

    /// The conditions of the query that are on people alone.
    fn conditions(&self, rows: &LogicalPlan) -> Vec<Expr> {
        let mut found = Vec::new();
        let mut add = |plan: &LogicalPlan, condition: &Expr| {
            let of_columns = |part: &&Expr| !part.column_refs().is_empty() && !trace::has_subquery(part);
            let parts = split_conjunction(condition).into_iter().filter(of_columns);
            found.extend(parts.filter_map(|part| self.below(plan, part)));
        };
        trace::conditions(rows).into_iter().for_each(|(plan, condition)| add(plan, condition));
        if let Some(filter) = &self.call.filter {
            add(rows, filter);
        }
        found
    }
}
