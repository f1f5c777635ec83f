//! How many rows the batches of a query hold.
//!
//! Joins, sorts and aggregations are tuned to DataFusion's default. A query that only reads and passes on, such as an export,
//! pays for each batch and each message of it; narrow rows are therefore carried in larger batches.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// A batch is in the processor's cache with room to spare, and as a message below the 1 MiB up to which Go's gRPC keeps
/// buffers for reuse.
const BYTES: usize = 900 << 10;
/// A filter behind the scan should not have to wait longer for its first row than a batch takes to read.
const MOST: usize = 32 << 10;
/// A text of unknown length.
const TEXT: usize = 32;

/// Rows of a batch, where `plan` wants others than the default.
pub(super) fn batch_rows(plan: &Arc<dyn ExecutionPlan>, default: usize) -> Option<usize> {
    let width = widest(plan)?.max(1);
    let rows = (BYTES / width).min(MOST) / 1024 * 1024;
    (rows > default).then_some(rows)
}

/// Bytes of the widest row that `plan` carries; None where it does more than read and pass on.
fn widest(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let children = plan.children();
    if children.len() > 1 || plan.pipeline_behavior() != EmissionType::Incremental {
        return None;
    }
    let own = width(&plan.schema());
    children.into_iter().try_fold(own, |most, child| Some(widest(child)?.max(most)))
}

fn width(schema: &Schema) -> usize {
    let bytes = |data_type: &DataType| match data_type {
        DataType::Boolean => 1,
        other => other.primitive_width().unwrap_or(TEXT),
    };
    schema.fields().iter().map(|field| bytes(field.data_type())).sum()
}

#[cfg(test)]
mod tests {
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "plans alone, of no one's tables")]
    async fn what_only_reads_narrow_rows_has_larger_batches() {
        let context = SessionContext::new_with_state(SessionStateBuilder::new().with_default_features().build());
        let wide: Vec<String> = (0..200).map(|at| format!("arrow_cast({at}, 'Int64') AS c{at}")).collect();
        for (sql, wanted) in [
            ("SELECT a FROM numbers".to_owned(), Some(32 << 10)),
            ("SELECT a, a + 1, a + 2, a + 3, a + 4 FROM numbers WHERE a > 3".to_owned(), Some(22 << 10)),
            ("SELECT a, 'x' || a FROM numbers LIMIT 7".to_owned(), Some(22 << 10)),
            (format!("SELECT {} FROM numbers", wide.join(", ")), None),
            ("SELECT a % 3, count(*) FROM numbers GROUP BY 1".to_owned(), None),
            ("SELECT a FROM numbers ORDER BY a DESC".to_owned(), None),
            ("SELECT l.a FROM numbers l JOIN numbers r ON l.a = r.a".to_owned(), None),
        ] {
            let numbers = "WITH numbers AS (SELECT value AS a FROM generate_series(1, 10))";
            let plan = context.sql(&format!("{numbers} {sql}")).await.unwrap().create_physical_plan().await.unwrap();
            assert_eq!(batch_rows(&plan, 8192), wanted, "{sql}");
        }
    }
}
