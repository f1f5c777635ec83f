//! The tables of a database and their columns, read from `information_schema`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use engine::TableKind;
use mysql::prelude::{FromValue, Queryable};
use mysql::{Conn, Row};

use super::columns::{Column, Described};
use super::failure::Failure;
use super::pool::Pool;
use super::quote;
use super::session::Session;
use crate::sources::remote::{self, LISTING_TIMEOUT, RemoteColumn, Values};

/// The server's own databases, which are not shown.
const SYSTEM: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// A table, view, or what else can be selected from.
pub(super) type Relation = remote::Relation<Column>;

/// Reads the relations of `schema`, sorted by name. It blocks.
pub(super) fn read(pool: &Arc<Pool>, schema: &str) -> Result<Vec<Arc<Relation>>, Failure> {
    let session = Session { name: "weft".to_owned(), statement_timeout: Some(LISTING_TIMEOUT), ..Session::default() };
    let mut lease = pool.begin(&session)?;
    let relations = relations(lease.client()?, &session, schema);
    let relations = relations.map_err(|cause| pool.place().failed(cause, session.statement_timeout))?;
    lease.finish();
    Ok(relations)
}

/// Three questions and not a join: the server opens a table for every row that it looks up there.
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
    // The first column of an index: of the others it counts combinations. An index of expressions has no column.
    let distinct = format!(
        "SELECT table_name, column_name, max(cardinality) FROM information_schema.statistics \
         WHERE {of_schema} AND seq_in_index = 1 AND sub_part IS NULL AND column_name IS NOT NULL AND cardinality > 0 \
         GROUP BY table_name, column_name"
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
            values: Arc::default(),
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
    let mut known: HashMap<(String, String), Option<u64>> = HashMap::new();
    for row in client.query::<Row, _>(session.signed(&distinct))? {
        known.insert((cell(&row, 0)?, cell(&row, 1)?), cell(&row, 2)?);
    }
    let whole = |(relation, columns): (Relation, Vec<Column>)| {
        let values = columns.iter().map(|column| {
            let distinct = known.get(&(relation.name.clone(), column.field().name().clone()));
            Values { distinct: distinct.copied().flatten(), ..Values::default() }
        });
        Arc::new(Relation { values: values.collect(), columns: columns.into(), ..relation })
    };
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
