//! `system.functions`: every SQL function, with what its documentation says.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::logical_expr::Documentation;

use super::{Asked, SystemTable};
use crate::Error;

#[derive(Debug)]
pub(super) struct Functions;

#[async_trait]
impl SystemTable for Functions {
    fn name(&self) -> &'static str {
        "functions"
    }

    fn comment(&self) -> &'static str {
        "SQL functions: name, kind, signature, description."
    }

    fn schema(&self) -> Schema {
        Schema::new(vec![
            Field::new("name", DataType::Utf8, false),
            Field::new("kind", DataType::Utf8, false),
            Field::new("signature", DataType::Utf8, true),
            Field::new("description", DataType::Utf8, true),
        ])
    }

    async fn rows(&self, asked: &Asked) -> Result<RecordBatch, Error> {
        let state = asked.engine.inner.sessions.open();
        let mut rows: BTreeMap<(String, &'static str), Option<Documentation>> = BTreeMap::new();
        for (name, function) in state.aggregate_functions() {
            rows.insert((name.clone(), "aggregate"), function.documentation().cloned());
        }
        for (name, function) in state.scalar_functions() {
            rows.insert((name.clone(), "scalar"), function.documentation().cloned());
        }
        for (name, function) in state.window_functions() {
            rows.insert((name.clone(), "window"), function.documentation().cloned());
        }
        let docs = |text: fn(&Documentation) -> &str| {
            rows.values().map(|docs| docs.as_ref().map(text)).collect::<StringArray>()
        };
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.keys().map(|(name, _)| name))),
            Arc::new(StringArray::from_iter_values(rows.keys().map(|(_, kind)| kind))),
            Arc::new(docs(|docs| &docs.syntax_example)),
            Arc::new(docs(|docs| &docs.description)),
        ];
        Ok(RecordBatch::try_new(Arc::new(self.schema()), columns)?)
    }
}
