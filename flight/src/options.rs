//! What a server may set about the door.

use std::fmt;
use std::time::Duration;

/// What a server may set about the door.
#[derive(Clone)]
pub struct Options {
    /// The dataset in which bare table names are looked up when neither a header nor the session says one.
    pub default_dataset: Option<String>,
    /// Signs tickets and prepared statements. Random per process by default; servers that share it answer each other's.
    pub ticket_key: [u8; 32],
    /// How long a ticket can be fetched, and fetched again.
    pub ticket_life: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { default_dataset: None, ticket_key: rand::random(), ticket_life: Duration::from_secs(3600) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("default_dataset", &self.default_dataset)
            .field("ticket_life", &self.ticket_life)
            .finish_non_exhaustive()
    }
}
