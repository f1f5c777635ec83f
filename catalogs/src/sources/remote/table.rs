//! A table of a database as DataFusion scans it: which predicates go to the server, and the question that asks.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use engine::TableKind;

use super::grouping::{self, Grouping};
use super::question::{Question, schema};
use super::scan::RemoteExec;
use super::subplan::{self, Joining};
use super::top::{self, Top};
use super::{Relation, Remote, RemoteColumn, Values, predicate};

/// One table, or what the database makes of it.
#[derive(Debug, Clone)]
pub(crate) struct RemoteTable {
    schema: SchemaRef,
    kind: TableKind,
    asked: Arc<dyn Askable>,
    /// What is done here of a plan that is shown, and why.
    notes: Arc<[String]>,
}

impl RemoteTable {
    pub(crate) fn new<R: Remote>(relation: Arc<Relation<R::Column>>, remote: Arc<R>) -> Self {
        let kind = relation.kind;
        let base = Base {
            remote,
            label: format!("{}.{}", relation.schema, relation.name),
            rows: relation.row_estimate,
            question: Question::of_table(&relation),
        };
        Self { schema: Arc::clone(&base.question.schema), kind, asked: Arc::new(base), notes: Arc::default() }
    }

    /// The same, with what is not asked of it.
    pub(super) fn with_notes(&self, notes: Vec<String>) -> Self {
        let notes = self.notes.iter().cloned().chain(notes).collect();
        Self { notes, ..self.clone() }
    }

    /// Whether both are tables of one database.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.asked.is_beside(other.asked.as_ref())
    }

    /// The rows of this table that all `filters` keep. None where the database does not know each of them.
    pub(super) fn narrowed(&self, filters: &[Expr]) -> Option<Self> {
        self.asked.narrowed(filters).map(|asked| self.asking(asked))
    }

    /// This table joined to another one of the same database. None where it would join them otherwise.
    pub(super) fn joined(&self, other: &Self, joining: &Joining<'_>) -> Option<Self> {
        self.asked.joined(other.asked.as_ref(), joining).map(|asked| self.asking(asked))
    }

    /// The rows of `grouping` over this table, as the database makes them. None where it would not make the same.
    pub(super) fn grouped(&self, grouping: &Grouping) -> Option<Self> {
        self.asked.grouped(grouping).map(|asked| self.asking(asked))
    }

    /// The first rows of this table in an order. None where the database has another order.
    pub(super) fn top(&self, top: &Top) -> Option<Self> {
        self.asked.top(top).map(|asked| self.asking(asked))
    }

    fn asking(&self, asked: Arc<dyn Askable>) -> Self {
        Self { schema: asked.schema(), kind: self.kind, asked, notes: Arc::clone(&self.notes) }
    }
}

#[async_trait]
impl TableProvider for RemoteTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        match self.kind {
            TableKind::View => TableType::View,
            TableKind::Table | TableKind::System => TableType::Base,
        }
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.asked.takes(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.asked.statistics())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.asked.scan(projection, filters, limit).noting(Arc::clone(&self.notes))))
    }
}

/// What can be asked of a database, whatever its kind.
trait Askable: Any + fmt::Debug + Send + Sync {
    fn schema(&self) -> SchemaRef;
    fn takes(&self, filter: &Expr) -> bool;
    fn statistics(&self) -> Statistics;
    fn scan(&self, projection: Option<&Vec<usize>>, filters: &[Expr], limit: Option<usize>) -> RemoteExec;
    fn is_beside(&self, other: &dyn Askable) -> bool;
    fn narrowed(&self, filters: &[Expr]) -> Option<Arc<dyn Askable>>;
    fn joined(&self, other: &dyn Askable, joining: &Joining<'_>) -> Option<Arc<dyn Askable>>;
    fn grouped(&self, grouping: &Grouping) -> Option<Arc<dyn Askable>>;
    fn top(&self, top: &Top) -> Option<Arc<dyn Askable>>;
}

/// A question without projection, conditions and limit: what they are added to.
struct Base<R: Remote> {
    remote: Arc<R>,
    label: String,
    rows: Option<u64>,
    question: Question<R>,
}

impl<R: Remote> Base<R> {
    /// The other one, if it is of the same database.
    fn beside<'a>(&self, other: &'a dyn Askable) -> Option<&'a Self> {
        (other as &dyn Any).downcast_ref::<Self>().filter(|other| other.remote.id() == self.remote.id())
    }

    /// The same database, asked something else.
    fn asking(&self, rows: Option<u64>, question: Question<R>) -> Arc<dyn Askable> {
        Arc::new(Self { remote: Arc::clone(&self.remote), label: self.label.clone(), rows, question })
    }

    /// Rows and bytes that a scan brings, as the source's own statistics let one guess.
    fn estimate(&self, columns: &[R::Column], conditions: usize, limit: Option<usize>) -> Statistics {
        let mut statistics = Statistics::new_unknown(&schema(columns));
        let Some(rows) = self.rows.map(|rows| kept(rows, conditions)) else { return statistics };
        let rows = usize::try_from(rows).unwrap_or(usize::MAX).min(limit.unwrap_or(usize::MAX));
        let width: usize = columns.iter().map(RemoteColumn::width).sum();
        statistics.num_rows = Precision::Inexact(rows);
        statistics.total_byte_size = Precision::Inexact(rows.saturating_mul(width));
        let known = self.question.relation.iter().flat_map(|table| table.columns.iter().zip(table.values.iter()));
        let known: HashMap<&str, &Values> =
            known.map(|(column, values)| (column.field().name().as_str(), values)).collect();
        for (column, statistics) in columns.iter().zip(&mut statistics.column_statistics) {
            if let Some(values) = known.get(column.field().name().as_str()) {
                *statistics = values.statistics(rows);
            }
        }
        statistics
    }
}

/// A predicate is taken to keep one row in five, as DataFusion takes it for predicates of its own.
fn kept(rows: u64, conditions: usize) -> u64 {
    (0..conditions).fold(rows, |rows, _| (rows / 5).max(1))
}

impl<R: Remote> fmt::Debug for Base<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").field("source", &self.remote.id()).field("label", &self.label).finish_non_exhaustive()
    }
}

impl<R: Remote> Askable for Base<R> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.question.schema)
    }

    fn takes(&self, filter: &Expr) -> bool {
        predicate::<R>(filter, &self.question.columns).is_some()
    }

    fn statistics(&self) -> Statistics {
        self.estimate(&self.question.columns, 0, None)
    }

    fn scan(&self, projection: Option<&Vec<usize>>, filters: &[Expr], limit: Option<usize>) -> RemoteExec {
        let all = &self.question.columns;
        let asked: Vec<(&Expr, String)> =
            filters.iter().filter_map(|filter| Some((filter, predicate::<R>(filter, all)?))).collect();
        let columns: Arc<[R::Column]> = match projection {
            Some(indexes) => indexes.iter().filter_map(|index| all.get(*index).cloned()).collect(),
            None => Arc::clone(all),
        };
        // A row that a comparison keeps is an answer only if what it compares is a value of the column's type.
        let compared: HashSet<&str> =
            asked.iter().flat_map(|(filter, _)| filter.column_refs()).map(|column| column.name.as_str()).collect();
        let is_read = |name: &str| columns.iter().any(|column| column.field().name() == name);
        let checked: Vec<R::Column> = all
            .iter()
            .filter(|column| {
                let name = column.field().name().as_str();
                !column.is_certain() && compared.contains(name) && !is_read(name)
            })
            .cloned()
            .collect();
        let conditions: Vec<String> = asked.into_iter().map(|(_, condition)| condition).collect();
        // Rows that a predicate drops later must not have used up the limit.
        let limit = limit.filter(|_| conditions.len() == filters.len());
        let statistics = self.estimate(&columns, conditions.len(), limit);
        let question = self.question.selecting(columns).checking(checked).with_conditions(conditions).with_limit(limit);
        RemoteExec::new(Arc::clone(&self.remote), question, self.label.clone(), statistics)
    }

    fn narrowed(&self, filters: &[Expr]) -> Option<Arc<dyn Askable>> {
        let all = &self.question.columns;
        if !all.iter().all(RemoteColumn::is_certain) {
            return None;
        }
        let conditions = filters.iter().map(|filter| predicate::<R>(filter, all)).collect::<Option<Vec<_>>>()?;
        let rows = self.rows.map(|rows| kept(rows, conditions.len()));
        Some(self.asking(rows, self.question.clone().with_conditions(conditions)))
    }

    fn is_beside(&self, other: &dyn Askable) -> bool {
        self.beside(other).is_some()
    }

    fn joined(&self, other: &dyn Askable, joining: &Joining<'_>) -> Option<Arc<dyn Askable>> {
        let other = self.beside(other)?;
        let question = subplan::joined::<R>(&self.question, &other.question, joining)?;
        // As if each row of the longer side met one of the other.
        let rows = self.rows.zip(other.rows).map(|(one, other)| one.max(other));
        let label = format!("{}, {}", self.label, other.label);
        Some(Arc::new(Self { remote: Arc::clone(&self.remote), label, rows, question }))
    }

    fn grouped(&self, grouping: &Grouping) -> Option<Arc<dyn Askable>> {
        let is_larger = self.question.relation.as_ref().is_some_and(|table| grouping.is_larger_than(table));
        if is_larger || (grouping.has_sums() && !self.remote.has_windows()) {
            return None;
        }
        let question = grouping::question::<R>(&self.question, grouping)?;
        // One group in ten rows, or one in all.
        let rows = if grouping.keys.is_empty() { Some(1) } else { self.rows.map(|rows| rows / 10 + 1) };
        Some(self.asking(rows, question))
    }

    fn top(&self, top: &Top) -> Option<Arc<dyn Askable>> {
        let wanted = u64::try_from(top.rows).unwrap_or(u64::MAX);
        // Where most rows are wanted, they are read faster as they lie.
        if self.rows.is_some_and(|rows| wanted > rows / 2) {
            return None;
        }
        Some(self.asking(Some(wanted), top::question::<R>(&self.question, top)?))
    }
}
