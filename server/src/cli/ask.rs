//! The flags of a question, shared by the commands that ask one; and small questions to the system tables.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use engine::{Door, Engine, Error, Principal, Query};
use futures::TryStreamExt;

use super::failure::Failure;
use crate::compose::Composition;
use crate::rest::params::{self, Scalar};

/// What this client calls itself in the journal.
pub(super) const CLIENT: &str = concat!("weft/", env!("CARGO_PKG_VERSION"));

/// What is asked, and how.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Question {
    /// The SQL; `-` reads it from standard input.
    #[arg(value_name = "SQL")]
    sql: String,

    /// The dataset in which bare table names are looked up first.
    #[arg(long, value_name = "ID")]
    dataset: Option<String>,

    /// The value of the next parameter, `?` or `$1`; repeatable.
    ///
    /// true, false, null and numbers are what they look like; '5' in quotes is text.
    #[arg(long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    params: Vec<String>,

    /// Give up after so long, as 500ms, 30s or 5m.
    #[arg(long, value_name = "TIME", value_parser = catalogs::timespan)]
    timeout: Option<Duration>,

    /// Weigh: a plain COUNT, SUM or AVG over a weighted dataset becomes its weighted form.
    #[arg(long, overrides_with = "no_apply_weights")]
    apply_weights: bool,

    /// Plain figures, also of a dataset whose weights apply by default.
    #[arg(long, overrides_with = "apply_weights")]
    no_apply_weights: bool,
}

impl Question {
    /// The query for the engine, which for the name of a table asks for all of its rows.
    ///
    /// # Errors
    /// As [`Question::query`].
    pub(super) fn rows(self) -> Result<Query, Failure> {
        let sql = if is_table(&self.sql) { format!("SELECT * FROM {}", self.sql) } else { self.sql };
        Self { sql, ..self }.query()
    }

    /// The query for the engine.
    ///
    /// # Errors
    /// Standard input that cannot be read, or no SQL in it.
    pub(super) fn query(self) -> Result<Query, Failure> {
        let sql = if self.sql == "-" { standard_input()? } else { self.sql };
        if sql.trim().is_empty() {
            return Err(Failure::usage("There is no SQL to run.").hint("weft query \"SELECT 1\" runs one statement."));
        }
        let values = self.params.iter().map(|text| scalar(text)).collect();
        let apply_weights = match (self.apply_weights, self.no_apply_weights) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            (false, false) => None,
        };
        Ok(Query::new(sql)
            .dataset(self.dataset)
            .params(params::batch(values)?)
            .timeout(self.timeout)
            .apply_weights(apply_weights)
            .from(Door::Cli, CLIENT.to_owned()))
    }
}

/// Whether a text is the name of a table, as `people`, `panel.people` or `panel."My people"`.
fn is_table(text: &str) -> bool {
    let mut is_quoted = false;
    let mut is_fit = |letter: char| {
        is_quoted ^= letter == '"';
        is_quoted || letter == '"' || letter == '.' || letter == '_' || letter.is_alphanumeric()
    };
    !text.is_empty() && text.chars().all(&mut is_fit)
}

fn standard_input() -> Result<String, Failure> {
    let mut sql = String::new();
    match std::io::stdin().read_to_string(&mut sql) {
        Ok(_) => Ok(sql),
        Err(error) => Err(Failure::usage(format!("The SQL on standard input cannot be read: {error}."))),
    }
}

/// A parameter as a shell passes it: a JSON scalar where it is one, else text. Quotes make it text.
fn scalar(text: &str) -> Scalar {
    if let Some(inner) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Scalar::Text(inner.to_owned());
    }
    let lower = text.to_ascii_lowercase();
    match serde_json::from_str(&lower) {
        // An integer that no integer type holds would lose digits as a float; as text it keeps them.
        Ok(Scalar::Float(_)) if !lower.contains(['.', 'e']) => Scalar::Text(text.to_owned()),
        Ok(Scalar::Text(_)) | Err(_) => Scalar::Text(text.to_owned()),
        Ok(scalar) => scalar,
    }
}

/// Who asks whom: what a command needs for one question after another.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    /// Answers queries.
    pub(super) engine: Engine,
    /// Who asks.
    pub(super) principal: Principal,
}

impl Asker {
    /// The asker of a composition.
    pub(super) fn of(composition: &Composition) -> Self {
        Self { engine: composition.engine.clone(), principal: composition.principal.clone() }
    }

    /// A query of the command line with text parameters.
    ///
    /// # Errors
    /// Never for text, but the type of a batch allows it.
    pub(super) fn query(sql: &str, params: &[&str]) -> Result<Query, Error> {
        let columns = params.iter().zip(1..).map(|(text, position)| {
            let column: ArrayRef = Arc::new(StringArray::from(vec![*text]));
            (i32::to_string(&position), column)
        });
        let batch = if params.is_empty() { None } else { Some(RecordBatch::try_from_iter(columns)?) };
        Ok(Query::new(sql).params(batch).from(Door::Cli, CLIENT.to_owned()))
    }

    /// All rows of a short listing, each as the text of its columns; NULL is empty.
    ///
    /// # Errors
    /// What the query fails with.
    pub(super) async fn listing(&self, sql: &str, params: &[&str]) -> Result<Vec<Vec<String>>, Error> {
        let answer = self.engine.query(&self.principal, Self::query(sql, params)?).await?;
        let batches: Vec<RecordBatch> = answer.try_collect().await?;
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                rows.push(batch.columns().iter().map(|column| text(column, row)).collect());
            }
        }
        Ok(rows)
    }
}

fn text(column: &ArrayRef, row: usize) -> String {
    match column.as_string_opt::<i32>() {
        Some(texts) if column.is_valid(row) => texts.value(row).to_owned(),
        Some(_) => String::new(),
        None => crate::encode::text(column, row).ok().flatten().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_table_is_told_from_sql() {
        assert!(["people", "panel.people", "panel.\"My people\"", "öl_2"].into_iter().all(is_table));
        assert!(!["SELECT 1", "TABLE t", "-", "(VALUES (1))", "a b", "a;b", ""].into_iter().any(is_table));
    }

    #[test]
    fn parameters_are_what_they_look_like() {
        assert_eq!(scalar("18"), Scalar::Int(18));
        assert_eq!(scalar("-1.5"), Scalar::Float(-1.5));
        assert_eq!(scalar("TRUE"), Scalar::Bool(true));
        assert_eq!(scalar("null"), Scalar::Null);
        assert_eq!(scalar("007"), Scalar::Text("007".to_owned()));
        assert_eq!(scalar("'18'"), Scalar::Text("18".to_owned()));
        assert_eq!(scalar("Delhi"), Scalar::Text("Delhi".to_owned()));
        assert_eq!(scalar("\"Delhi\""), Scalar::Text("\"Delhi\"".to_owned()));
        assert_eq!(scalar("99999999999999999999999"), Scalar::Text("99999999999999999999999".to_owned()));
        assert_eq!(scalar("{1}"), Scalar::Text("{1}".to_owned()));
    }
}
