//! The frame of a design: how many PSUs each stratum has, whatever a query leaves out. Of weights by period, it is that of the
//! periods of the query.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, ident, lit};

use crate::cached::Cached;
use crate::survey::design::{Design, Read, read_of};
use crate::survey::notices::Notices;
use crate::survey::trace;
use crate::{Code, Error};

const PSU: &str = "unit_key_frame_psu";
pub(super) const FRAME_PSUS: &str = "svy_frame_psus";
pub(super) const LEAST_FPC: &str = "svy_least_fpc";
pub(super) const MOST_FPC: &str = "svy_most_fpc";

pub(super) fn frame_stratum(at: usize) -> String {
    format!("svy_frame_stratum_{at}")
}

pub(super) fn frame_key(at: usize) -> String {
    format!("svy_frame_key_{at}")
}

/// The strata of a design, with their PSUs.
pub(super) struct Frame {
    pub(super) plan: LogicalPlan,
    /// The places of the keys that each group has a frame of its own by.
    pub(super) keys: Vec<usize>,
}

/// What a frame is of: the rows of a query as they were written, the design over them, and the keys that they are grouped by.
#[derive(Clone, Copy)]
pub(super) struct FrameOf<'a> {
    pub(super) rows: &'a LogicalPlan,
    pub(super) design: &'a Design,
    pub(super) keys: &'a [Expr],
    pub(super) reads: &'a [Read],
}

/// What a query says of the period, over the table of the weights.
#[derive(Default)]
struct OfPeriod {
    conditions: Vec<Expr>,
    /// Keys that are made of the period, with their places.
    keys: Vec<(usize, Expr)>,
}

impl FrameOf<'_> {
    fn period(&self) -> OfPeriod {
        let table = trace::table_of(self.rows, &self.design.weight);
        let (Some(period), Some(table)) = (&self.design.period, table) else { return OfPeriod::default() };
        let keys = self.keys.iter().enumerate();
        let keys = keys.filter_map(|(at, key)| Some((at, period.below(self.rows, key, table)?))).collect();
        OfPeriod { conditions: period.conditions.clone(), keys }
    }

    /// Takes note of estimates over several periods.
    pub(super) fn note_pooled(&self, notices: &Notices) {
        let Some(period) = &self.design.period else { return };
        let is_by_period = self.period().keys.iter().any(|(_, key)| period.is_itself(key));
        if !is_by_period && !period.is_one() {
            notices.pool(period.name());
        }
    }
}

/// An expression over columns of the same names in `table`. None where it has no such column.
fn renamed(expression: Expr, table: &LogicalPlan) -> Option<Expr> {
    let mut is_whole = true;
    let renamed = expression.transform(|part| {
        let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
        match table.schema().index_of_column_by_name(None, &column.name) {
            Some(place) => Ok(Transformed::yes(Expr::Column(Column::from(table.schema().qualified_field(place))))),
            None => {
                is_whole = false;
                Ok(Transformed::no(part))
            }
        }
    });
    renamed.data().ok().filter(|_| is_whole)
}

/// How many PSUs each stratum of the whole design has, and its fpc.
pub(super) fn frame(function: &str, of: FrameOf<'_>) -> Result<Frame> {
    let FrameOf { rows, design, reads, .. } = of;
    let columns: Vec<&Expr> = design.keys().chain(&design.fpc).chain([&design.weight]).collect();
    let OfPeriod { conditions, keys } = of.period();
    let (table, columns, (conditions, keys)) = match &design.frame {
        Some(frame) => {
            let (table, columns) = named_frame(function, frame, &columns, reads)?;
            let by_name = |expression: Expr| renamed(expression, &table);
            let keys = keys.into_iter().filter_map(|(at, key)| Some((at, by_name(key)?))).collect::<Vec<_>>();
            let of_period = (conditions.into_iter().filter_map(by_name).collect::<Vec<_>>(), keys);
            (table, columns, of_period)
        }
        None => {
            let (table, columns) = base_table(function, design, rows, &columns)?;
            (table, columns, (conditions, keys))
        }
    };
    let mut columns = columns.into_iter();
    let strata: Vec<Expr> = columns.by_ref().take(design.strata.len()).collect();
    let psu = design.psu.as_ref().and_then(|_| columns.next());
    let fpc = design.fpc.as_ref().and_then(|_| columns.next());
    let weight = if design.frame.is_some() { None } else { columns.next() };
    let dataset = trace::only_table(&table).and_then(|table| read_of(table, reads)).map(|read| &read.dataset);

    let mut builder = LogicalPlanBuilder::from(table);
    let known = strata.iter().chain(&psu).chain(&weight).map(|column| column.clone().is_not_null());
    if let Some(known) = known.chain(conditions).reduce(Expr::and) {
        builder = builder.filter(known)?;
    }
    let places: Vec<usize> = keys.iter().map(|(at, _)| *at).collect();
    let keys = keys.into_iter().map(|(at, key)| (frame_key(at), key));
    let strata = strata.into_iter().enumerate().map(|(at, column)| (frame_stratum(at), column));
    let (names, strata): (Vec<Expr>, Vec<Expr>) =
        keys.chain(strata).map(|(name, column)| (ident(&name), column.alias(name))).unzip();
    let correction = fpc.map(|fpc| cast(fpc, DataType::Float64));
    let of_rows =
        correction.iter().flat_map(|fpc| [min(fpc.clone()).alias(LEAST_FPC), max(fpc.clone()).alias(MOST_FPC)]);
    let of_psus =
        correction.iter().flat_map(|_| [min(ident(LEAST_FPC)).alias(LEAST_FPC), max(ident(MOST_FPC)).alias(MOST_FPC)]);
    let psus = || std::iter::once(count(lit(1_i64)).alias(FRAME_PSUS));
    let plan = match psu {
        None => builder.aggregate(strata, psus().chain(of_rows))?.build()?,
        Some(psu) => {
            let by_psu: Vec<Expr> = strata.into_iter().chain([psu.alias(PSU)]).collect();
            builder.aggregate(by_psu, of_rows)?.aggregate(names, psus().chain(of_psus))?.build()?
        }
    };
    let plan = match dataset {
        Some(dataset) => Cached::over(plan, dataset),
        None => plan,
    };
    Ok(Frame { plan, keys: places })
}

/// A table, and the columns of the design in it.
type Table = (LogicalPlan, Vec<Expr>);

/// The one table that all columns of the design come from, without what the query makes of it.
fn base_table(function: &str, design: &Design, rows: &LogicalPlan, columns: &[&Expr]) -> Result<Table> {
    // The weight is the last of them, and if it is a column, it is one of the table that lists everybody.
    let of_columns = columns.iter().rev().find_map(|column| trace::table_of(rows, column));
    let table = of_columns.or_else(|| trace::only_table(rows));
    if design.psu.is_none() && table.is_some_and(|table| !trace::has_rows_of(rows, table)) {
        let message = format!(
            "{function}: without psu each row of a table is drawn by itself, and these rows are joined or grouped."
        );
        return Err(Error::new(Code::DesignMissing, message)
            .hint("Say what was drawn together: psu => column.")
            .into());
    }
    let moved = table.and_then(|table| {
        let columns = columns.iter().map(|column| trace::onto(rows, column, table)).collect::<Option<Vec<_>>>();
        columns.map(|columns| (table.clone(), columns))
    });
    match moved {
        Some(table) => Ok(table),
        _ => Err(Error::new(
            Code::DesignMissing,
            format!("{function}: the columns of the design are not those of one table, so its PSUs are not known."),
        )
        .hint("Name the table that holds all of them: frame => 'dataset.table'.")
        .into()),
    }
}

/// The columns of the design by their names in the table that the call names. Its rows need no weight.
fn named_frame(function: &str, frame: &str, columns: &[&Expr], reads: &[Read]) -> Result<Table> {
    let read = reads.iter().find(|read| read.asked_as.as_deref() == Some(frame)).ok_or_else(|| {
        Error::new(Code::TableNotFound, format!("{function}: there is no table \"{frame}\" to be the frame."))
    })?;
    let name = datafusion::common::TableReference::bare("svy_frame");
    let schema = read.source.schema();
    let (_weight, columns) = columns.split_last().ok_or_else(super::misplaced)?;
    let named = columns.iter().map(|column| match column {
        Expr::Column(column) if schema.index_of(&column.name).is_ok() => {
            Ok(Expr::Column(Column::new(Some(name.clone()), &column.name)))
        }
        other => {
            Err(Error::new(Code::DesignMissing, format!("{function}: the frame \"{frame}\" has no column {other}.")))
        }
    });
    let named = named.collect::<Result<_, _>>()?;
    let table = LogicalPlanBuilder::scan(name, Arc::clone(&read.source), None)?.build()?;
    Ok((table, named))
}
