//! A column as its codebook has it: merged categories, and NULL for codes that stand for no answer. Nobody writes it in SQL.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::Coding;
use super::lookup::{Lookup, Others, plain_type, read};

/// The recoding of one column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Recode {
    lookup: Lookup,
    signature: Signature,
}

impl Recode {
    /// What `coding` makes of a column of type `from`. None where its values stay what they are.
    ///
    /// # Errors
    /// The code that no value of the type is.
    pub(super) fn of<'a>(coding: &'a Coding, from: &DataType) -> Result<Option<Self>, &'a str> {
        let from = plain_type(from);
        let code = |code: &'a String| read(code, from).ok_or(code.as_str());
        let to = type_of(coding, from);
        let mut entries = Vec::new();
        for (name, codes) in &coding.merge {
            for one in codes {
                entries.push((code(one)?, read(name, &to).ok_or(name.as_str())?));
            }
        }
        for one in &coding.missing {
            entries.push((code(one)?, ScalarValue::try_from(&to).map_err(|_| one.as_str())?));
        }
        let lookup = Lookup { entries, to, others: Others::Stay };
        let signature = Signature::any(1, Volatility::Immutable);
        Ok((!lookup.entries.is_empty()).then_some(Self { lookup, signature }))
    }

    /// What `value` is after recoding, as text: the form in which labels and order name it.
    pub(super) fn written(coding: &Coding, from: &DataType, value: &str) -> String {
        let from = plain_type(from);
        let is_name = coding.merge.iter().any(|(name, _)| name == value);
        let is_rewritten = !is_name && type_of(coding, from) != *from;
        let text = is_rewritten.then(|| read(value, from)?.cast_to(&DataType::Utf8).ok()).flatten();
        text.map_or_else(|| value.to_owned(), |text| text.to_string())
    }

    pub(super) fn call(self, column: Expr) -> Expr {
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(self)), vec![column]))
    }

    /// The recoding that an expression is, and what it recodes.
    pub(super) fn in_call(expression: &Expr) -> Option<(&Self, &Expr)> {
        match expression {
            Expr::Alias(alias) => Self::in_call(&alias.expr),
            Expr::ScalarFunction(call) => match call.args.as_slice() {
                [column] => Some((call.func.inner().downcast_ref::<Self>()?, column)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The values that become `value`. None where they cannot be told.
    pub(super) fn codes_of(&self, value: &ScalarValue) -> Option<Vec<ScalarValue>> {
        let value = value.cast_to(&self.lookup.to).ok().filter(|value| !value.is_null())?;
        let entries = self.lookup.entries.iter();
        let mut codes: Vec<ScalarValue> =
            entries.filter(|(_, becomes)| *becomes == value).map(|(code, _)| code.clone()).collect();
        // A value that is no code stays what it is.
        let from = self.lookup.entries.first()?.0.data_type();
        let same =
            value.cast_to(&from).ok().filter(|same| same.cast_to(&self.lookup.to).is_ok_and(|back| back == value));
        if let Some(same) = same
            && self.lookup.entries.iter().all(|(code, _)| *code != same)
        {
            codes.push(same);
        }
        Some(codes)
    }

    /// The codes that become NULL.
    pub(super) fn missing(&self) -> Vec<ScalarValue> {
        let entries = self.lookup.entries.iter();
        entries.filter(|(_, becomes)| becomes.is_null()).map(|(code, _)| code.clone()).collect()
    }
}

/// The type of the recoded column: its own, unless a category has a name that is no value of it.
fn type_of(coding: &Coding, from: &DataType) -> DataType {
    let fits = coding.merge.iter().all(|(name, _)| read(name, from).is_some());
    if fits { from.clone() } else { DataType::Utf8 }
}

impl ScalarUDFImpl for Recode {
    fn name(&self) -> &str {
        "recode"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.lookup.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [column] = args.arg_fields else { return internal_err!("a recoding is of one column") };
        let is_nullable = column.is_nullable() || !self.missing().is_empty();
        let field = column.as_ref().clone().with_name(self.name()).with_data_type(self.lookup.to.clone());
        Ok(Arc::new(field.with_nullable(is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [column] => self.lookup.find(column),
            _ => internal_err!("a recoding is of one column"),
        }
    }
}
