//! What of a query's text is written down.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Expr, Value, visit_expressions_mut};

use crate::receipt::{Receipt, Settings};

/// What of a query's text is written down. What does not stand in the text, such as its datasets, is always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Redact {
    /// All of it.
    #[default]
    Nothing,
    /// All but the values that it compares with, since they may be people's.
    Literals,
    /// None of it.
    Sql,
}

/// What stands in place of what is not written down.
const HIDDEN: &str = "***";

impl Redact {
    /// The text as it is written down.
    pub(super) fn text(self, sql: &str) -> String {
        match self {
            Redact::Nothing => sql.to_owned(),
            Redact::Literals => without_literals(sql).unwrap_or_else(|| HIDDEN.to_owned()),
            Redact::Sql => HIDDEN.to_owned(),
        }
    }

    /// What came with a query, as it is written down.
    pub(super) fn settings(self, settings: &Settings) -> Settings {
        match self {
            Redact::Nothing => settings.clone(),
            _ => Settings { params: settings.params.iter().map(|_| HIDDEN.into()).collect(), ..settings.clone() },
        }
    }

    /// A receipt as it is written down.
    pub(super) fn receipt(self, receipt: &Receipt) -> Receipt {
        match self {
            Redact::Nothing => receipt.clone(),
            _ => receipt.redacted(),
        }
    }

    /// An error's sentence as it is written down: it may repeat a value.
    pub(super) fn sentence(self, sentence: &str) -> Option<String> {
        (self == Redact::Nothing).then(|| sentence.to_owned())
    }
}

/// None where the text is no SQL: then nobody knows what in it is a value.
fn without_literals(sql: &str) -> Option<String> {
    let mut statements = DFParserBuilder::new(sql).build().ok()?.parse_statements().ok()?;
    let texts = statements.iter_mut().map(|statement| {
        hide(statement);
        statement.to_string()
    });
    Some(texts.collect::<Vec<_>>().join("; "))
}

fn hide(statement: &mut Statement) {
    match statement {
        Statement::Statement(statement) => {
            let _: ControlFlow<()> = visit_expressions_mut(statement.as_mut(), |part| {
                if let Expr::Value(value) = part
                    && !matches!(value.value, Value::Placeholder(_) | Value::Null | Value::Boolean(_))
                {
                    value.value = Value::Placeholder("?".to_owned());
                }
                ControlFlow::Continue(())
            });
        }
        Statement::Explain(explain) => hide(&mut explain.statement),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_and_the_rest_stays() {
        let text = |sql| Redact::Literals.text(sql);
        assert_eq!(
            text("select name from shop.people where phone = '98-1' and age in (1, 2.5) limit 10 -- 98-1"),
            "SELECT name FROM shop.people WHERE phone = ? AND age IN (?, ?) LIMIT ?"
        );
        assert_eq!(text("SELECT name FROM p WHERE phone = 'it''s"), HIDDEN);
        assert_eq!(Redact::Sql.text("SELECT 1"), HIDDEN);
        assert_eq!(Redact::Nothing.text("SELECT  1"), "SELECT  1");
    }
}
