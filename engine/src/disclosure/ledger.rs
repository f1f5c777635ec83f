//! What each caller has been shown: rows by day, and the people of the latest cells, so that answers do not add up to what no
//! single one may say. It lives as long as the process.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{NaiveDate, Utc};
use roaring::RoaringBitmap;

/// Cells of one caller and dataset that later ones are held against.
const CELLS: usize = 10_000;
/// The same in bytes.
const CELL_BYTES: usize = 64 << 20;
/// Cells that were not shown.
const WITHHELD: usize = 100;
/// People with what they have, over all cells: beyond that the older half of the cells goes.
const NUMBERS: usize = 4_000_000;

/// Who asks: a name, of a tenant.
pub(super) type Caller = (String, Option<String>);

/// What callers have been shown.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Of fingerprints: nobody's to know.
    pub(super) seed: u64,
    shown: Mutex<HashMap<Caller, Shown>>,
    published: Mutex<HashMap<(Caller, String), OfCaller>>,
}

/// What one caller has been told about one dataset.
type OfCaller = Arc<Mutex<Published>>;

/// The rows that a caller saw on a day, by table.
#[derive(Debug, Default)]
struct Shown {
    day: NaiveDate,
    rows: HashMap<String, HashSet<u64>>,
}

/// A cell: its people by number, each with what it has there.
pub(super) type Cell = HashMap<u64, u64>;

/// The latest cells, each as a set of numbers, by how many people they are.
#[derive(Debug, Default)]
pub(super) struct Published {
    by_size: BTreeMap<(u64, u64), RoaringBitmap>,
    in_order: VecDeque<(u64, u64)>,
    /// Cells that are not shown, so that those of others do not add up to them.
    withheld: VecDeque<RoaringBitmap>,
    next: u64,
    bytes: usize,
    /// Numbers without gaps for people with what they have, so that sets of them are small; and who each is.
    numbers: HashMap<(u64, u64), u32>,
    people: Vec<(u64, u64)>,
}

impl Default for Ledger {
    fn default() -> Self {
        let seed = std::hash::RandomState::new().hash_one("disclosure");
        Self { seed, shown: Mutex::default(), published: Mutex::default() }
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

    /// What a caller has been told about a dataset, while `work` looks at it and adds to it.
    pub(super) fn published<T>(&self, caller: &Caller, dataset: &str, work: impl FnOnce(&mut Published) -> T) -> T {
        let published = Arc::clone(locked(&self.published).entry((caller.clone(), dataset.to_owned())).or_default());
        work(&mut locked(&published))
    }
}

impl Published {
    /// The set of a cell.
    pub(super) fn set(&mut self, cell: &Cell) -> RoaringBitmap {
        if self.people.len() > NUMBERS {
            self.forget_half();
        }
        let people = &mut self.people;
        let mut number = |(person, has): (&u64, &u64)| {
            *self.numbers.entry((*person, *has)).or_insert_with(|| {
                people.push((*person, *has));
                u32::try_from(people.len() - 1).unwrap_or(u32::MAX)
            })
        };
        cell.iter().map(&mut number).collect()
    }

    /// How many people differ between two sets, where they are fewer than `fewest`.
    pub(super) fn few(&self, one: &RoaringBitmap, other: &RoaringBitmap, fewest: u64) -> Option<u64> {
        // Who has something else is on both sides.
        if one.len().abs_diff(other.len()) >= fewest || one.symmetric_difference_len(other) >= 2 * fewest {
            return None;
        }
        let differing = one ^ other;
        let who = differing.iter().filter_map(|number| self.people.get(usize::try_from(number).ok()?));
        let people = who.map(|(person, _)| person).collect::<HashSet<_>>().len() as u64;
        (people < fewest).then_some(people)
    }

    /// Whether somebody who knows the cells of before learns from this one about fewer than `fewest` people.
    pub(super) fn differs_by_few(&self, people: &RoaringBitmap, fewest: u64) -> bool {
        let size = people.len();
        let near = (size.saturating_sub(fewest), 0)..=(size.saturating_add(fewest), u64::MAX);
        let mut is_near = self.withheld.iter().any(|other| self.few(people, other, fewest).is_some());
        for (_, other) in self.by_size.range(near) {
            match self.few(people, other, fewest) {
                // It was told before.
                Some(0) => return false,
                Some(_) => is_near = true,
                None => {}
            }
        }
        is_near
    }

    /// Forgets the older half of the cells, and the numbers that only they have.
    fn forget_half(&mut self) {
        let kept = self.in_order.split_off(self.in_order.len() / 2);
        let mut before = std::mem::take(self);
        self.next = before.next;
        let cell = |set: &RoaringBitmap| -> Cell {
            set.iter().filter_map(|number| before.people.get(usize::try_from(number).ok()?).copied()).collect()
        };
        let cells: Vec<Cell> = kept.iter().filter_map(|key| before.by_size.remove(key)).map(|set| cell(&set)).collect();
        let withheld: Vec<Cell> = before.withheld.iter().map(cell).collect();
        for known in cells {
            let set = self.set(&known);
            self.add(set);
        }
        for known in withheld {
            let set = self.set(&known);
            self.withhold(set);
        }
    }

    /// Remembers a cell that is shown.
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

    /// Remembers a cell that would tell another one.
    pub(super) fn withhold(&mut self, people: RoaringBitmap) {
        if self.withheld.contains(&people) {
            return;
        }
        if self.withheld.len() >= WITHHELD {
            self.withheld.pop_front();
        }
        self.withheld.push_back(people);
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

    fn cell(people: std::ops::Range<u64>) -> Cell {
        people.map(|person| (person, 1)).collect()
    }

    #[test]
    fn a_cell_that_differs_by_few_from_an_earlier_one_is_found() {
        let mut published = Published::default();
        let all = published.set(&cell(0..100));
        published.add(all.clone());
        let mut differs = |cell: &Cell| {
            let set = published.set(cell);
            published.differs_by_few(&set, 5)
        };
        assert!(!differs(&cell(0..100)));
        assert!(differs(&cell(0..99)));
        assert!(differs(&cell(0..104)));
        assert!(differs(&cell(2..102)));
        assert!(!differs(&cell(0..95)));
        assert!(!differs(&cell(3..103)));
        // The same people, of whom few have something else, or all.
        let of = |other: std::ops::Range<u64>| {
            cell(0..100).into_iter().chain(other.map(|person| (person, 2))).collect::<Cell>()
        };
        assert!(differs(&of(0..4)));
        assert!(!differs(&of(0..5)));
        assert!(!differs(&of(0..100)));
    }

    #[test]
    fn a_cell_that_was_withheld_is_not_told_later() {
        let mut published = Published::default();
        let hidden = published.set(&cell(0..37));
        published.withhold(hidden.clone());
        assert!(published.differs_by_few(&hidden, 5));
        assert!(!published.differs_by_few(&RoaringBitmap::from_iter(0..32), 5));
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
