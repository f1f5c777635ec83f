//! Quantiles read from the values of a group: the one at a share, and the ones at the ends of the share's interval.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StructArray, new_null_array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::estimators::SHARE;
use super::notices::Notices;
use super::options::Options;
use super::{report, student, values};
use crate::quality::Judged;

/// The quantile at a share.
pub(super) fn point(values: Expr, probability: f64) -> Expr {
    called(Position::Point(probability.to_bits()), vec![values])
}

/// The estimate of a quantile, from the values, the quantile and the estimate of the share of values up to it.
pub(super) fn interval(arguments: [Expr; 3], options: Options, notices: &Arc<Notices>) -> Expr {
    called(Position::Interval(options, Noted(Arc::clone(notices))), arguments.to_vec())
}

fn called(position: Position, arguments: Vec<Expr>) -> Expr {
    let volatility = match position {
        Position::Point(_) => Volatility::Immutable,
        // What it takes note of must be noted once.
        Position::Interval(..) => Volatility::Volatile,
    };
    let function = Positions { position, signature: Signature::variadic_any(volatility) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(function)), arguments))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Position {
    /// The share, by its bits.
    Point(u64),
    Interval(Options, Noted),
}

/// Where to take note of estimates: no part of what the function is.
#[derive(Debug, Clone)]
struct Noted(Arc<Notices>);

impl PartialEq for Noted {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Noted {}

impl Hash for Noted {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Positions {
    position: Position,
    signature: Signature,
}

impl ScalarUDFImpl for Positions {
    fn name(&self) -> &str {
        match self.position {
            Position::Point(_) => "svy_point",
            Position::Interval(..) => "svy_interval",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.position {
            Position::Point(_) => DataType::Float64,
            Position::Interval(..) => report::data_type(SHARE),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args.args.iter().map(|argument| argument.to_array(args.number_rows));
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let answer: ArrayRef = match (&self.position, columns.as_slice()) {
            (Position::Point(p), [values]) => {
                let rows = values::sorted(values)?;
                Arc::new(rows.iter().map(|row| values::at(row, f64::from_bits(*p))).collect::<Float64Array>())
            }
            (Position::Interval(options, Noted(notices)), [values, points, shares]) => {
                intervals(values, points, shares, *options, notices)?
            }
            _ => return Err(internal_datafusion_err!("a quantile was called with {} columns", columns.len())),
        };
        Ok(ColumnarValue::Array(answer))
    }
}

fn intervals(
    values: &ArrayRef,
    points: &ArrayRef,
    shares: &ArrayRef,
    options: Options,
    notices: &Notices,
) -> Result<ArrayRef> {
    let wrong = || internal_datafusion_err!("the share of a quantile is no estimate");
    let shares = shares.as_struct_opt().ok_or_else(wrong)?;
    let column = |name: &str| shares.column_by_name(name).ok_or_else(wrong);
    let (low, high) =
        (column("ci_low")?.as_primitive::<Float64Type>(), column("ci_high")?.as_primitive::<Float64Type>());
    let freedom = column("df")?.as_primitive::<Int64Type>();
    let (rows, people) = (column("n")?.as_primitive::<Int64Type>(), column("n_people")?.as_primitive::<Int64Type>());
    let points_of = points.as_primitive::<Float64Type>();
    let mut ends: [Vec<Option<f64>>; 3] = Default::default();
    for (row, sorted) in values::sorted(values)?.iter().enumerate() {
        let within = |end: &Float64Array| Some(end.value(row)).filter(|p| end.is_valid(row) && (0.0..=1.0).contains(p));
        let low = within(low).and_then(|p| values::at(sorted, p));
        let high = within(high).and_then(|p| values::at(sorted, p));
        let reach = student::reach(options.level(), freedom.value(row) as f64);
        let error = low.zip(high).zip(reach).map(|((low, high), reach)| (high - low) / (2.0 * reach));
        let people = if people.is_valid(row) { people.value(row) } else { rows.value(row) };
        let estimate = points_of.is_valid(row).then(|| points_of.value(row));
        notices.judge(&Judged { estimate, error, people: people as f64, is_difference: false });
        for (end, value) in ends.iter_mut().zip([error, low, high]) {
            end.push(value);
        }
    }
    let [errors, lows, highs] = ends.map(|end| Arc::new(Float64Array::from(end)) as ArrayRef);
    let none = new_null_array(&DataType::Float64, shares.len());
    let counts = ["n", "n_people", "df"].into_iter().map(|name| column(name).cloned()).collect::<Result<Vec<_>>>()?;
    let columns = [Arc::clone(points), errors, lows, highs, none].into_iter().chain(counts).collect();
    let DataType::Struct(fields) = report::data_type(SHARE) else { return Err(wrong()) };
    Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
}
