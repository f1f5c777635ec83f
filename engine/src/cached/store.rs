//! What is kept, of all queries: the latest, as far as they fit.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};

use super::Cached;

/// All that is kept takes no more.
const MOST_BYTES: usize = 64 << 20;
/// Nor are there more parts: they are looked through one by one.
const MOST_PARTS: usize = 256;

/// What rows are known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) part: Cached,
    pub(super) files: Vec<File>,
}

/// A file as it was when its rows were read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct File {
    pub(super) store: String,
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) modified: DateTime<Utc>,
    pub(super) version: String,
}

/// The rows of the parts, the one used last at the end.
#[derive(Debug, Default)]
pub(crate) struct Store {
    parts: Mutex<Vec<(Key, Arc<[RecordBatch]>)>>,
}

impl Store {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<[RecordBatch]>> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let at = parts.iter().position(|(known, _)| known == key)?;
        let part = parts.remove(at);
        let rows = Arc::clone(&part.1);
        parts.push(part);
        Some(rows)
    }

    /// Keeps rows, in place of those that were not used for longest.
    pub(super) fn put(&self, key: Key, rows: Vec<RecordBatch>) {
        if size(&rows) > MOST_BYTES / 4 {
            return;
        }
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        // Of the same part, what older files said is of no use.
        parts.retain(|(known, _)| known.part != key.part);
        parts.push((key, rows.into()));
        let all: usize = parts.iter().map(|(_, rows)| size(rows)).sum();
        let mut excess = all.saturating_sub(MOST_BYTES);
        while excess > 0 || parts.len() > MOST_PARTS {
            let (_, rows) = parts.remove(0);
            excess = excess.saturating_sub(size(&rows));
        }
    }
}

fn size(rows: &[RecordBatch]) -> usize {
    rows.iter().map(RecordBatch::get_array_memory_size).sum()
}
