//! What a server's schemas were when they were last read, and for how long that is believed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Relation;

/// How long what was read is believed. A scan checks its columns anyway, so this bounds only how long a new table or
/// column stays unseen.
const BELIEVED: Duration = Duration::from_secs(30);
/// How old it is when whoever uses it has it read again behind their back, so that nobody who comes often waits.
const AGED: Duration = Duration::from_secs(15);
/// How soon a name that is not there may be looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The relations of one schema, sorted by name, as they were at a moment.
#[derive(Debug)]
pub(crate) struct Listing<C> {
    read_at: Instant,
    relations: Arc<[Arc<Relation<C>>]>,
}

impl<C> Clone for Listing<C> {
    fn clone(&self) -> Self {
        Self { read_at: self.read_at, relations: Arc::clone(&self.relations) }
    }
}

impl<C> Listing<C> {
    /// Relations that somebody has begun to read at a moment.
    pub(super) fn new(read_at: Instant, relations: Vec<Arc<Relation<C>>>) -> Self {
        Self { read_at, relations: relations.into() }
    }

    pub(super) fn relations(&self) -> &[Arc<Relation<C>>] {
        &self.relations
    }

    pub(super) fn relation(&self, name: &str) -> Option<&Arc<Relation<C>>> {
        let at = self.relations.binary_search_by(|relation| relation.name.as_str().cmp(name)).ok()?;
        self.relations.get(at)
    }

    /// Whether it is too old to say that a name is not there.
    pub(super) fn may_lack(&self) -> bool {
        self.read_at.elapsed() > LOOK_AGAIN
    }
}

/// What is remembered of a source's schemas.
#[derive(Debug)]
pub(crate) struct Listings<C> {
    known: Mutex<Known<C>>,
}

#[derive(Debug)]
struct Known<C> {
    by_schema: HashMap<String, Entry<C>>,
    /// How often everything was forgotten: what was asked before that is not remembered after it.
    forgotten: u64,
}

#[derive(Debug)]
struct Entry<C> {
    listing: Listing<C>,
    is_being_read: bool,
}

impl<C> Default for Listings<C> {
    fn default() -> Self {
        Self { known: Mutex::new(Known { by_schema: HashMap::new(), forgotten: 0 }) }
    }
}

impl<C> Listings<C> {
    pub(super) fn get(&self, schema: &str) -> Option<Listing<C>> {
        let known = self.known();
        let listing = &known.by_schema.get(schema)?.listing;
        (listing.read_at.elapsed() < BELIEVED).then(|| listing.clone())
    }

    /// Whether the caller should see to it that the schema is read again: one of many is told so.
    pub(super) fn has_aged(&self, schema: &str) -> bool {
        let mut known = self.known();
        let entry = known.by_schema.get_mut(schema).filter(|entry| entry.listing.read_at.elapsed() > AGED);
        entry.is_some_and(|entry| !std::mem::replace(&mut entry.is_being_read, true))
    }

    /// How often everything has been forgotten so far.
    pub(super) fn forgotten(&self) -> u64 {
        self.known().forgotten
    }

    /// Remembers what was asked for when everything had been `forgotten` so often, unless something newer is known.
    pub(super) fn put(&self, schema: &str, listing: Listing<C>, forgotten: u64) {
        let mut known = self.known();
        let is_newest = known.by_schema.get(schema).is_none_or(|entry| entry.listing.read_at <= listing.read_at);
        if known.forgotten == forgotten && is_newest {
            known.by_schema.insert(schema.to_owned(), Entry { listing, is_being_read: false });
        }
    }

    /// Forgets everything, since something proved to be otherwise.
    pub(crate) fn forget(&self) {
        let mut known = self.known();
        known.by_schema.clear();
        known.forgotten += 1;
    }

    fn known(&self) -> MutexGuard<'_, Known<C>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_before(age: Duration) -> Listing<()> {
        Listing { read_at: Instant::now().checked_sub(age).unwrap(), relations: Arc::default() }
    }

    fn known(age: Duration) -> Listings<()> {
        let listings = Listings::default();
        listings.put("a", read_before(age), 0);
        listings
    }

    #[test]
    fn what_is_used_often_is_read_again_by_one_before_it_is_too_old() {
        let new = known(Duration::ZERO);
        assert!(new.get("a").is_some() && !new.has_aged("a"));
        let aged = known(AGED);
        assert!(aged.get("a").is_some());
        assert_eq!([aged.has_aged("a"), aged.has_aged("a")], [true, false]);
        aged.put("a", read_before(AGED / 2), 0);
        assert!(!aged.has_aged("a"));
        // One who began to read earlier comes later.
        aged.put("a", read_before(AGED), 0);
        assert!(!aged.has_aged("a"));
        assert!(known(BELIEVED).get("a").is_none());
    }

    #[test]
    fn what_was_asked_before_all_was_forgotten_is_not_remembered() {
        let listings = Listings::default();
        listings.put("a", read_before(Duration::ZERO), 0);
        listings.forget();
        assert!(listings.get("a").is_none());
        listings.put("a", read_before(Duration::ZERO), 0);
        assert!(listings.get("a").is_none());
        listings.put("a", read_before(Duration::ZERO), listings.forgotten());
        assert!(listings.get("a").is_some());
    }
}
