//! One running read: a connection of its own, one snapshot, the table as it was planned, and its rows in batches.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use engine::{Code, Error};
use rusqlite::Connection;

use super::cells::Cells;
use super::columns::Column;
use super::failure::is_senseless;
use super::tables::{Relation, Tables};
use super::{Question, connection, tables};
use crate::sources::remote::thread::{Outlet, Read};

/// A batch is sent when it holds so many bytes of text, even if it has few rows.
const BATCH_BYTES: usize = 1 << 20;
/// Rows of a batch without columns: it costs nothing.
const COUNTED_ROWS: i64 = 1 << 16;
/// Conditions in one chain of ANDs: SQLite looks into an expression a thousand levels deep, and each AND is one.
const CHAINED: usize = 100;

/// What a read needs.
pub(super) struct Job {
    pub(super) question: Question,
    pub(super) relation: Arc<Relation>,
    pub(super) tables: Arc<Tables>,
    pub(super) batch_rows: usize,
    pub(super) deadline: Option<Instant>,
}

impl Read for Job {
    fn source(&self) -> &str {
        &self.tables.place.id
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.question.schema)
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn read(&mut self, outlet: &Outlet) -> Result<(), Error> {
        let result = self.stream(outlet);
        // What was planned with is not so, or a type that some rows suggested is not the type of all.
        if result.as_ref().is_err_and(|error| matches!(error.code(), Code::SchemaChanged | Code::DataInvalid)) {
            self.tables.forget();
        }
        result
    }
}

impl Job {
    fn stream(&self, outlet: &Outlet) -> Result<(), Error> {
        let Tables { settings, place, .. } = &*self.tables;
        connection::ask(settings, place, outlet.audience(), self.deadline, |connection| {
            self.check_table(connection)?;
            self.rows(connection, outlet)
        })
    }

    fn rows(&self, connection: &Connection, outlet: &Outlet) -> Result<(), Error> {
        let place = &self.tables.place;
        let failed = |cause| place.failed(cause);
        let question = Question { conditions: bracketed(self.question.conditions.clone()), ..self.question.clone() };
        let mut statement = connection.prepare(&question.sql()).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        if question.counts() {
            let count: i64 = match rows.next().map_err(failed)? {
                Some(row) => row.get(0).map_err(failed)?,
                None => 0,
            };
            return self.send_count(outlet, count);
        }
        let columns: Vec<&Column> = question.columns.iter().chain(question.checked.iter()).collect();
        let mut batch = Batch::new(&columns, 0, 0);
        while let Some(row) = rows.next().map_err(failed)? {
            for (at, (cells, column)) in batch.cells.iter_mut().zip(&columns).enumerate() {
                let value = row.get_ref(at).map_err(failed)?;
                batch.bytes += cells.take(value).map_err(|misfit| place.misfit(column.field.name(), &misfit))?;
            }
            batch.rows += 1;
            if batch.rows >= self.batch_rows || batch.bytes >= BATCH_BYTES {
                let next = Batch::new(&columns, batch.rows, batch.bytes);
                if !outlet.send(std::mem::replace(&mut batch, next).finish(&question.schema)?) {
                    return Ok(());
                }
            }
        }
        if batch.rows > 0 {
            outlet.send(batch.finish(&question.schema)?);
        }
        Ok(())
    }

    /// Checks that the table is what it was when the query was planned. The snapshot keeps it so until the end.
    fn check_table(&self, connection: &Connection) -> Result<(), Error> {
        let place = &self.tables.place;
        let now = match tables::declared(connection, &self.relation.name) {
            Ok(now) => now,
            Err(cause) if is_senseless(&cause) => return Err(place.changed().cause(cause)),
            Err(cause) => return Err(place.failed(cause)),
        };
        let is_as_planned = self.relation.columns.iter().all(|planned| now.contains(&planned.declared));
        if is_as_planned { Ok(()) } else { Err(place.changed()) }
    }

    /// So many rows without columns.
    fn send_count(&self, outlet: &Outlet, mut rows: i64) -> Result<(), Error> {
        while rows > 0 {
            let part = rows.min(COUNTED_ROWS);
            rows -= part;
            let counted = Batch { cells: Vec::new(), rows: usize::try_from(part).unwrap_or(0), bytes: 0 };
            if !outlet.send(counted.finish(&self.question.schema)?) {
                break;
            }
        }
        Ok(())
    }
}

/// The same conditions in brackets, so that no chain of them is long.
fn bracketed(mut conditions: Vec<String>) -> Vec<String> {
    while conditions.len() > CHAINED {
        conditions = conditions.chunks(CHAINED).map(|chain| format!("({})", chain.join(" AND "))).collect();
    }
    conditions
}

/// The batch that is being built. What is read only to be checked stands behind the columns that were asked for.
struct Batch {
    cells: Vec<Cells>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    /// An empty one, with room for as much as the last one held.
    fn new(columns: &[&Column], rows: usize, bytes: usize) -> Self {
        let open_ended = columns.iter().filter(|column| column.shape.is_open_ended()).count();
        let bytes = bytes / open_ended.max(1);
        let cells = |column: &&Column| Cells::new(column.shape, column.field.is_nullable(), rows, bytes);
        Self { cells: columns.iter().map(cells).collect(), rows: 0, bytes: 0 }
    }

    fn finish(self, schema: &SchemaRef) -> Result<RecordBatch, Error> {
        let arrays = self.cells.into_iter().take(schema.fields().len()).map(Cells::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
    }
}

#[cfg(test)]
mod tests {
    use super::bracketed;

    #[test]
    fn many_conditions_stand_in_brackets() {
        let conditions = |count: usize| (0..count).map(|at| format!("c{at}")).collect::<Vec<_>>();
        assert_eq!(bracketed(conditions(100)), conditions(100));
        let many = bracketed(conditions(12_345));
        assert_eq!(many.len(), 2);
        assert!(many[0].starts_with("((c0 AND c1 "));
        assert!(many[1].ends_with("c12344))"));
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let prepares = |conditions: Vec<String>| {
            connection.prepare(&format!("SELECT 1 WHERE {}", conditions.join(" AND "))).is_ok()
        };
        let conditions = vec!["(random() <> 1)".to_owned(); 5000];
        assert!(prepares(bracketed(conditions.clone())) && !prepares(conditions));
    }
}
