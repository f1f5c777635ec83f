//! The levels of the calls that share a design.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, cast, ident, lit};

use super::{key, share_levels, value};
use crate::by_unit;
use crate::merging::merged_by;
use crate::reach::unit_weight;
use crate::survey::design::{Design, Read, Replicates};
use crate::survey::estimate::Estimate;
use crate::survey::estimators::PartOf;
use crate::survey::function::Call;
use crate::survey::notices::{Missing, Notices};
use crate::survey::people::OfPeople;
use crate::survey::replicated::Replicated;
use crate::survey::report::Report;
use crate::survey::rows::{OfRows, People};
use crate::survey::stratum::Strata;
use crate::survey::{single, step, trace};
use crate::{Code, Error};

const PSU: &str = "unit_key_psu";
const UNIT: &str = "unit_key_person";
const FRAME_PSUS: &str = "svy_frame_psus";
const LEAST_FPC: &str = "svy_least_fpc";
const MOST_FPC: &str = "svy_most_fpc";

fn stratum(at: usize) -> String {
    format!("{}stratum_{at}", by_unit::UNIT)
}

fn frame_stratum(at: usize) -> String {
    format!("svy_frame_stratum_{at}")
}

/// The sums of a stratum. Not the name of the estimate: DataFusion takes a field of one for one of the other.
fn sums(at: usize) -> String {
    format!("svy_sums_{at}")
}

fn part(call: usize, at: usize) -> String {
    format!("svy_part_{call}_{at}")
}

/// Calls of one design, each with its place in the SELECT.
pub(super) struct Levels {
    calls: Vec<(usize, Call)>,
    /// Plain aggregates that are taken along, and what merges them.
    merged: Vec<(usize, AggregateFunction, Arc<AggregateUDF>)>,
}

impl Levels {
    pub(super) fn of(at: usize, call: Call) -> Self {
        Self { calls: vec![(at, call)], merged: Vec::new() }
    }

    pub(super) fn takes(&self, call: &Call) -> bool {
        self.calls.first().is_some_and(|(_, first)| share_levels(first, call))
    }

    pub(super) fn add(&mut self, at: usize, call: Call) {
        self.calls.push((at, call));
    }

    pub(super) fn merge(&mut self, calls: &[(usize, &AggregateFunction)]) {
        let merged = calls.iter().filter_map(|(at, call)| Some((*at, (*call).clone(), merged_by(call)?)));
        self.merged.extend(merged);
    }

    /// The estimates by key.
    pub(super) fn plan(
        &self,
        rows: &Arc<LogicalPlan>,
        keys: &[Expr],
        reads: &[Read],
        notices: &Arc<Notices>,
    ) -> Result<LogicalPlan> {
        let Some((_, first)) = self.calls.first() else {
            return Err(super::misplaced().into());
        };
        self.plan_over(rows, (rows, &first.design), keys, reads, notices)
    }

    /// The estimates by key over `input`. The frame is that of a design over other rows.
    pub(super) fn plan_over(
        &self,
        input: &Arc<LogicalPlan>,
        (rows, of_frame): (&LogicalPlan, &Design),
        keys: &[Expr],
        reads: &[Read],
        notices: &Arc<Notices>,
    ) -> Result<LogicalPlan> {
        let Some((_, first)) = self.calls.first() else {
            return Err(super::misplaced().into());
        };
        let design = &first.design;
        let levels = Building { levels: self, design, is_distinct: first.is_distinct, keys, notices };
        if let Some(replicates) = &design.replicates {
            if first.is_distinct {
                let message = "svy_count(DISTINCT unit) does not work with replicate weights yet.";
                return Err(Error::new(Code::UnsupportedSql, message)
                    .hint("Group by unit in a subquery, and take svy_count(*) of it.")
                    .into());
            }
            return levels.replicated(input, replicates);
        }
        let strata = levels.strata(input)?;
        let frame = frame(first.name(), of_frame, rows, reads)?;
        levels.estimates(strata, frame)
    }
}

struct Building<'a> {
    levels: &'a Levels,
    design: &'a Design,
    is_distinct: bool,
    keys: &'a [Expr],
    notices: &'a Arc<Notices>,
}

impl Building<'_> {
    /// The keys of the first grouping, named; and the names of the first `levels` kinds of them.
    fn first_keys(&self) -> Vec<Expr> {
        let keys = self.keys.iter().enumerate().map(|(at, expr)| expr.clone().alias(key(at)));
        let strata = self.design.strata.iter().enumerate().map(|(at, expr)| expr.clone().alias(stratum(at)));
        keys.chain(strata).collect()
    }

    fn key_names(&self) -> Vec<Expr> {
        (0..self.keys.len()).map(|at| ident(key(at))).collect()
    }

    fn stratum_names(&self) -> Vec<Expr> {
        (0..self.design.strata.len()).map(|at| ident(stratum(at))).collect()
    }

    fn grouped(input: LogicalPlan, keys: Vec<Expr>, calls: Vec<Expr>) -> Result<LogicalPlan> {
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), keys, calls)?))
    }

    /// The rows of the domain that a part is of: those of the call's filter and its own, which are of the design.
    fn filter(&self, call: &Call, part: &PartOf) -> Option<Expr> {
        call.filter_of_design().into_iter().chain(part.condition.clone()).reduce(Expr::and)
    }

    fn of_rows(&self, call: &Call, part: &PartOf, people: People, missing: &Arc<Missing>) -> OfRows {
        OfRows { variables: part.variables.len(), people, written: call.name(), missing: Arc::clone(missing) }
    }

    fn arguments(&self, part: &PartOf) -> Vec<Expr> {
        part.variables.iter().cloned().chain([self.design.weight.clone()]).collect()
    }

    /// Each part of each call, with its name and the place of the call.
    fn parts(&self) -> impl Iterator<Item = (String, usize, &Call, &PartOf)> {
        let calls = self.levels.calls.iter().enumerate();
        calls.flat_map(|(at, (_, call))| {
            call.parts.iter().enumerate().map(move |(of, one)| (part(at, of), at, call, one))
        })
    }

    /// What merges the plain aggregates that come along.
    fn merging(&self) -> impl Iterator<Item = Expr> {
        self.levels.merged.iter().map(|(at, _, function)| {
            let merging =
                AggregateFunction::new_udf(Arc::clone(function), vec![ident(value(*at))], false, None, vec![], None);
            Expr::AggregateFunction(merging).alias(value(*at))
        })
    }

    fn merged(&self) -> impl Iterator<Item = Expr> {
        self.levels.merged.iter().map(|(at, call, _)| Expr::AggregateFunction(call.clone()).alias(value(*at)))
    }

    /// The sums of strata by key and stratum.
    fn strata(&self, input: &Arc<LogicalPlan>) -> Result<LogicalPlan> {
        let Some(psu) = &self.design.psu else {
            let of_call = |call: &Call| {
                let missing = self.notices.missing_of_call();
                let parts = call.parts.iter().map(|part| {
                    let keep = self.filter(call, part).unwrap_or_else(|| lit(true));
                    single::call(self.of_rows(call, part, People::Unknown, &missing), self.arguments(part), keep)
                });
                parts.collect()
            };
            let calls = self.stratum_calls(of_call).chain(self.merged()).collect();
            return Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(input), self.first_keys(), calls)?));
        };
        let psus = self.psus(input, psu)?;
        let names = |call: &Call| {
            let of_call = self.parts().filter(|(_, _, one, _)| std::ptr::eq(*one, call));
            of_call.map(|(name, ..)| ident(name)).collect()
        };
        let calls = self.stratum_calls(names).chain(self.merging()).collect();
        Self::grouped(psus, self.key_names().into_iter().chain(self.stratum_names()).collect(), calls)
    }

    fn stratum_calls(&self, arguments: impl Fn(&Call) -> Vec<Expr>) -> impl Iterator<Item = Expr> {
        self.levels.calls.iter().map(move |(at, call)| {
            step::call(Strata { estimator: call.estimator }, arguments(call), None).alias(sums(*at))
        })
    }

    /// The parts of PSUs by key, stratum and PSU.
    fn psus(&self, input: &Arc<LogicalPlan>, psu: &Expr) -> Result<LogicalPlan> {
        let mut keys = self.first_keys();
        keys.push(psu.clone().alias(PSU));
        let unit = self.design.unit.as_ref();
        let people = match unit {
            None => People::Unknown,
            Some(_) => People::One,
        };
        let has_people_of_their_own = unit.is_some_and(|unit| self.is_distinct || unit != psu);
        if has_people_of_their_own {
            keys.extend(unit.map(|unit| unit.clone().alias(UNIT)));
        }
        let missing: Vec<_> = self.levels.calls.iter().map(|_| self.notices.missing_of_call()).collect();
        let of_rows = self.parts().map(|(name, at, call, part)| {
            let filter = self.filter(call, part);
            if self.is_distinct {
                return unit_weight(self.design.weight.clone(), filter).alias(name);
            }
            step::call(self.of_rows(call, part, people, &missing[at]), self.arguments(part), filter).alias(name)
        });
        let of_rows = of_rows.chain(self.merged()).collect();
        let first = LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(input), keys, of_rows)?);
        if !has_people_of_their_own {
            return Ok(first);
        }
        let of_people = self.parts().map(|(name, at, call, part)| {
            let level = if self.is_distinct {
                step::call(self.of_rows(call, part, People::Each, &missing[at]), vec![lit(1.0), ident(&name)], None)
            } else {
                step::call(OfPeople { variables: part.variables.len() }, vec![ident(&name)], None)
            };
            level.alias(name)
        });
        let keys = self.key_names().into_iter().chain(self.stratum_names()).chain([ident(PSU)]).collect();
        Self::grouped(first, keys, of_people.chain(self.merging()).collect())
    }

    /// The estimates by key, where replicate weights tell their variance: in one level.
    fn replicated(&self, input: &Arc<LogicalPlan>, replicates: &Replicates) -> Result<LogicalPlan> {
        let keys = self.keys.iter().enumerate().map(|(at, expr)| expr.clone().alias(key(at))).collect();
        let calls = self.levels.calls.iter().map(|(at, call)| {
            let parts = call.parts.iter().flat_map(|part| {
                let keep = self.filter(call, part).unwrap_or_else(|| lit(true));
                part.variables.iter().cloned().chain([keep])
            });
            let weights = [self.design.weight.clone()].into_iter().chain(replicates.columns.iter().cloned());
            let level = Replicated {
                report: Report { has_people: false, ..self.report(call) },
                replication: replicates.replication.clone(),
                parts: call.parts.iter().map(|part| part.variables.len()).collect(),
            };
            step::call(level, parts.chain(weights).collect(), None).alias(value(*at))
        });
        let calls = calls.chain(self.merged()).collect();
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(input), keys, calls)?))
    }

    fn report(&self, call: &Call) -> Report {
        Report {
            estimator: call.estimator,
            options: call.options,
            has_people: self.design.unit.is_some(),
            is_answer: call.is_answer,
            notices: Arc::clone(self.notices),
        }
    }

    fn estimates(&self, strata: LogicalPlan, frame: LogicalPlan) -> Result<LogicalPlan> {
        let builder = LogicalPlanBuilder::from(strata);
        let names = |name: fn(usize) -> String| {
            (0..self.design.strata.len()).map(|at| Column::from_name(name(at))).collect::<Vec<_>>()
        };
        let joined = if self.design.strata.is_empty() {
            builder.cross_join(frame)?
        } else {
            let on = (names(stratum), names(frame_stratum));
            builder.join_detailed(frame, JoinType::Left, on, None, NullEquality::NullEqualsNull)?
        };
        let estimates = self.levels.calls.iter().map(|(at, call)| {
            let mut arguments = vec![ident(sums(*at)), ident(FRAME_PSUS)];
            if self.design.fpc.is_some() {
                arguments.extend([ident(LEAST_FPC), ident(MOST_FPC)]);
            }
            step::call(Estimate { report: self.report(call) }, arguments, None).alias(value(*at))
        });
        Self::grouped(joined.build()?, self.key_names(), estimates.chain(self.merging()).collect())
    }
}

/// How many PSUs each stratum of the whole design has, and its fpc.
fn frame(function: &str, design: &Design, rows: &LogicalPlan, reads: &[Read]) -> Result<LogicalPlan> {
    let columns: Vec<&Expr> = design.keys().chain(&design.fpc).chain([&design.weight]).collect();
    let (table, columns) = match &design.frame {
        Some(frame) => named_frame(function, frame, &columns, reads)?,
        None => base_table(function, design, rows, &columns)?,
    };
    let mut columns = columns.into_iter();
    let strata: Vec<Expr> = columns.by_ref().take(design.strata.len()).collect();
    let psu = design.psu.as_ref().and_then(|_| columns.next());
    let fpc = design.fpc.as_ref().and_then(|_| columns.next());
    let weight = if design.frame.is_some() { None } else { columns.next() };

    let mut builder = LogicalPlanBuilder::from(table);
    let known = strata.iter().chain(&psu).chain(&weight).map(|column| column.clone().is_not_null());
    if let Some(known) = known.reduce(Expr::and) {
        builder = builder.filter(known)?;
    }
    let strata: Vec<Expr> =
        strata.into_iter().enumerate().map(|(at, column)| column.alias(frame_stratum(at))).collect();
    let correction = fpc.map(|fpc| cast(fpc, DataType::Float64));
    let of_rows =
        correction.iter().flat_map(|fpc| [min(fpc.clone()).alias(LEAST_FPC), max(fpc.clone()).alias(MOST_FPC)]);
    let of_psus =
        correction.iter().flat_map(|_| [min(ident(LEAST_FPC)).alias(LEAST_FPC), max(ident(MOST_FPC)).alias(MOST_FPC)]);
    let psus = || std::iter::once(count(lit(1_i64)).alias(FRAME_PSUS));
    let Some(psu) = psu else {
        return builder.aggregate(strata, psus().chain(of_rows))?.build();
    };
    let names: Vec<Expr> = (0..strata.len()).map(|at| ident(frame_stratum(at))).collect();
    let by_psu: Vec<Expr> = strata.into_iter().chain([psu.alias(PSU)]).collect();
    builder.aggregate(by_psu, of_rows)?.aggregate(names, psus().chain(of_psus))?.build()
}

/// A table, and the columns of the design in it.
type Table = (LogicalPlan, Vec<Expr>);

/// The one table that all columns of the design come from, without what the query makes of it.
fn base_table(function: &str, design: &Design, rows: &LogicalPlan, columns: &[&Expr]) -> Result<Table> {
    // The weight is the last of them, and if it is a column, it is one of the table that lists everybody.
    let of_columns = columns.iter().rev().find_map(|column| trace::table_of(rows, column));
    let table = of_columns.or_else(|| trace::only_table(rows));
    if design.psu.is_none() && table.is_some_and(|table| !trace::has_rows_of(rows, table)) {
        let message = format!(
            "{function}: without psu each row of a table is drawn by itself, and these rows are joined or grouped."
        );
        return Err(Error::new(Code::DesignMissing, message)
            .hint("Say what was drawn together: psu => column.")
            .into());
    }
    let moved = table.and_then(|table| {
        let columns = columns.iter().map(|column| trace::onto(rows, column, table)).collect::<Option<Vec<_>>>();
        columns.map(|columns| (table.clone(), columns))
    });
    match moved {
        Some(table) => Ok(table),
        _ => Err(Error::new(
            Code::DesignMissing,
            format!("{function}: the columns of the design are not those of one table, so its PSUs are not known."),
        )
        .hint("Name the table that holds all of them: frame => 'dataset.table'.")
        .into()),
    }
}

/// The columns of the design by their names in the table that the call names. Its rows need no weight.
fn named_frame(function: &str, frame: &str, columns: &[&Expr], reads: &[Read]) -> Result<Table> {
    let read = reads.iter().find(|read| read.asked_as.as_deref() == Some(frame)).ok_or_else(|| {
        Error::new(Code::TableNotFound, format!("{function}: there is no table \"{frame}\" to be the frame."))
    })?;
    let name = datafusion::common::TableReference::bare("svy_frame");
    let schema = read.source.schema();
    let (_weight, columns) = columns.split_last().ok_or_else(super::misplaced)?;
    let named = columns.iter().map(|column| match column {
        Expr::Column(column) if schema.index_of(&column.name).is_ok() => {
            Ok(Expr::Column(Column::new(Some(name.clone()), &column.name)))
        }
        other => {
            Err(Error::new(Code::DesignMissing, format!("{function}: the frame \"{frame}\" has no column {other}.")))
        }
    });
    let named = named.collect::<Result<_, _>>()?;
    let table = LogicalPlanBuilder::scan(name, Arc::clone(&read.source), None)?.build()?;
    Ok((table, named))
}
