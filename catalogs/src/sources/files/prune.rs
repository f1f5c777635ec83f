//! Which files the filters on partition columns leave over, by the values in their folders alone.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use datafusion::catalog::Session;
use datafusion::common::{Column, DFSchema, DataFusionError, ScalarValue};
use datafusion::datasource::listing::helpers::expr_applicable_for_cols;
use datafusion::logical_expr::Expr;
use engine::Error;

use super::partition;
use super::store::Filters;

/// The filters of a question that partition values decide.
pub(super) struct PartitionFilters<'a> {
    state: &'a dyn Session,
    filters: Vec<&'a Expr>,
    fields: &'a [Field],
}

impl<'a> PartitionFilters<'a> {
    /// Those of `filters` that the partition columns `fields` decide.
    pub(super) fn new(state: &'a dyn Session, filters: &'a [Expr], fields: &'a [Field]) -> Self {
        Self { state, filters: filters.iter().filter(|filter| is_on(fields, filter)).collect(), fields }
    }

    /// For rows of partition values: whether they meet every filter. Rows may lack the last columns; filters on those are
    /// left out then.
    pub(super) fn met_by(&self, rows: &[&[ScalarValue]]) -> Result<Vec<bool>, DataFusionError> {
        let width = rows.first().map_or(0, |row| row.len());
        let fields = &self.fields[..width];
        let filters: Vec<&&Expr> = self.filters.iter().filter(|filter| is_on(fields, filter)).collect();
        let mut keep = vec![true; rows.len()];
        if filters.is_empty() {
            return Ok(keep);
        }
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let mut columns = Vec::with_capacity(width);
        for at in 0..width {
            columns.push(ScalarValue::iter_to_array(rows.iter().map(|row| row[at].clone()))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?;
        let schema = DFSchema::try_from(schema)?;
        for filter in filters {
            let holds = self.state.create_physical_expr((*filter).clone(), &schema)?.evaluate(&batch)?;
            let holds = holds.into_array(rows.len())?;
            let holds = holds.as_any().downcast_ref::<BooleanArray>();
            let holds = holds.ok_or_else(|| DataFusionError::Plan("A filter must be a condition".to_owned()))?;
            for (at, keep) in keep.iter_mut().enumerate() {
                *keep &= holds.is_valid(at) && holds.value(at);
            }
        }
        Ok(keep)
    }
}

impl Filters for PartitionFilters<'_> {
    fn reaches(&self, level: usize) -> bool {
        let below: HashSet<&str> = self.fields[level..].iter().map(|field| field.name().as_str()).collect();
        let is_below = |column: &&Column| below.contains(column.name.as_str());
        self.filters.iter().any(|filter| filter.column_refs().iter().any(&is_below))
    }

    fn keep(&self, rows: &[&[String]]) -> Result<Vec<bool>, Error> {
        let value = |(text, field): (&String, &Field)| partition::value(text, field.data_type());
        let values: Vec<Vec<ScalarValue>> =
            rows.iter().map(|row| row.iter().zip(self.fields).map(value).collect()).collect();
        let values: Vec<&[ScalarValue]> = values.iter().map(Vec::as_slice).collect();
        let mut keep = self.met_by(&values)?;
        for (row, keep) in rows.iter().zip(&mut keep) {
            // A value of another type than those that were seen decides nothing; the file says what is wrong.
            *keep |= row.iter().zip(self.fields).any(|(text, field)| !partition::fits(text, field.data_type()));
        }
        Ok(keep)
    }
}

/// Whether a filter can be decided by these columns alone.
pub(super) fn is_on(fields: &[Field], filter: &Expr) -> bool {
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    !names.is_empty() && expr_applicable_for_cols(&names, filter) && !has_subquery(filter)
}

fn has_subquery(filter: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let is_subquery = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
        ))
    };
    filter.exists(is_subquery).unwrap_or(true)
}
