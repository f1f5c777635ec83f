//! Every source kind, in one visible list.

use crate::SourceKind;

mod postgres;

/// Every source kind, sorted by name.
pub static KINDS: &[&dyn SourceKind] = &[&postgres::Postgres];

/// The kind called `name`, by its name or an alias.
pub fn kind(name: &str) -> Option<&'static dyn SourceKind> {
    KINDS.iter().copied().find(|kind| kind.name() == name || kind.aliases().contains(&name))
}
