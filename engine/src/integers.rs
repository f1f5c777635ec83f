//! `sum` and `avg` of integers, and `sum` of wide decimals, that are exact: a sum that its type cannot hold is an error, and an
//! average is that of the exact sum.
//!
//! DataFusion's own sum wraps, and its average of integers adds doubles. What is of other types is theirs.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array,
    PrimitiveArray, UInt64Array,
};
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::types::{
    NativeType, logical_float64, logical_int8, logical_int16, logical_int32, logical_int64, logical_uint8,
    logical_uint16, logical_uint32, logical_uint64,
};
use datafusion::common::{Result, internal_err};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Coercion, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs, TypeSignature, TypeSignatureClass, Volatility,
};
use datafusion::scalar::ScalarValue;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::accumulate;
use datafusion_functions_aggregate_common::utils::GenericDistinctBuffer;

use crate::{Code, Error};

/// The type of a sum between its parts. It holds the sum of as many integers as there can be.
const EXACT: DataType = DataType::Decimal128(38, 0);
/// A sum has ten digits more than its decimals. Where these are fewer, no number of rows is beyond it.
const NARROW: u8 = 28;

/// `sum` and `avg`.
pub(crate) fn all() -> Vec<Arc<AggregateUDF>> {
    let average = OfIntegers { signature: averaged(), built_in: avg_udaf(), figure: Figure::Average };
    vec![sum(), Arc::new(AggregateUDF::from(average))]
}

/// `sum`.
pub(crate) fn sum() -> Arc<AggregateUDF> {
    let built_in = sum_udaf();
    let sum = OfIntegers { signature: built_in.signature().clone(), built_in, figure: Figure::Sum };
    Arc::new(AggregateUDF::from(sum))
}

/// What `avg` takes: DataFusion's takes no integer as it is.
fn averaged() -> Signature {
    let exact = |class| TypeSignature::Coercible(vec![Coercion::new_exact(class)]);
    let widened = |to, from: Vec<_>, native| {
        let from = from.into_iter().map(TypeSignatureClass::Native).collect();
        TypeSignature::Coercible(vec![Coercion::new_implicit(TypeSignatureClass::Native(to), from, native)])
    };
    let float = Coercion::new_implicit(
        TypeSignatureClass::Native(logical_float64()),
        vec![TypeSignatureClass::Float],
        NativeType::Float64,
    );
    let kinds = vec![
        exact(TypeSignatureClass::Decimal),
        exact(TypeSignatureClass::Duration),
        widened(logical_uint64(), vec![logical_uint8(), logical_uint16(), logical_uint32()], NativeType::UInt64),
        widened(logical_int64(), vec![logical_int8(), logical_int16(), logical_int32()], NativeType::Int64),
        TypeSignature::Coercible(vec![float]),
    ];
    Signature::one_of(kinds, Volatility::Immutable)
}

/// One of the two.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct OfIntegers {
    built_in: Arc<AggregateUDF>,
    signature: Signature,
    figure: Figure,
}

impl OfIntegers {
    pub(crate) fn is_sum(&self) -> bool {
        self.figure == Figure::Sum
    }

    /// The type of the values, where they are added here.
    fn input<'a>(&self, args: &'a AccumulatorArgs) -> Option<&'a DataType> {
        let input = args.expr_fields.first()?.data_type();
        match input {
            DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..) => {
                Some(input).filter(|one| self.is_ours(one))
            }
            _ => None,
        }
    }

    fn is_ours(&self, input: &DataType) -> bool {
        match input {
            DataType::Decimal128(precision, _) => self.is_sum() && *precision > NARROW,
            other => other.is_integer(),
        }
    }
}

impl AggregateUDFImpl for OfIntegers {
    fn name(&self) -> &str {
        self.built_in.name()
    }

    fn aliases(&self) -> &[String] {
        self.built_in.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.built_in.return_type(arg_types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match args.input_fields {
            [input] if self.is_ours(input.data_type()) && args.is_distinct => {
                let name = format_state_name(args.name, "distinct");
                let value = Field::new_list_field(input.data_type().clone(), true);
                Ok(vec![Arc::new(Field::new_list(name, value, false))])
            }
            [input] if self.is_ours(input.data_type()) => Ok(vec![
                Arc::new(Field::new(format_state_name(args.name, "count"), DataType::UInt64, true)),
                Arc::new(Field::new(format_state_name(args.name, "sum"), EXACT, true)),
            ]),
            _ => self.built_in.state_fields(args),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Some(input) = self.input(&args) else { return self.built_in.accumulator(args) };
        let result = Outcome { figure: self.figure, data_type: args.return_type().clone() };
        Ok(match (input, args.is_distinct) {
            (DataType::Int64, true) => Box::new(Distinct::<Int64Type>::new(result, input)),
            (DataType::UInt64, true) => Box::new(Distinct::<UInt64Type>::new(result, input)),
            (_, true) => Box::new(Distinct::<Decimal128Type>::new(result, input)),
            (_, false) => Box::new(Whole { result, part: Part::default() }),
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match self.input(&args) {
            Some(_) => !args.is_distinct,
            None => self.built_in.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if self.input(&args).is_none() {
            return self.built_in.create_groups_accumulator(args);
        }
        let result = Outcome { figure: self.figure, data_type: args.return_type().clone() };
        Ok(Box::new(Groups { result, sums: Vec::new(), counts: Vec::new(), is_beyond: false }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.input(&args) {
            Some(_) => self.accumulator(args),
            None => self.built_in.create_sliding_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.built_in.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.built_in.documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.built_in.inner().set_monotonicity(data_type)
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.built_in.value_from_stats(args)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Figure {
    Sum,
    Average,
}

/// What is made of sums and counts.
#[derive(Debug, Clone)]
struct Outcome {
    figure: Figure,
    data_type: DataType,
}

impl Outcome {
    /// NULL where nothing was counted.
    fn of(&self, parts: impl Iterator<Item = Part>) -> Result<ArrayRef> {
        let parts = parts.map(|part| Some(part).filter(|part| part.count > 0));
        Ok(match (self.figure, &self.data_type) {
            (Figure::Average, _) => {
                // Each step is rounded to the nearest double, once.
                #[expect(clippy::cast_precision_loss, reason = "an average is a double")]
                let averages = parts.map(|part| part.map(|part| part.sum as f64 / part.count as f64));
                Arc::new(averages.collect::<Float64Array>())
            }
            (Figure::Sum, DataType::Decimal128(precision, scale)) => {
                let digits = |part: Part| match Decimal128Type::validate_decimal_precision(part.sum, *precision, *scale)
                {
                    Ok(()) => Ok(part.sum),
                    Err(_) => Err(beyond_decimals()),
                };
                let sums =
                    parts.map(|part| part.map(digits).transpose()).collect::<Result<Decimal128Array, Error>>()?;
                Arc::new(sums.with_precision_and_scale(*precision, *scale)?)
            }
            (Figure::Sum, DataType::UInt64) => {
                let sums = parts.map(|part| part.map(|part| u64::try_from(part.sum).map_err(|_| beyond())).transpose());
                Arc::new(sums.collect::<Result<UInt64Array, Error>>()?)
            }
            (Figure::Sum, _) => {
                let sums = parts.map(|part| part.map(|part| i64::try_from(part.sum).map_err(|_| beyond())).transpose());
                Arc::new(sums.collect::<Result<Int64Array, Error>>()?)
            }
        })
    }
}

fn beyond() -> Error {
    Error::new(Code::ArithmeticError, "A sum of integers is beyond what 64 bits hold.")
        .hint("Add them as decimals: sum(CAST(x AS DECIMAL(38, 0))).")
}

fn beyond_decimals() -> Error {
    Error::new(Code::ArithmeticError, "A sum of decimals is beyond the 38 digits that a decimal has.")
        .hint("Add them with fewer digits behind the point, or as sum(CAST(x AS DOUBLE)).")
}

/// The sum of some integers, and how many they are.
#[derive(Debug, Default, Clone, Copy)]
struct Part {
    count: u64,
    sum: i128,
}

impl Part {
    fn of(values: &ArrayRef) -> Result<Self> {
        let sum = match values.data_type() {
            DataType::Int64 => sum_of(values.as_primitive::<Int64Type>(), |value| (value >> 32, value & 0xffff_ffff)),
            DataType::UInt64 => sum_of(values.as_primitive::<UInt64Type>(), |value| {
                #[expect(clippy::cast_possible_wrap, reason = "each half has 32 bits")]
                ((value >> 32) as i64, (value & 0xffff_ffff) as i64)
            }),
            DataType::Decimal128(..) => {
                let mut values = values.as_primitive::<Decimal128Type>().iter().flatten();
                values.try_fold(0_i128, i128::checked_add).ok_or_else(beyond_decimals)?
            }
            other => return internal_err!("a sum of integers of {other}"),
        };
        Ok(Self { count: (values.len() - values.null_count()) as u64, sum })
    }

    fn plus(self, other: Self) -> Result<Self> {
        let sum = self.sum.checked_add(other.sum).ok_or_else(beyond_decimals)?;
        Ok(Self { count: self.count + other.count, sum })
    }

    fn minus(self, other: Self) -> Result<Self> {
        let sum = self.sum.checked_sub(other.sum).ok_or_else(beyond_decimals)?;
        Ok(Self { count: self.count - other.count, sum })
    }

    fn merged(parts: &[ArrayRef]) -> Result<Self> {
        let [counts, sums] = parts else { return internal_err!("a sum of integers in {} parts", parts.len()) };
        let sum = sums.as_primitive::<Decimal128Type>().iter().flatten().try_fold(0_i128, i128::checked_add);
        let count = counts.as_primitive::<UInt64Type>().iter().flatten().sum();
        Ok(Self { count, sum: sum.ok_or_else(beyond_decimals)? })
    }
}

/// The sum of both halves of each value, which no batch overflows and which processors add side by side.
fn sum_of<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, halves: impl Fn(T::Native) -> (i64, i64)) -> i128 {
    let add = |(high, low): (i64, i64), value| {
        let (high_part, low_part) = halves(value);
        (high + high_part, low + low_part)
    };
    let joined = |(high, low): (i64, i64)| (i128::from(high) << 32) + i128::from(low);
    joined(match values.null_count() {
        0 => values.values().iter().copied().fold((0, 0), add),
        _ => values.iter().flatten().fold((0, 0), add),
    })
}

/// Of all rows, or of the rows of a window.
#[derive(Debug)]
struct Whole {
    result: Outcome,
    part: Part,
}

impl Accumulator for Whole {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return internal_err!("a sum of nothing") };
        self.part = self.part.plus(Part::of(values)?)?;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return internal_err!("a sum of nothing") };
        self.part = self.part.minus(Part::of(values)?)?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, parts: &[ArrayRef]) -> Result<()> {
        self.part = self.part.plus(Part::merged(parts)?)?;
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::UInt64(Some(self.part.count)), ScalarValue::Decimal128(Some(self.part.sum), 38, 0)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.result.of([self.part].into_iter())?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// Of the distinct values.
#[derive(Debug)]
struct Distinct<T: ArrowPrimitiveType> {
    result: Outcome,
    values: GenericDistinctBuffer<T>,
}

impl<T: ArrowPrimitiveType> Distinct<T> {
    fn new(result: Outcome, input: &DataType) -> Self {
        Self { result, values: GenericDistinctBuffer::new(input.clone()) }
    }
}

impl<T> Accumulator for Distinct<T>
where
    T: ArrowPrimitiveType + std::fmt::Debug,
    T::Native: Into<i128>,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.update_batch(values)
    }

    fn merge_batch(&mut self, parts: &[ArrayRef]) -> Result<()> {
        self.values.merge_batch(parts)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.values.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut values = self.values.values.iter().map(|value| value.0.into());
        let sum = values.try_fold(0_i128, i128::checked_add).ok_or_else(beyond_decimals)?;
        let part = Part { count: self.values.values.len() as u64, sum };
        ScalarValue::try_from_array(&self.result.of([part].into_iter())?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.size()
    }
}

/// Of the rows of each group.
#[derive(Debug)]
struct Groups {
    result: Outcome,
    sums: Vec<i128>,
    counts: Vec<u64>,
    is_beyond: bool,
}

impl Groups {
    fn emit(&mut self, emit_to: EmitTo) -> (Vec<u64>, Vec<i128>) {
        (emit_to.take_needed(&mut self.counts), emit_to.take_needed(&mut self.sums))
    }

    fn checked(&self) -> Result<()> {
        if self.is_beyond { Err(beyond_decimals().into()) } else { Ok(()) }
    }

    fn add<T>(&mut self, values: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>)
    where
        T: ArrowPrimitiveType + Send,
        T::Native: Into<i128>,
    {
        accumulate(groups, values.as_primitive::<T>(), filter, |group, value| {
            let (sum, is_beyond) = self.sums[group].overflowing_add(value.into());
            self.sums[group] = sum;
            self.is_beyond |= is_beyond;
            self.counts[group] += 1;
        });
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sums.resize(total, 0);
        self.counts.resize(total, 0);
        let Some(values) = values.first() else { return internal_err!("a sum of nothing") };
        match values.data_type() {
            DataType::Int64 => self.add::<Int64Type>(values, groups, filter),
            DataType::UInt64 => self.add::<UInt64Type>(values, groups, filter),
            DataType::Decimal128(..) => self.add::<Decimal128Type>(values, groups, filter),
            other => return internal_err!("a sum of integers of {other}"),
        }
        self.checked()
    }

    fn merge_batch(&mut self, parts: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let [counts, sums] = parts else { return internal_err!("a sum of integers in {} parts", parts.len()) };
        self.sums.resize(total, 0);
        self.counts.resize(total, 0);
        accumulate(groups, counts.as_primitive::<UInt64Type>(), None, |group, count| self.counts[group] += count);
        accumulate(groups, sums.as_primitive::<Decimal128Type>(), None, |group, part| {
            let (sum, is_beyond) = self.sums[group].overflowing_add(part);
            self.sums[group] = sum;
            self.is_beyond |= is_beyond;
        });
        self.checked()
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (counts, sums) = self.emit(emit_to);
        self.result.of(counts.into_iter().zip(sums).map(|(count, sum)| Part { count, sum }))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (counts, sums) = self.emit(emit_to);
        let sums = Decimal128Array::from(sums).with_data_type(EXACT);
        Ok(vec![Arc::new(UInt64Array::from(counts)), Arc::new(sums)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(values) = values.first() else { return internal_err!("a sum of nothing") };
        let rows = (0..values.len()).collect::<Vec<_>>();
        let mut each = Self { result: self.result.clone(), sums: Vec::new(), counts: Vec::new(), is_beyond: false };
        each.update_batch(std::slice::from_ref(values), &rows, filter, rows.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<u64>()
    }
}
