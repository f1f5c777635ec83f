//! What a weighted function accepts: its parameters, the type each is brought to, and the sentence when it cannot be.
//!
//! DataFusion rewords an error of `coerce_types` beyond recognition, so coercion never fails here: what does not fit stays
//! as it is, and [`check`] refuses it where the result's type is asked for.

use arrow::datatypes::DataType;

use crate::{Code, Error};

/// One parameter of a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    name: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Integers, decimals and floats, as Float64.
    Number,
    /// A number, a date or a timestamp: what has an order and can be a result.
    Ordered,
    Condition,
    /// Anything that can be grouped by.
    Unit,
}

impl Parameter {
    pub(crate) const WEIGHT: Self = Self::number("w");

    pub(crate) const fn number(name: &'static str) -> Self {
        Self { name, kind: Kind::Number }
    }

    pub(crate) const fn ordered(name: &'static str) -> Self {
        Self { name, kind: Kind::Ordered }
    }

    pub(crate) const fn condition(name: &'static str) -> Self {
        Self { name, kind: Kind::Condition }
    }

    pub(crate) const fn unit(name: &'static str) -> Self {
        Self { name, kind: Kind::Unit }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.kind == Kind::Ordered
    }

    /// The type that the function computes with, where the argument has one that fits.
    pub(crate) fn coerce(&self, given: &DataType) -> Option<DataType> {
        match self.kind {
            Kind::Unit => Some(given.clone()),
            Kind::Condition if given.is_null() => Some(DataType::Boolean),
            Kind::Condition => (*given == DataType::Boolean).then_some(DataType::Boolean),
            Kind::Ordered if is_point_in_time(given) => Some(given.clone()),
            Kind::Ordered | Kind::Number => is_number(given).then_some(DataType::Float64),
        }
    }

    /// What to do with an argument that does not fit.
    fn hint(&self, given: &DataType) -> &'static str {
        match self.kind {
            Kind::Condition => "Write a condition, as in column > 0 or column = 'value'.",
            _ if is_point_in_time(given) => "Take a number of it, as in date_part('year', column).",
            _ => "Cast it first, as in CAST(column AS DOUBLE).",
        }
    }

    fn wanted(&self) -> &'static str {
        match self.kind {
            Kind::Number => "a number",
            Kind::Ordered => "a number, a date or a timestamp",
            Kind::Condition => "true or false",
            Kind::Unit => "a column that can be grouped by",
        }
    }
}

/// The types that the arguments are cast to before the function sees them.
pub(super) fn coerce(parameters: &[Parameter], given: &[DataType]) -> Vec<DataType> {
    given
        .iter()
        .enumerate()
        .map(|(at, given)| {
            parameters.get(at).and_then(|parameter| parameter.coerce(given)).unwrap_or_else(|| given.clone())
        })
        .collect()
}

/// Refuses arguments that [`coerce`] could not bring to what the function computes with.
///
/// # Errors
/// `invalid_argument`, naming the function's signature and the argument that is wrong.
pub(crate) fn check(name: &str, parameters: &[Parameter], given: &[DataType]) -> Result<(), Error> {
    let signature = signature(name, parameters);
    if given.len() != parameters.len() {
        let counted = match parameters.len() {
            1 => "one argument".to_owned(),
            many => format!("{many} arguments"),
        };
        return Err(Error::new(Code::InvalidArgument, format!("{signature} takes {counted}, not {}.", given.len())));
    }
    for (parameter, given) in parameters.iter().zip(given) {
        if parameter.coerce(given).is_none() {
            let message =
                format!("{signature}: {} must be {}, not {}.", parameter.name, parameter.wanted(), in_words(given));
            return Err(Error::new(Code::InvalidArgument, message).hint(parameter.hint(given)));
        }
    }
    Ok(())
}

/// How the function is written, as in `weighted_avg(x, w)`.
pub(super) fn signature(name: &str, parameters: &[Parameter]) -> String {
    let names: Vec<&str> = parameters.iter().map(Parameter::name).collect();
    format!("{name}({})", names.join(", "))
}

fn is_number(given: &DataType) -> bool {
    match given {
        DataType::Dictionary(_, values) => is_number(values),
        other => other.is_numeric() || other.is_null(),
    }
}

pub(super) fn is_point_in_time(given: &DataType) -> bool {
    matches!(given, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _))
}

/// A type as a reader knows it.
pub(crate) fn in_words(given: &DataType) -> String {
    match given {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Boolean => "true or false".to_owned(),
        DataType::Date32 | DataType::Date64 => "a date".to_owned(),
        DataType::Timestamp(_, _) => "a timestamp".to_owned(),
        number if is_number(number) => "a number".to_owned(),
        other => format!("{other}"),
    }
}
