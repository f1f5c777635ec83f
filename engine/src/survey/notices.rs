//! What a reader should know about estimates, found out while they are made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;

/// Things to say once the last row has gone, each with how often it happened.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    missing: AtomicU64,
    no_interval: AtomicU64,
    no_effect: AtomicU64,
    lonely: AtomicU64,
    all_lonely: AtomicU64,
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

impl Notices {
    /// Counts the rows of a batch that have a weight and no value: `counted` of them have both.
    pub(super) fn missing(&self, values: &[ArrayRef], filter: Option<&BooleanArray>, counted: usize) {
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
        self.missing.fetch_add(rows.saturating_sub(counted) as u64, Ordering::Relaxed);
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

    /// What there is to say, in sentences.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let said = [
            (&self.missing, "rows had no value and were left out of the survey estimates."),
            (
                &self.no_interval,
                "estimates have no interval: with no more PSUs than strata there are no degrees of freedom.",
            ),
            (
                &self.no_effect,
                "estimates have no design effect: their weights sum to no more than their rows, or there is one row.",
            ),
            (&self.lonely, "strata have a single PSU, and were treated as `lonely` says."),
            (&self.all_lonely, "estimates have no standard error: each of their strata has a single PSU."),
        ];
        let counts = said.into_iter().map(|(count, text)| (count.load(Ordering::Relaxed), text));
        let restricted =
            "Some rows are hidden from you: survey estimates are of the design of the rows that you may see.";
        let restricted = self.is_restricted.load(Ordering::Relaxed).then(|| restricted.to_owned());
        let counted = counts.filter(|(count, _)| *count > 0).map(|(count, text)| format!("{count} {text}"));
        counted.chain(restricted).chain(self.weighings()).collect()
    }
}
