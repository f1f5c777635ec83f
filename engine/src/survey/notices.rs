//! What a reader should know about estimates, found out while they are made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Cast;

use crate::quality::{Grade, Judged, Quality};

/// Things to say once the last row has gone, each with how often it happened.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    quality: Quality,
    /// By each call.
    left_out: Mutex<Vec<Arc<LeftOut>>>,
    no_interval: AtomicU64,
    no_effect: AtomicU64,
    lonely: AtomicU64,
    all_lonely: AtomicU64,
    judged: AtomicU64,
    caution: AtomicU64,
    suppress: AtomicU64,
    is_restricted: AtomicBool,
    is_without_replicates: AtomicBool,
    /// Calls that were weighed, by the weight, and whether that can be switched off.
    weighed: Mutex<BTreeMap<(String, bool), BTreeSet<String>>>,
    /// The column of a period that nothing chooses.
    pooled: OnceLock<String>,
    /// Whether how often something happened would tell of few people.
    is_discreet: AtomicBool,
    /// What other steps have to say.
    said: Mutex<BTreeSet<String>>,
    /// The columns that weigh.
    weights: Mutex<BTreeSet<String>>,
}

/// A thing to say.
#[derive(Debug, Clone, Copy)]
pub(super) enum Notice {
    NoInterval,
    NoEffect,
    Lonely,
    AllLonely,
}

/// The rows of one call that it leaves out.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Those that have a weight and no value.
    valueless: AtomicU64,
    weightless: AtomicU64,
    /// Those that have no stratum or PSU.
    outside: AtomicU64,
}

impl LeftOut {
    /// Counts those of a batch: `counted` rows have both, though the value of some is undefined. Where the filter is NULL, a row is outside the design.
    pub(super) fn count(&self, values: &[ArrayRef], filter: Option<&BooleanArray>, counted: usize, undefined: usize) {
        let Some((weights, _)) = values.split_last() else { return };
        let outside = filter.map_or(0, Array::null_count);
        self.outside.fetch_add(outside as u64, Ordering::Relaxed);
        self.valueless.fetch_add(undefined as u64, Ordering::Relaxed);
        if values.iter().all(|column| column.null_count() == 0) {
            return;
        }
        let filter = filter.map(|filter| match filter.nulls() {
            Some(nulls) => NullBuffer::new(filter.values() & nulls.inner()),
            None => NullBuffer::new(filter.values().clone()),
        });
        let weighted = NullBuffer::union(filter.as_ref(), weights.nulls());
        let rows = |kept: Option<&NullBuffer>| weights.len() - kept.map_or(0, NullBuffer::null_count);
        let (all, weighted) = (rows(filter.as_ref()), rows(weighted.as_ref()));
        self.valueless.fetch_add(weighted.saturating_sub(counted) as u64, Ordering::Relaxed);
        self.weightless.fetch_add(all.saturating_sub(weighted) as u64, Ordering::Relaxed);
    }

    /// Counts rows that a source left out: those without value, without weight, and outside the design.
    pub(super) fn add(&self, [valueless, weightless, outside]: [f64; 3]) {
        self.valueless.fetch_add(valueless as u64, Ordering::Relaxed);
        self.weightless.fetch_add(weightless as u64, Ordering::Relaxed);
        self.outside.fetch_add(outside as u64, Ordering::Relaxed);
    }
}

impl Notices {
    pub(crate) fn new(quality: Quality) -> Self {
        Self { quality, ..Self::default() }
    }

    /// The count of a call: calls often read the same rows, so that counts of several are not added.
    pub(super) fn of_call(&self) -> Arc<LeftOut> {
        let left_out = Arc::<LeftOut>::default();
        self.left_out().push(Arc::clone(&left_out));
        left_out
    }

    /// Says that a call has another design than the declared replicate weights.
    pub(super) fn without_replicates(&self) {
        self.is_without_replicates.store(true, Ordering::Relaxed);
    }

    fn left_out(&self) -> MutexGuard<'_, Vec<Arc<LeftOut>>> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, notice: Notice) {
        let count = match notice {
            Notice::NoInterval => &self.no_interval,
            Notice::NoEffect => &self.no_effect,
            Notice::Lonely => &self.lonely,
            Notice::AllLonely => &self.all_lonely,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of an estimate that is an answer.
    pub(super) fn judge(&self, judged: &Judged) {
        let Some(grade) = self.quality.grade(judged) else { return };
        self.judged.fetch_add(1, Ordering::Relaxed);
        match grade {
            Grade::Reliable => 0,
            Grade::Caution => self.caution.fetch_add(1, Ordering::Relaxed),
            Grade::Suppress => self.suppress.fetch_add(1, Ordering::Relaxed),
        };
    }

    /// Says that the caller may not see all rows of a design.
    pub(super) fn restrict(&self) {
        self.is_restricted.store(true, Ordering::Relaxed);
    }

    /// From now on nothing is said of how many rows or estimates there are.
    pub(crate) fn be_discreet(&self) {
        self.is_discreet.store(true, Ordering::Relaxed);
    }

    /// Says a sentence, once.
    pub(crate) fn say(&self, sentence: String) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(sentence);
    }

    /// Whether nothing is said of how many rows or estimates there are.
    pub(crate) fn is_discreet(&self) -> bool {
        self.is_discreet.load(Ordering::Relaxed)
    }

    /// Takes note of what weighs.
    pub(crate) fn weigh(&self, weight: &Expr) {
        let column = match weight {
            Expr::Cast(Cast { expr, .. }) => expr,
            weight => weight,
        };
        self.weights.lock().unwrap_or_else(PoisonError::into_inner).insert(column.to_string());
    }

    /// What weighs.
    pub(crate) fn weights(&self) -> Vec<String> {
        self.weights.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Says that a call was weighed by a column.
    pub(crate) fn weighed(&self, call: &str, by: &str, can_be_plain: bool) {
        let mut weighed = self.weighed.lock().unwrap_or_else(PoisonError::into_inner);
        weighed.entry((by.to_owned(), can_be_plain)).or_default().insert(call.to_owned());
    }

    fn weighings(&self) -> Vec<String> {
        let weighed = self.weighed.lock().unwrap_or_else(PoisonError::into_inner);
        let sentence = |((by, can_be_plain), calls): (&(String, bool), &BTreeSet<String>)| {
            let calls = calls.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let plain = if *can_be_plain { "; apply_weights = false gives plain figures" } else { "" };
            format!("Weighted by {by}: {calls}{plain}.")
        };
        weighed.iter().map(sentence).collect()
    }

    /// Says that estimates are over several periods.
    pub(crate) fn pool(&self, period: &str) {
        // One is enough to say.
        let _ = self.pooled.set(period.to_owned());
    }

    /// Forgets what was counted: the rows are read once more.
    pub(crate) fn start_again(&self) {
        let [one, two, three, four] = [&self.no_interval, &self.no_effect, &self.lonely, &self.all_lonely];
        let counts = [one, two, three, four, &self.judged, &self.caution, &self.suppress];
        counts.into_iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for call in self.left_out().iter() {
            call.valueless.store(0, Ordering::Relaxed);
            call.weightless.store(0, Ordering::Relaxed);
            call.outside.store(0, Ordering::Relaxed);
        }
    }

    /// What there is to say, in sentences.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let most = |count: fn(&LeftOut) -> &AtomicU64| {
            self.left_out().iter().map(|call| count(call).load(Ordering::Relaxed)).max().unwrap_or_default()
        };
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let said = [
            (
                most(|call| &call.valueless),
                "row had no value and was left out of the survey estimates.",
                "rows had no value and were left out of the survey estimates.",
            ),
            (
                most(|call| &call.weightless),
                "row has no weight, and is outside the design.",
                "rows have no weight, and are outside the design.",
            ),
            (
                most(|call| &call.outside),
                "row has no stratum or PSU, and is outside the design.",
                "rows have no stratum or PSU, and are outside the design.",
            ),
            (
                count(&self.no_interval),
                "estimate has no interval: with no more PSUs than strata there are no degrees of freedom.",
                "estimates have no interval: with no more PSUs than strata there are no degrees of freedom.",
            ),
            (
                count(&self.no_effect),
                "estimate has no design effect: its weights sum to no more than its rows, or there is one row.",
                "estimates have no design effect: their weights sum to no more than their rows, or there is one row.",
            ),
            (
                count(&self.lonely),
                "estimate is of strata with a single PSU, which were treated as `lonely` says.",
                "estimates are of strata with a single PSU, which were treated as `lonely` says.",
            ),
            (
                count(&self.all_lonely),
                "estimate has no standard error: each of its strata has a single PSU.",
                "estimates have no standard error: each of their strata has a single PSU.",
            ),
        ];
        let is_discreet = self.is_discreet.load(Ordering::Relaxed);
        let said = said.into_iter().filter(|(count, ..)| *count > 0 && !is_discreet);
        let counted = said.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }));
        let replicates =
            "The declared replicate weights were not used for calls that name another weight, psu, strata or fpc.";
        let replicates = self.is_without_replicates.load(Ordering::Relaxed).then(|| replicates.to_owned());
        let restricted =
            "Some rows are hidden from you: survey estimates are of the design of the rows that you may see.";
        let restricted = self.is_restricted.load(Ordering::Relaxed).then(|| restricted.to_owned());
        let pooled = self.pooled.get().map(|period| {
            format!("No one \"{period}\" is chosen: estimates are over several, and totals and counts add them up.")
        });
        counted
            .chain(replicates)
            .chain(self.doubtful().filter(|_| !is_discreet))
            .chain(pooled)
            .chain(restricted)
            .chain(self.weighings())
            .chain(self.said.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned())
            .collect()
    }

    /// How many estimates are not reliable.
    fn doubtful(&self) -> Option<String> {
        let [judged, caution, suppress] =
            [&self.judged, &self.caution, &self.suppress].map(|count| count.load(Ordering::Relaxed));
        let is = |count: u64| if count == 1 { "is" } else { "are" };
        let Quality { caution: first, suppress: second, min_n } = self.quality;
        let percent = |share: f64| format!("{}%", (share * 1e4).round() / 1e2);
        let of = if judged == 1 { "estimate" } else { "estimates" };
        let counted = match (caution, suppress) {
            (0, 0) => return None,
            (0, _) => format!("{suppress} of {judged} {of} should be suppressed"),
            (_, 0) => format!("{caution} of {judged} {of} {} to be used with caution", is(caution)),
            (_, _) => format!(
                "{caution} of {judged} {of} {} to be used with caution, and {suppress} should be suppressed",
                is(caution)
            ),
        };
        let few = if min_n > 0 { format!(", or fewer than {min_n} respondents") } else { String::new() };
        Some(format!(
            "{counted} (relative standard error over {} / {}{few}); svy_quality(..) says which.",
            percent(first),
            percent(second)
        ))
    }
}
