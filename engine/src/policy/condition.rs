//! Expressions of policy files: parsed once when the file is read, and completed with the caller's attributes for each query.
//!
//! `@name` stands for an attribute. Its value never becomes SQL: it is put into the plan as a literal of the type that the
//! expression compares it with.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::TryCast;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, Volatility, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::parser::DFParserBuilder;
use datafusion::sql::sqlparser::ast::{
    self, ExprWithAlias, Value, VisitMut, VisitorMut, visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::Token;
use serde::Deserialize;

use crate::tokens::tokens;
use crate::{Principal, numbers};

/// A SQL expression over the columns of a table and the attributes of who asks.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Condition {
    text: String,
    parsed: ast::Expr,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACondition {
    /// It is not SQL.
    #[error("this is not an SQL expression: {0}")]
    Syntax(String),
    /// It would read other rows than the one it is asked of.
    #[error("a condition looks at one row of its table: it has no subquery, parameter or alias")]
    NotOfOneRow,
}

impl TryFrom<String> for Condition {
    type Error = NotACondition;

    fn try_from(text: String) -> std::result::Result<Self, NotACondition> {
        let syntax = |error: datafusion::error::DataFusionError| NotACondition::Syntax(error.strip_backtrace());
        let tokens = tokens(&text).map_err(NotACondition::Syntax)?;
        let mut parser = DFParserBuilder::new(tokens).with_dialect(&GenericDialect {}).build().map_err(syntax)?;
        let ExprWithAlias { expr, alias } = parser.parse_expr().map_err(syntax)?;
        let rest = parser.parser.peek_token().token;
        if rest != Token::EOF {
            return Err(NotACondition::Syntax(format!("\"{rest}\" stands after its end")));
        }
        let is_of_more = visit_expressions(&expr, |part| match part {
            ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => ControlFlow::Break(()),
            ast::Expr::AnyOp { .. } | ast::Expr::AllOp { .. } | ast::Expr::Wildcard(_) => ControlFlow::Break(()),
            ast::Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        match (alias, is_of_more) {
            (None, ControlFlow::Continue(())) => Ok(Self { text, parsed: expr }),
            _ => Err(NotACondition::NotOfOneRow),
        }
    }
}

impl Condition {
    /// The condition as it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The attributes that it speaks of.
    pub fn attributes(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let _: ControlFlow<()> = visit_expressions(&self.parsed, |part| {
            found.extend(attribute(part).map(str::to_owned));
            ControlFlow::Continue(())
        });
        found
    }

    /// The expression over `schema` for `principal`; None where it has not all of the attributes.
    ///
    /// # Errors
    /// Where the condition does not fit the table, or an attribute does not fit the condition.
    pub(super) fn of(&self, principal: &Principal, schema: &DFSchema, state: &SessionState) -> Result<Option<Expr>> {
        let mut values = Values { principal, given: Vec::new(), is_missing: false };
        let mut parsed = self.parsed.clone();
        // From the outside in: a list takes all values of an attribute.
        let _ = VisitMut::visit(&mut parsed, &mut values);
        if values.is_missing {
            return Ok(None);
        }
        let expr = planned(parsed, schema, state)?;
        let (expr, _) = expr.infer_placeholder_types(schema)?;
        Ok(Some(unfailing(expr.transform_up(|part| values.literal(part))?.data, schema)?))
    }

    /// Whether the condition fits a table of `schema`, whatever the attributes are.
    ///
    /// # Errors
    /// As [`Condition::of`].
    pub(super) fn check(&self, schema: &DFSchema, state: &SessionState) -> Result<Expr> {
        let mut parsed = self.parsed.clone();
        let _: ControlFlow<()> = visit_expressions_mut(&mut parsed, |part| {
            if attribute(part).is_some() {
                *part = placeholder(1);
            }
            ControlFlow::Continue(())
        });
        let (expr, _) = planned(parsed, schema, state)?.infer_placeholder_types(schema)?;
        unfailing(expr, schema)
    }
}

/// The expression with its types, in which no value of a row fails to be cast: the error would tell it, and of which row is up to
/// who asks. What cannot be cast is NULL.
fn unfailing(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let expr = numbers::with_float_literals(expr, schema)?;
    let typed = ExprSimplifier::new(SimplifyContext::default()).coerce(expr, schema)?;
    let unfailing = typed.transform_up(|part| match part {
        Expr::Cast(cast) if may_fail(&cast.expr.get_type(schema)?, cast.field.data_type()) => {
            Ok(Transformed::yes(Expr::TryCast(TryCast { expr: cast.expr, field: cast.field })))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(unfailing?.data)
}

/// Whether some value of a type has none in the other.
fn may_fail(from: &DataType, to: &DataType) -> bool {
    let width = |data_type: &DataType| data_type.primitive_width().unwrap_or_default();
    match (from, to) {
        (from, to) if from == to || from.is_null() || to.is_string() => false,
        (from, to) if from.is_numeric() && to.is_floating() => false,
        (from, to) if from.is_signed_integer() && to.is_signed_integer() => width(to) < width(from),
        (from, to) if from.is_unsigned_integer() && to.is_integer() => width(to) <= width(from),
        (
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, _),
        ) => false,
        _ => true,
    }
}

fn planned(parsed: ast::Expr, schema: &DFSchema, state: &SessionState) -> Result<Expr> {
    let expr = state.create_logical_expr_from_sql_expr(ExprWithAlias { expr: parsed, alias: None }, schema)?;
    if expr.exists(|part| Ok(matches!(part, Expr::AggregateFunction(_) | Expr::WindowFunction(_))))? {
        return plan_err!("a condition of a policy looks at one row: it has no aggregates");
    }
    if is_volatile(&expr)? {
        return plan_err!("a condition of a policy gives the same for the same row: it calls nothing random");
    }
    Ok(expr)
}

fn is_volatile(expr: &Expr) -> Result<bool> {
    expr.exists(|part| {
        Ok(matches!(part, Expr::ScalarFunction(call) if call.func.signature().volatility == Volatility::Volatile))
    })
}

/// The attribute that a part of an expression is.
fn attribute(part: &ast::Expr) -> Option<&str> {
    match part {
        ast::Expr::Identifier(name) if name.quote_style.is_none() => name.value.strip_prefix('@'),
        _ => None,
    }
}

fn placeholder(number: usize) -> ast::Expr {
    ast::Expr::Value(Value::Placeholder(format!("${number}")).into())
}

/// The values of `name` of a principal. None where it has no such attribute, or one without a value.
pub(super) fn values_of(principal: &Principal, name: &str) -> Option<Vec<String>> {
    let values = match name {
        "user" => vec![principal.name().to_owned()],
        "tenant" => vec![principal.tenant()?.to_owned()],
        "roles" => principal.roles().iter().cloned().collect(),
        "projects" => principal.projects().iter().cloned().collect(),
        other => principal.attributes().get(other)?.clone(),
    };
    (!values.is_empty()).then_some(values)
}

/// Attributes on their way into an expression: each value is a placeholder until its type is known.
struct Values<'a> {
    principal: &'a Principal,
    given: Vec<(String, String)>,
    is_missing: bool,
}

impl VisitorMut for Values<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, part: &mut ast::Expr) -> ControlFlow<()> {
        self.put_in(part);
        ControlFlow::Continue(())
    }
}

impl Values<'_> {
    fn put_in(&mut self, part: &mut ast::Expr) {
        if let ast::Expr::InList { list, .. } = part {
            let listed = std::mem::take(list).into_iter();
            *list = listed.flat_map(|item| self.all(item)).collect();
        } else if let Some(name) = attribute(part).map(str::to_owned) {
            // A list of several has no meaning where one value is compared: then nobody is let through.
            match self.find(&name).as_deref() {
                Some([value]) => *part = self.place(&name, value.clone()),
                _ => self.is_missing = true,
            }
        }
    }

    /// An item of a list: an attribute stands for all its values.
    fn all(&mut self, item: ast::Expr) -> Vec<ast::Expr> {
        let Some(name) = attribute(&item).map(str::to_owned) else { return vec![item] };
        let values = self.find(&name).unwrap_or_default();
        self.is_missing |= values.is_empty();
        values.into_iter().map(|value| self.place(&name, value)).collect()
    }

    fn find(&self, name: &str) -> Option<Vec<String>> {
        values_of(self.principal, name)
    }

    fn place(&mut self, name: &str, value: String) -> ast::Expr {
        self.given.push((name.to_owned(), value));
        placeholder(self.given.len())
    }

    fn literal(&self, part: Expr) -> Result<Transformed<Expr>> {
        let Expr::Placeholder(place) = &part else { return Ok(Transformed::no(part)) };
        let at = place.id.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let Some((name, value)) = at.and_then(|at| self.given.get(at.checked_sub(1)?)) else {
            return plan_err!("a condition of a policy has a parameter");
        };
        let value = ScalarValue::from(value.as_str());
        let value = match &place.field {
            None => value,
            Some(field) => match value.cast_to(field.data_type()) {
                Ok(value) if !value.is_null() => value,
                _ => return plan_err!("the attribute {name} does not fit the condition"),
            },
        };
        Ok(Transformed::yes(lit(value)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::prelude::SessionContext;

    use super::*;

    fn condition(text: &str) -> std::result::Result<Condition, NotACondition> {
        Condition::try_from(text.to_owned())
    }

    fn of(text: &str, attributes: &[(&str, &[&str])]) -> Result<Option<String>> {
        let schema = Schema::new(vec![
            Field::new("region", DataType::Utf8, true),
            Field::new("level", DataType::Int32, true),
            Field::new("day", DataType::Date32, true),
        ]);
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let attributes: BTreeMap<_, _> =
            attributes.iter().map(|(name, all)| ((*name).to_owned(), values(all))).collect();
        let principal = Principal::new("meera", []).with_attributes(attributes);
        let expr = condition(text).unwrap().of(
            &principal,
            &DFSchema::try_from(schema).unwrap(),
            &SessionContext::new().state(),
        )?;
        Ok(expr.map(|expr| expr.to_string()))
    }

    #[test]
    fn attributes_become_literals_of_the_type_that_they_are_compared_with() {
        let shown = |text, attributes: &[(&str, &[&str])]| of(text, attributes).unwrap().unwrap();
        assert_eq!(shown("level <= @level", &[("level", &["3"])]), "level <= Int32(3)");
        assert_eq!(
            shown("region IN (@regions, 'x')", &[("regions", &["a", "b' OR '1'='1"])]),
            "region IN ([Utf8(\"a\"), Utf8(\"b' OR '1'='1\"), Utf8(\"x\")])"
        );
        assert!(shown("day > @since", &[("since", &["2024-05-01"])]).starts_with("day > Date32"));
        assert_eq!(shown("region = @user", &[]), "region = Utf8(\"meera\")");
    }

    #[test]
    fn who_lacks_an_attribute_is_let_through_nowhere() {
        for (text, attributes) in [
            ("region = @region", &[][..]),
            ("region = @tenant", &[]),
            ("region IN (@regions)", &[("regions", &[][..])]),
            ("region NOT IN (@regions)", &[("regions", &[])]),
            ("region = @regions", &[("regions", &["a", "b"])]),
            ("region = 'a' OR region = @other", &[]),
        ] {
            assert_eq!(of(text, attributes).unwrap(), None, "{text}");
        }
        assert!(of("level = @level", &[("level", &["many"])]).is_err());
    }

    #[test]
    fn what_looks_at_more_than_one_row_is_no_condition() {
        for text in [
            "region IN (SELECT 'a')",
            "EXISTS (SELECT 1)",
            "level = (SELECT 1)",
            "level = $1",
            "level = ?",
            "region = 'a' AS x",
        ] {
            assert_eq!(condition(text).unwrap_err(), NotACondition::NotOfOneRow, "{text}");
        }
        for text in ["", "region =", "region = 'a';", "region = 'a' region", "SELECT 1", "region = 'a"] {
            assert!(matches!(condition(text).unwrap_err(), NotACondition::Syntax(_)), "{text}");
        }
        for text in ["max(level) > 1", "random() > 0.5", "row_number() OVER () > 1", "nothing = 1"] {
            assert!(of(text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_condition_tells_its_attributes() {
        let found = condition("region IN (@regions) AND level < @level OR \"@quoted\" = 1").unwrap().attributes();
        assert_eq!(found, BTreeSet::from(["level".to_owned(), "regions".to_owned()]));
    }
}
