//! The rows of a batch that take part: value, weight and filter are all there, and the weight is one.
//!
//! Each column is brought to a slice of floats once per batch, so that the loops over it are plain arithmetic; a batch
//! without NULLs and filter has no mask at all.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, internal_datafusion_err};

use crate::{Code, Error};

/// `A` columns of floats, the weight last, and which rows of them count (all, where there is no mask).
pub(crate) struct Rows<const A: usize> {
    columns: [ScalarBuffer<f64>; A],
    mask: Option<BooleanBuffer>,
}

impl<const A: usize> Rows<A> {
    /// # Errors
    /// `invalid_argument` when a row that takes part has a negative or infinite weight.
    pub(crate) fn of(name: &str, arguments: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Self> {
        let rows = Self::unchecked(name, arguments, filter)?;
        rows.check_weights(name)?;
        Ok(rows)
    }

    /// The same for a caller that looks at each weight anyway, and refuses one that is none.
    pub(crate) fn unchecked(name: &str, arguments: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Self> {
        let mut nulls = filter.map(|filter| match filter.nulls() {
            Some(nulls) => NullBuffer::new(filter.values() & nulls.inner()),
            None => NullBuffer::new(filter.values().clone()),
        });
        let mut columns = [const { None }; A];
        for (column, argument) in columns.iter_mut().zip(arguments) {
            nulls = NullBuffer::union(nulls.as_ref(), argument.nulls());
            *column = Some(floats(argument)?);
        }
        let mut missing = false;
        let columns = columns.map(|column| {
            column.unwrap_or_else(|| {
                missing = true;
                ScalarBuffer::default()
            })
        });
        if missing {
            return Err(internal_datafusion_err!("{name} was called with {} of {A} arguments", arguments.len()));
        }
        let mask = nulls.filter(|nulls| nulls.null_count() > 0).map(NullBuffer::into_inner);
        Ok(Self { columns, mask })
    }

    /// The columns, each of the batch's length: rows that are left out hold anything.
    pub(crate) fn columns(&self) -> [&[f64]; A] {
        std::array::from_fn(|k| self.columns[k].as_ref())
    }

    /// Which rows count; all of them where there is none.
    pub(crate) fn mask(&self) -> Option<&BooleanBuffer> {
        self.mask.as_ref()
    }

    /// How many rows count.
    pub(crate) fn count(&self) -> usize {
        match &self.mask {
            Some(mask) => mask.count_set_bits(),
            None => self.columns.first().map_or(0, |column| column.len()),
        }
    }

    /// Calls `each` with the index of every row that counts.
    #[inline]
    pub(crate) fn for_each(&self, mut each: impl FnMut(usize)) {
        match &self.mask {
            Some(mask) => mask.set_indices().for_each(each),
            None => (0..self.count()).for_each(&mut each),
        }
    }

    fn check_weights(&self, name: &str) -> Result<(), Error> {
        let Some(weights) = self.columns.last() else { return Ok(()) };
        let all_fit = match &self.mask {
            // Without an early end, so that it vectorizes.
            None => weights.iter().fold(true, |fit, w| fit & is_weight(*w)),
            Some(mask) => mask.set_indices().all(|row| is_weight(weights[row])),
        };
        if all_fit { Ok(()) } else { Err(bad_weight(name)) }
    }
}

#[inline(always)]
pub(crate) fn is_weight(w: f64) -> bool {
    (0.0..f64::INFINITY).contains(&w)
}

pub(crate) fn bad_weight(name: &str) -> Error {
    Error::new(Code::InvalidArgument, format!("{name}: a weight is negative, infinite or not a number."))
        .hint("Weights are zero or more. Leave other rows out, as in FILTER (WHERE w >= 0 AND w < 'Infinity'), or make their weight NULL.")
}

/// The argument as floats; a condition counts as 1 or 0.
fn floats(argument: &ArrayRef) -> Result<ScalarBuffer<f64>> {
    match argument.data_type() {
        DataType::Float64 => Ok(argument.as_primitive::<Float64Type>().values().clone()),
        DataType::Boolean => {
            Ok(argument.as_boolean().values().iter().map(|holds| if holds { 1.0 } else { 0.0 }).collect())
        }
        other => Err(internal_datafusion_err!("a weighted function was given {other}, which is not coerced")),
    }
}
