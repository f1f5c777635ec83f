//! Every source kind, in one visible list.

mod csv;
pub(crate) mod files;
mod mysql;
mod ndjson;
mod parquet;
mod postgres;
pub(crate) mod reads;
pub(crate) mod remote;
mod sqlite;

use crate::SourceKind;

/// Every source kind, sorted by name.
pub static KINDS: &[&dyn SourceKind] =
    &[&csv::Csv, &mysql::Mysql, &ndjson::Ndjson, &parquet::Parquet, &postgres::Postgres, &sqlite::Sqlite];

/// The kind called `name`, by its name or an alias.
pub fn kind(name: &str) -> Option<&'static dyn SourceKind> {
    KINDS.iter().copied().find(|kind| kind.name() == name || kind.aliases().contains(&name))
}
