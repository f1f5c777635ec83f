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

use super::question::{Question, schema};
use super::scan::RemoteExec;
use super::{Relation, Remote, RemoteColumn, predicate};

/// One table.
pub(crate) struct RemoteTable<R: Remote> {
    relation: Arc<Relation<R::Column>>,
    remote: Arc<R>,
    schema: SchemaRef,
}

impl<R: Remote> RemoteTable<R> {
    pub(crate) fn new(relation: Arc<Relation<R::Column>>, remote: Arc<R>) -> Self {
        let schema = schema(&relation.columns);
        Self { relation, remote, schema }
    }

    /// Rows and bytes that a scan brings, as the source's own statistics let one guess.
    fn estimate(&self, columns: &[R::Column], conditions: usize, limit: Option<usize>) -> Statistics {
        let mut statistics = Statistics::new_unknown(&schema(columns));
        let Some(mut rows) = self.relation.row_estimate else { return statistics };
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

impl<R: Remote> fmt::Debug for RemoteTable<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTable")
            .field("schema", &self.relation.schema)
            .field("name", &self.relation.name)
            .field("source", &self.remote.id())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<R: Remote> TableProvider for RemoteTable<R> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        match self.relation.kind {
            TableKind::View => TableType::View,
            TableKind::Table | TableKind::System => TableType::Base,
        }
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match predicate::<R>(filter, &self.relation.columns) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.estimate(&self.relation.columns, 0, None))
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = &self.relation.columns;
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
        let table = format!("{}.{}", self.relation.schema, self.relation.name);
        let from = format!("{}.{}", R::identifier(&self.relation.schema), R::identifier(&self.relation.name));
        let question = Question::new(from, columns, conditions, limit).checking(checked);
        Ok(Arc::new(RemoteExec::new(Arc::clone(&self.remote), question, table, statistics)))
    }
}
