//! Estimates with their uncertainty: what a sample says about its population, and how far it can be trusted.
//!
//! SQL sees functions, but nothing runs under their names: [`rewrite`] takes each apart into levels of plain aggregates, which
//! vectorize, spill and distribute. One function is one file under `survey/estimators/` and one line in `ESTIMATORS`.

mod chunks;
mod design;
mod estimate;
mod estimators;
mod function;
mod lists;
mod named;
mod notices;
mod one_group;
mod options;
mod part;
mod people;
mod period;
mod positions;
mod replicated;
mod report;
mod rewrite;
mod row_sums;
mod rows;
mod scalars;
mod single;
pub(crate) mod step;
mod stratum;
mod student;
mod sums;
pub(crate) mod trace;
mod values;
mod wide;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use crate::Quality;

pub(crate) use design::{Read, read_of};
pub(crate) use function::values_by_declared_weight;
pub(crate) use named::complete;
pub(crate) use notices::Notices;
pub(crate) use rewrite::rewrite;
pub use row_sums::{RowSums, SumsOfRows};

/// Every function, for a session to register.
pub(crate) fn all() -> Vec<Arc<AggregateUDF>> {
    function::all().collect()
}

/// Every function of an estimate, for a session to register.
pub(crate) fn scalars(quality: Quality) -> Vec<Arc<ScalarUDF>> {
    scalars::all(quality)
}

/// Whether a function of this name is one of them.
pub(crate) fn is_survey_function(name: &str) -> bool {
    estimators::ESTIMATORS.iter().any(|estimator| estimator.name() == name)
}
