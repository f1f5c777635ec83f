//! Numbers for the different values of keys, from 0 in the order in which they come.
//!
//! Whole numbers that lie close together, as ids do, are looked up in a list by their value; others are hashed. Several columns
//! are numbered one by one, and then their pairs.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, Int64Array, PrimitiveArray, UInt32Array, downcast_integer_array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::cells::Cells;

/// A list of so many places is no burden, however few of them are used.
const SMALL: usize = 1 << 16;
/// Places that a list may have for each value.
const MOST_PER_VALUE: usize = 8;

/// What numbers the values of some columns.
pub(super) enum Numbering {
    /// There are no columns, so there is one value.
    One,
    /// Of one column.
    Listed(Listed),
    Hashed(Box<dyn GroupValues>),
    /// Of the columns of both.
    Pairs(Box<Pairs>),
}

/// The pairs of two numberings.
pub(super) struct Pairs {
    first: Numbering,
    second: Numbering,
    cells: Cells,
    /// The numbers of a batch's rows, kept for their memory.
    numbers: [Vec<usize>; 2],
}

impl Numbering {
    pub(super) fn of(columns: &[FieldRef]) -> Result<Self> {
        let Some((last, others)) = columns.split_last() else { return Ok(Numbering::One) };
        let last = match last.data_type() {
            data_type if is_listed(data_type) => Numbering::Listed(Listed::new(last)),
            _ => hashed(last)?,
        };
        if others.is_empty() { Ok(last) } else { Ok(Numbering::pairs(Numbering::of(others)?, last)) }
    }

    fn pairs(first: Numbering, second: Numbering) -> Self {
        Numbering::Pairs(Box::new(Pairs::of(first, second)))
    }

    /// The number of each row's values, and how many numbers there are now.
    pub(super) fn number(&mut self, columns: &[ArrayRef], rows: usize, numbers: &mut Vec<usize>) -> Result<usize> {
        match self {
            Numbering::One => {
                numbers.clear();
                numbers.resize(rows, 0);
                Ok(1)
            }
            Numbering::Listed(listed) => {
                let [column] = columns else { return internal_err!("{} keys for one column", columns.len()) };
                if let Some(count) = listed.number(column, numbers) {
                    return Ok(count);
                }
                // The values lie too far apart: they keep their numbers.
                let mut values = hashed(&listed.field)?;
                values.number(&[listed.values()?], listed.values.len(), numbers)?;
                *self = values;
                self.number(columns, rows, numbers)
            }
            Numbering::Hashed(values) => {
                values.intern(columns, numbers)?;
                Ok(values.len())
            }
            Numbering::Pairs(pairs) => pairs.number(columns, rows, numbers),
        }
    }

    /// Whether all of it is by lists still.
    pub(super) fn is_listed(&self) -> bool {
        match self {
            Numbering::One | Numbering::Listed(_) => true,
            Numbering::Hashed(_) => false,
            Numbering::Pairs(pairs) => pairs.first.is_listed() && pairs.second.is_listed(),
        }
    }

    fn columns(&self) -> usize {
        match self {
            Numbering::One => 0,
            Numbering::Listed(_) | Numbering::Hashed(_) => 1,
            Numbering::Pairs(pairs) => pairs.first.columns() + pairs.second.columns(),
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Numbering::One => 0,
            Numbering::Listed(listed) => listed.size(),
            Numbering::Hashed(values) => values.size(),
            Numbering::Pairs(pairs) => pairs.size(),
        }
    }

    /// The values, by their numbers.
    pub(super) fn take(self) -> Result<Vec<ArrayRef>> {
        match self {
            Numbering::One => Ok(Vec::new()),
            Numbering::Listed(listed) => Ok(vec![listed.values()?]),
            Numbering::Hashed(mut values) => values.emit(EmitTo::All),
            Numbering::Pairs(pairs) => {
                let ((first, of_first), (second, of_second)) = pairs.take()?;
                let of = |columns: Vec<ArrayRef>, rows: UInt32Array| {
                    columns.into_iter().map(|column| Ok(take(&column, &rows, None)?)).collect::<Result<Vec<_>>>()
                };
                let mut columns = of(first, of_first)?;
                columns.extend(of(second, of_second)?);
                Ok(columns)
            }
        }
    }
}

/// The columns of one of a pair, and the row in them of each pair.
type Half = (Vec<ArrayRef>, UInt32Array);

impl Pairs {
    pub(super) fn of(first: Numbering, second: Numbering) -> Self {
        Self { first, second, cells: Cells::default(), numbers: Default::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn size(&self) -> usize {
        self.first.size() + self.second.size() + self.cells.size()
    }

    pub(super) fn number(&mut self, columns: &[ArrayRef], rows: usize, numbers: &mut Vec<usize>) -> Result<usize> {
        let (of_first, of_second) = columns.split_at(self.first.columns());
        let [first, second] = &mut self.numbers;
        let firsts = self.first.number(of_first, rows, first)?;
        let seconds = self.second.number(of_second, rows, second)?;
        self.cells.number((first, firsts), (second, seconds), numbers)?;
        Ok(self.cells.len())
    }

    pub(super) fn take(self) -> Result<(Half, Half)> {
        let Cells { units, groups, .. } = self.cells;
        Ok(((self.first.take()?, UInt32Array::from(units)), (self.second.take()?, UInt32Array::from(groups))))
    }
}

fn hashed(column: &FieldRef) -> Result<Numbering> {
    // The name says nothing here, and NULL is a value.
    let schema = Schema::new(vec![Field::new("key", column.data_type().clone(), true)]);
    Ok(Numbering::Hashed(new_group_values(Arc::new(schema), &GroupOrdering::None)?))
}

/// Whole numbers that fit into 64 bits with their sign.
pub(super) fn is_listed(data_type: &DataType) -> bool {
    data_type.is_integer() && *data_type != DataType::UInt64
}

/// The number of a value that has none yet.
const NEW: usize = u32::MAX as usize;

/// Whole numbers, by a list that begins with the lowest.
pub(super) struct Listed {
    field: FieldRef,
    lowest: i64,
    /// The highest value so far: the list goes on beyond it.
    highest: i64,
    /// The number plus 1 of each value from the lowest on; 0 is of one that has not come yet.
    places: Vec<u32>,
    values: Vec<Option<i64>>,
    null: Option<usize>,
}

impl Listed {
    fn new(field: &FieldRef) -> Self {
        Self { field: Arc::clone(field), lowest: 0, highest: 0, places: Vec::new(), values: Vec::new(), null: None }
    }

    fn size(&self) -> usize {
        self.places.capacity() * size_of::<u32>() + self.values.capacity() * size_of::<Option<i64>>()
    }

    fn values(&self) -> Result<ArrayRef> {
        Ok(cast(&(Arc::new(Int64Array::from(self.values.clone())) as ArrayRef), self.field.data_type())?)
    }

    /// The numbers of a batch's rows, unless the values lie too far apart.
    fn number(&mut self, column: &ArrayRef, numbers: &mut Vec<usize>) -> Option<usize> {
        downcast_integer_array!(
            column => self.number_of(column, numbers),
            _ => None,
        )
    }

    fn number_of<T: ArrowPrimitiveType>(
        &mut self,
        column: &PrimitiveArray<T>,
        numbers: &mut Vec<usize>,
    ) -> Option<usize>
    where
        T::Native: TryInto<i64> + Ord,
    {
        let whole = |value: T::Native| value.try_into().ok();
        if column.null_count() < column.len() {
            let known = column.iter().flatten();
            let (least, most) = match column.null_count() {
                0 => (column.values().iter().min().copied(), column.values().iter().max().copied()),
                _ => (known.clone().min(), known.max()),
            };
            self.fit(whole(least?)?, whole(most?)?, column.len())?;
        }
        // `fit` made place for each value of the batch.
        let lowest = self.lowest;
        let place = |value: T::Native| Some(whole(value)?.wrapping_sub(lowest) as usize);
        let known = |value: T::Native| {
            let number = place(value).and_then(|place| self.places.get(place)).copied().unwrap_or_default();
            number.wrapping_sub(1) as usize
        };
        numbers.clear();
        // Without a branch for each row, so that none waits for the memory of another; then those that are new.
        let mut are_known = column.null_count() == 0;
        numbers.extend(column.values().iter().map(|value| {
            let number = known(*value);
            are_known &= number != NEW;
            number
        }));
        if are_known {
            return Some(self.values.len());
        }
        let nulls = column.nulls();
        for (row, number) in numbers.iter_mut().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                *number = *self.null.get_or_insert_with(|| {
                    self.values.push(None);
                    self.values.len() - 1
                });
            } else if *number == NEW {
                let value = column.value(row);
                let place = self.places.get_mut(place(value)?)?;
                if *place == 0 {
                    self.values.push(Some(whole(value)?));
                    *place = u32::try_from(self.values.len()).ok()?;
                }
                *number = *place as usize - 1;
            }
        }
        Some(self.values.len())
    }

    /// Makes place for values between these.
    fn fit(&mut self, least: i64, most: i64, rows: usize) -> Option<()> {
        let (lowest, highest) = match self.places.is_empty() {
            true => (least, most),
            false => (least.min(self.lowest), most.max(self.highest)),
        };
        let wanted = usize::try_from(highest.checked_sub(lowest)?).ok()?.checked_add(1)?;
        if lowest == self.lowest && wanted <= self.places.len() {
            self.highest = highest;
            return Some(());
        }
        if wanted > SMALL.max(MOST_PER_VALUE * (self.values.len() + rows)) {
            return None;
        }
        // Some more at the end, since ids grow.
        let mut places = vec![0; wanted + wanted / 2];
        let kept = usize::try_from(self.lowest.checked_sub(lowest)?).unwrap_or_default();
        let old = std::mem::take(&mut self.places);
        for (place, number) in old.into_iter().enumerate().filter(|(_, number)| *number > 0) {
            *places.get_mut(kept + place)? = number;
        }
        (self.lowest, self.highest, self.places) = (lowest, highest, places);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{Int32Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn fields(columns: &[ArrayRef]) -> Vec<FieldRef> {
        columns.iter().map(|column| Arc::new(Field::new("c", column.data_type().clone(), true))).collect()
    }

    type Row = (Option<i32>, Option<i64>, Option<u8>);

    fn columns(rows: &[Row]) -> Vec<ArrayRef> {
        let texts = rows.iter().map(|row| row.2.map(|text| format!("text {text}")));
        vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(texts.collect::<StringArray>()),
        ]
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let near = proptest::option::weighted(0.9, -9..9_i32);
        let far =
            prop_oneof![Just(None), (0..40_i64).prop_map(Some), any::<i64>().prop_map(Some), Just(Some(i64::MIN))];
        let text = proptest::option::weighted(0.9, 0..5_u8);
        proptest::collection::vec((near, far, text), 1..300)
    }

    proptest! {
        #[test]
        fn equal_rows_have_one_number_and_their_values_come_back(rows in rows(), batch in 1_usize..90, of in 1_usize..=3) {
            let of_row = |row: &Row| [row.0.map(i64::from), row.1.filter(|_| of > 1), row.2.filter(|_| of > 2).map(i64::from)];
            let mut numbering = Numbering::of(&fields(&columns(&rows)[..of])).unwrap();
            let (mut known, mut numbers) = (HashMap::new(), Vec::new());
            for rows in rows.chunks(batch) {
                let count = numbering.number(&columns(rows)[..of], rows.len(), &mut numbers).unwrap();
                for (row, number) in rows.iter().zip(&numbers) {
                    prop_assert_eq!(*known.entry(of_row(row)).or_insert(*number), *number);
                }
                prop_assert_eq!(known.len(), count);
            }
            let values = numbering.take().unwrap();
            for row in &rows {
                let number = known[&of_row(row)];
                for (column, values) in columns(std::slice::from_ref(row)).iter().zip(&values) {
                    prop_assert_eq!(column, &values.slice(number, 1));
                }
            }
        }
    }

    #[test]
    fn ids_that_grow_stay_in_the_list() {
        let mut listed = Listed::new(&Arc::new(Field::new("id", DataType::Int64, true)));
        let mut numbers = Vec::new();
        for start in (0..400_000).step_by(8_000) {
            let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((start..start + 8_000).map(|id| 5_000_000 + id)));
            assert_eq!(listed.number(&ids, &mut numbers), Some(usize::try_from(start).unwrap() + 8_000));
        }
        let far: ArrayRef = Arc::new(Int64Array::from(vec![-5]));
        assert_eq!(listed.number(&far, &mut numbers), None);
    }
}
