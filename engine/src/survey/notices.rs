//! What a reader should know about estimates, found out while they are made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;

use crate::quality::{Grade, Judged, Quality};

/// Things to say once the last row has gone, each with how often it happened.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    quality: Quality,
    /// Of each call.
    missing: Mutex<Vec<Arc<Missing>>>,
    no_interval: AtomicU64,
    no_effect: AtomicU64,
    lonely: AtomicU64,
    all_lonely: AtomicU64,
    judged: AtomicU64,
    caution: AtomicU64,
    suppress: AtomicU64,
    is_restricted: AtomicBool,
    /// Calls that were weighed, by the weight, and whether that can be switched off.
    weighed: Mutex<BTreeMap<(String, bool), BTreeSet<String>>>,
}

/// A thing to say.
#[derive(Debug, Clone, Copy)]
pub(super) enum Notice {
    NoInterval,
    NoEffect,
    Lonely,
    AllLonely,
}

/// The rows of one call that have a weight and no value.
#[derive(Debug, Default)]
pub(super) struct Missing(AtomicU64);

impl Missing {
    /// Counts those of a batch: `counted` rows have both.
    pub(super) fn count(&self, values: &[ArrayRef], filter: Option<&BooleanArray>, counted: usize) {
        let Some((weights, variables)) = values.split_last() else { return };
        if variables.iter().all(|variable| variable.null_count() == 0) {
            return;
        }
        let filter = filter.map(|filter| match filter.nulls() {
            Some(nulls) => NullBuffer::new(filter.values() & nulls.inner()),
            None => NullBuffer::new(filter.values().clone()),
        });
        let in_domain = NullBuffer::union(filter.as_ref(), weights.nulls());
        let rows = weights.len() - in_domain.map_or(0, |nulls| nulls.null_count());
        self.0.fetch_add(rows.saturating_sub(counted) as u64, Ordering::Relaxed);
    }
}

impl Notices {
    pub(crate) fn new(quality: Quality) -> Self {
        Self { quality, ..Self::default() }
    }

    /// The count of a call: calls often read the same rows, so that counts of several are not added.
    pub(super) fn missing_of_call(&self) -> Arc<Missing> {
        let missing = Arc::<Missing>::default();
        self.missing().push(Arc::clone(&missing));
        missing
    }

    fn missing(&self) -> MutexGuard<'_, Vec<Arc<Missing>>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Forgets what was counted: the rows are read once more.
    pub(crate) fn start_again(&self) {
        let [one, two, three, four] = [&self.no_interval, &self.no_effect, &self.lonely, &self.all_lonely];
        let counts = [one, two, three, four, &self.judged, &self.caution, &self.suppress];
        counts.into_iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.missing().iter().for_each(|missing| missing.0.store(0, Ordering::Relaxed));
    }

    /// What there is to say, in sentences.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let missing = self.missing().iter().map(|missing| missing.0.load(Ordering::Relaxed)).max().unwrap_or_default();
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let said = [
            (missing, "rows had no value and were left out of the survey estimates."),
            (
                count(&self.no_interval),
                "estimates have no interval: with no more PSUs than strata there are no degrees of freedom.",
            ),
            (
                count(&self.no_effect),
                "estimates have no design effect: their weights sum to no more than their rows, or there is one row.",
            ),
            (count(&self.lonely), "strata have a single PSU, and were treated as `lonely` says."),
            (count(&self.all_lonely), "estimates have no standard error: each of their strata has a single PSU."),
        ];
        let counted = said.into_iter().filter(|(count, _)| *count > 0).map(|(count, text)| format!("{count} {text}"));
        let restricted =
            "Some rows are hidden from you: survey estimates are of the design of the rows that you may see.";
        let restricted = self.is_restricted.load(Ordering::Relaxed).then(|| restricted.to_owned());
        counted.chain(self.doubtful()).chain(restricted).chain(self.weighings()).collect()
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
