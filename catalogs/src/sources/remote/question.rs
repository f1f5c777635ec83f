//! What one scan asks of a database: which columns, from where, under which conditions, how many rows.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::{Remote, RemoteColumn};

/// A statement in its parts, so that conditions can be added to it until it is sent.
#[derive(Debug)]
pub(crate) struct Question<R: Remote + ?Sized> {
    /// What stands after FROM.
    pub(crate) from: String,
    /// The columns in the statement's order. None of them: the statement counts rows.
    pub(crate) columns: Arc<[R::Column]>,
    /// Their fields.
    pub(crate) schema: SchemaRef,
    /// Columns behind those, whose values are read only to see that they are of their types.
    pub(crate) checked: Arc<[R::Column]>,
    /// All must hold.
    pub(crate) conditions: Vec<String>,
    /// The most rows.
    pub(crate) limit: Option<usize>,
}

impl<R: Remote + ?Sized> Question<R> {
    pub(crate) fn new(
        from: String,
        columns: Arc<[R::Column]>,
        conditions: Vec<String>,
        limit: Option<usize>,
    ) -> Self {
        let schema = schema(&columns);
        Self { from, columns, schema, checked: Arc::default(), conditions, limit }
    }

    /// The same, reading `checked` as well.
    pub(crate) fn checking(self, checked: impl IntoIterator<Item = R::Column>) -> Self {
        Self { checked: checked.into_iter().collect(), ..self }
    }

    /// Whether the statement counts rows.
    pub(crate) fn counts(&self) -> bool {
        self.columns.is_empty() && self.checked.is_empty()
    }

    /// The statement.
    pub(crate) fn sql(&self) -> String {
        let mut from = format!("FROM {}", self.from);
        if !self.conditions.is_empty() {
            from.push_str(" WHERE ");
            from.push_str(&self.conditions.join(" AND "));
        }
        if let Some(limit) = self.limit {
            from.push_str(&format!(" LIMIT {limit}"));
        }
        if !self.counts() {
            let columns = self.columns.iter().chain(self.checked.iter());
            let selected: Vec<String> = columns.map(RemoteColumn::selected).collect();
            return format!("SELECT {} {from}", selected.join(", "));
        }
        match self.limit {
            Some(_) => format!("SELECT count(*) FROM (SELECT 1 {from}) AS counted"),
            None => format!("SELECT count(*) {from}"),
        }
    }

    /// The same with more conditions.
    pub(crate) fn with_conditions(&self, more: impl IntoIterator<Item = String>) -> Self {
        let mut question = self.clone();
        question.conditions.extend(more);
        question
    }
}

impl<R: Remote + ?Sized> Clone for Question<R> {
    fn clone(&self) -> Self {
        Self {
            from: self.from.clone(),
            columns: Arc::clone(&self.columns),
            schema: Arc::clone(&self.schema),
            checked: Arc::clone(&self.checked),
            conditions: self.conditions.clone(),
            limit: self.limit,
        }
    }
}

/// The columns as a schema.
pub(super) fn schema<C: RemoteColumn>(columns: &[C]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|column| Arc::clone(column.field())).collect::<Vec<_>>()))
}
