//! What figures are changed to: counts and totals to multiples of a number, and intervals of quantiles to nothing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;

use super::cells::Value;

/// Counts and totals to the nearest multiple of `base`; of an estimate also its numbers of cases.
pub(super) fn rounded(column: &ArrayRef, value: &Value, base: f64) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Struct(fields) if value.is_survey => {
            let of = column.as_struct();
            let rounded = fields.iter().zip(of.columns()).map(|(field, part)| {
                let is_rounded = match field.name().as_str() {
                    "estimate" | "ci_low" | "ci_high" => value.is_total,
                    name => matches!(name, "n" | "n_people"),
                };
                if is_rounded { to_multiples(part, base) } else { Ok(Arc::clone(part)) }
            });
            let parts = rounded.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), parts, of.nulls().cloned())?))
        }
        numeric if value.is_total && numeric.is_numeric() => to_multiples(column, base),
        _ => Ok(Arc::clone(column)),
    }
}

/// Whose ends are values that somebody has, at places that nobody asked for, and what follows from them.
const OF_INTERVAL: [&str; 4] = ["se", "ci_low", "ci_high", "deff"];

/// An estimate without its interval.
pub(super) fn without_interval(column: &ArrayRef) -> Result<ArrayRef> {
    let DataType::Struct(fields) = column.data_type() else { return Ok(Arc::clone(column)) };
    let of = column.as_struct();
    let parts =
        fields.iter().zip(of.columns()).map(|(field, part)| match OF_INTERVAL.contains(&field.name().as_str()) {
            true => new_null_array(field.data_type(), part.len()),
            false => Arc::clone(part),
        });
    Ok(Arc::new(StructArray::try_new(fields.clone(), parts.collect(), of.nulls().cloned())?))
}

fn to_multiples(column: &ArrayRef, base: f64) -> Result<ArrayRef> {
    let numbers = cast(column, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    let rounded: Float64Array = numbers.iter().map(|number| Some((number? / base).round() * base)).collect();
    Ok(cast(&rounded, column.data_type())?)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn multiples_are_the_nearest_ones() {
        let column: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![Some(12), Some(13), None, Some(-3)]));
        let rounded = to_multiples(&column, 5.0).unwrap();
        let expected = arrow::array::Int64Array::from(vec![Some(10), Some(15), None, Some(-5)]);
        assert_eq!(rounded.as_primitive::<Int64Type>(), &expected);
    }
}
