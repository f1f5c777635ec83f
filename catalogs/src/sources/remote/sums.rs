//! The first level of a survey estimate in the database: sums over the rows of each PSU, so that no row of its own crosses the wire.
//!
//! The sums are of distances from an origin, one of the group's own values: a database keeps nothing of what rounding takes from a
//! sum, little is taken from one of small numbers, and values that are all the same are at no distance at all.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{AggregateFunction, Cast};
use datafusion::logical_expr::{Expr, ident};
use engine::{RowSums, SumsOfRows};

use super::question::Question;
use super::subplan::Subplan;
use super::{Remote, RemoteColumn, predicate};

/// Doubles beyond this have no squares, and those below the other nothing else than 0: databases refuse to make either.
const FARTHEST: &str = "1e150";
const NEAREST: &str = "1e-150";

/// The sums of one call, by the names of the table's columns.
#[derive(Debug)]
pub(super) struct Sums {
    variables: Vec<Expr>,
    weight: Expr,
    filter: Option<Expr>,
    /// The fields of the columns that they become.
    fields: SumsOfRows<FieldRef>,
}

impl Sums {
    /// What `call` asks, if it is the first level of an estimate. The columns are called after `prefix`.
    pub(super) fn of(call: &AggregateFunction, input: &Subplan<'_>, prefix: &str) -> Option<Self> {
        let call = RowSums::of(call)?;
        let written = |expression: &Expr| input.written(expression);
        let variables: Vec<Expr> = call.variables().iter().map(written).collect::<Option<_>>()?;
        let filter = match call.filter() {
            Some(filter) => Some(written(filter)?),
            None => None,
        };
        let field = |name: &str, data_type: DataType| Arc::new(Field::new(format!("{prefix}_{name}"), data_type, true));
        let count = |name: &str| field(name, DataType::Int64);
        let sum = |name: String| field(&name, DataType::Float64);
        let of_variables = 0..variables.len();
        let fields = SumsOfRows {
            rows: count("rows"),
            valueless: count("valueless"),
            weightless: count("weightless"),
            outside: count("outside"),
            misweighted: count("misweighted"),
            far: count("far"),
            weights: sum("weights".to_owned()),
            variables: of_variables.clone().map(|at| (sum(format!("origin_{at}")), sum(format!("sum_{at}")))).collect(),
            products: pairs(variables.len()).map(|(one, other)| sum(format!("product_{one}_{other}"))).collect(),
        };
        Some(Self { variables, weight: written(call.weight()?)?, filter, fields })
    }

    /// The value of `call` from the columns.
    pub(super) fn composed(&self, call: &AggregateFunction) -> Option<Expr> {
        let column = |field: &FieldRef| ident(field.name());
        let fields = &self.fields;
        let sums = SumsOfRows {
            rows: column(&fields.rows),
            valueless: column(&fields.valueless),
            weightless: column(&fields.weightless),
            outside: column(&fields.outside),
            misweighted: column(&fields.misweighted),
            far: column(&fields.far),
            weights: column(&fields.weights),
            variables: fields.variables.iter().map(|(origin, sum)| (column(origin), column(sum))).collect(),
            products: fields.products.iter().map(column).collect(),
        };
        Some(RowSums::of(call)?.made_of(sums))
    }

    /// The sums as columns to select from `rows` of `table`.
    pub(super) fn select<R: Remote>(&self, table: &Question<R>, rows: &mut Rows) -> Option<Vec<(FieldRef, String)>> {
        let all = &table.columns;
        let doubles = self.variables.iter().map(|variable| double::<R>(variable, all, rows));
        let variables: Vec<Double> = doubles.collect::<Option<_>>()?;
        let weight = double::<R>(&self.weight, all, rows)?.name;
        let filter = match &self.filter {
            Some(filter) => Some(rows.named(predicate::<R>(filter, all)?)),
            None => None,
        };
        let of_domain: Vec<String> = filter.iter().cloned().collect();
        let are_there: Vec<String> = variables.iter().filter_map(Double::is_there).collect();
        let are_known: Vec<String> = variables.iter().flat_map(Double::is_known).collect();
        let valued = [of_domain.clone(), are_there].concat();
        let counted = [of_domain.clone(), are_known.clone(), vec![format!("{weight} > 0")]].concat();
        let origin: Vec<String> = variables.iter().map(|variable| rows.origin(variable, &counted)).collect();
        let distances: Vec<String> =
            variables.iter().zip(&origin).map(|(one, origin)| format!("({} - {origin})", one.name)).collect();
        let are_near = variables.iter().zip(&distances).filter(|(variable, _)| variable.may_be_far);
        let is_near = |(_, distance): (&Double, &String)| {
            format!("({distance} = 0 OR abs({distance}) BETWEEN {NEAREST} AND {FARTHEST})")
        };
        let are_near: Vec<String> = are_near.map(is_near).collect();
        let near = [counted.clone(), are_near.clone()].concat();
        let count = |conditions: &[String]| match conditions {
            [] => "count(*)".to_owned(),
            conditions => format!("count(CASE WHEN {} THEN 1 END)", conditions.join(" AND ")),
        };
        let and = |conditions: &[String], more: String| count(&[conditions, &[more]].concat());
        let none = || "count(NULL)".to_owned();
        let sum = |conditions: &[String], term: String| {
            format!("sum(CASE WHEN {} THEN {term} END)", conditions.join(" AND "))
        };
        let is_unknown = |conditions: &[String]| {
            let unknown = conditions.iter().map(|condition| format!("NOT {condition}"));
            format!("({})", unknown.collect::<Vec<_>>().join(" OR "))
        };
        let fields = &self.fields;
        let mut selected = vec![
            (&fields.rows, count(&counted)),
            (
                &fields.valueless,
                match are_known.as_slice() {
                    [] => none(),
                    are_known => count(
                        &[of_domain.as_slice(), &[format!("{weight} IS NOT NULL"), is_unknown(are_known)]].concat(),
                    ),
                },
            ),
            (&fields.weightless, and(&of_domain, format!("{weight} IS NULL"))),
            (
                &fields.outside,
                match &filter {
                    Some(filter) => and(&[], format!("{filter} IS NULL")),
                    None => none(),
                },
            ),
            (&fields.misweighted, and(&valued, format!("NOT ({weight} >= 0 AND {weight} <= 1.7976931348623157e308)"))),
            (
                &fields.far,
                match are_near.as_slice() {
                    [] => none(),
                    _ => format!("({} - {})", count(&counted), count(&near)),
                },
            ),
            (&fields.weights, sum(&counted, weight.clone())),
        ];
        for (at, (origin_field, sum_field)) in fields.variables.iter().enumerate() {
            selected.push((origin_field, format!("max({})", origin.get(at)?)));
            selected.push((sum_field, sum(&near, format!("{weight} * {}", distances.get(at)?))));
        }
        for ((one, other), field) in pairs(variables.len()).zip(&fields.products) {
            let (one, other) = (distances.get(one)?, distances.get(other)?);
            selected.push((field, sum(&near, format!("{weight} * {one} * {other}"))));
        }
        Some(selected.into_iter().map(|(field, sql)| (Arc::clone(field), sql)).collect())
    }
}

/// Each variable with itself and with those behind it.
fn pairs(variables: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..variables).flat_map(move |one| (one..variables).map(move |other| (one, other)))
}

/// A number of each row, as the database's own double.
#[derive(Debug, Clone, PartialEq)]
struct Double {
    /// As a column of the rows.
    name: String,
    may_be_null: bool,
    may_be_far: bool,
    /// What holds of a value that is no number.
    is_undefined: Option<String>,
    /// Whether it is the same of every row.
    is_constant: bool,
}

impl Double {
    /// One that is no double in the database's table, and so never far.
    fn exact(name: String, may_be_null: bool) -> Self {
        Self { name, may_be_null, may_be_far: false, is_undefined: None, is_constant: false }
    }

    /// What must hold for it not to be NULL.
    fn is_there(&self) -> Option<String> {
        self.may_be_null.then(|| format!("({} IS NOT NULL)", self.name))
    }

    /// What must hold for it to have a value that is a number.
    fn is_known(&self) -> impl Iterator<Item = String> {
        let defined = self.is_undefined.iter().map(|undefined| format!("(NOT {undefined})"));
        self.is_there().into_iter().chain(defined)
    }
}

/// An expression as a double, where its value is the one that it has here: numbers, and truth values as 1 and 0.
fn double<R: Remote>(expression: &Expr, columns: &[R::Column], rows: &mut Rows) -> Option<Double> {
    match expression {
        Expr::Cast(Cast { expr, field }) if *field.data_type() == DataType::Float64 => double::<R>(expr, columns, rows),
        Expr::Literal(value, _) => {
            let ScalarValue::Float64(Some(value)) = value.cast_to(&DataType::Float64).ok()? else { return None };
            let number = if value == 1.0 { "1" } else { "0" };
            let is_flag = value == 1.0 || value == 0.0;
            let name = rows.named(R::as_double(number)?);
            is_flag.then_some(Double { is_constant: true, ..Double::exact(name, false) })
        }
        Expr::Column(named) => {
            let column = columns.iter().find(|column| *column.field().name() == named.name)?;
            let may_be_null = column.field().is_nullable();
            let mut as_double = || Some(rows.named(R::as_double(&column.selected())?));
            match column.field().data_type() {
                data_type if data_type.is_integer() || matches!(data_type, DataType::Decimal128(..)) => {
                    Some(Double::exact(as_double()?, may_be_null))
                }
                DataType::Float32 | DataType::Float64 => {
                    let name = as_double()?;
                    let is_undefined = R::undefined(&name);
                    Some(Double { may_be_far: true, is_undefined, ..Double::exact(name, may_be_null) })
                }
                DataType::Boolean => truth::<R>(&column.truth()?, rows),
                _ => None,
            }
        }
        expression => truth::<R>(&predicate::<R>(expression, columns)?, rows),
    }
}

/// A truth value as a double.
fn truth<R: Remote>(condition: &str, rows: &mut Rows) -> Option<Double> {
    let double = R::as_double(&format!("(CASE WHEN {condition} THEN 1 WHEN NOT {condition} THEN 0 END)"))?;
    Some(Double::exact(rows.named(double), true))
}

/// The rows that are summed: columns of a table, what is computed of each row, and what of the rows of its group.
#[derive(Debug)]
pub(super) struct Rows {
    /// What the names of computed columns begin with, as no column of the table does.
    prefix: String,
    computed: Vec<String>,
    origins: Vec<String>,
}

impl Rows {
    pub(super) fn of<C: RemoteColumn>(columns: &[C]) -> Self {
        let mut prefix = "weft_".to_owned();
        while columns.iter().any(|column| column.field().name().starts_with(&prefix)) {
            prefix.push('_');
        }
        Self { prefix, computed: Vec::new(), origins: Vec::new() }
    }

    /// Whether nothing is computed.
    pub(super) fn are_plain(&self) -> bool {
        self.computed.is_empty()
    }

    /// What is computed of a row, as a column.
    fn named(&mut self, computed: String) -> String {
        format!("{}{}", self.prefix, place(&mut self.computed, computed))
    }

    /// The least value of a variable in the rows of a group that count: to be near to all of them is all that is asked of it.
    fn origin(&mut self, variable: &Double, counted: &[String]) -> String {
        if variable.is_constant {
            return variable.name.clone();
        }
        let name = &variable.name;
        let near = variable.may_be_far.then(|| format!("abs({name}) <= {FARTHEST}"));
        let conditions: Vec<&str> = counted.iter().chain(&near).map(String::as_str).collect();
        let least = format!("min(CASE WHEN {} THEN {name} END)", conditions.join(" AND "));
        format!("{}near_{}", self.prefix, place(&mut self.origins, least))
    }

    /// The rows as what a statement selects from: `columns` of the table, and what is computed by the groups of `keys`.
    pub(super) fn from<R: Remote>(&self, table: &Question<R>, columns: &[String], keys: &[String]) -> String {
        let prefix = &self.prefix;
        let named = |items: &[String], infix: &str, over: &str| -> Vec<String> {
            items.iter().enumerate().map(|(at, item)| format!("{item}{over} AS {prefix}{infix}{at}")).collect()
        };
        let by = if keys.is_empty() { String::new() } else { format!("PARTITION BY {}", keys.join(", ")) };
        let computed = [columns.to_vec(), named(&self.computed, "", "")].concat();
        let names = (0..self.computed.len()).map(|at| format!("{prefix}{at}"));
        let origins = named(&self.origins, "near_", &format!(" OVER ({by})"));
        let of_groups = columns.iter().cloned().chain(names).chain(origins).collect::<Vec<_>>().join(", ");
        let rows = format!("(SELECT {} {}) AS {prefix}rows", computed.join(", "), table.tail());
        format!("FROM (SELECT {of_groups} FROM {rows}) AS {prefix}groups")
    }
}

/// The place of an item, which is put last if it is not there.
fn place<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    items.iter().position(|known| *known == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    })
}
