//! The check at run time that the sides of a join have each key once.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::expr_fn::{coalesce, greatest, least};
use datafusion::functions_aggregate::expr_fn::{count, max};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, ident, lit, scalar_subquery,
};

use super::multiplied::{Check, Multiplied};
use super::refusal;

/// The rows of `plan`, that come only if all checks of one of the `ways` hold. Else there is an error that speaks of `call`.
///
/// # Errors
/// Those of building a plan.
pub(super) fn guarded(plan: LogicalPlan, ways: Vec<Vec<Check>>, call: &str) -> Result<LogicalPlan> {
    let first = ways.iter().flatten().next();
    let Some(multiplied) = first.map(|check| Multiplied { side: check.of.clone(), by: check.name.clone() }) else {
        return Ok(plan);
    };
    let mut most_of_ways = Vec::with_capacity(ways.len());
    for checks in ways {
        let most = checks.into_iter().map(most).collect::<Result<Vec<_>>>()?;
        most_of_ways.push(any(most, greatest));
    }
    let function = ScalarUDF::from(Once {
        call: call.to_owned(),
        multiplied,
        signature: Signature::exact(vec![DataType::Int64], Volatility::Volatile),
    });
    let once = Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![any(most_of_ways, least)]));
    LogicalPlanBuilder::from(plan).filter(once)?.build()
}

fn any(mut numbers: Vec<Expr>, of: fn(Vec<Expr>) -> Expr) -> Expr {
    match (numbers.pop(), numbers.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            numbers.push(last);
            of(numbers)
        }
        (None, _) => lit(0_i64),
    }
}

/// How many rows there are of the key that has most.
fn most(check: Check) -> Result<Expr> {
    let most = LogicalPlanBuilder::from(check.rows)
        .aggregate(check.columns, [count(lit(1_i64)).alias("joined_rows")])?
        .aggregate(Vec::<Expr>::new(), [max(ident("joined_rows")).alias("joined_most")])?
        .build()?;
    Ok(coalesce(vec![scalar_subquery(Arc::new(most)), lit(0_i64)]))
}

/// Lets rows pass where nothing multiplies them.
#[derive(Debug)]
struct Once {
    call: String,
    multiplied: Multiplied,
    signature: Signature,
}

impl Once {
    fn key(&self) -> (&str, &Multiplied) {
        (&self.call, &self.multiplied)
    }
}

impl PartialEq for Once {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Once {}

impl Hash for Once {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl ScalarUDFImpl for Once {
    fn name(&self) -> &str {
        "joined_once"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let most = args.args.first().map(|most| most.to_array(args.number_rows)).transpose()?;
        let most = most.as_ref().and_then(|most| most.as_primitive_opt::<Int64Type>());
        let is_once = most.is_some_and(|most| most.iter().all(|rows| rows.unwrap_or_default() <= 1));
        if is_once {
            Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
        } else {
            Err(refusal(&self.call, &self.multiplied).into())
        }
    }
}
