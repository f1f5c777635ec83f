//! Named arguments of survey functions, any of them in any order: put in their places before SQL is planned.
//!
//! DataFusion lets only the last arguments be absent, so the gaps are filled with NULL.

use std::ops::ControlFlow;

use datafusion::sql::parser::{ExplainStatement, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart, Value,
    visit_expressions_mut,
};

use super::estimators::{ESTIMATORS, Estimator};
use crate::names::nearest;
use crate::{Code, Error};

/// The arguments that every survey function has after its own.
pub(super) const DESIGN: &[&str] =
    &["weight", "psu", "strata", "fpc", "unit", "frame", "level", "deff", "lonely", "ci", "among"];

/// Puts the arguments of every survey function in their places. Gives the tables that calls name as their frames.
///
/// # Errors
/// `invalid_argument` for a name that the function does not have, or has already.
pub(crate) fn complete(statement: &mut Statement) -> Result<Vec<String>, Error> {
    let statement = match statement {
        Statement::Explain(ExplainStatement { statement, .. }) => return complete(statement),
        Statement::Statement(statement) => statement,
        _ => return Ok(Vec::new()),
    };
    let mut frames = Vec::new();
    let done = visit_expressions_mut(statement.as_mut(), |expression| match expression {
        Expr::Function(function) => match complete_call(function, &mut frames) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        },
        _ => ControlFlow::Continue(()),
    });
    match done {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(frames),
    }
}

/// The survey function of a name in SQL.
fn estimator(function: &Function) -> Option<&'static dyn Estimator> {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
    ESTIMATORS.iter().copied().find(|estimator| estimator.name().eq_ignore_ascii_case(&name.value))
}

fn complete_call(function: &mut Function, frames: &mut Vec<String>) -> Result<(), Error> {
    let Some(estimator) = estimator(function) else { return Ok(()) };
    let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
    let own: Vec<&str> = estimator.parameters().iter().map(|parameter| parameter.name()).collect();
    let mut places: Vec<Option<FunctionArg>> = vec![None; own.len() + DESIGN.len()];
    let mut has_names = false;
    for (at, argument) in std::mem::take(&mut list.args).into_iter().enumerate() {
        let (place, argument) = match argument {
            FunctionArg::Unnamed(_) if has_names => return Err(too_many(estimator.name(), &own)),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if estimator.name() == "svy_count" => {
                (at, unnamed(number("1")))
            }
            FunctionArg::Unnamed(argument) => (at, FunctionArg::Unnamed(argument)),
            FunctionArg::Named { name, arg, .. } => {
                has_names = true;
                (place(estimator.name(), &own, &name)?, FunctionArg::Unnamed(arg))
            }
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, .. } => {
                has_names = true;
                (place(estimator.name(), &own, &name)?, FunctionArg::Unnamed(arg))
            }
            other => (at, other),
        };
        if at < own.len() || has_names {
            frames.extend(frame(&own, place, &argument));
        }
        match places.get_mut(place) {
            Some(empty @ None) if place < own.len() || has_names => *empty = Some(argument),
            _ => return Err(too_many(estimator.name(), &own)),
        }
    }
    if let Some(absent) = own.iter().zip(&places).find_map(|(name, argument)| argument.is_none().then_some(name)) {
        let message = format!("{}({}): {absent} is missing.", estimator.name(), own.join(", "));
        return Err(Error::new(Code::InvalidArgument, message));
    }
    if !has_names {
        list.args = places.into_iter().flatten().collect();
        return Ok(());
    }
    list.args = places.into_iter().map(|argument| argument.unwrap_or_else(|| unnamed(null()))).collect();
    Ok(())
}

/// The place of a named argument.
fn place(function: &str, own: &[&str], name: &Ident) -> Result<usize, Error> {
    let mut names = own.iter().chain(DESIGN).copied();
    names.clone().position(|known| known.eq_ignore_ascii_case(&name.value)).ok_or_else(|| {
        let error = Error::new(Code::InvalidArgument, format!("{function} has no argument \"{}\".", name.value));
        match nearest(&name.value, names.clone()) {
            Some(near) => error.hint(format!("Did you mean {near} => ..?")),
            None => error.hint(format!("It has: {}.", names.by_ref().collect::<Vec<_>>().join(", "))),
        }
    })
}

fn frame(own: &[&str], place: usize, argument: &FunctionArg) -> Option<String> {
    let is_frame = place.checked_sub(own.len()).and_then(|place| DESIGN.get(place)) == Some(&"frame");
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) if is_frame => match &value.value {
            Value::SingleQuotedString(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn unnamed(value: Value) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value.into())))
}

fn null() -> Value {
    Value::Null
}

fn number(digits: &str) -> Value {
    Value::Number(digits.to_owned(), false)
}

fn too_many(function: &str, own: &[&str]) -> Error {
    let own = own.join(", ");
    Error::new(Code::InvalidArgument, format!("{function}({own}) has an argument too many, or one of them twice."))
        .hint(format!("The design is given by name, as in {function}({own}, weight => w, psu => p)."))
}
