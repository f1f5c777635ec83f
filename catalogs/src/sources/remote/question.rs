//! What one scan asks of a database: which columns, from where, under which conditions, how many rows.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::{Relation, Remote, RemoteColumn};

/// A statement in its parts, so that conditions can be added to it until it is sent.
#[derive(Debug)]
pub(crate) struct Question<R: Remote + ?Sized> {
    /// The table that it asks, where it is one.
    pub(crate) relation: Option<Arc<Relation<R::Column>>>,
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
    /// Whether a join has named the keys of its rows: few of the table's.
    pub(crate) has_keys: bool,
    /// Whether its rows are groups of others.
    pub(crate) is_grouped: bool,
}

impl<R: Remote + ?Sized> Question<R> {
    /// Asks a table for everything.
    pub(crate) fn of_table(relation: &Arc<Relation<R::Column>>) -> Self {
        let from = format!("{}.{}", R::identifier(&relation.schema), R::identifier(&relation.name));
        let relation_columns = Arc::clone(&relation.columns);
        Self { relation: Some(Arc::clone(relation)), ..Self::of_select(from, relation_columns) }
    }

    /// Asks for everything that is in `from`.
    pub(super) fn of_select(from: String, columns: Arc<[R::Column]>) -> Self {
        Self {
            relation: None,
            from,
            schema: schema(&columns),
            columns,
            checked: Arc::default(),
            conditions: Vec::new(),
            limit: None,
            has_keys: false,
            is_grouped: false,
        }
    }

    /// The same, reading `checked` as well.
    pub(super) fn checking(self, checked: impl IntoIterator<Item = R::Column>) -> Self {
        Self { checked: checked.into_iter().collect(), ..self }
    }

    /// Whether the statement counts rows.
    pub(crate) fn counts(&self) -> bool {
        self.columns.is_empty() && self.checked.is_empty()
    }

    /// Whether it brings all rows there are, or the first ones, as they are.
    pub(super) fn is_whole(&self) -> bool {
        self.conditions.is_empty() && !self.counts()
    }

    /// The statement.
    pub(crate) fn sql(&self) -> String {
        let columns = self.columns.iter().chain(self.checked.iter());
        let selected: Vec<String> = columns.map(RemoteColumn::selected).collect();
        let from = self.tail();
        match (self.counts(), self.limit) {
            (false, _) => format!("SELECT {} {from}", selected.join(", ")),
            (true, Some(_)) => format!("SELECT count(*) FROM (SELECT 1 {from}) AS counted"),
            (true, None) => format!("SELECT count(*) {from}"),
        }
    }

    /// The statement from FROM on.
    pub(super) fn tail(&self) -> String {
        let mut tail = format!("FROM {}", self.from);
        if !self.conditions.is_empty() {
            tail.push_str(" WHERE ");
            tail.push_str(&self.conditions.join(" AND "));
        }
        if let Some(limit) = self.limit {
            tail.push_str(&format!(" LIMIT {limit}"));
        }
        tail
    }

    /// The same for some of the columns.
    pub(super) fn selecting(&self, columns: Arc<[R::Column]>) -> Self {
        Self { schema: schema(&columns), columns, ..self.clone() }
    }

    /// The same with more conditions.
    pub(crate) fn with_conditions(mut self, more: impl IntoIterator<Item = String>) -> Self {
        self.conditions.extend(more);
        self
    }

    /// The same, for no more rows than `limit`.
    pub(super) fn with_limit(self, limit: Option<usize>) -> Self {
        Self { limit, ..self }
    }
}

impl<R: Remote + ?Sized> Clone for Question<R> {
    fn clone(&self) -> Self {
        Self {
            relation: self.relation.clone(),
            from: self.from.clone(),
            columns: Arc::clone(&self.columns),
            schema: Arc::clone(&self.schema),
            checked: Arc::clone(&self.checked),
            conditions: self.conditions.clone(),
            limit: self.limit,
            has_keys: self.has_keys,
            is_grouped: self.is_grouped,
        }
    }
}

/// The columns as a schema.
pub(super) fn schema<C: RemoteColumn>(columns: &[C]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|column| Arc::clone(column.field())).collect::<Vec<_>>()))
}
