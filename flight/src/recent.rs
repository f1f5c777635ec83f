//! What was used recently, bounded in weight and time: the only state of clients that the door keeps.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A name that cannot be guessed, by hash.
pub(crate) type Key = [u8; 32];

/// Values by key. Those unused for `idle` are forgotten, and the longest unused ones when there are too many.
pub(crate) struct Recent<V> {
    entries: Mutex<HashMap<Key, Entry<V>>>,
    capacity: usize,
    idle: Duration,
}

struct Entry<V> {
    value: V,
    weight: usize,
    used: Instant,
}

impl<V: Clone> Recent<V> {
    /// Room for values of `capacity` weight in all.
    pub(crate) fn new(capacity: usize, idle: Duration) -> Self {
        Self { entries: Mutex::default(), capacity, idle }
    }

    /// The value, which counts as a use of it.
    pub(crate) fn get(&self, key: &Key) -> Option<V> {
        let mut entries = self.lock();
        let entry = entries.get_mut(key)?;
        if entry.used.elapsed() > self.idle {
            entries.remove(key);
            return None;
        }
        entry.used = Instant::now();
        Some(entry.value.clone())
    }

    /// Keeps `value`, unless it alone weighs more than there is room for.
    pub(crate) fn put(&self, key: Key, value: V, weight: usize) {
        let mut entries = self.lock();
        entries.remove(&key);
        if weight > self.capacity {
            return;
        }
        let mut room = self.capacity - entries.values().map(|entry| entry.weight).sum::<usize>().min(self.capacity);
        if room < weight {
            entries.retain(|_, entry| entry.used.elapsed() <= self.idle);
            room = self.capacity - entries.values().map(|entry| entry.weight).sum::<usize>().min(self.capacity);
        }
        while room < weight {
            let Some(oldest) = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key) else { break };
            room += entries.remove(&oldest).map_or(0, |entry| entry.weight);
        }
        entries.insert(key, Entry { value, weight, used: Instant::now() });
    }

    /// Forgets the value; whether there was one.
    pub(crate) fn remove(&self, key: &Key) -> bool {
        self.lock().remove(key).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry<V>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first_when_room_is_short() {
        let recent = Recent::new(10, Duration::from_secs(60));
        recent.put([1; 32], "one", 5);
        recent.put([2; 32], "two", 5);
        assert_eq!(recent.get(&[1; 32]), Some("one"));
        recent.put([3; 32], "three", 4);
        assert_eq!(recent.get(&[2; 32]), None);
        assert_eq!(recent.get(&[1; 32]), Some("one"));
        assert_eq!(recent.get(&[3; 32]), Some("three"));
    }

    #[test]
    fn what_is_too_heavy_is_not_kept_and_what_is_idle_is_forgotten() {
        let recent = Recent::new(10, Duration::ZERO);
        recent.put([1; 32], (), 11);
        assert!(!recent.remove(&[1; 32]));
        recent.put([2; 32], (), 1);
        std::thread::yield_now();
        assert_eq!(recent.get(&[2; 32]), None);
    }
}
