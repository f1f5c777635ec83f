//! The levels of the calls that share a design.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, ident, lit, when};

use super::frame::{self, FRAME_PSUS, Frame, FrameOf, LEAST_FPC, MOST_FPC, frame_key, frame_stratum};
use super::{key, share_levels, value};
use crate::grouping;
use crate::merging::merged_by;
use crate::reach::unit_weight;
use crate::survey::design::{Design, Read, Replicates};
use crate::survey::estimate::Estimate;
use crate::survey::estimators::PartOf;
use crate::survey::function::Call;
use crate::survey::notices::{LeftOut, Notices};
use crate::survey::people::OfPeople;
use crate::survey::replicated::Replicated;
use crate::survey::report::Report;
use crate::survey::rows::{OfRows, People};
use crate::survey::stratum::Strata;
use crate::survey::{single, step};
use crate::{Code, Error};

const PSU: &str = "unit_key_psu";
const UNIT: &str = "unit_key_person";

fn stratum(at: usize) -> String {
    format!("{}stratum_{at}", grouping::UNIT)
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
        self.plan_over(rows, FrameOf { rows, design: &first.design, keys, reads }, keys, notices)
    }

    /// The estimates by key over `input`. The frame is that of a design over other rows.
    pub(super) fn plan_over(
        &self,
        input: &Arc<LogicalPlan>,
        of_frame: FrameOf<'_>,
        keys: &[Expr],
        notices: &Arc<Notices>,
    ) -> Result<LogicalPlan> {
        let Some((_, first)) = self.calls.first() else {
            return Err(super::misplaced().into());
        };
        let design = &first.design;
        let levels = Building { levels: self, design, is_distinct: first.is_distinct, keys, notices };
        of_frame.note_pooled(notices);
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
        levels.estimates(strata, frame::frame(first.name(), of_frame)?)
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

    /// The rows of the domain that a part is of: those of the call's filter and its own. NULL of rows that are outside the design.
    fn filter(&self, call: &Call, part: &PartOf) -> Result<Option<Expr>> {
        let domain = call.filter.iter().chain(&part.condition).cloned().reduce(Expr::and);
        let known = self.design.keys().map(|key| key.clone().is_not_null()).reduce(Expr::and);
        Ok(match (domain, known) {
            (None, None) => None,
            (Some(domain), None) => Some(domain.is_true()),
            (None, Some(known)) => Some(when(known, lit(true)).end()?),
            (Some(domain), Some(known)) => Some(when(domain.is_not_true(), lit(false)).when(known, lit(true)).end()?),
        })
    }

    fn of_rows(&self, call: &Call, part: &PartOf, people: People, left_out: &Arc<LeftOut>) -> OfRows {
        OfRows { variables: part.variables.len(), people, written: call.name(), left_out: Arc::clone(left_out) }
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
                let left_out = self.notices.of_call();
                let parts = call.parts.iter().map(|part| {
                    let keep = self.filter(call, part)?.unwrap_or_else(|| lit(true));
                    Ok(single::call(self.of_rows(call, part, People::Unknown, &left_out), self.arguments(part), keep))
                });
                parts.collect()
            };
            let calls = self.stratum_calls(of_call)?.into_iter().chain(self.merged()).collect();
            return Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(input), self.first_keys(), calls)?));
        };
        let psus = self.psus(input, psu)?;
        let names = |call: &Call| {
            let of_call = self.parts().filter(|(_, _, one, _)| std::ptr::eq(*one, call));
            Ok(of_call.map(|(name, ..)| ident(name)).collect())
        };
        let calls = self.stratum_calls(names)?.into_iter().chain(self.merging()).collect();
        Self::grouped(psus, self.key_names().into_iter().chain(self.stratum_names()).collect(), calls)
    }

    fn stratum_calls(&self, arguments: impl Fn(&Call) -> Result<Vec<Expr>>) -> Result<Vec<Expr>> {
        let calls = self.levels.calls.iter().map(|(at, call)| {
            Ok(step::call(Strata { estimator: call.estimator }, arguments(call)?, None).alias(sums(*at)))
        });
        calls.collect()
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
        let left_out: Vec<_> = self.levels.calls.iter().map(|_| self.notices.of_call()).collect();
        let of_rows = self.parts().map(|(name, at, call, part)| {
            let filter = self.filter(call, part)?;
            if self.is_distinct {
                return Ok(unit_weight(self.design.weight.clone(), filter).alias(name));
            }
            Ok(step::call(self.of_rows(call, part, people, &left_out[at]), self.arguments(part), filter).alias(name))
        });
        let of_rows = of_rows.chain(self.merged().map(Ok)).collect::<Result<_>>()?;
        let first = LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(input), keys, of_rows)?);
        if !has_people_of_their_own {
            return Ok(first);
        }
        let of_people = self.parts().map(|(name, _, call, part)| {
            let level = if self.is_distinct {
                // People without a weight are those whose rows were all left out below.
                let left_out = Arc::default();
                step::call(self.of_rows(call, part, People::Each, &left_out), vec![lit(1.0), ident(&name)], None)
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
            let mut arguments = Vec::new();
            for part in &call.parts {
                arguments.extend(part.variables.iter().cloned());
                arguments.push(self.filter(call, part)?.unwrap_or_else(|| lit(true)));
            }
            arguments.push(self.design.weight.clone());
            arguments.extend(replicates.columns.iter().cloned());
            let level = Replicated {
                report: Report { has_people: false, ..self.report(call) },
                replication: replicates.replication.clone(),
                parts: call.parts.iter().map(|part| part.variables.len()).collect(),
            };
            Ok(step::call(level, arguments, None).alias(value(*at)))
        });
        let calls = calls.chain(self.merged().map(Ok)).collect::<Result<_>>()?;
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

    fn estimates(&self, strata: LogicalPlan, frame: Frame) -> Result<LogicalPlan> {
        let builder = LogicalPlanBuilder::from(strata);
        let strata = 0..self.design.strata.len();
        let ours = strata.clone().map(stratum).chain(frame.keys.iter().copied().map(key));
        let theirs = strata.map(frame_stratum).chain(frame.keys.iter().copied().map(frame_key));
        let on: (Vec<Column>, Vec<Column>) =
            (ours.map(Column::from_name).collect(), theirs.map(Column::from_name).collect());
        let joined = if on.0.is_empty() {
            builder.cross_join(frame.plan)?
        } else {
            builder.join_detailed(frame.plan, JoinType::Left, on, None, NullEquality::NullEqualsNull)?
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
