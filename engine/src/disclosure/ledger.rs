//! What each caller has been shown: rows by day, and the people of the latest cells, so that answers do not add up to what no
//! single one may say. It lives as long as the process.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{NaiveDate, Utc};
use roaring::RoaringBitmap;

/// Cells of one caller and dataset that later ones are held against.
const CELLS: usize = 10_000;
/// The same in bytes.
const CELL_BYTES: usize = 64 << 20;

/// Who asks: a name, of a tenant.
pub(super) type Caller = (String, Option<String>);

/// What callers have been shown.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Of fingerprints: nobody's to know.
    pub(super) seed: u64,
    shown: Mutex<HashMap<Caller, Shown>>,
    published: Mutex<HashMap<(Caller, String), Published>>,
    /// Numbers for the people of each dataset, without gaps, so that sets of them are small.
    people: Mutex<HashMap<String, HashMap<u64, u32>>>,
}

/// The rows that a caller saw on a day, by table.
#[derive(Debug, Default)]
struct Shown {
    day: NaiveDate,
    rows: HashMap<String, HashSet<u64>>,
}

/// The people of the latest cells, each set with its number, by how many they are.
#[derive(Debug, Default)]
pub(super) struct Published {
    by_size: BTreeMap<(u64, u64), RoaringBitmap>,
    in_order: VecDeque<(u64, u64)>,
    next: u64,
    bytes: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        let seed = std::hash::RandomState::new().hash_one("disclosure");
        Self { seed, shown: Mutex::default(), published: Mutex::default(), people: Mutex::default() }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Whether a caller may see `rows` of `table` today: all of them, or none is counted. What it has seen is free.
    pub(super) fn admits(&self, caller: &Caller, table: &str, rows: impl Iterator<Item = u64>, at_most: u64) -> bool {
        let mut shown = locked(&self.shown);
        let shown = shown.entry(caller.clone()).or_default();
        let today = Utc::now().date_naive();
        if shown.day != today {
            *shown = Shown { day: today, rows: HashMap::new() };
        }
        let seen = shown.rows.entry(table.to_owned()).or_default();
        let new: HashSet<u64> = rows.filter(|row| !seen.contains(row)).collect();
        let is_admitted = (seen.len() + new.len()) as u64 <= at_most;
        if is_admitted {
            seen.extend(new);
        }
        is_admitted
    }

    /// How many rows of `table` a caller has seen today.
    pub(super) fn count(&self, caller: &Caller, table: &str) -> u64 {
        let shown = locked(&self.shown);
        let shown = shown.get(caller).filter(|shown| shown.day == Utc::now().date_naive());
        shown.and_then(|shown| shown.rows.get(table)).map_or(0, |rows| rows.len() as u64)
    }

    /// The set of these people of a dataset.
    pub(super) fn set(&self, dataset: &str, people: impl Iterator<Item = u64>) -> RoaringBitmap {
        let mut known = locked(&self.people);
        let known = known.entry(dataset.to_owned()).or_default();
        people
            .map(|person| {
                let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
                *known.entry(person).or_insert(next)
            })
            .collect()
    }

    /// What a caller has been told about a dataset, while `work` looks at it and adds to it.
    pub(super) fn published<T>(&self, caller: &Caller, dataset: &str, work: impl FnOnce(&mut Published) -> T) -> T {
        work(locked(&self.published).entry((caller.clone(), dataset.to_owned())).or_default())
    }
}

impl Published {
    /// Whether somebody who knows the cells of before learns from this one about fewer than `fewest` people.
    pub(super) fn differs_by_few(&self, people: &RoaringBitmap, fewest: u64) -> bool {
        let size = people.len();
        let near = (size.saturating_sub(fewest), 0)..=(size.saturating_add(fewest), u64::MAX);
        let mut is_near = false;
        for (_, other) in self.by_size.range(near) {
            match people.symmetric_difference_len(other) {
                // It was told before.
                0 => return false,
                few if few < fewest => is_near = true,
                _ => {}
            }
        }
        is_near
    }

    /// Remembers a cell.
    pub(super) fn add(&mut self, people: RoaringBitmap) {
        let size = people.len();
        if self.by_size.range((size, 0)..=(size, u64::MAX)).any(|(_, known)| *known == people) {
            return;
        }
        let key = (size, self.next);
        self.next += 1;
        self.bytes += people.serialized_size();
        self.by_size.insert(key, people);
        self.in_order.push_back(key);
        while self.in_order.len() > CELLS || self.bytes > CELL_BYTES {
            let Some(oldest) = self.in_order.pop_front() else { break };
            if let Some(gone) = self.by_size.remove(&oldest) {
                self.bytes -= gone.serialized_size();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        ("meera".to_owned(), None)
    }

    #[test]
    fn rows_count_once_and_no_more_than_the_allowance() {
        let ledger = Ledger::default();
        assert!(ledger.admits(&caller(), "t", 0..3, 5));
        assert!(!ledger.admits(&caller(), "t", 3..6, 5));
        assert!(ledger.admits(&caller(), "t", 1..5, 5));
        assert!(ledger.admits(&caller(), "t", 0..5, 5));
        assert!(!ledger.admits(&caller(), "t", 5..6, 5));
        assert!(ledger.admits(&caller(), "u", 5..6, 5));
        assert!(ledger.admits(&("ravi".to_owned(), None), "t", 5..6, 5));
    }

    #[test]
    fn a_cell_that_differs_by_few_from_an_earlier_one_is_found() {
        let ledger = Ledger::default();
        let set = |people: std::ops::Range<u64>| ledger.set("d", people);
        ledger.published(&caller(), "d", |published| {
            published.add(set(0..100));
            assert!(!published.differs_by_few(&set(0..100), 5));
            assert!(published.differs_by_few(&set(0..99), 5));
            assert!(published.differs_by_few(&set(0..104), 5));
            assert!(published.differs_by_few(&set(2..102), 5));
            assert!(!published.differs_by_few(&set(0..95), 5));
            assert!(!published.differs_by_few(&set(3..103), 5));
        });
    }

    #[test]
    fn the_oldest_cells_go() {
        let mut published = Published::default();
        for cell in 0..=u32::try_from(CELLS).unwrap() {
            // Of different sizes, as only those of like size are compared.
            published.add((cell..cell + 1 + cell % 100).collect());
        }
        assert_eq!(published.in_order.len(), CELLS);
        assert!(!published.by_size.values().any(|people| people.contains(0)));
        assert_eq!(published.by_size.len(), CELLS);
    }
}
