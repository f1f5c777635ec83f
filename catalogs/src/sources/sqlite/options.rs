//! The `connection:` options of an SQLite source: what may be written, and what it means once checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Code, Error};
use schemars::JsonSchema;
use serde::Deserialize;

use super::columns::Shape;
use crate::home::amount::Timespan;
use crate::sources::files;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What `connection:` of an SQLite source may hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// The database file. It is opened for reading only, and never made.
    path: String,
    /// The table or view that is read where a dataset names none; every one unless set.
    table: Option<String>,
    /// How long to wait while another program holds the file locked; 5 s unless set.
    busy_timeout: Option<Timespan>,
    /// Types of columns, as `column` or `table.column`, where the declared type does not tell what they hold: `text`,
    /// `integer`, `number`, `boolean`, `date`, `timestamp`, `binary`.
    #[serde(default)]
    columns: BTreeMap<String, ColumnType>,
}

/// A type by the name that people give it.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ColumnType {
    Binary,
    Boolean,
    Date,
    Integer,
    Number,
    Text,
    Timestamp,
}

impl ColumnType {
    fn shape(self) -> Shape {
        match self {
            ColumnType::Binary => Shape::Bytes,
            ColumnType::Boolean => Shape::Bool,
            ColumnType::Date => Shape::Date,
            ColumnType::Integer => Shape::Int,
            ColumnType::Number => Shape::Float,
            ColumnType::Text => Shape::Any,
            ColumnType::Timestamp => Shape::Timestamp,
        }
    }
}

/// The options of a source, checked.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) path: PathBuf,
    pub(super) table: Option<String>,
    pub(super) busy_timeout: Duration,
    columns: BTreeMap<String, Shape>,
}

impl Settings {
    /// The settings that `options` mean; a relative path starts from `root`.
    ///
    /// # Errors
    /// `invalid_argument` that names the option.
    pub(super) fn parse(options: serde_json::Value, root: &Path) -> Result<Self, Error> {
        let options: Options = files::options(options)?;
        if options.path.is_empty() || options.path.contains('\0') {
            return Err(Error::new(Code::InvalidArgument, "Option \"path\" must be the path of an SQLite file."));
        }
        Ok(Self {
            // Joined to the root it never begins with `file:`, which SQLite would take for a URI with options of its own.
            path: root.join(options.path),
            table: options.table,
            busy_timeout: options.busy_timeout.map_or(BUSY_TIMEOUT, |timespan| timespan.0),
            columns: options.columns.into_iter().map(|(name, of)| (name, of.shape())).collect(),
        })
    }

    /// The file's name, which is all that a listing tells of the path.
    pub(super) fn location(&self) -> String {
        files::last_name(&self.path)
    }

    /// What the options say that a column holds.
    pub(super) fn shape(&self, table: &str, column: &str) -> Option<Shape> {
        self.columns.get(&format!("{table}.{column}")).or_else(|| self.columns.get(column)).copied()
    }
}
