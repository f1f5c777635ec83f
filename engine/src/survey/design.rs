//! The design of a call: what its dataset declares, and what the call says otherwise.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource, cast};

use super::period::{OfCall, Period};
use super::replicated::Replication;
use super::trace::{self, Origin};
use crate::{Code, Dataset, Error, Weights};

/// A table that a query reads.
#[derive(Clone)]
pub(crate) struct Read {
    pub(crate) source: Arc<dyn TableSource>,
    pub(crate) dataset: Arc<Dataset>,
    /// Its name after `dataset.`.
    pub(crate) table: String,
    /// The text that named it, where a call named it as its frame.
    pub(crate) asked_as: Option<String>,
}

/// The columns of a design, as expressions over the rows that are aggregated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Design {
    pub(super) weight: Expr,
    /// None where each row is a sampling unit.
    pub(super) psu: Option<Expr>,
    pub(super) strata: Vec<Expr>,
    pub(super) fpc: Option<Expr>,
    /// Who is a person.
    pub(super) unit: Option<Expr>,
    /// What tells the variance, where it is not strata and PSUs.
    pub(super) replicates: Option<Replicates>,
    /// Whether replicates are declared, and are not those of this design.
    pub(super) ignores_replicates: bool,
    /// The table that names all PSUs, where it is not that of the columns.
    pub(super) frame: Option<String>,
    /// The period of the weights, where they are for one.
    pub(super) period: Option<Period>,
}

/// Columns of replicate weights, and how they make a variance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Replicates {
    pub(super) columns: Vec<Expr>,
    pub(super) replication: Replication,
}

/// What a call says of a part of its design.
#[derive(Debug, Default)]
pub(super) enum Said {
    /// Nothing: it is as declared.
    #[default]
    Nothing,
    /// That there is none.
    Absent,
    Given(Expr),
}

impl Said {
    fn is_nothing(&self) -> bool {
        matches!(self, Said::Nothing)
    }
}

/// What a call says of its design.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) weight: Option<Expr>,
    pub(super) psu: Said,
    pub(super) strata: Said,
    pub(super) fpc: Said,
    pub(super) unit: Option<Expr>,
    pub(super) frame: Option<String>,
}

impl Design {
    /// The design of a call over `rows`.
    ///
    /// # Errors
    /// `design_missing` where there are no weights; `ambiguous_name` where there are several.
    pub(super) fn of(
        function: &str,
        given: Given,
        rows: &LogicalPlan,
        reads: &[Read],
        call: &OfCall<'_>,
    ) -> Result<Self, Error> {
        let declared = match &given.weight {
            Some(weight) if weight.column_refs().is_empty() => declared(function, rows, reads).ok(),
            Some(weight) => declared_by(weight, rows, reads),
            None => Some(declared(function, rows, reads)?),
        };
        let is_own_weight = match (&given.weight, &declared) {
            (None, _) => true,
            (Some(Expr::Column(weight)), Some((table, weights))) => trace::origin(rows, weight)
                .is_some_and(|origin| *table.schema().field(origin.column).name() == weights.weight),
            _ => false,
        };
        let is_as_declared =
            is_own_weight && given.psu.is_nothing() && given.strata.is_nothing() && given.fpc.is_nothing();
        let find = |name: &String, what: &str| match &declared {
            Some((table, _)) => column_of(rows, table, name).ok_or_else(|| out_of_reach(function, name, what)),
            None => Err(out_of_reach(function, name, what)),
        };
        let weights = declared.as_ref().map(|(_, weights)| *weights);
        let pick = |said: Said, name: Option<&String>, what: &str| match (said, name) {
            (Said::Given(given), _) => Ok(Some(given)),
            (Said::Nothing, Some(name)) => find(name, what).map(Some),
            (Said::Nothing, None) | (Said::Absent, _) => Ok(None),
        };
        let is_without_psu = matches!(given.psu, Said::Absent);
        let weight = match (given.weight, weights) {
            (Some(weight), _) => weight,
            (None, Some(weights)) => find(&weights.weight, "weight")?,
            (None, None) => return Err(no_design(function)),
        };
        let of_declared = weights.and_then(|weights| weights.unit.as_ref());
        let declared_unit = match (&given.unit, of_declared) {
            (_, None) => None,
            (None, Some(name)) => Some(find(name, "unit")?),
            (Some(_), Some(name)) => find(name, "unit").ok(),
        };
        let unit = given.unit.or_else(|| declared_unit.clone());
        let psu = pick(given.psu, weights.and_then(|weights| weights.psu.as_ref()), "psu")?;
        let fpc = pick(given.fpc, weights.and_then(|weights| weights.fpc.as_ref()), "fpc")?;
        let strata = match (given.strata, weights) {
            (Said::Given(strata), _) => vec![strata],
            (Said::Nothing, Some(weights)) => {
                weights.strata.iter().map(|name| find(name, "strata")).collect::<Result<_, _>>()?
            }
            (Said::Nothing, None) | (Said::Absent, _) => Vec::new(),
        };
        let psu = if is_without_psu { None } else { psu.or(declared_unit).or_else(|| unit.clone()) };
        let weight = cast(weight, DataType::Float64);
        let replicates =
            match declared.as_ref().and_then(|(table, weights)| Some((table, weights, weights.replicates.as_ref()?))) {
                Some((table, weights, declared)) if is_as_declared => {
                    Some(replicates_of(function, rows, table, &weights.weight, declared)?)
                }
                _ => None,
            };
        let ignores_replicates = replicates.is_none() && weights.is_some_and(|weights| weights.replicates.is_some());
        let period = match &declared {
            Some((table, weights)) => Period::of(function, weights, table, rows, call)?,
            None => None,
        };
        Ok(Self { weight, psu, strata, fpc, unit, replicates, ignores_replicates, frame: given.frame, period })
    }

    /// The expressions that must have a value in rows of the design.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Expr> {
        self.strata.iter().chain(&self.psu)
    }
}

/// The design that is declared of the table that `weight` comes from.
fn declared_by<'a>(weight: &Expr, rows: &'a LogicalPlan, reads: &'a [Read]) -> Option<(&'a LogicalPlan, &'a Weights)> {
    let table = trace::table_of(rows, weight)?;
    weights_of(table, reads).map(|weights| (table, weights))
}

/// The one declared design whose weight is a column of the rows.
fn declared<'a>(
    function: &str,
    rows: &'a LogicalPlan,
    reads: &'a [Read],
) -> Result<(&'a LogicalPlan, &'a Weights), Error> {
    let mut found: Vec<(&LogicalPlan, &Weights, &Read)> = Vec::new();
    for place in 0..rows.schema().fields().len() {
        let Some(Origin { table, column }) = trace::at(rows, place) else { continue };
        let Some(read) = read_of(table, reads) else { continue };
        let Some(weights) = weights_of(table, reads) else { continue };
        let is_known = found.iter().any(|(known, ..)| std::ptr::eq(*known, table));
        // A weight that a policy hides weighs nobody.
        let is_weight = *table.schema().field(column).name() == weights.weight && !trace::is_masked(table, column);
        if is_weight && !is_known {
            found.push((table, weights, read));
        }
    }
    match found.as_slice() {
        [(table, weights, _)] => Ok((table, weights)),
        [] => Err(not_declared(function, reads)),
        // Several tables of one dataset hold the same weights, unless one of them is there twice.
        [(table, weights, read), others @ ..]
            if others.iter().all(|(.., other)| read.dataset.id == other.dataset.id && read.table != other.table) =>
        {
            Ok((table, weights))
        }
        [(.., weights, one), (.., other), ..] => {
            let message = format!(
                "{function}: the rows have two weights, of \"{}.{}\" and of \"{}.{}\".",
                one.dataset.id, one.table, other.dataset.id, other.table
            );
            let column = &weights.weight;
            Err(Error::new(Code::AmbiguousName, message)
                .hint(format!("Say which: weight => table.{column}, and psu, strata and fpc where they apply.")))
        }
    }
}

/// What a table was resolved as. One under a policy, or with codes, is in the plan that stands for it.
pub(crate) fn read_of<'a>(table: &LogicalPlan, reads: &'a [Read]) -> Option<&'a Read> {
    reads.iter().find(|read| match (read.source.get_logical_plan(), table) {
        (Some(plan), table) => trace::only_table(&plan).is_some_and(|own| trace::is_same(own, table)),
        (None, LogicalPlan::TableScan(scan)) => Arc::ptr_eq(&read.source, &scan.source),
        (None, _) => false,
    })
}

fn weights_of<'a>(table: &LogicalPlan, reads: &'a [Read]) -> Option<&'a Weights> {
    let read = read_of(table, reads)?;
    let weights = read.dataset.weights.as_ref()?;
    weights.table.as_ref().is_none_or(|table| *table == read.table).then_some(weights)
}

/// The column of the rows that is `name` of the table.
fn column_of(rows: &LogicalPlan, table: &LogicalPlan, name: &str) -> Option<Expr> {
    let wanted = table.schema().index_of_column_by_name(None, name)?;
    let places = 0..rows.schema().fields().len();
    let is_it = |place: &usize| trace::column_in(rows, *place, table) == Some(wanted);
    places.into_iter().find(is_it).map(|place| Expr::Column(Column::from(rows.schema().qualified_field(place))))
}

/// The columns of replicates among those of the rows.
fn replicates_of(
    function: &str,
    rows: &LogicalPlan,
    table: &LogicalPlan,
    weight: &str,
    declared: &crate::Replicates,
) -> Result<Replicates, Error> {
    let others = table.schema().fields().iter().map(|field| field.name().as_str()).filter(|name| *name != weight);
    let names = declared.names(others);
    let column = |name: &String| {
        let column = column_of(rows, table, name).ok_or_else(|| out_of_reach(function, name, "replicates"))?;
        Ok(cast(column, DataType::Float64))
    };
    let columns = names.iter().map(column).collect::<Result<Vec<_>, Error>>()?;
    let (scale, rscales) = declared.scales(columns.len())?;
    let replication =
        Replication { scale, rscales, is_combined: declared.combined, is_mse: declared.mse, freedom: declared.df };
    Ok(Replicates { columns, replication })
}

fn out_of_reach(function: &str, name: &str, what: &str) -> Error {
    Error::new(
        Code::DesignMissing,
        format!("{function}: the {what} of the design, \"{name}\", is not among the columns of its rows."),
    )
    .hint(match what {
        "replicates" => "Select all of them in the subquery, or say weight, psu and strata by name.".to_owned(),
        _ => format!("Select it in the subquery, or say {what} => expression."),
    })
}

fn no_design(function: &str) -> Error {
    Error::new(Code::DesignMissing, format!("{function} needs the weight of each row."))
        .hint(format!("Say {function}(.., weight => column), or declare `weights` in the dataset's file."))
}

fn not_declared(function: &str, reads: &[Read]) -> Error {
    let declared = reads.iter().find_map(|read| Some((&read.dataset, read.dataset.weights.as_ref()?)));
    let Some((dataset, weights)) = declared else { return no_design(function) };
    let (id, weight) = (&dataset.id, &weights.weight);
    let message =
        format!("{function}: the weight of dataset \"{id}\", \"{weight}\", is not among the columns of its rows.");
    let error = Error::new(Code::DesignMissing, message);
    match (&weights.table, &weights.unit) {
        (Some(table), Some(unit)) => {
            let period = weights.period.iter().map(|period| format!(", {period}")).collect::<String>();
            error.hint(format!("Join its table: JOIN {id}.{table} USING ({unit}{period})."))
        }
        _ => error.hint(format!("Select it in the subquery, or say {function}(.., weight => column).")),
    }
}
