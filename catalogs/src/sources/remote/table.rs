//! A table of a database as DataFusion scans it: which predicates go to the server, and the question that asks.

use std::collections::HashSet;
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
use super::top::{self, Top};
use super::{Relation, Remote, RemoteColumn, predicate};

/// One table, or what the database makes of it.
#[derive(Debug)]
pub(crate) struct RemoteTable {
    schema: SchemaRef,
    kind: TableKind,
    asked: Arc<dyn Askable>,
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
        Self { schema: Arc::clone(&base.question.schema), kind, asked: Arc::new(base) }
    }

    /// The rows of `grouping` over this table, as the database makes them. None where it would not make the same.
    pub(super) fn grouped(&self, grouping: &Grouping<'_>) -> Option<Self> {
        self.asked.grouped(grouping).map(|asked| self.asking(asked))
    }

    /// The first rows of this table in an order. None where the database has another order.
    pub(super) fn top(&self, top: &Top<'_>) -> Option<Self> {
        self.asked.top(top).map(|asked| self.asking(asked))
    }

    fn asking(&self, asked: Arc<dyn Askable>) -> Self {
        Self { schema: asked.schema(), kind: self.kind, asked }
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
        Ok(self.asked.scan(projection, filters, limit))
    }
}

/// What can be asked of a database, whatever its kind.
trait Askable: fmt::Debug + Send + Sync {
    fn schema(&self) -> SchemaRef;
    fn takes(&self, filter: &Expr) -> bool;
    fn statistics(&self) -> Statistics;
    fn scan(&self, projection: Option<&Vec<usize>>, filters: &[Expr], limit: Option<usize>) -> Arc<dyn ExecutionPlan>;
    fn grouped(&self, grouping: &Grouping<'_>) -> Option<Arc<dyn Askable>>;
    fn top(&self, top: &Top<'_>) -> Option<Arc<dyn Askable>>;
}

/// A question without projection, conditions and limit: what they are added to.
struct Base<R: Remote> {
    remote: Arc<R>,
    label: String,
    rows: Option<u64>,
    question: Question<R>,
}

impl<R: Remote> Base<R> {
    /// Rows and bytes that a scan brings, as the source's own statistics let one guess.
    fn estimate(&self, columns: &[R::Column], conditions: usize, limit: Option<usize>) -> Statistics {
        let mut statistics = Statistics::new_unknown(&schema(columns));
        let Some(mut rows) = self.rows else { return statistics };
        // A predicate is taken to keep one row in five, as DataFusion takes it for predicates of its own.
        for _ in 0..conditions {
            rows = (rows / 5).max(1);
        }
        let rows = usize::try_from(rows).unwrap_or(usize::MAX).min(limit.unwrap_or(usize::MAX));
        let width: usize = columns.iter().map(RemoteColumn::width).sum();
        statistics.num_rows = Precision::Inexact(rows);
        statistics.total_byte_size = Precision::Inexact(rows.saturating_mul(width));
        statistics
    }
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

    fn scan(&self, projection: Option<&Vec<usize>>, filters: &[Expr], limit: Option<usize>) -> Arc<dyn ExecutionPlan> {
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
        Arc::new(RemoteExec::new(Arc::clone(&self.remote), question, self.label.clone(), statistics))
    }

    fn grouped(&self, grouping: &Grouping<'_>) -> Option<Arc<dyn Askable>> {
        let question = grouping::question::<R>(&self.question, grouping)?;
        // One group in ten rows, or one in all.
        let rows = if grouping.keys.is_empty() { Some(1) } else { self.rows.map(|rows| rows / 10 + 1) };
        Some(Arc::new(Self { remote: Arc::clone(&self.remote), label: self.label.clone(), rows, question }))
    }

    fn top(&self, top: &Top<'_>) -> Option<Arc<dyn Askable>> {
        let wanted = u64::try_from(top.rows).unwrap_or(u64::MAX);
        // Where most rows are wanted, they are read faster as they lie.
        if self.rows.is_some_and(|rows| wanted > rows / 2) {
            return None;
        }
        let question = top::question::<R>(&self.question, top)?;
        Some(Arc::new(Self {
            remote: Arc::clone(&self.remote),
            label: self.label.clone(),
            rows: Some(wanted),
            question,
        }))
    }
}
