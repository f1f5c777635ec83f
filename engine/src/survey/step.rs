//! One level of a survey estimate's plan, as the aggregate function that DataFusion runs. SQL does not see it.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, GroupsAccumulator, Signature, Volatility,
};

use super::one_group::OneGroup;

/// What a level computes.
pub(crate) trait Level: Debug + Clone + Eq + Hash + Send + Sync + 'static {
    /// What EXPLAIN calls it.
    const NAME: &'static str;

    /// What it makes of a group.
    fn data_type(&self) -> DataType;

    /// The types of a group's partial state.
    fn state(&self) -> Vec<DataType>;

    /// No groups yet.
    fn groups(&self) -> Box<dyn Groups>;
}

/// Groups that can also be there without any row.
pub(crate) trait Groups: GroupsAccumulator + Sync {
    fn grow(&mut self, groups: usize);
}

/// A level as an aggregate function.
#[derive(Debug, Clone)]
pub(super) struct Step<L> {
    level: L,
    signature: Signature,
}

/// A call of `level` on columns.
pub(crate) fn call(level: impl Level, arguments: Vec<Expr>, filter: Option<Expr>) -> Expr {
    let step = Step { level, signature: Signature::variadic_any(Volatility::Immutable) };
    let function = Arc::new(AggregateUDF::from(step));
    Expr::AggregateFunction(AggregateFunction::new_udf(function, arguments, false, filter.map(Box::new), vec![], None))
}

impl<L> Step<L> {
    pub(super) fn level(&self) -> &L {
        &self.level
    }
}

impl<L: Level> PartialEq for Step<L> {
    fn eq(&self, other: &Self) -> bool {
        self.level == other.level
    }
}

impl<L: Level> Eq for Step<L> {}

impl<L: Level> Hash for Step<L> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.level.hash(state);
    }
}

impl<L: Level> AggregateUDFImpl for Step<L> {
    fn name(&self) -> &str {
        L::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.level.data_type())
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        ScalarValue::try_from(data_type)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types = self.level.state().into_iter().enumerate();
        let fields = types.map(|(at, data_type)| {
            let name = format_state_name(args.name, &format!("sum_{at}"));
            Arc::new(Field::new(name, data_type, true))
        });
        Ok(fields.collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return internal_err!("a level of a survey estimate was called with DISTINCT");
        }
        Ok(Box::new(OneGroup::new(self.level.groups())))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(self.level.groups())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}
