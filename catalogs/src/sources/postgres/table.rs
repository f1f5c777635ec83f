//! A table of PostgreSQL as DataFusion scans it: which predicates go to the server, and the SQL that asks.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use engine::TableKind;

use super::columns::Column;
use super::filter;
use super::pool::Pool;
use super::quote;
use super::relations::{Listings, Relation};
use super::scan::PostgresExec;

/// One table.
pub(super) struct PostgresTable {
    pub(super) relation: Arc<Relation>,
    pub(super) pool: Arc<Pool>,
    pub(super) listings: Arc<Listings>,
    schema: SchemaRef,
}

/// What one scan asks: the statement, and the columns that it must bring.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) sql: String,
    /// The columns in the statement's order. None of them: the statement counts rows.
    pub(super) columns: Arc<[Column]>,
    pub(super) schema: SchemaRef,
}

impl PostgresTable {
    pub(super) fn new(relation: Arc<Relation>, pool: Arc<Pool>, listings: Arc<Listings>) -> Self {
        let schema = schema(&relation.columns);
        Self { relation, pool, listings, schema }
    }

    fn question(&self, projection: Option<&Vec<usize>>, conditions: &[String], limit: Option<usize>) -> Question {
        let all = &self.relation.columns;
        let columns: Arc<[Column]> = match projection {
            Some(indexes) => indexes.iter().filter_map(|index| all.get(*index).cloned()).collect(),
            None => Arc::clone(all),
        };
        let mut from =
            format!("FROM {}.{}", quote::identifier(&self.relation.schema), quote::identifier(&self.relation.name));
        if !conditions.is_empty() {
            from.push_str(" WHERE ");
            from.push_str(&conditions.join(" AND "));
        }
        if let Some(limit) = limit {
            from.push_str(&format!(" LIMIT {limit}"));
        }
        let sql = if columns.is_empty() {
            match limit {
                Some(_) => format!("SELECT count(*) FROM (SELECT 1 {from}) AS counted"),
                None => format!("SELECT count(*) {from}"),
            }
        } else {
            let selected: Vec<String> = columns.iter().map(Column::selected).collect();
            format!("SELECT {} {from}", selected.join(", "))
        };
        Question { sql, schema: schema(&columns), columns }
    }

    /// Rows and bytes that a scan brings, as the source's own statistics let one guess.
    fn estimate(&self, columns: &[Column], conditions: usize, limit: Option<usize>) -> Statistics {
        let mut statistics = Statistics::new_unknown(&schema(columns));
        let Some(mut rows) = self.relation.row_estimate else { return statistics };
        // A predicate is taken to keep one row in five, as DataFusion takes it for predicates of its own.
        for _ in 0..conditions {
            rows = (rows / 5).max(1);
        }
        let rows = usize::try_from(rows).unwrap_or(usize::MAX).min(limit.unwrap_or(usize::MAX));
        let width: usize = columns.iter().map(|column| column.shape.width()).sum();
        statistics.num_rows = Precision::Inexact(rows);
        statistics.total_byte_size = Precision::Inexact(rows.saturating_mul(width));
        statistics
    }
}

fn schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>()))
}

impl fmt::Debug for PostgresTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTable")
            .field("schema", &self.relation.schema)
            .field("name", &self.relation.name)
            .field("source", &self.pool.place().id)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for PostgresTable {
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
        let support = |predicate: &&Expr| match filter::sql(predicate, &self.relation.columns) {
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
        let conditions: Vec<String> =
            filters.iter().filter_map(|predicate| filter::sql(predicate, &self.relation.columns)).collect();
        // Rows that a predicate drops later must not have used up the limit.
        let limit = limit.filter(|_| conditions.len() == filters.len());
        let question = self.question(projection, &conditions, limit);
        let statistics = self.estimate(&question.columns, conditions.len(), limit);
        let table = format!("{}.{}", self.relation.schema, self.relation.name);
        let exec = PostgresExec::new(question, table, statistics, Arc::clone(&self.pool), Arc::clone(&self.listings));
        Ok(Arc::new(exec))
    }
}
