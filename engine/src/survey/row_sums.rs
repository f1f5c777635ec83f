//! The first level of an estimate as plain sums, for a source that can group rows itself: then one row of each PSU crosses the
//! wire, and not all of its rows.
//!
//! A source adds doubles up without keeping what rounding takes, so that it is asked for sums of distances from an origin that is
//! about where the values are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::lists;
use super::part::Part;
use super::rows::{OfRows, width};
use super::step::Step;
use crate::weighted::bad_weight;

/// A call of the level that makes sums of rows.
#[derive(Debug)]
pub struct RowSums<'a> {
    of: OfRows,
    arguments: &'a [Expr],
    filter: Option<&'a Expr>,
}

/// Sums over the rows of one group for which the filter is true. A row counts whose weight is more than 0 and whose variables all have
/// a value, which is a number. Sums of no rows may be NULL.
#[derive(Debug)]
pub struct SumsOfRows<T> {
    /// Rows that count.
    pub rows: T,
    /// Rows that have a weight, and no value of a variable.
    pub valueless: T,
    /// Rows that have no weight.
    pub weightless: T,
    /// Rows for which the filter is NULL.
    pub outside: T,
    /// Rows whose weight is negative or no number, and which have values.
    pub misweighted: T,
    /// Rows that count and are in none of the sums but `weights`, since their values are too far away for a double.
    pub far: T,
    /// The sum of the weights.
    pub weights: T,
    /// Of each variable: what its values are near to, and the weighted sum of the distances from there.
    pub variables: Vec<(T, T)>,
    /// The weighted sums of the products of distances: of the first variable with itself, with the second, and of the second with
    /// itself.
    pub products: Vec<T>,
}

impl<'a> RowSums<'a> {
    /// The call, if it is one.
    pub fn of(call: &'a AggregateFunction) -> Option<Self> {
        let step = call.func.inner().downcast_ref::<Step<OfRows>>()?;
        Some(Self { of: step.level().clone(), arguments: &call.params.args, filter: call.params.filter.as_deref() })
    }

    /// What is summed: one variable or two.
    pub fn variables(&self) -> &'a [Expr] {
        self.arguments.split_last().map_or(&[], |(_, variables)| variables)
    }

    /// The weight.
    pub fn weight(&self) -> Option<&'a Expr> {
        self.arguments.last()
    }

    /// What rows the sums are of.
    pub fn filter(&self) -> Option<&'a Expr> {
        self.filter
    }

    /// The call's value from sums that the source made.
    pub fn made_of(&self, sums: SumsOfRows<Expr>) -> Expr {
        let SumsOfRows { rows, valueless, weightless, outside, misweighted, far, weights, variables, products } = sums;
        let (origins, distances): (Vec<_>, Vec<_>) = variables.into_iter().unzip();
        let first = [rows, valueless, weightless, outside, misweighted, far, weights];
        let arguments = first.into_iter().chain(origins).chain(distances).chain(products).collect();
        let function = Composed { of: self.of.clone(), signature: Signature::variadic_any(Volatility::Volatile) };
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(function)), arguments))
    }
}

/// Makes parts of sums. It counts what was left out, each row once: it is nothing to compute twice.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Composed {
    of: OfRows,
    signature: Signature,
}

impl Composed {
    fn parts<const K: usize, const F: usize>(&self, sums: &[Vec<f64>], groups: usize) -> Result<ArrayRef> {
        const FIRST: usize = 7;
        let [rows, valueless, weightless, outside, misweighted, far, weights] =
            sums.first_chunk::<FIRST>().ok_or_else(wrong)?;
        if misweighted.iter().any(|rows| *rows > 0.0) {
            return Err(bad_weight(self.of.written).into());
        }
        self.of.left_out.add([valueless, weightless, outside].map(|rows| rows.iter().sum::<f64>()));
        let of = |at: usize| sums.get(FIRST + at).ok_or_else(wrong);
        let origins: Vec<&Vec<f64>> = (0..K).map(of).collect::<Result<_>>()?;
        let distances: Vec<&Vec<f64>> = (K..2 * K).map(of).collect::<Result<_>>()?;
        let products: Vec<&Vec<f64>> = (2 * K..2 * K + K * (K + 1) / 2).map(of).collect::<Result<_>>()?;
        let mut floats = Vec::with_capacity(groups * width(K));
        for group in 0..groups {
            let known = |sums: &Vec<f64>| if far[group] > 0.0 { f64::NAN } else { sums[group] };
            let part = Part::<K, F>::of_sums(
                rows[group],
                weights[group],
                std::array::from_fn(|variable| (origins[variable][group], known(distances[variable]))),
                products.iter().map(|sums| known(sums)),
            );
            floats.extend(part.of(self.of.people));
        }
        lists::column(floats, width(K))
    }
}

fn wrong() -> datafusion::common::DataFusionError {
    internal_datafusion_err!("a part of fewer sums than it is made of")
}

impl ScalarUDFImpl for Composed {
    fn name(&self) -> &str {
        "svy_sums"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(lists::data_type(width(self.of.variables)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let groups = args.number_rows;
        let sums = args.args.iter().map(|column| {
            let column = cast(&column.to_array(groups)?, &DataType::Float64)?;
            let floats = column.as_primitive::<Float64Type>();
            Ok((0..groups).map(|group| if floats.is_valid(group) { floats.value(group) } else { 0.0 }).collect())
        });
        let sums: Vec<Vec<f64>> = sums.collect::<Result<_>>()?;
        let parts = match self.of.variables {
            2 => self.parts::<2, 15>(&sums, groups),
            _ => self.parts::<1, 8>(&sums, groups),
        };
        Ok(ColumnarValue::Array(parts?))
    }
}
