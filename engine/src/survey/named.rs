//! Named arguments of survey functions, any of them in any order: put in their places before SQL is planned.
//!
//! DataFusion lets only the last arguments be absent, so the gaps are filled with NULL. Where NULL is written, there is no such
//! part of the design, also if one is declared.

use std::ops::ControlFlow;

use datafusion::sql::parser::{ExplainStatement, Statement};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, ObjectNamePart, Subscript, Value, visit_expressions_mut,
};

use super::estimators::{ESTIMATORS, Estimator};
use crate::names::nearest;
use crate::{Code, Error};

/// The arguments that every survey function has after its own.
pub(super) const DESIGN: &[&str] =
    &["weight", "psu", "strata", "fpc", "unit", "frame", "level", "deff", "lonely", "ci", "among"];

/// What stands for a part of the design that is said to be NULL.
pub(super) const ABSENT: bool = false;

/// The functions that find a value by its share, and the place of the share.
const BY_SHARE: &[(&str, usize)] = &[("svy_quantile", 1), ("weighted_quantile", 1)];

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
        Expr::CompoundFieldAccess { access_chain, .. } => {
            access_chain.iter_mut().for_each(by_name);
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Continue(()),
    });
    match done {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(frames),
    }
}

/// `(svy_mean(x)).se` is `(svy_mean(x))['se']`.
fn by_name(access: &mut AccessExpr) {
    if let AccessExpr::Dot(Expr::Identifier(field)) = access {
        let field = Expr::Value(Value::SingleQuotedString(field.value.clone()).into());
        *access = AccessExpr::Subscript(Subscript::Index { index: field });
    }
}

/// A parameter of the query as a number.
fn as_number(function: &mut Function) {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return };
    let FunctionArguments::List(list) = &mut function.args else { return };
    let at = BY_SHARE.iter().find_map(|(known, at)| known.eq_ignore_ascii_case(&name.value).then_some(*at));
    let share = at.and_then(|at| list.args.get_mut(at));
    if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(share))) = share
        && matches!(share, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)))
    {
        *share = Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(share.clone()),
            data_type: DataType::Double(ExactNumberInfo::None),
            array: false,
            format: None,
        };
    }
}

/// The survey function of a name in SQL.
fn estimator(function: &Function) -> Option<&'static dyn Estimator> {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
    ESTIMATORS.iter().copied().find(|estimator| estimator.name().eq_ignore_ascii_case(&name.value))
}

fn complete_call(function: &mut Function, frames: &mut Vec<String>) -> Result<(), Error> {
    as_number(function);
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
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {
                let message = format!("{}({}) takes no *.", estimator.name(), own.join(", "));
                return Err(Error::new(Code::InvalidArgument, message).hint("svy_count(*) counts rows."));
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
    for (name, argument) in DESIGN.iter().zip(&mut places[own.len()..]) {
        if argument.as_ref().is_some_and(|argument| *argument == unnamed(null())) {
            *argument = matches!(*name, "psu" | "strata" | "fpc").then(|| unnamed(Value::Boolean(ABSENT)));
        }
    }
    if places[own.len()..].iter().all(Option::is_none) {
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
