//! From text to one statement that reads. Parameters written `?` become `$1`, `$2`, .. on tokens, never on text.

use std::collections::VecDeque;

use datafusion::common::format::ExplainStatementOptions;
use datafusion::sql::parser::{DFParserBuilder, ExplainStatement, Statement};
use datafusion::sql::sqlparser::ast::{ObjectName, Query as Select, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::policy::read_only;
use crate::tokens::tokens;
use crate::{Code, Error, Explain, Query};

/// What a statement asks for.
pub(super) enum Asked {
    /// Rows of a SELECT, or a plan.
    Statement(Box<Statement>),
    /// The tables there are: the same as a query on `system.tables`.
    Tables,
    /// The columns of one table: the same as a query on `system.columns`.
    Columns(ObjectName),
}

/// Parses one statement, and refuses whatever would write or set.
///
/// # Errors
/// `invalid_sql`, `invalid_argument` for mixed parameters, `read_only`, `unsupported_sql` for a second statement.
pub(super) fn parse(query: &Query) -> Result<Asked, Error> {
    let mut statements = statements(&query.sql)?;
    let statement = match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => statement,
        (None, _) => return Err(Error::new(Code::InvalidSql, "There is no statement in the query.")),
        (Some(_), false) => {
            return Err(Error::new(Code::UnsupportedSql, "Ask one statement at a time.")
                .hint("Send each statement as a query of its own."));
        }
    };
    let asked = reading(statement)?;
    match (query.explain, asked) {
        (None, asked) => Ok(asked),
        (Some(explain), Asked::Statement(statement)) if !is_explain(&statement) => {
            Ok(Asked::Statement(Box::new(Statement::Explain(ExplainStatement {
                options: ExplainStatementOptions {
                    analyze: explain == Explain::Analyze,
                    ..ExplainStatementOptions::default()
                },
                statement,
            }))))
        }
        (Some(_), _) => Err(Error::new(Code::UnsupportedSql, "Only a query can be explained.")),
    }
}

fn is_explain(statement: &Statement) -> bool {
    matches!(statement, Statement::Explain(_))
}

fn statements(sql: &str) -> Result<VecDeque<Statement>, Error> {
    let dialect = GenericDialect {};
    let tokens = tokens(sql).map_err(|why| Error::new(Code::InvalidSql, format!("The SQL does not parse: {why}.")))?;
    let mut parser = DFParserBuilder::new(numbered(tokens)?).with_dialect(&dialect).build()?;
    Ok(parser.parse_statements()?)
}

/// Numbers `?` parameters from left to right.
fn numbered(mut tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Error> {
    let is_mark = |token: &Token| matches!(token, Token::Placeholder(mark) if mark == "?") || *token == Token::Question;
    let marks = tokens.iter().filter(|token| is_mark(&token.token)).count();
    let dollars = tokens.iter().any(|token| matches!(&token.token, Token::Placeholder(name) if name != "?"));
    if marks > 0 && dollars {
        return Err(Error::new(Code::InvalidArgument, "The query mixes parameters written ? and $1.")
            .hint("Write all of them in one way."));
    }
    let mut next = 0;
    for token in tokens.iter_mut().filter(|token| is_mark(&token.token)) {
        next += 1;
        token.token = Token::Placeholder(format!("${next}"));
    }
    Ok(tokens)
}

fn reading(statement: Statement) -> Result<Asked, Error> {
    match statement {
        Statement::Explain(explain) => match reading(*explain.statement)? {
            Asked::Statement(inner) if !is_explain(&inner) => {
                Ok(Asked::Statement(Box::new(Statement::Explain(ExplainStatement { statement: inner, ..explain }))))
            }
            _ => Err(Error::new(Code::UnsupportedSql, "Only a query can be explained.")),
        },
        Statement::Statement(statement) => match *statement {
            SqlStatement::Query(query) => Ok(Asked::Statement(Box::new(select(query)))),
            SqlStatement::ShowTables { .. } => Ok(Asked::Tables),
            SqlStatement::ExplainTable { table_name, .. } => Ok(Asked::Columns(table_name)),
            SqlStatement::ShowColumns { show_options, .. } => {
                match show_options.show_in.and_then(|at| at.parent_name) {
                    Some(table) => Ok(Asked::Columns(table)),
                    None => Err(Error::new(
                        Code::InvalidSql,
                        "SHOW COLUMNS needs a table: SHOW COLUMNS FROM dataset.table.",
                    )),
                }
            }
            _ => Err(read_only()),
        },
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => Err(read_only()),
    }
}

fn select(query: Box<Select>) -> Statement {
    Statement::Statement(Box::new(SqlStatement::Query(query)))
}
