//! Functions of an estimate: what a survey function gave, read again. One function is one file here and one line in `all`.

mod quality;
mod rse;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields, Float64Type};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::{ScalarFunctionArgs, ScalarUDF};

use crate::quality::{Judged, Quality};
use crate::{Code, Error};

/// Every function, for a session to register.
pub(super) fn all(quality: Quality) -> Vec<Arc<ScalarUDF>> {
    let functions = [ScalarUDF::from(quality::SvyQuality::new(quality)), ScalarUDF::from(rse::SvyRse::new())];
    functions.into_iter().map(Arc::new).collect()
}

/// Refuses an argument that is no estimate.
///
/// # Errors
/// `invalid_argument`.
fn check(function: &str, given: &[DataType]) -> Result<()> {
    let refused = || Error::new(Code::InvalidArgument, format!("{function}(s) takes what a survey function gives."));
    let is_estimate = |fields: &Fields| {
        let number = |name: &str| fields.find(name).is_some_and(|(_, field)| field.data_type().is_numeric());
        number("estimate") && number("se") && number("n")
    };
    match given {
        [DataType::Struct(fields)] if is_estimate(fields) => Ok(()),
        _ => Err(refused().hint(format!("Write it as in {function}(svy_mean(x)).")).into()),
    }
}

/// What each estimate of a column is judged by; None where there is none.
fn judged(args: &ScalarFunctionArgs) -> Result<Vec<Option<Judged>>> {
    let wrong = || internal_datafusion_err!("a survey estimate is no struct");
    let column = args.args.first().ok_or_else(wrong)?.to_array(args.number_rows)?;
    let estimates = column.as_struct_opt().ok_or_else(wrong)?;
    let [estimate, error, rows] = [floats(estimates, "estimate")?, floats(estimates, "se")?, floats(estimates, "n")?];
    let people = floats(estimates, "n_people")?;
    let is_difference = estimates.column_by_name("p_value").is_some();
    let of = |column: &Option<Float64Array>, row: usize| {
        column.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row))
    };
    let judged = |row: usize| Judged {
        estimate: of(&estimate, row),
        error: of(&error, row),
        people: of(&people, row).or_else(|| of(&rows, row)).unwrap_or_default(),
        is_difference,
    };
    Ok((0..estimates.len()).map(|row| estimates.is_valid(row).then(|| judged(row))).collect())
}

fn floats(estimates: &StructArray, name: &str) -> Result<Option<Float64Array>> {
    let floats = |column: &ArrayRef| Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone());
    estimates.column_by_name(name).map(floats).transpose()
}
