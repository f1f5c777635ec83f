//! Sources by what they were made of, so that a home that is read again keeps those whose configuration did not change, with
//! their pools and all that they know.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use engine::Error;

use crate::{Connect, Source, SourceKind};

/// Sources that were made and are still in use. It keeps none of them alive.
#[derive(Default)]
pub struct Connections {
    made: Mutex<Vec<Made>>,
}

/// A source, and what it was made of.
struct Made {
    kind: &'static str,
    of: Connect,
    source: Weak<dyn Source>,
}

impl Connections {
    /// The source that was made of the same, if it is still in use, else a new one. Nothing is opened.
    pub(super) fn connect(&self, kind: &dyn SourceKind, of: Connect) -> Result<Arc<dyn Source>, Error> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|made| made.source.strong_count() > 0);
        let same = made.iter().find(|made| made.kind == kind.name() && made.of == of);
        if let Some(source) = same.and_then(|made| made.source.upgrade()) {
            return Ok(source);
        }
        let source = kind.connect(of.clone())?;
        made.push(Made { kind: kind.name(), of, source: Arc::downgrade(&source) });
        Ok(source)
    }
}

impl fmt::Debug for Connections {
    /// Options hold passwords: none is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}
