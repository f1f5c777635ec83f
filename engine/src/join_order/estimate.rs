//! How many rows a plan gives, and how many values its columns have, as far as tables tell.

use std::collections::HashMap;

use datafusion::common::{Column, JoinType, ScalarValue, Statistics};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};

use super::selectivity;

/// What is known of a plan's rows.
#[derive(Debug, Clone)]
pub(super) struct Estimate {
    pub(super) rows: f64,
    /// Rows before any filter: no key has more values.
    pub(super) base_rows: f64,
    columns: HashMap<Column, Values>,
}

/// What is known of a column's values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values {
    pub(super) distinct: Option<f64>,
    pub(super) range: Option<(f64, f64)>,
}

impl Estimate {
    /// None where a table below does not know its rows.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::TableScan(scan) => Self::of_scan(scan),
            LogicalPlan::Filter(filter) => {
                let mut estimate = Self::of(&filter.input)?;
                let done = match &*filter.input {
                    // What the scan was told already, and may not have done.
                    LogicalPlan::TableScan(scan) => scan.filters.as_slice(),
                    _ => &[],
                };
                let new = split_conjunction(&filter.predicate).into_iter().filter(|part| !done.contains(part));
                estimate.filter(new);
                Some(estimate)
            }
            LogicalPlan::Projection(projection) => {
                let input = Self::of(&projection.input)?;
                let outputs = projection.schema.columns();
                let columns = outputs.into_iter().zip(&projection.expr).map(|(output, expr)| {
                    let expr = match expr {
                        Expr::Alias(alias) => &alias.expr,
                        expr => expr,
                    };
                    let values = match expr {
                        Expr::Column(column) => input.columns.get(column).copied().unwrap_or_default(),
                        _ => Values::default(),
                    };
                    (output, values)
                });
                Some(Self { columns: columns.collect(), ..input })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = Self::of(&alias.input)?;
                let inner = alias.input.schema().columns();
                let columns = alias.schema.columns().into_iter().zip(inner);
                let columns = columns
                    .map(|(outer, inner)| (outer, input.columns.get(&inner).copied().unwrap_or_default()))
                    .collect();
                Some(Self { columns, ..input })
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = Self::of(&aggregate.input)?;
                let keys = aggregate.group_expr.iter().map(|key| match key {
                    Expr::Column(_) => input.distinct(key),
                    _ => input.rows.sqrt(),
                });
                let rows = keys.product::<f64>().min(input.rows).max(1.0);
                let columns = aggregate.schema.columns().into_iter().map(|column| {
                    let values = input.columns.get(&column).copied().unwrap_or_default();
                    (column, values)
                });
                Some(Self { rows, base_rows: rows, columns: columns.collect() })
            }
            LogicalPlan::Join(join) => {
                let (left, right) = (Self::of(&join.left)?, Self::of(&join.right)?);
                Some(Self::of_join(join.join_type, &join.on, left, right))
            }
            LogicalPlan::Limit(limit) => {
                let input = Self::of(&limit.input)?;
                let most = match limit.fetch.as_deref() {
                    Some(Expr::Literal(ScalarValue::Int64(Some(most)), _)) => *most as f64,
                    _ => f64::INFINITY,
                };
                Some(Self { rows: input.rows.min(most), ..input })
            }
            // What passes its input's rows on, or says nothing better.
            plan => match plan.inputs().as_slice() {
                [input] if input.schema() == plan.schema() => Self::of(input),
                _ => None,
            },
        }
    }

    fn of_scan(scan: &TableScan) -> Option<Self> {
        let provider = source_as_provider(&scan.source).ok()?;
        let statistics = provider.statistics()?;
        let rows = *statistics.num_rows.get_value()? as f64;
        let schema = provider.schema();
        let columns = scan.projected_schema.columns().into_iter().map(|column| {
            let at = schema.index_of(&column.name).ok();
            (column, at.map(|at| values(&statistics, at, rows)).unwrap_or_default())
        });
        let mut estimate = Self { rows, base_rows: rows.max(1.0), columns: columns.collect() };
        // A filter may be on a column that the scan does not give out.
        let all: HashMap<Column, Values> = (0..schema.fields().len())
            .map(|at| {
                (Column::new(Some(scan.table_name.clone()), schema.field(at).name()), values(&statistics, at, rows))
            })
            .collect();
        let of = |column: &Column| {
            let qualified = Column::new(Some(scan.table_name.clone()), &column.name);
            all.get(&qualified).copied().unwrap_or_default()
        };
        for filter in &scan.filters {
            estimate.rows *= selectivity::of(filter, rows, &of);
        }
        estimate.rows = estimate.rows.max(1.0);
        Some(estimate)
    }

    fn of_join(join_type: JoinType, on: &[(Expr, Expr)], left: Self, right: Self) -> Self {
        let mut matches = left.rows * right.rows;
        for (a, b) in on {
            matches /= left.distinct(a).max(right.distinct(b));
        }
        let matches = matches.max(1.0);
        let rows = match join_type {
            JoinType::Inner => matches,
            JoinType::Left => matches.max(left.rows),
            JoinType::Right => matches.max(right.rows),
            JoinType::Full => matches.max(left.rows + right.rows),
            JoinType::LeftSemi => left.rows.min(matches),
            JoinType::RightSemi => right.rows.min(matches),
            JoinType::LeftAnti => (left.rows - matches).max(left.rows * selectivity::OF_ANYTHING),
            JoinType::RightAnti => (right.rows - matches).max(right.rows * selectivity::OF_ANYTHING),
            JoinType::LeftMark => left.rows,
            JoinType::RightMark => right.rows,
        };
        let base_rows = left.base_rows.max(right.base_rows).max(rows);
        let mut columns = left.columns;
        columns.extend(right.columns);
        Self { rows, base_rows, columns }
    }

    fn filter<'a>(&mut self, predicates: impl IntoIterator<Item = &'a Expr>) {
        let mut share = 1.0;
        for predicate in predicates {
            let of = |column: &Column| self.columns.get(column).copied().unwrap_or_default();
            share *= selectivity::of(predicate, self.base_rows, &of);
        }
        self.rows = (self.rows * share).max(1.0);
    }

    /// Whether it gives out the column.
    pub(super) fn has(&self, column: &Column) -> bool {
        self.columns.contains_key(column)
    }

    /// Whether it gives out every column of an expression.
    pub(super) fn has_all(&self, expression: &Expr) -> bool {
        expression.column_refs().into_iter().all(|column| self.has(column))
    }

    /// Different values of a key before any filter.
    pub(super) fn distinct(&self, key: &Expr) -> f64 {
        let values = match key {
            Expr::Column(column) => self.columns.get(column).copied().unwrap_or_default(),
            _ => Values::default(),
        };
        values.distinct.unwrap_or(self.base_rows).clamp(1.0, self.base_rows.max(1.0))
    }
}

fn values(statistics: &Statistics, at: usize, rows: f64) -> Values {
    let Some(column) = statistics.column_statistics.get(at) else { return Values::default() };
    let range = match (column.min_value.get_value(), column.max_value.get_value()) {
        (Some(low), Some(high)) => selectivity::number(low).zip(selectivity::number(high)),
        _ => None,
    };
    let counted = column.distinct_count.get_value().map(|count| *count as f64);
    // Whole numbers and days have no more values than there is room between the least and the greatest.
    let is_discrete = column.min_value.get_value().is_some_and(|low| {
        low.data_type().is_integer() || matches!(low, ScalarValue::Date32(_) | ScalarValue::Date64(_))
    });
    let room = range.filter(|_| is_discrete).map(|(low, high)| high - low + 1.0);
    Values { distinct: counted.or(room).map(|distinct| distinct.clamp(1.0, rows.max(1.0))), range }
}
