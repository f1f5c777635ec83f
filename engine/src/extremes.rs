//! `min` and `max` by groups that hold for every float: NaN is greater than all others, and infinities are values.
//!
//! DataFusion's own start from the largest finite number, so that the least of infinities is no infinity, and take
//! whatever follows a NaN. Everything else is theirs.

use std::sync::Arc;

use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use datafusion::common::Result;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF, SetMonotonicity,
    Signature, StatisticsArgs,
};
use datafusion::scalar::ScalarValue;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

/// `min` and `max`.
pub(crate) fn all() -> Vec<Arc<AggregateUDF>> {
    let ends = [(min_udaf(), End::Least), (max_udaf(), End::Greatest)];
    ends.into_iter().map(|(built_in, end)| Arc::new(AggregateUDF::from(Extreme { built_in, end }))).collect()
}

/// One of the two.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Extreme {
    built_in: Arc<AggregateUDF>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    Least,
    Greatest,
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.built_in.name()
    }

    fn signature(&self) -> &Signature {
        self.built_in.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.built_in.return_type(arg_types)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.built_in.coerce_types(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.built_in.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        // The accumulator of single values, which is right, does it for the float that is rare.
        *args.return_field.data_type() != DataType::Float16 && self.built_in.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match (args.return_field.data_type(), self.end) {
            (DataType::Float32, End::Least) => {
                Ok(of_groups::<Float32Type>(f32::NAN, |kept, new| new < kept || kept.is_nan()))
            }
            (DataType::Float64, End::Least) => {
                Ok(of_groups::<Float64Type>(f64::NAN, |kept, new| new < kept || kept.is_nan()))
            }
            (DataType::Float32, End::Greatest) => {
                Ok(of_groups::<Float32Type>(f32::NEG_INFINITY, |kept, new| new > kept || new.is_nan()))
            }
            (DataType::Float64, End::Greatest) => {
                Ok(of_groups::<Float64Type>(f64::NEG_INFINITY, |kept, new| new > kept || new.is_nan()))
            }
            _ => self.built_in.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.built_in.create_sliding_accumulator(args)
    }

    fn is_descending(&self) -> Option<bool> {
        self.built_in.is_descending()
    }

    /// Statistics of files leave NaN out.
    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        if args.return_type.is_floating() { None } else { self.built_in.value_from_stats(args) }
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
}

/// Keeps a value per group: `first` until a value comes that `wins` over what is kept.
fn of_groups<T: ArrowPrimitiveType + Send>(
    first: T::Native,
    wins: fn(T::Native, T::Native) -> bool,
) -> Box<dyn GroupsAccumulator> {
    let keep = move |kept: &mut T::Native, new| {
        if wins(*kept, new) {
            *kept = new;
        }
    };
    Box::new(PrimitiveGroupsAccumulator::<T, _>::new(&T::DATA_TYPE, keep).with_starting_value(first))
}
