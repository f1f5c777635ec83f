//! Which queries run under which ticket, so that a client that knows only its ticket can cancel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::QueryId;

use crate::recent::Key;

/// Queries that are being fetched, by ticket. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Running {
    queries: Arc<Mutex<HashMap<Key, Vec<QueryId>>>>,
}

impl Running {
    /// Notes that `query` answers the ticket, until the entry is dropped.
    pub(crate) fn enter(&self, ticket: &[u8], query: QueryId) -> Entry {
        let ticket = key(ticket);
        self.lock().entry(ticket).or_default().push(query);
        Entry { running: self.clone(), ticket, query }
    }

    /// The queries that answer the ticket now.
    pub(crate) fn of(&self, ticket: &[u8]) -> Vec<QueryId> {
        self.lock().get(&key(ticket)).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<QueryId>>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A query that answers a ticket.
pub(crate) struct Entry {
    running: Running,
    ticket: Key,
    query: QueryId,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut queries = self.running.lock();
        if let Some(of_ticket) = queries.get_mut(&self.ticket) {
            of_ticket.retain(|query| *query != self.query);
            if of_ticket.is_empty() {
                queries.remove(&self.ticket);
            }
        }
    }
}

fn key(ticket: &[u8]) -> Key {
    *blake3::hash(ticket).as_bytes()
}
