//! Joins in an order that leaves few rows, whatever the order of FROM; the answer is the same.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use engine::{Engine, MemoryCatalog, Principal, Query, TableProviderRef};

use crate::collect;

/// A table that knows its rows and the ranges of its columns.
#[derive(Debug)]
struct Known(MemTable, Statistics);

#[async_trait]
impl TableProvider for Known {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.1.clone())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        self.0.scan(session, projection, filters, limit).await
    }
}

/// Columns of whole numbers: `rows` rows, each column's value being the row's number modulo what is given.
fn table(rows: i64, columns: &[(&str, i64)]) -> TableProviderRef {
    let arrays = columns.iter().map(|(name, modulo)| {
        let values: Int64Array = (0..rows).map(|row| Some(row % modulo)).collect();
        (*name, Arc::new(values) as ArrayRef)
    });
    let batch = RecordBatch::try_from_iter(arrays).unwrap();
    let mut statistics = Statistics::new_unknown(&batch.schema());
    statistics.num_rows = Precision::Exact(batch.num_rows());
    for (known, (_, modulo)) in statistics.column_statistics.iter_mut().zip(columns) {
        *known = ColumnStatistics {
            min_value: Precision::Exact(ScalarValue::Int64(Some(0))),
            max_value: Precision::Exact(ScalarValue::Int64(Some(modulo - 1))),
            ..ColumnStatistics::new_unknown()
        };
    }
    let schema = batch.schema();
    Arc::new(Known(MemTable::try_new(schema, vec![vec![batch]]).unwrap(), statistics))
}

async fn ask(engine: &Engine, sql: &str) -> String {
    collect(engine.query(&Principal::local(), Query::new(sql)).await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn few_rows_are_joined_first_in_any_order_of_from() {
    let catalog = MemoryCatalog::default()
        .with_table("shop", "lines", table(20_000, &[("line", 20_000), ("order_id", 5000), ("supplier_id", 100)]))
        .with_table("shop", "orders", table(5000, &[("order_id", 5000), ("customer_id", 1000)]))
        .with_table("shop", "customers", table(1000, &[("customer_id", 1000), ("nation_id", 25)]))
        .with_table("shop", "suppliers", table(100, &[("supplier_id", 100), ("nation_id", 25)]))
        .with_table("shop", "nations", table(25, &[("nation_id", 25)]));
    let engine = Engine::builder(catalog).build().unwrap();
    let conditions = "l.order_id = o.order_id AND o.customer_id = c.customer_id AND l.supplier_id = s.supplier_id \
                      AND s.nation_id = n.nation_id AND c.nation_id = n.nation_id AND n.nation_id = 7 AND l.line + o.order_id > 3";
    let tables = ["shop.lines l", "shop.orders o", "shop.customers c", "shop.suppliers s", "shop.nations n"];
    let mut answers = Vec::new();
    for turn in 0..tables.len() {
        let mut from = tables.to_vec();
        from.rotate_left(turn);
        let sql = format!(
            "SELECT count(*) AS n, sum(l.line) AS lines, min(c.customer_id) AS first FROM {} WHERE {conditions}",
            from.join(", ")
        );
        answers.push(ask(&engine, &sql).await);
        let plan = ask(&engine, &format!("EXPLAIN {sql}")).await;
        assert!(!plan.contains("CrossJoin") && !plan.contains("NestedLoop"), "{plan}");
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn the_side_with_a_filter_is_joined_before_the_large_ones_meet() {
    let catalog = MemoryCatalog::default()
        .with_table("shop", "lines", table(20_000, &[("line", 20_000), ("order_id", 5000), ("part_id", 2000)]))
        .with_table("shop", "orders", table(5000, &[("order_id", 5000), ("day", 365)]))
        .with_table("shop", "parts", table(2000, &[("part_id", 2000), ("brand", 50)]));
    let engine = Engine::builder(catalog).build().unwrap();
    let sql = "SELECT count(*) FROM shop.lines l JOIN shop.orders o ON l.order_id = o.order_id \
               JOIN shop.parts p ON l.part_id = p.part_id WHERE p.brand = 3";
    let plan = ask(&engine, &format!("EXPLAIN {sql}")).await;
    // The inner join, the one that is deeper, is of lines and parts.
    let deepest = plan.lines().rfind(|line| line.contains("HashJoinExec")).unwrap();
    assert!(deepest.contains("part_id"), "{plan}");
    assert!(ask(&engine, sql).await.contains("| 400 "));
}
