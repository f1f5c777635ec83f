//! The tables of a database and their columns, read from `information_schema` and remembered for a short while.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::TableKind;
use mysql::prelude::{FromValue, Queryable};
use mysql::{Conn, Row};

use super::columns::{Column, Described};
use super::failure::Failure;
use super::pool::Pool;
use super::quote;
use super::session::Session;
use crate::sources::remote;

/// How long what was read is believed. A scan checks its columns anyway, so this bounds only how long a new table or
/// column stays unseen.
const BELIEVED: Duration = Duration::from_secs(30);
/// How soon a name that is not there may be looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the server may take to list a database.
pub(super) const LISTING_TIMEOUT: Duration = Duration::from_secs(30);
/// The server's own databases, which are not shown.
const SYSTEM: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// A table, view, or what else can be selected from.
pub(super) type Relation = remote::Relation<Column>;

/// The relations of one database, sorted by name, as they were at a moment.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    read_at: Instant,
    relations: Arc<[Arc<Relation>]>,
}

impl Listing {
    pub(super) fn relations(&self) -> &[Arc<Relation>] {
        &self.relations
    }

    pub(super) fn relation(&self, name: &str) -> Option<&Arc<Relation>> {
        let at = self.relations.binary_search_by(|relation| relation.name.as_str().cmp(name)).ok()?;
        self.relations.get(at)
    }

    /// Whether it is too old to say that a name is not there.
    pub(super) fn may_lack(&self) -> bool {
        self.read_at.elapsed() > LOOK_AGAIN
    }
}

/// What is remembered of a source's databases.
#[derive(Debug, Default)]
pub(super) struct Listings {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_schema: HashMap<String, Listing>,
    /// How often everything was forgotten: what was asked before that is not remembered after it.
    forgotten: u64,
}

impl Listings {
    pub(super) fn get(&self, schema: &str) -> Option<Listing> {
        self.known().by_schema.get(schema).filter(|listing| listing.read_at.elapsed() < BELIEVED).cloned()
    }

    /// Remembers what was asked for when everything had been `forgotten` so often.
    fn put(&self, schema: &str, listing: Listing, forgotten: u64) {
        let mut known = self.known();
        if known.forgotten == forgotten {
            known.by_schema.insert(schema.to_owned(), listing);
        }
    }

    /// Forgets everything, since something proved to be otherwise.
    pub(super) fn forget(&self) {
        let mut known = self.known();
        known.by_schema.clear();
        known.forgotten += 1;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the relations of `schema` and remembers them. It blocks.
    pub(super) fn read(&self, pool: &Arc<Pool>, schema: &str) -> Result<Listing, Failure> {
        let forgotten = self.known().forgotten;
        let session =
            Session { name: "weft".to_owned(), statement_timeout: Some(LISTING_TIMEOUT), ..Session::default() };
        let mut lease = pool.begin(&session)?;
        let relations = relations(lease.client()?, &session, schema);
        let relations = relations.map_err(|cause| pool.place().failed(cause, session.statement_timeout))?;
        lease.finish();
        let listing = Listing { read_at: Instant::now(), relations: relations.into() };
        self.put(schema, listing.clone(), forgotten);
        Ok(listing)
    }
}

/// Two questions and not a join: the server opens a table for every row that it looks up there.
fn relations(client: &mut Conn, session: &Session, schema: &str) -> Result<Vec<Arc<Relation>>, mysql::Error> {
    if SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(schema)) {
        return Ok(Vec::new());
    }
    let name = quote::text(schema);
    // A server that keeps names as they are written has two databases of names that differ in case only.
    let of_schema = format!(
        "table_schema = {name} AND (@@lower_case_table_names <> 0 OR table_schema = {})",
        quote::bytes_of(schema)
    );
    let tables = format!(
        "SELECT table_name, table_type, table_rows, table_comment FROM information_schema.tables WHERE {of_schema}"
    );
    let columns = format!(
        "SELECT table_name, column_name, column_type, data_type, column_comment, is_nullable, numeric_precision, \
         numeric_scale, datetime_precision, character_set_name \
         FROM information_schema.columns WHERE {of_schema} ORDER BY table_name, ordinal_position"
    );
    let mut relations = BTreeMap::new();
    for row in client.query::<Row, _>(session.signed(&tables))? {
        let kind: String = cell(&row, 1)?;
        if kind == "SEQUENCE" {
            continue;
        }
        let is_view = kind.ends_with("VIEW");
        let name: String = cell(&row, 0)?;
        // A view has that word for its comment.
        let comment = cell::<Option<String>>(&row, 3)?.filter(|comment| !comment.is_empty() && !is_view);
        let relation = Relation {
            schema: schema.to_owned(),
            name: name.clone(),
            kind: if is_view { TableKind::View } else { TableKind::Table },
            comment,
            row_estimate: cell::<Option<u64>>(&row, 2)?.filter(|_| !is_view),
            distinct: Arc::default(),
            is_paged: false,
            columns: Arc::default(),
        };
        relations.insert(name, (relation, Vec::new()));
    }
    for row in client.query::<Row, _>(session.signed(&columns))? {
        let table: String = cell(&row, 0)?;
        if let Some((relation, columns)) = relations.get_mut(&table) {
            let mut described = described(&row)?;
            // What a view says of its columns is what they were when it was made.
            described.nullable |= relation.kind == TableKind::View;
            columns.push(Column::new(&described));
        }
    }
    let whole =
        |(relation, columns): (Relation, Vec<Column>)| Arc::new(Relation { columns: columns.into(), ..relation });
    Ok(relations.into_values().map(whole).collect())
}

fn described(row: &Row) -> Result<Described, mysql::Error> {
    Ok(Described {
        name: cell(row, 1)?,
        type_name: plain(cell(row, 2)?),
        base: cell::<String>(row, 3)?.to_ascii_lowercase(),
        comment: cell::<Option<String>>(row, 4)?.filter(|comment| !comment.is_empty()),
        nullable: cell::<String>(row, 5)? == "YES",
        precision: cell(row, 6)?,
        scale: cell(row, 7)?,
        digits: cell(row, 8)?,
        charset: cell(row, 9)?,
    })
}

/// MariaDB notes in a comment how an old type is stored.
fn plain(type_name: String) -> String {
    type_name.split(" /*").next().unwrap_or_default().to_owned()
}

fn cell<T: FromValue>(row: &Row, at: usize) -> Result<T, mysql::Error> {
    match row.get_opt(at) {
        Some(value) => Ok(value?),
        None => Err(mysql::Error::FromRowError(row.clone())),
    }
}
