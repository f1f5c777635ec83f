//! What a source kind and a source are. A new kind is one file under `sources/` and one line in `sources.rs`.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::{Error, TableEntry, TableProviderRef};

/// A kind of source, such as `postgres`: its name, its options, and how to connect.
pub trait SourceKind: Debug + Send + Sync {
    /// The name in `type:`.
    fn name(&self) -> &'static str;

    /// The name for people.
    fn title(&self) -> &'static str {
        self.name()
    }

    /// Other names for it.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// URL schemes and file extensions by which `--table name=where` finds the kind, such as `postgres` or `csv`.
    fn recognizes(&self) -> &'static [&'static str];

    /// Whether a source is one file by `path` that holds tables, so that no folder and no pattern is one.
    fn is_one_file(&self) -> bool {
        false
    }

    /// The JSON Schema of `connection:`; `weft check` and the reference page are made from it.
    fn options_schema(&self) -> schemars::Schema;

    /// A source of this kind. It checks the options and opens nothing: connections open at first use.
    ///
    /// # Errors
    /// `invalid_argument` with the option's name where an option is unknown, missing or malformed.
    fn connect(&self, connect: Connect) -> Result<Arc<dyn Source>, Error>;
}

/// The schema of sources that have none of their own.
pub(crate) const DEFAULT_SCHEMA: &str = "public";

/// What a kind needs to make a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Connect {
    /// The source's id, for logs and messages.
    pub id: String,
    /// The `connection:` section, interpolated.
    pub options: serde_json::Value,
    /// The folder that relative paths start from.
    pub root: PathBuf,
}

/// The part of a source that one dataset shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Schemas of the source, the default one first; empty = the kind's own default.
    pub schemas: Vec<String>,
    /// Only these tables, under these names; empty = every table of the schemas.
    pub tables: Vec<ScopedTable>,
}

/// A table that a dataset names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopedTable {
    /// Its name in SQL.
    pub name: String,
    /// Where it is in the source: a table's name, or a path; None = the same as its name.
    pub at: Option<String>,
}

/// One connection to data: a database, a folder, a file.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// Where it is, without credentials and without local paths.
    fn location(&self) -> String;

    /// The schema that a dataset shows which names none.
    fn default_schema(&self) -> &str {
        DEFAULT_SCHEMA
    }

    /// The tables in `scope`, sorted by schema in the scope's order, then by name. It may ask the source.
    ///
    /// # Errors
    /// `source_unavailable`, `source_rejected`, `data_invalid`.
    async fn tables(&self, scope: &Scope) -> Result<Vec<TableEntry>, Error>;

    /// One table, opened far enough to know its columns. None where there is no such table.
    /// Columns carry `weft.source_type` in their field metadata, and `weft.comment` where the source has one.
    ///
    /// # Errors
    /// `source_unavailable`, `source_rejected`, `data_invalid`.
    async fn open(&self, scope: &Scope, schema: &str, table: &str) -> Result<Option<TableProviderRef>, Error>;

    /// Whether the source answers, within its own connect timeout.
    ///
    /// # Errors
    /// `source_unavailable`, `source_rejected`, `data_invalid`.
    async fn test(&self) -> Result<(), Error>;

    /// How long a listing of tables may be reused before the source is asked again.
    fn listing_lifetime(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Forgets what it remembers of its tables: which there are, their columns, their sizes. It asks nothing; connections stay.
    fn forget(&self) {}

    /// Why it is not asked at present, where it has failed too often to be tried by every query.
    fn outage(&self) -> Option<String> {
        None
    }

    /// Connections open, idle and at most; None where it has no pool.
    fn pool(&self) -> Option<(u32, u32, u32)> {
        None
    }
}
