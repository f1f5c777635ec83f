//! What a join learns of its keys while it runs, as conditions on the rows that the other side still has to bring.
//!
//! Such a condition only spares rows: the join checks every row again. So whatever has no exact SQL is left out of an AND,
//! and takes an OR with it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, Literal,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::predicate::{comparison, constant};
use super::{Remote, RemoteColumn};

/// Beyond so many keys a list costs more than the rows that it spares.
const MOST_KEYS: usize = 20_000;
/// Beyond so many bytes a statement is not worth sending.
const LONGEST: usize = 4 << 20;

/// What `filter` says by now of `columns`, as SQL. None where it says nothing that can be asked.
pub(super) fn sql<R: Remote>(filter: &Arc<dyn PhysicalExpr>, columns: &[R::Column]) -> Option<String> {
    condition::<R>(filter, columns).filter(|sql| sql.len() <= LONGEST)
}

/// Whether `filter` names keys by now, and not only where they lie.
pub(super) fn has_list(filter: &Arc<dyn PhysicalExpr>) -> bool {
    if let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return dynamic.current().is_ok_and(|current| has_list(&current));
    }
    match filter.downcast_ref::<InListExpr>() {
        Some(list) => !list.negated() && list.list().len() <= MOST_KEYS,
        None => filter.children().into_iter().any(has_list),
    }
}

fn condition<R: Remote>(filter: &Arc<dyn PhysicalExpr>, columns: &[R::Column]) -> Option<String> {
    if let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return condition::<R>(&dynamic.current().ok()?, columns);
    }
    if let Some(literal) = filter.downcast_ref::<Literal>() {
        return matches!(literal.value(), ScalarValue::Boolean(Some(false))).then(|| constant(false).to_owned());
    }
    if let Some(binary) = filter.downcast_ref::<BinaryExpr>() {
        return binary_condition::<R>(binary, columns);
    }
    if let Some(list) = filter.downcast_ref::<InListExpr>() {
        return in_list::<R>(list, columns);
    }
    if let Some(case) = filter.downcast_ref::<CaseExpr>() {
        // One branch for each partition of the join's build side: a row may be in any of them.
        let branches = case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr());
        let branches: Option<Vec<String>> =
            branches.filter(|branch| !is_false(branch)).map(|branch| condition::<R>(branch, columns)).collect();
        let branches = branches?;
        return Some(if branches.is_empty() {
            constant(false).to_owned()
        } else {
            format!("({})", branches.join(" OR "))
        });
    }
    if let Some(not_null) = filter.downcast_ref::<IsNotNullExpr>() {
        return Some(format!("({} IS NOT NULL)", target(not_null.arg(), columns)?.selected()));
    }
    None
}

fn is_false(filter: &Arc<dyn PhysicalExpr>) -> bool {
    filter
        .downcast_ref::<Literal>()
        .is_some_and(|literal| matches!(literal.value(), ScalarValue::Boolean(Some(false) | None)))
}

fn binary_condition<R: Remote>(binary: &BinaryExpr, columns: &[R::Column]) -> Option<String> {
    match binary.op() {
        Operator::And => match (condition::<R>(binary.left(), columns), condition::<R>(binary.right(), columns)) {
            (Some(left), Some(right)) => Some(format!("({left} AND {right})")),
            (left, right) => left.or(right),
        },
        Operator::Or => Some(format!(
            "({} OR {})",
            condition::<R>(binary.left(), columns)?,
            condition::<R>(binary.right(), columns)?
        )),
        op => {
            let column = target(binary.left(), columns)?;
            let literal = binary.right().downcast_ref::<Literal>()?;
            comparison::<R>(column, *op, &fitted(literal.value(), column.field().data_type())?)
        }
    }
}

fn in_list<R: Remote>(list: &InListExpr, columns: &[R::Column]) -> Option<String> {
    if list.negated() || list.list().len() > MOST_KEYS {
        return None;
    }
    let values: Option<Vec<&ScalarValue>> =
        list.list().iter().map(|item| Some(item.downcast_ref::<Literal>()?.value())).collect();
    let values = values?;
    if let Some(column) = target(list.expr(), columns) {
        return one_of::<R>(column, &values);
    }
    // Several keys: each column among its own values, which keeps a few rows more than the pairs would.
    let row = list.expr().downcast_ref::<ScalarFunctionExpr>().filter(|function| function.name() == "struct")?;
    let rows: Option<Vec<_>> = values
        .iter()
        .map(|value| match value {
            ScalarValue::Struct(fields) => Some(fields),
            _ => None,
        })
        .collect();
    let rows = rows?;
    let conditions: Vec<String> = row
        .args()
        .iter()
        .enumerate()
        .filter_map(|(at, part)| {
            let column = target(part, columns)?;
            let parts: Option<Vec<ScalarValue>> =
                rows.iter().map(|fields| ScalarValue::try_from_array(fields.columns().get(at)?, 0).ok()).collect();
            one_of::<R>(column, &parts?.iter().collect::<Vec<_>>())
        })
        .collect();
    (!conditions.is_empty()).then(|| format!("({})", conditions.join(" AND ")))
}

fn one_of<R: Remote>(column: &R::Column, values: &[&ScalarValue]) -> Option<String> {
    let has_null = values.iter().any(|value| value.is_null());
    let data_type = column.field().data_type();
    // A value that the column's type cannot hold is in no row of it.
    let fitting: Vec<ScalarValue> =
        values.iter().filter(|value| !value.is_null()).filter_map(|value| fitted(value, data_type)).collect();
    let known = match fitting.as_slice() {
        [] => constant(false).to_owned(),
        fitting => {
            let mut keys: Vec<&ScalarValue> = fitting.iter().collect();
            keys.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
            keys.dedup();
            R::one_of(column, &keys)?
        }
    };
    Some(if has_null { format!("({known} OR ({} IS NULL))", column.selected()) } else { known })
}

/// The column that an expression stands for, also where the join widened its integers.
fn target<'a, C: RemoteColumn>(expression: &Arc<dyn PhysicalExpr>, columns: &'a [C]) -> Option<&'a C> {
    if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        let column = target(cast.expr(), columns)?;
        return keeps_values(column.field().data_type(), cast.cast_type()).then_some(column);
    }
    let column = expression.downcast_ref::<Column>()?;
    columns.get(column.index()).filter(|found| found.field().name() == column.name())
}

/// Whether a cast loses nothing, so that a comparison can be undone through it.
fn keeps_values(from: &DataType, to: &DataType) -> bool {
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    from == to
        || (is_text(from) && is_text(to))
        || (from.is_signed_integer() && to.is_signed_integer() && from.primitive_width() <= to.primitive_width())
}

/// The value in the column's own type. None where it has no place there.
fn fitted(value: &ScalarValue, data_type: &DataType) -> Option<ScalarValue> {
    let value = match value {
        ScalarValue::Dictionary(_, value) => value,
        value => value,
    };
    if value.data_type() == *data_type {
        return Some(value.clone());
    }
    if !keeps_values(data_type, &value.data_type()) {
        return None;
    }
    let cast = value.cast_to(data_type).ok()?;
    cast.cast_to(&value.data_type()).is_ok_and(|back| back == *value).then_some(cast)
}
