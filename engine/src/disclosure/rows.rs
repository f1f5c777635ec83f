//! Rows that leave as they are: so many different ones for each caller, table and day.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, UInt64Type};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};

use super::Protection;
use super::node::{Disclosed, Judge, Sitting};
use super::rewrite::{Asked, Occurrence, Seen, are_of_the_same, refused};

/// The tables whose rows leave, each with the column of their numbers.
#[derive(Debug)]
pub(super) struct Rows {
    tables: Vec<(usize, Arc<Protection>)>,
    columns: usize,
}

/// The plan of an answer, its rows counted where they leave as they are.
pub(super) fn count(seen: Seen, columns: Vec<Column>, asked: &Asked<'_>) -> Result<LogicalPlan> {
    if seen.rows.is_empty() {
        return Ok(seen.plan);
    }
    let is_tied = |row: &Occurrence| seen.rows.iter().any(|other| !other.is_optional && are_of_the_same(other, row));
    if seen.rows.iter().any(|row| row.is_optional && !is_tied(row)) {
        return Err(refused("Rows that are missing in a protected table tell of it, as an outer join shows them.")
            .hint("Start the join from the protected table, or aggregate over people.")
            .into());
    }
    let tables = seen.rows.iter().enumerate();
    let tables = tables.map(|(at, row)| (columns.len() + at, Arc::clone(&row.protection))).collect();
    let rows = Rows { tables, columns: columns.len() };
    let numbers = seen.rows.iter().map(|row| row.row.clone());
    let exprs = columns.iter().cloned().chain(numbers).map(Expr::Column).collect();
    let projected = Projection::try_new(exprs, Arc::new(seen.plan))?;
    Disclosed::over(LogicalPlan::Projection(projected), &columns, Judge::Rows(rows), asked)
}

impl Protection {
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.dataset, self.table)
    }
}

impl Rows {
    /// The rows of each table that the answer has shown.
    pub(super) fn nothing_yet(&self) -> Vec<HashSet<u64>> {
        vec![HashSet::new(); self.tables.len()]
    }

    /// Whether one of the tables has nothing left to show.
    pub(super) fn is_done(&self, seen: &[HashSet<u64>]) -> bool {
        self.tables
            .iter()
            .zip(seen)
            .any(|((_, protection), seen)| protection.raw_rows == 0 || seen.len() as u64 >= protection.raw_rows)
    }

    /// What the answer leaves out: said always, since it would tell something to say it only where there is more.
    pub(super) fn say(&self, sitting: &Sitting) {
        for (_, protection) in &self.tables {
            let (most, table) = (protection.raw_rows, protection.full_name());
            let rows = if most == 1 { "row" } else { "rows" };
            sitting.notices.say(format!(
                "Of {table}, {most} {rows} a day leave as they are ({}); there may be more. Aggregate over people to see all.",
                protection.names.join(", ")
            ));
        }
    }

    /// The rows of a batch that may leave.
    pub(super) fn judge(
        &self,
        batch: &RecordBatch,
        sitting: &Sitting,
        seen: &mut [HashSet<u64>],
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let numbers: Vec<_> =
            self.tables.iter().map(|(column, _)| batch.column(*column).as_primitive::<UInt64Type>()).collect();
        let mut leaves = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let mut may_leave = !self.is_done(seen);
            for (at, (_, protection)) in self.tables.iter().enumerate() {
                if may_leave && numbers[at].is_valid(row) {
                    let number = numbers[at].value(row);
                    let (table, most) = (protection.full_name(), protection.raw_rows);
                    may_leave = sitting.ledger.admits(&sitting.caller, &table, std::iter::once(number), most);
                    if may_leave {
                        seen[at].insert(number);
                    }
                }
            }
            leaves.push(may_leave);
        }
        let shown = batch.project(&(0..self.columns).collect::<Vec<_>>())?;
        let shown = RecordBatch::try_new_with_options(
            Arc::clone(schema),
            shown.columns().to_vec(),
            &arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
        )?;
        Ok(filter_record_batch(&shown, &BooleanArray::from(leaves))?)
    }
}
