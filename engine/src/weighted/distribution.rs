//! The weighted distribution of one group: its values with their weights, and the smallest value that reaches a share.
//!
//! F(x) is the share of the weight at values up to x; the quantile at p is the smallest x with F(x) >= p (R's "math"
//! rule), so it is always a value of the data. Exact: every row with a positive weight is kept.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, LargeListArray, RecordBatch};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, ColumnarValue, Documentation};
use datafusion::physical_expr::utils::collect_columns;

use super::arguments::Parameter;
use super::moments::Sums;
use super::rows::Rows;
use crate::{Code, Error};

/// A function that finds a value in the distribution of its first argument, weighted by its last.
pub(crate) trait Quantile: 'static {
    /// As it is called in SQL.
    const NAME: &'static str;
    /// Its parameters, in order.
    const PARAMETERS: &'static [Parameter];

    /// Its page in the reference.
    fn documentation() -> Option<&'static Documentation>;

    /// The share to reach, from 0 to 1.
    fn probability(args: &AccumulatorArgs) -> Result<f64>;
}

/// A value, as a key with the value's order, and its weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) key: i64,
    pub(crate) weight: f64,
}

impl Entry {
    /// The value, where it is a float.
    pub(crate) fn value(&self) -> f64 {
        f64::from_bits(flip(self.key).cast_unsigned())
    }

    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key).then(self.weight.total_cmp(&other.weight))
    }
}

/// The key of the smallest value that reaches `p`, in entries sorted by value; NULL of none.
///
/// The shares of an exact tie may differ from `p` in the last digits, by the order of addition: they count as reached.
pub(crate) fn quantile(sorted: impl Iterator<Item = Entry> + Clone, p: f64) -> Option<i64> {
    let mut sum = Sums::<1>::default();
    sorted.clone().for_each(|entry| sum.add([entry.weight]));
    let [total] = sum.totals();
    let enough = p * (1.0 - 4.0 * f64::EPSILON);
    let mut sum = Sums::<1>::default();
    let mut last = None;
    for entry in sorted {
        sum.add([entry.weight]);
        last = Some(entry.key);
        let [reached] = sum.totals();
        if reached / total >= enough {
            break;
        }
    }
    last
}

/// How values become keys and back: floats, dates and timestamps all sort as 64-bit integers.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    data_type: DataType,
}

impl Keys {
    pub(super) fn of_floats() -> Self {
        Self { data_type: DataType::Float64 }
    }

    /// Of the type of the function's first argument.
    pub(super) fn of(args: &AccumulatorArgs) -> Self {
        Self { data_type: args.expr_fields.first().map_or(DataType::Float64, |field| field.data_type().clone()) }
    }

    fn encode(&self, values: &ArrayRef) -> Result<ScalarBuffer<i64>> {
        match &self.data_type {
            DataType::Float64 => {
                let values = values.as_primitive::<Float64Type>().values();
                // Adding 0.0 makes one zero of two.
                Ok(values.iter().map(|x| flip((x + 0.0).to_bits().cast_signed())).collect())
            }
            _ => Ok(cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().values().clone()),
        }
    }

    /// The values of keys, in the type that they came in.
    pub(super) fn decode(&self, keys: Vec<Option<i64>>) -> Result<ArrayRef> {
        match &self.data_type {
            DataType::Float64 => {
                let values = keys.into_iter().map(|key| key.map(|key| Entry { key, weight: 0.0 }.value()));
                Ok(Arc::new(values.collect::<Float64Array>()))
            }
            other => Ok(cast(&Int64Array::from(keys), other)?),
        }
    }
}

/// The bits of a float, so that integers compare as `f64::total_cmp` does. It is its own inverse.
fn flip(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// Calls `each` with every row that takes part and has a weight.
pub(super) fn for_each_entry(
    name: &str,
    keys: &Keys,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
    mut each: impl FnMut(usize, Entry),
) -> Result<()> {
    let (Some(value), Some(weight)) = (values.first(), values.last()) else {
        return Err(internal_datafusion_err!("{name} was called without arguments"));
    };
    let encoded = keys.encode(value)?;
    let kept = match (value.nulls(), filter) {
        (None, filter) => filter.cloned(),
        (Some(nulls), filter) => {
            let filter_nulls = filter.map(|filter| {
                let nulls = filter.nulls().cloned();
                NullBuffer::union(nulls.as_ref(), Some(&NullBuffer::new(filter.values().clone())))
            });
            NullBuffer::union(Some(nulls), filter_nulls.flatten().as_ref())
                .map(|kept| BooleanArray::new(kept.into_inner(), None))
        }
    };
    let rows = Rows::<1>::of(name, std::slice::from_ref(weight), kept.as_ref())?;
    let [weights] = rows.columns();
    rows.for_each(|row| {
        if weights[row] > 0.0 {
            each(row, Entry { key: encoded[row], weight: weights[row] });
        }
    });
    Ok(())
}

/// The partial state: the keys of a group and their weights, as two lists.
pub(crate) fn state_fields() -> Vec<(String, DataType)> {
    let list = |item| DataType::LargeList(Arc::new(Field::new_list_field(item, true)));
    vec![("values".to_owned(), list(DataType::Int64)), ("weights".to_owned(), list(DataType::Float64))]
}

/// The lists of [`state_fields`], one row per group, from the groups' sizes and all their entries in order.
pub(super) fn to_lists(sizes: impl IntoIterator<Item = usize>, entries: &[Entry]) -> Vec<ArrayRef> {
    let offsets = OffsetBuffer::<i64>::from_lengths(sizes);
    let keys: Int64Array = entries.iter().map(|entry| Some(entry.key)).collect();
    let weights: Float64Array = entries.iter().map(|entry| Some(entry.weight)).collect();
    let list = |items: ArrayRef| -> ArrayRef {
        let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
        Arc::new(LargeListArray::new(item, offsets.clone(), items, None))
    };
    vec![list(Arc::new(keys)), list(Arc::new(weights))]
}

/// Calls `each` with every entry of the lists that [`to_lists`] made, and the row that it was in.
pub(crate) fn for_each_listed(lists: &[ArrayRef], mut each: impl FnMut(usize, Entry)) -> Result<()> {
    let [keys, weights] = lists else {
        return Err(internal_datafusion_err!("the partial state of a quantile is two lists, not {}", lists.len()));
    };
    let (keys, weights) = (keys.as_list::<i64>(), weights.as_list::<i64>());
    for row in 0..keys.len() {
        let (keys, weights) = (keys.value(row), weights.value(row));
        let (keys, weights) = (keys.as_primitive::<Int64Type>(), weights.as_primitive::<Float64Type>());
        for (key, weight) in keys.values().iter().zip(weights.values()) {
            each(row, Entry { key: *key, weight: *weight });
        }
    }
    Ok(())
}

/// One group, growing or sliding.
#[derive(Debug)]
pub(super) struct Distribution {
    name: &'static str,
    p: f64,
    keys: Keys,
    entries: Vec<Entry>,
    /// How many of `entries`, from the first, are in order.
    sorted: usize,
}

impl Distribution {
    pub(super) fn new(name: &'static str, p: f64, args: &AccumulatorArgs) -> Self {
        Self { name, p, keys: Keys::of(args), entries: Vec::new(), sorted: 0 }
    }

    /// The sort is the stable one because it finds what is in order already: a window adds few rows to many.
    fn sort(&mut self) {
        if self.sorted < self.entries.len() {
            self.entries.sort_by(Entry::compare);
            self.sorted = self.entries.len();
        }
    }
}

impl Accumulator for Distribution {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { name, keys, entries, .. } = self;
        for_each_entry(name, keys, values, None, |_, entry| entries.push(entry))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.sort();
        let Self { name, keys, entries, .. } = self;
        for_each_entry(name, keys, values, None, |_, entry| {
            if let Ok(at) = entries.binary_search_by(|other| other.compare(&entry)) {
                entries.remove(at);
            }
        })?;
        self.sorted = self.entries.len();
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.sort();
        let found = quantile(self.entries.iter().copied(), self.p);
        ScalarValue::try_from_array(&self.keys.decode(vec![found])?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.entries.capacity() * size_of::<Entry>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let lists = to_lists([self.entries.len()], &self.entries);
        lists.iter().map(|list| ScalarValue::try_from_array(list, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for_each_listed(states, |_, entry| self.entries.push(entry))
    }
}

/// The share in the second argument, which is the same for all rows.
///
/// # Errors
/// `invalid_argument` when it is not a constant, or not from 0 to 1.
pub(super) fn constant_probability(name: &str, args: &AccumulatorArgs) -> Result<f64> {
    let wrong = |what: &str| {
        Error::new(Code::InvalidArgument, format!("{name}(x, p, w): p must be {what}."))
            .hint("0.5 is the median, 0.9 the value that 90% of the weight does not exceed.")
    };
    let Some(p) = args.exprs.get(1).filter(|p| collect_columns(p).is_empty()) else {
        return Err(wrong("a constant, not a column").into());
    };
    let nothing = RecordBatch::new_empty(Arc::new(args.schema.clone()));
    let ColumnarValue::Scalar(p) = p.evaluate(&nothing)? else {
        return Err(wrong("a constant").into());
    };
    match p.cast_to(&DataType::Float64)? {
        ScalarValue::Float64(Some(p)) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err(wrong("a number from 0 to 1").into()),
    }
}
