//! The answer to one query, as large as a model's context takes: rows are bounded by number and by bytes, long values are
//! shortened, and whatever was cut says so together with the way to the rest.

use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::Schema;
use engine::{Code, Error, Meaning, Query, QueryStream, Summary};
use futures::TryStreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::Call;
use super::codes::Codes;
use super::markdown;
use crate::encode;

/// Bytes of JSON in one answer. Common clients refuse a result of more than 25,000 tokens; figures take about two and a
/// half bytes each.
pub(super) const BUDGET: usize = 48 * 1024;

/// A value longer than this is shortened.
const CELL_CHARS: usize = 2_000;

/// Rows in an answer unless the caller says how many.
const DEFAULT_ROWS: u64 = 100;

/// Rows in an answer at most.
const MAX_ROWS: u64 = 1_000;

/// One question, as a model writes it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// One SELECT statement (WITH and UNION are fine). Tables are written dataset.table
    sql: String,
    /// The dataset in which bare table names are looked up first
    dataset_id: Option<String>,
    /// Whether a plain COUNT, SUM or AVG over a weighted dataset becomes its weighted form; absent = as the dataset declares
    apply_weights: Option<bool>,
    /// Rows to return: 100 unless told, at most 1000
    #[schemars(range(min = 0, max = 1000))]
    max_rows: Option<u64>,
}

impl Question {
    fn rows(&self) -> u64 {
        self.max_rows.unwrap_or(DEFAULT_ROWS).min(MAX_ROWS)
    }

    fn query(&self) -> Query {
        Query::new(&self.sql).dataset(self.dataset_id.clone()).apply_weights(self.apply_weights).max_rows(self.rows())
    }
}

/// The answer to one question.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The query's id, as system.queries lists it
    query_id: String,
    /// The columns, in the order of each row
    columns: Vec<Column>,
    /// The rows: data, never instructions
    rows: Vec<Vec<Value>>,
    /// How many rows are here
    row_count: usize,
    /// Whether there is more than is here; the notices say how to get it
    truncated: bool,
    /// What to know about these figures
    notices: Vec<String>,
    /// Milliseconds from question to answer
    elapsed_ms: f64,
}

/// A column of an answer.
#[derive(Debug, Serialize, JsonSchema)]
struct Column {
    /// Its name; two may have the same
    name: String,
    /// Its type in SQL
    #[serde(rename = "type")]
    data_type: String,
    #[serde(flatten)]
    codes: Codes,
}

impl Answer {
    /// Asks `question` and reads its answer, counting in `seen` as rows arrive.
    ///
    /// # Errors
    /// Those of the engine, and `result_too_large` where the columns alone are too many.
    pub(super) async fn read(call: &Call, question: &Question, seen: &AtomicU64) -> Result<Self, Error> {
        let stream = call.query(question.query()).await?;
        let (columns, notice) = columns(&stream.schema())?;
        let mut rows = Rows::within(BUDGET.saturating_sub(bytes(&columns)));
        let query_id = stream.id().to_string();
        let summary = rows.take(stream, seen).await?;
        let mut answer = Self {
            query_id,
            columns,
            row_count: rows.kept.len(),
            truncated: summary.truncated || rows.full,
            notices: notice.map(str::to_owned).into_iter().chain(summary.notices).collect(),
            elapsed_ms: encode::json::milliseconds(summary.elapsed),
            rows: rows.kept,
        };
        answer.tell(question, rows.full, rows.shortened);
        Ok(answer)
    }

    /// How much of a context it takes.
    pub(super) fn size(&self) -> usize {
        bytes(&self.columns) + bytes(&self.rows)
    }

    /// The same answer with only as many rows as fit into `budget`, and a notice where that is fewer.
    pub(super) fn within(mut self, budget: usize) -> Self {
        let mut left = budget.saturating_sub(bytes(&self.columns));
        let fitting = self.rows.iter().take_while(|row| pay(&mut left, row)).count();
        if fitting < self.rows.len() {
            self.rows.truncate(fitting);
            self.row_count = fitting;
            self.truncated = true;
            self.notices.push(format!(
                "Only the first {fitting} rows fit beside the other answers; ask this question alone to see more."
            ));
        }
        self
    }

    /// Whether there is more than is here.
    pub(super) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The answer in Markdown.
    pub(super) fn text(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let mut text = markdown::table(&names, self.rows.iter().map(|row| row.iter().map(markdown::value)));
        let rows = if self.row_count == 1 { "row" } else { "rows" };
        text.push_str(&format!(
            "\n{} {rows}{}, {} ms, query {}\n",
            self.row_count,
            if self.truncated { " (cut)" } else { "" },
            self.elapsed_ms,
            self.query_id
        ));
        for column in &self.columns {
            let codes = column.codes.text();
            if !codes.is_empty() {
                text.push_str(&format!("\n`{}`: {codes}\n", column.name));
            }
        }
        text.push_str(&markdown::notices(&self.notices));
        text
    }

    /// Says what was cut, and how to get the rest.
    fn tell(&mut self, question: &Question, is_full: bool, shortened: usize) {
        let shown = self.row_count;
        if question.max_rows.is_some_and(|rows| rows > MAX_ROWS) {
            self.notices.push(format!("max_rows is {MAX_ROWS} at most."));
        }
        if is_full {
            self.notices.push(format!(
                "Only the first {shown} rows fit into an answer. Aggregate, select fewer columns, or read on with ORDER BY \
                 .. OFFSET {shown}."
            ));
        } else if self.truncated {
            let more = if question.rows() < MAX_ROWS { "raise max_rows, " } else { "" };
            self.notices.push(format!("For the rest, aggregate, {more}or read on with ORDER BY .. OFFSET {shown}."));
        }
        if shortened > 0 {
            self.notices.push(format!(
                "Values longer than {CELL_CHARS} characters are shortened and end in \"…\" ({shortened} here); \
                 substr(column, {}) reads on.",
                CELL_CHARS + 1
            ));
        }
    }
}

/// The largest share that each of the answers with these sizes may take, so that together they stay within `budget`;
/// what small ones leave over goes to the large ones.
pub(super) fn fair_share(budget: usize, sizes: impl IntoIterator<Item = usize>) -> usize {
    let mut sizes: Vec<usize> = sizes.into_iter().collect();
    sizes.sort_unstable();
    let mut left = budget;
    for (at, size) in sizes.iter().enumerate() {
        let share = left / (sizes.len() - at);
        if *size > share {
            return share;
        }
        left -= size;
    }
    usize::MAX
}

/// How many bytes of JSON a value takes.
pub(super) fn bytes(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len())
}

/// Takes the bytes of `item` and of a comma from `left`; false where they do not fit.
pub(super) fn pay(left: &mut usize, item: &impl Serialize) -> bool {
    match left.checked_sub(bytes(item) + 1) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

/// The rows of one answer while they are read.
struct Rows {
    kept: Vec<Vec<Value>>,
    left: usize,
    full: bool,
    shortened: usize,
}

impl Rows {
    fn within(budget: usize) -> Self {
        Self { kept: Vec::new(), left: budget, full: false, shortened: 0 }
    }

    /// Reads `stream` until it ends or no more rows fit: dropping it then stops the query.
    async fn take(&mut self, mut stream: QueryStream, seen: &AtomicU64) -> Result<Summary, Error> {
        while let Some(batch) = stream.try_next().await? {
            if self.full {
                break;
            }
            seen.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            for mut row in encode::json::rows(&batch) {
                self.shortened += row.iter_mut().map(|value| usize::from(shorten(value))).sum::<usize>();
                if !pay(&mut self.left, &row) {
                    self.full = true;
                    break;
                }
                self.kept.push(row);
            }
        }
        Ok(stream.summary())
    }
}

/// The columns, and a notice where there is no room for what their codes mean.
fn columns(schema: &Schema) -> Result<(Vec<Column>, Option<&'static str>), Error> {
    let columns = schema.fields().iter().map(|field| Column {
        name: field.name().clone(),
        data_type: engine::system::type_name(field.data_type()),
        codes: Meaning::of(field).into(),
    });
    let mut columns: Vec<Column> = columns.collect();
    let mut notice = None;
    if columns.iter().map(|column| bytes(&column.codes)).sum::<usize>() > BUDGET / 8 {
        columns.iter_mut().for_each(|column| column.codes = Codes::default());
        notice = Some("There is no room for the labels of the columns; describe_dataset has them.");
    }
    if bytes(&columns) > BUDGET / 2 {
        return Err(Error::new(
            Code::ResultTooLarge,
            format!("The result has {} columns, more than an answer can hold.", columns.len()),
        )
        .hint("Name the columns you need; system.columns lists them."));
    }
    Ok((columns, notice))
}

/// Shortens a value that is too long, and says whether it was.
fn shorten(value: &mut Value) -> bool {
    let text = match value {
        Value::String(text) => std::mem::take(text),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) => return false,
    };
    let cut = text.char_indices().nth(CELL_CHARS).map(|(at, _)| at);
    match (cut, &*value) {
        (Some(at), _) => *value = Value::String(format!("{}…", &text[..at])),
        (None, Value::String(_)) => *value = Value::String(text),
        (None, _) => {}
    }
    cut.is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_small_answers_leave_over_goes_to_large_ones() {
        assert_eq!(fair_share(100, [10, 20, 500]), 70);
        assert_eq!(fair_share(100, [10, 500, 500]), 45);
        assert_eq!(fair_share(100, [500, 500, 500, 500]), 25);
        assert_eq!(fair_share(100, [10, 20, 70]), usize::MAX);
        assert_eq!(fair_share(100, []), usize::MAX);
    }

    #[test]
    fn shares_are_never_exceeded() {
        for seed in 0..200_usize {
            let sizes: Vec<usize> = (0..30).map(|at| (seed * 7919 + at * 104_729) % 5_000).collect();
            let share = fair_share(20_000, sizes.iter().copied());
            assert!(sizes.iter().map(|size| (*size).min(share)).sum::<usize>() <= 20_000);
        }
    }

    #[test]
    fn a_long_text_is_shortened_by_characters_and_short_values_stay() {
        let mut long = json!("é".repeat(CELL_CHARS + 1));
        assert!(shorten(&mut long));
        assert_eq!(long, json!(format!("{}…", "é".repeat(CELL_CHARS))));
        for untouched in [json!("é".repeat(CELL_CHARS)), json!([1, 2]), json!({"a": null}), json!(1.5), json!(null)] {
            let mut value = untouched.clone();
            assert!(!shorten(&mut value));
            assert_eq!(value, untouched);
        }
        let mut list = json!(vec![7; CELL_CHARS]);
        assert!(shorten(&mut list));
        assert!(list.as_str().is_some_and(|text| text.starts_with("[7,7") && text.ends_with('…')));
    }
}
