//! The tables and views of a database, and their columns, as SQLite's own pragmas tell them. What was read is remembered
//! for a moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::{Error, TableEntry, TableKind};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{Column, Declared, Of, Shape};
use super::failure::Place;
use super::options::Settings;
use super::{connection, dialect};
use crate::sources::remote::{self, thread::Audience};

/// How long what was read is believed. A scan checks its columns anyway, so this bounds only how long a new table or
/// column stays unseen.
const BELIEVED: Duration = Duration::from_secs(1);
/// How long it may take to read what tables there are. To look at the rows of a view may mean to compute it.
pub(super) const LISTING_TIMEOUT: Duration = Duration::from_secs(60);
/// Rows that are looked at where no type is declared.
const SAMPLED_ROWS: usize = 1_000;
/// The name of the database in a connection's own SQL.
const MAIN: &str = "main";

/// A table or view.
pub(super) type Relation = remote::Relation<Column>;

/// The tables of one database.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) settings: Settings,
    pub(super) place: Place,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    listing: Option<(Instant, Arc<[TableEntry]>)>,
    relations: HashMap<String, (Instant, Arc<Relation>)>,
}

impl Tables {
    pub(super) fn new(settings: Settings, place: Place) -> Self {
        Self { settings, place, known: Mutex::default() }
    }

    /// Every table and view, sorted by name, if they were read just now.
    pub(super) fn known_entries(&self) -> Option<Arc<[TableEntry]>> {
        let known = self.known();
        known.listing.as_ref().filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, entries)| Arc::clone(entries))
    }

    /// The table, if it was read just now.
    pub(super) fn known_relation(&self, name: &str) -> Option<Arc<Relation>> {
        let known = self.known();
        known.relations.get(name).filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, relation)| Arc::clone(relation))
    }

    /// Forgets everything, since something proved to be otherwise.
    pub(super) fn forget(&self) {
        *self.known() = Known::default();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads which tables and views there are. It blocks.
    pub(super) fn read_entries(&self, audience: &Audience) -> Result<Arc<[TableEntry]>, Error> {
        let entries: Arc<[TableEntry]> = self.ask(audience, entries)?.into();
        self.known().listing = Some((Instant::now(), Arc::clone(&entries)));
        Ok(entries)
    }

    /// Reads the columns of the table `name`. It blocks.
    pub(super) fn read_relation(&self, audience: &Audience, name: &str) -> Result<Option<Arc<Relation>>, Error> {
        let relation = self.ask(audience, |connection| self.relation(connection, name))?.map(Arc::new);
        match &relation {
            Some(relation) => {
                self.known().relations.insert(name.to_owned(), (Instant::now(), Arc::clone(relation)));
            }
            None => {
                self.known().relations.remove(name);
            }
        }
        Ok(relation)
    }

    /// Whether the database can be read at all. It blocks.
    pub(super) fn test(&self, audience: &Audience) -> Result<(), Error> {
        self.ask(audience, |connection| connection.query_row("SELECT count(*) FROM main.sqlite_schema", [], |_| Ok(())))
    }

    fn ask<T>(
        &self,
        audience: &Audience,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        connection::ask(&self.settings, &self.place, audience, None, |connection| {
            question(connection).map_err(|cause| self.place.failed(cause))
        })
    }

    fn relation(&self, connection: &Connection, name: &str) -> rusqlite::Result<Option<Relation>> {
        let declared = declared(connection, name)?;
        let Some(entry) = entry(connection, name)?.filter(|_| !declared.is_empty()) else { return Ok(None) };
        let before = self.known().relations.get(name).map(|(_, relation)| Arc::clone(relation));
        let columns: Arc<[Column]> = match before {
            // What rows were looked at for once is not looked at again: a type does not change because a row is new.
            Some(before) if before.columns.iter().map(|column| &column.declared).eq(&declared) => {
                Arc::clone(&before.columns)
            }
            _ => self.columns(connection, name, declared)?,
        };
        Ok(Some(Relation {
            schema: MAIN.to_owned(),
            name: entry.name,
            kind: entry.kind,
            comment: None,
            row_estimate: entry.row_estimate,
            values: Arc::default(),
            is_paged: false,
            columns,
        }))
    }

    /// The columns with their shapes: as the options say, else as declared, else as the first rows have it.
    fn columns(
        &self,
        connection: &Connection,
        table: &str,
        declared: Vec<Declared>,
    ) -> rusqlite::Result<Arc<[Column]>> {
        let shapes: Vec<Option<Shape>> = declared
            .iter()
            .map(|column| {
                let chosen = self.settings.shape(table, &column.name);
                chosen.or_else(|| Shape::of_type(column.declared_type.as_deref()))
            })
            .collect();
        let untyped: Vec<&str> = declared
            .iter()
            .zip(&shapes)
            .filter(|(_, shape)| shape.is_none())
            .map(|(column, _)| column.name.as_str())
            .collect();
        let mut sampled = sampled(connection, table, &untyped)?.into_iter();
        let shape = |shape: Option<Shape>| shape.or_else(|| sampled.next()).unwrap_or(Shape::Any);
        let shapes: Vec<Shape> = shapes.into_iter().map(shape).collect();
        Ok(declared.into_iter().zip(shapes).map(|(declared, shape)| Column::new(declared, shape)).collect())
    }
}

/// Tables and views that are the database's own: without SQLite's, and without those in which a virtual table keeps its rows.
const IS_OWN: &str =
    "schema = 'main' AND type IN ('table', 'view', 'virtual') AND lower(substr(name, 1, 7)) <> 'sqlite_'";

/// A table or view as it is listed, and how many columns it has.
type Listed = (TableEntry, i64);

fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let kind: String = row.get("type")?;
    let entry = TableEntry {
        schema: MAIN.to_owned(),
        name: row.get("name")?,
        kind: if kind == "view" { TableKind::View } else { TableKind::Table },
        comment: None,
        row_estimate: None,
    };
    // The rows of a view or a virtual table cannot be guessed: no columns are counted, so that nobody tries.
    Ok((entry, if kind == "table" { row.get("ncol")? } else { 0 }))
}

fn entries(connection: &Connection) -> rusqlite::Result<Vec<TableEntry>> {
    let mut statement =
        connection.prepare(&format!("SELECT name, type, ncol FROM pragma_table_list WHERE {IS_OWN}"))?;
    let listed = statement.query_map([], listed)?.collect::<rusqlite::Result<Vec<Listed>>>()?;
    let analyzed = analyzed(connection);
    let mut entries: Vec<TableEntry> = listed
        .into_iter()
        .map(|(entry, columns)| {
            let rows = analyzed.get(&entry.name).copied().or_else(|| last_row(connection, &entry.name, columns));
            TableEntry { row_estimate: rows, ..entry }
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn entry(connection: &Connection, name: &str) -> rusqlite::Result<Option<TableEntry>> {
    // The pragma itself folds case.
    let sql = format!("SELECT name, type, ncol FROM pragma_table_list(?1) WHERE {IS_OWN} AND name = ?1");
    let listed = connection.query_row(&sql, [name], listed).optional()?;
    Ok(listed.map(|(entry, columns)| {
        let rows = analyzed(connection).get(name).copied().or_else(|| last_row(connection, name, columns));
        TableEntry { row_estimate: rows, ..entry }
    }))
}

/// Rows by table, as the last ANALYZE counted them. Nothing where there was none.
fn analyzed(connection: &Connection) -> HashMap<String, u64> {
    let read = || {
        let sql = "SELECT tbl, max(CAST(stat AS INTEGER)) FROM main.sqlite_stat1 GROUP BY tbl";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(String, i64)>>>()
    };
    let rows = read().unwrap_or_default();
    rows.into_iter().filter_map(|(table, rows)| Some((table, u64::try_from(rows).ok()?))).collect()
}

/// The last row's number, which is the number of rows where none was deleted and none was numbered by hand. It is never
/// more than fit into the file.
fn last_row(connection: &Connection, table: &str, columns: i64) -> Option<u64> {
    if columns <= 0 {
        return None;
    }
    let sql = format!(
        "SELECT max(_rowid_), (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size) \
         FROM main.{}",
        dialect::identifier(table)
    );
    let (last, bytes): (Option<i64>, i64) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()?;
    // Of a row there are at least its pointer, its length, its number, and a byte for each column.
    u64::try_from(last.unwrap_or(0).min(bytes / (columns + 5))).ok()
}

/// The columns that the table `name` declares. None of them where there is no such table.
pub(super) fn declared(connection: &Connection, name: &str) -> rusqlite::Result<Vec<Declared>> {
    let kind = "SELECT type, strict FROM pragma_table_list(?1) WHERE schema = 'main' AND name = ?1";
    let kind: Option<(String, bool)> =
        connection.query_row(kind, [name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let of = match kind.as_ref().map(|(kind, is_strict)| (kind.as_str(), *is_strict)) {
        Some(("view", _)) => Of::View,
        Some(("virtual", _)) => Of::VirtualTable,
        Some((_, true)) => Of::StrictTable,
        Some((_, false)) => Of::Table,
        None => return Ok(Vec::new()),
    };
    let encoding: String = connection.query_row("PRAGMA main.encoding", [], |row| row.get(0))?;
    // Hidden columns of virtual tables are arguments; generated columns, which are marked too, are columns.
    let sql = "SELECT name, type, \"notnull\" FROM pragma_table_xinfo(?1, ?2) WHERE hidden <> 1 ORDER BY cid";
    let mut statement = connection.prepare(sql)?;
    let columns = statement.query_map(params![name, MAIN], |row| {
        let written: Option<String> = row.get(1)?;
        Ok(Declared {
            name: row.get(0)?,
            declared_type: written.filter(|written| !written.trim().is_empty()),
            is_not_null: row.get(2)?,
            of,
            is_utf8: encoding == "UTF-8",
        })
    })?;
    let columns = columns.collect::<rusqlite::Result<Vec<Declared>>>()?;
    if of == Of::View { of_view(connection, name, columns) } else { Ok(columns) }
}

/// The columns of a view with the types that they have from a table's column, or that SQLite itself derives. What it calls
/// BLOB or NUM without a declaration only means that it does not know.
fn of_view(connection: &Connection, name: &str, columns: Vec<Declared>) -> rusqlite::Result<Vec<Declared>> {
    let statement = connection.prepare(&format!("SELECT * FROM {MAIN}.{}", dialect::identifier(name)))?;
    let origins: Vec<Option<String>> =
        statement.columns().map(|column| column.decl_type().map(str::to_owned)).collect();
    let known = |derived: &String, origin: Option<&String>| {
        origin.is_some_and(|origin| origin.eq_ignore_ascii_case(derived))
            || matches!(derived.to_ascii_uppercase().as_str(), "INT" | "INTEGER" | "REAL" | "TEXT")
    };
    let typed = columns.into_iter().enumerate().map(|(at, column)| {
        let origin = origins.get(at).and_then(Option::as_ref);
        let declared_type = column.declared_type.filter(|derived| known(derived, origin));
        Declared { declared_type, ..column }
    });
    Ok(typed.collect())
}

/// What the first rows hold in columns without a declared type: integers, numbers, text, bytes, or one with another.
fn sampled(connection: &Connection, table: &str, columns: &[&str]) -> rusqlite::Result<Vec<Shape>> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let classes: Vec<String> =
        columns.iter().map(|column| format!("typeof({})", dialect::identifier(column))).collect();
    let sql = format!("SELECT {} FROM {MAIN}.{} LIMIT {SAMPLED_ROWS}", classes.join(", "), dialect::identifier(table));
    let mut seen: Vec<Seen> = vec![Seen::default(); columns.len()];
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for (at, seen) in seen.iter_mut().enumerate() {
            match row.get_ref(at)?.as_str().unwrap_or_default() {
                "integer" => seen.integers = true,
                "real" => seen.fractions = true,
                "text" => seen.text = true,
                "blob" => seen.bytes = true,
                _ => {}
            }
        }
    }
    Ok(seen.into_iter().map(Seen::shape).collect())
}

/// Storage classes that were seen in a column.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    integers: bool,
    fractions: bool,
    text: bool,
    bytes: bool,
}

impl Seen {
    fn shape(self) -> Shape {
        match self {
            Seen { integers: true, fractions: false, text: false, bytes: false } => Shape::Int,
            Seen { fractions: true, text: false, bytes: false, .. } => Shape::Float,
            Seen { integers: false, fractions: false, text: false, bytes: true } => Shape::Bytes,
            _ => Shape::Any,
        }
    }
}
