//! What every database shares as a source: tables, predicates and keys as SQL, and the plan step that asks and reads.
//!
//! A kind of database says how it writes names and values, what compares there exactly as it does here, and how rows come
//! back ([`Remote`]); what is asked, and when, is decided here, once for all of them.

mod breaker;
mod database;
mod grouping;
mod kept;
mod keys;
mod listings;
pub(crate) mod options;
mod predicate;
mod question;
mod scan;
mod subplan;
mod sums;
mod table;
pub(crate) mod thread;
mod top;
mod transfers;
mod wait;

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, IntervalMonthDayNano};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_plan::metrics::BaselineMetrics;
use engine::{TableEntry, TableKind};

pub(crate) use breaker::Breaker;
pub(crate) use database::{Database, LISTING_TIMEOUT, Server};
pub(crate) use grouping::{Call, push_aggregates};
pub(crate) use kept::note_kept;
pub(crate) use listings::Listings;
pub(crate) use predicate::{between_columns, sql as predicate};
pub(crate) use question::Question;
pub(crate) use scan::has_read;
pub(crate) use table::RemoteTable;
pub(crate) use top::push_top;
pub(crate) use transfers::transfers;
pub(crate) use wait::MarkAwaited;

/// One database, as the shared parts see it.
///
/// A comparison is written only where the database keeps exactly the rows that Arrow would keep; where a method answers
/// None, the comparison stays here.
pub(crate) trait Remote: Debug + Send + Sync + 'static {
    /// A column of its tables.
    type Column: RemoteColumn;

    /// The source's id.
    fn id(&self) -> &str;

    /// Whether its statements may say OVER, as far as is known.
    fn has_windows(&self) -> bool {
        true
    }

    /// A name, quoted.
    fn identifier(name: &str) -> String;

    /// The column as the left side of a comparison by `op`.
    fn operand(column: &Self::Column, op: Operator) -> Option<String>;

    /// The value as the right side of a comparison of `column` by `op`.
    fn literal(column: &Self::Column, op: Operator, value: &ScalarValue) -> Option<String>;

    /// `left op right`, of two columns of one table.
    fn compared(_left: &Self::Column, _op: Operator, _right: &Self::Column) -> Option<String> {
        None
    }

    /// The column plus or minus an interval, as the left side of a comparison. It has the column's type.
    fn moved(_column: &Self::Column, _sum: Operator, _by: IntervalMonthDayNano) -> Option<String> {
        None
    }

    /// Whether `column` is one of many values, none of which is NULL.
    fn one_of(column: &Self::Column, values: &[&ScalarValue]) -> Option<String> {
        let values: Option<Vec<String>> =
            values.iter().map(|value| Self::literal(column, Operator::Eq, value)).collect();
        Some(format!("({} IN ({}))", Self::operand(column, Operator::Eq)?, values?.join(", ")))
    }

    /// `column LIKE pattern`, where it means the same.
    fn like(_column: &Self::Column, _pattern: &str) -> Option<String> {
        None
    }

    /// The column as a key of GROUP BY and DISTINCT, where the groups are those that Arrow would make.
    fn key(_column: &Self::Column) -> Option<String> {
        None
    }

    /// The column as a key of ORDER BY, where its order is Arrow's.
    fn ordered(_column: &Self::Column, _order: Order) -> Option<String> {
        None
    }

    /// The same column, called as `field` is, which has the same type.
    fn renamed(_column: &Self::Column, _field: FieldRef) -> Option<Self::Column> {
        None
    }

    /// Whether two columns are equal as keys of a join, where the database joins what Arrow would. None of them is NULL then.
    fn matched(_left: &Self::Column, _right: &Self::Column) -> Option<String> {
        None
    }

    /// A call of an aggregate function on a column, as a value of exactly `data_type`.
    fn aggregate(_call: &Call, _column: Option<&Self::Column>, _data_type: &DataType) -> Option<String> {
        None
    }

    /// A number as the database's double, which is the one that Arrow would make of it.
    fn as_double(_number: &str) -> Option<String> {
        None
    }

    /// What holds of a double that is no number. None where no double is.
    fn undefined(_double: &str) -> Option<String> {
        None
    }

    /// A column that the database computes. It compares as `origin` does, whose values it holds, else by its type.
    fn derived(_field: &FieldRef, _origin: Option<&Self::Column>) -> Option<Self::Column> {
        None
    }

    /// Asks, and reads what comes back. Nothing is sent before the stream is polled, and what runs ends with the stream.
    fn read(
        self: &Arc<Self>,
        question: Question<Self>,
        context: &Arc<TaskContext>,
        metrics: BaselineMetrics,
    ) -> SendableRecordBatchStream;
}

/// One direction of ORDER BY.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) is_descending: bool,
    pub(crate) has_nulls_first: bool,
}

/// A column, as the shared parts see it.
pub(crate) trait RemoteColumn: Clone + Debug + Send + Sync + 'static {
    /// Its name and type here.
    fn field(&self) -> &FieldRef;

    /// The column as it is selected, and as it is tested for NULL.
    fn selected(&self) -> String;

    /// The column as a condition by itself. None where it is no truth value.
    fn truth(&self) -> Option<String>;

    /// Bytes of one value, roughly: what statistics multiply rows with.
    fn width(&self) -> usize;

    /// Whether the database sees to it that every value is one of the column's type. A column that may hold others is read
    /// wherever it is compared, so that none of them decides over a row unseen.
    fn is_certain(&self) -> bool {
        true
    }
}

/// A table, view, or what else can be selected from.
#[derive(Debug, Clone)]
pub(crate) struct Relation<C> {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) kind: TableKind,
    pub(crate) comment: Option<String>,
    pub(crate) row_estimate: Option<u64>,
    /// Whether its rows lie in pages, so that parts of it can be read apart.
    pub(crate) is_paged: bool,
    pub(crate) columns: Arc<[C]>,
    /// What the values of each column are, in the order of columns. Shorter where the source does not say.
    pub(crate) values: Arc<[Values]>,
}

/// What a database knows of the values of a column, roughly: enough to guess by, never to answer from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Values {
    pub(crate) distinct: Option<u64>,
    /// The share of rows that have none.
    pub(crate) nulls: Option<f64>,
}

impl Values {
    /// What they are among `rows` rows.
    fn statistics(&self, rows: usize) -> ColumnStatistics {
        let mut statistics = ColumnStatistics::new_unknown();
        if let Some(distinct) = self.distinct {
            statistics.distinct_count = Precision::Inexact(usize::try_from(distinct).unwrap_or(usize::MAX).min(rows));
        }
        if let Some(nulls) = self.nulls {
            statistics.null_count = Precision::Inexact((nulls * rows as f64) as usize);
        }
        statistics
    }
}

impl<C> Relation<C> {
    pub(crate) fn entry(&self) -> TableEntry {
        TableEntry {
            schema: self.schema.clone(),
            name: self.name.clone(),
            kind: self.kind,
            comment: self.comment.clone(),
            row_estimate: self.row_estimate,
        }
    }
}
