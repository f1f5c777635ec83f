//! What stands in place of a column's value. A mask has the type of its column, and NULL stays NULL under each of them but
//! a constant.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::execution::session_state::SessionState;
use datafusion::functions::expr_fn::{char_length, concat, date_trunc, right, round};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
    try_cast, when,
};
use serde::Deserialize;

use super::Condition;
use crate::Principal;

/// What hidden text looks like, whatever its length was.
const HIDDEN: &str = "****";

/// What stands in place of a column's value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "a mask is SQL in quotes, such as \"NULL\" or \"'hidden'\", or one of {constant: x}, {partial: 4}, {hash: true}, {date: year}, {round: 100}, {recode: {..}}"
)]
pub enum Mask {
    /// One of the ready-made ones.
    Kind(Kind),
    /// An SQL expression over the row and the attributes of who asks, such as `'hidden'` or `NULL`.
    Sql(Box<Condition>),
}

/// Ready-made masks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// The same value for all.
    Constant(Constant),
    /// The first day of its period: `year`, `quarter`, `month` or `week`; of a timestamp also `day` or `hour`.
    Date(Period),
    /// A keyed hash, the same for the same value in every table: values can be counted and joined, and not told.
    Hash(bool),
    /// The last characters of a text, so many, after `****`. Shorter texts are hidden whole.
    Partial(u8),
    /// Categories in place of values; values that are not listed become `other`, or NULL without it.
    Recode {
        /// Categories by value.
        values: BTreeMap<String, String>,
        /// The category of all other values.
        #[serde(default)]
        other: Option<String>,
    },
    /// The nearest multiple of a number.
    Round(f64),
}

/// A constant as a policy file writes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Constant {
    Truth(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

/// A period that a date is cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Period {
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Period {
    const fn as_str(self) -> &'static str {
        match self {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
            Period::Quarter => "quarter",
            Period::Year => "year",
        }
    }
}

impl Mask {
    /// What stands in place of `column` for `principal`; NULL where it lacks an attribute that the mask speaks of.
    ///
    /// # Errors
    /// Where the mask does not fit the column.
    pub(super) fn of(
        &self,
        column: &Expr,
        principal: &Principal,
        schema: &DFSchema,
        state: &SessionState,
        key: &[u8; 32],
    ) -> Result<Expr> {
        let data_type = column.get_type(schema)?;
        let masked = match self {
            Mask::Sql(text) => text.of(principal, schema, state)?.unwrap_or_else(|| lit(ScalarValue::Null)),
            Mask::Kind(kind) => kind.of(column, &data_type, key)?,
        };
        fits(&masked, &data_type, schema)?;
        // A value that does not fit the column becomes NULL.
        Ok(try_cast(masked, data_type).alias(column.qualified_name().1))
    }

    /// Whether the mask fits `column` of a table of `schema`.
    ///
    /// # Errors
    /// As [`Mask::of`].
    pub(super) fn check(&self, column: &Expr, schema: &DFSchema, state: &SessionState) -> Result<()> {
        let data_type = column.get_type(schema)?;
        let masked = match self {
            Mask::Sql(text) => text.check(schema, state)?,
            Mask::Kind(kind) => kind.of(column, &data_type, &[0; 32])?,
        };
        fits(&masked, &data_type, schema)
    }

    /// The mask in words, for who asks what a policy does.
    pub fn words(&self) -> String {
        match self {
            Mask::Sql(text) => text.text().to_owned(),
            Mask::Kind(Kind::Constant(_)) => "a constant".to_owned(),
            Mask::Kind(Kind::Date(period)) => format!("its {}", period.as_str()),
            Mask::Kind(Kind::Hash(_)) => "a keyed hash".to_owned(),
            Mask::Kind(Kind::Partial(shown)) => format!("its last {shown} characters"),
            Mask::Kind(Kind::Recode { .. }) => "categories".to_owned(),
            Mask::Kind(Kind::Round(base)) => format!("the nearest multiple of {base}"),
        }
    }
}

/// Whether what stands in place of a column can have its type: a number is no date, and a word is no number.
///
/// # Errors
/// Where it cannot.
fn fits(masked: &Expr, wanted: &DataType, schema: &DFSchema) -> Result<()> {
    let plain = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    };
    let (given, wanted) = (plain(&masked.get_type(schema)?), plain(wanted));
    let is_alike = given.is_null()
        || given == wanted
        || wanted.is_string()
        || (given.is_numeric() && wanted.is_numeric())
        || (given.is_temporal() && wanted.is_temporal());
    let mut texts = Vec::new();
    let is_of_texts = given.is_string() && results(masked, &mut texts);
    if is_alike || (is_of_texts && texts.iter().all(|text| text.cast_to(&wanted).is_ok_and(|value| !value.is_null()))) {
        return Ok(());
    }
    let [given, wanted] = [&given, &wanted].map(crate::system::type_name);
    plan_err!("the column is {wanted}, and what would stand in its place is {given}")
}

/// The texts that an expression may result in; false where they are not known.
fn results(expr: &Expr, texts: &mut Vec<ScalarValue>) -> bool {
    match expr {
        Expr::Literal(value, _) => {
            if !value.is_null() {
                texts.push(value.clone());
            }
            true
        }
        Expr::Alias(alias) => results(&alias.expr, texts),
        Expr::Case(case) => {
            let results_of = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
            let mut results_of = results_of.map(|result| results(result, texts));
            results_of.all(|is_known| is_known)
        }
        _ => false,
    }
}

impl Kind {
    fn of(&self, column: &Expr, data_type: &DataType, key: &[u8; 32]) -> Result<Expr> {
        let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let value = column.clone();
        match self {
            Kind::Constant(constant) => Ok(match constant {
                Constant::Truth(truth) => lit(*truth),
                Constant::Whole(whole) => lit(*whole),
                Constant::Number(number) => lit(*number),
                Constant::Text(text) => lit(text.as_str()),
            }),
            Kind::Date(Period::Hour | Period::Day) if matches!(data_type, DataType::Date32 | DataType::Date64) => {
                plan_err!("a date has no shorter period than a week")
            }
            Kind::Date(period)
                if data_type.is_temporal()
                    && !matches!(
                        data_type,
                        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) | DataType::Interval(_)
                    ) =>
            {
                Ok(date_trunc(lit(period.as_str()), value))
            }
            Kind::Date(_) => plan_err!("the mask date is for dates and timestamps"),
            Kind::Hash(true) if is_text || matches!(data_type, DataType::Int64 | DataType::UInt64) => {
                Ok(ScalarUDF::from(KeyedHash::new(*key)).call(vec![value]))
            }
            Kind::Hash(true) => plan_err!("the mask hash is for text and BIGINT"),
            Kind::Hash(false) => plan_err!("write hash: true, or leave the column out"),
            Kind::Partial(shown) if is_text => {
                let tail = concat(vec![lit(HIDDEN), right(value.clone(), lit(i64::from(*shown)))]);
                when(value.clone().is_null(), lit(ScalarValue::Utf8(None)))
                    .when(char_length(value).gt(lit(i64::from(*shown))), tail)
                    .otherwise(lit(HIDDEN))
            }
            Kind::Partial(_) => plan_err!("the mask partial is for text"),
            Kind::Recode { values, other } => {
                let text = datafusion::logical_expr::cast(value, DataType::Utf8);
                let other =
                    lit(other.as_ref().map_or(ScalarValue::Utf8(None), |other| ScalarValue::from(other.as_str())));
                let mut cases = when(text.clone().is_null(), lit(ScalarValue::Utf8(None)));
                for (value, category) in values {
                    cases = cases.when(text.clone().eq(lit(value.as_str())), lit(category.as_str()));
                }
                cases.otherwise(other)
            }
            Kind::Round(base) if data_type.is_numeric() && *base > 0.0 && base.is_finite() => {
                let steps = round(vec![datafusion::logical_expr::cast(value, DataType::Float64) / lit(*base)]);
                Ok(steps * lit(*base))
            }
            Kind::Round(_) => plan_err!("the mask round is for numbers, and its base is over 0"),
        }
    }
}

/// A hash that nobody can make without the key.
#[derive(Debug, PartialEq, Eq, Hash)]
struct KeyedHash {
    key: [u8; 32],
    signature: Signature,
}

impl KeyedHash {
    fn new(key: [u8; 32]) -> Self {
        Self { key, signature: Signature::any(1, Volatility::Immutable) }
    }

    fn digest(&self, bytes: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.key, bytes)
    }

    fn of_whole<T: ArrowPrimitiveType>(&self, values: &PrimitiveArray<T>) -> ArrayRef
    where
        T::Native: Into<i128>,
    {
        let hashed = values.iter().map(|value| {
            let digest = self.digest(value?.into().to_string().as_bytes());
            let (head, _) = digest.as_bytes().split_first_chunk::<8>()?;
            // Without its sign, so that it fits both kinds of 64 bits.
            Some(i64::from_le_bytes(*head) & i64::MAX)
        });
        Arc::new(hashed.collect::<Int64Array>())
    }
}

impl ScalarUDFImpl for KeyedHash {
    fn name(&self) -> &str {
        "policy_hash"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match arguments {
            [DataType::Int64 | DataType::UInt64] => DataType::Int64,
            _ => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [values] = arguments.args.as_slice() else { return plan_err!("a hash is of one value") };
        let values = values.to_array(arguments.number_rows)?;
        let hashed: ArrayRef = match values.data_type() {
            DataType::Int64 => self.of_whole(values.as_primitive::<Int64Type>()),
            DataType::UInt64 => self.of_whole(values.as_primitive::<arrow::datatypes::UInt64Type>()),
            _ => {
                let texts = cast(&values, &DataType::Utf8)?;
                let texts = texts.as_string::<i32>();
                // Half of the digest is enough for none to meet another.
                let short = |text: &str| self.digest(text.as_bytes()).to_hex()[..32].to_owned();
                Arc::new(texts.iter().map(|text| text.map(short)).collect::<StringArray>())
            }
        };
        Ok(ColumnarValue::Array(hashed))
    }
}
