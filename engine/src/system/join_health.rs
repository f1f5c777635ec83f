//! `system.join_health`: how well two tables join, measured. One row for each pair of columns that look like one key.
//!
//! It reads no table by itself: each figure is a query of the caller, so rights, row rules and masks hold in it. It
//! wants to be told which tables: `WHERE left_table = 'a.b' AND right_table = 'c.d'`, or `left_dataset`, `right_dataset`
//! for all tables of a dataset. Where no figure is read, no figure is measured.

mod figures;
mod mend;
mod pairs;
mod sample;
mod sides;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};

use self::figures::Figures;
use self::mend::mend;
use self::pairs::Pair;
use super::{Asked, SystemTable, type_name};
use crate::{Code, Error};

#[derive(Debug)]
pub(super) struct JoinHealth;

/// A pair of columns with what was measured.
struct Row {
    pair: Pair,
    figures: Option<Figures>,
    /// Why nothing could be measured.
    error: Option<String>,
}

/// A column of the table: its name, what it means, its value.
struct Column {
    name: &'static str,
    doc: &'static str,
    value: Value,
}

/// How a row gives a value. All but names are NULL where nothing was measured.
enum Value {
    Name(fn(&Pair) -> String),
    Claim(fn(&Pair) -> bool),
    Text(fn(&Row) -> Option<String>),
    Count(fn(&Figures) -> Option<u64>),
    Ratio(fn(&Figures) -> Option<f64>),
    Flag(fn(&Figures) -> bool),
}

const fn name(name: &'static str, value: fn(&Pair) -> String, doc: &'static str) -> Column {
    Column { name, doc, value: Value::Name(value) }
}

const fn count(name: &'static str, value: fn(&Figures) -> Option<u64>, doc: &'static str) -> Column {
    Column { name, doc, value: Value::Count(value) }
}

const fn ratio(name: &'static str, value: fn(&Figures) -> Option<f64>, doc: &'static str) -> Column {
    Column { name, doc, value: Value::Ratio(value) }
}

const fn text(name: &'static str, value: fn(&Row) -> Option<String>, doc: &'static str) -> Column {
    Column { name, doc, value: Value::Text(value) }
}

/// Every column, in order.
static COLUMNS: &[Column] = &[
    name("left_dataset", |pair| pair.left.dataset.clone(), "The dataset of the left table."),
    name("left_table", |pair| pair.left.name.clone(), "The left table, as the query names it, else dataset.table."),
    name("left_column", |pair| pair.left_column.name.clone(), "The left key."),
    name("left_type", |pair| type_name(&pair.left_column.data_type), "Its type."),
    name("right_dataset", |pair| pair.right.dataset.clone(), "The dataset of the right table."),
    name("right_table", |pair| pair.right.name.clone(), "The right table, as the query names it, else dataset.table."),
    name("right_column", |pair| pair.right_column.name.clone(), "The right key."),
    name("right_type", |pair| type_name(&pair.right_column.data_type), "Its type."),
    Column {
        name: "is_type_mismatch",
        doc: "The keys are of different kinds, such as an integer and a text. Text and number never match as they stand.",
        value: Value::Claim(|pair| pair.comparison.is_type_mismatch()),
    },
    count("left_rows", |it| Some(it.left.rows), "Rows of the left table."),
    count("left_nulls", |it| Some(it.left.nulls), "Its rows without a key."),
    count("left_keys", |it| Some(it.left.keys), "Its distinct keys."),
    count("left_duplicates", |it| Some(it.left.duplicates), "Its rows with a key, less its distinct keys."),
    count("left_max_per_key", |it| it.left.max_per_key, "The most rows that one of its keys has."),
    count("right_rows", |it| Some(it.right.rows), "Rows of the right table."),
    count("right_nulls", |it| Some(it.right.nulls), "Its rows without a key."),
    count("right_keys", |it| Some(it.right.keys), "Its distinct keys."),
    count("right_duplicates", |it| Some(it.right.duplicates), "Its rows with a key, less its distinct keys."),
    count("right_max_per_key", |it| it.right.max_per_key, "The most rows that one of its keys has."),
    text(
        "cardinality",
        |row| row.figures.as_ref()?.cardinality().map(str::to_owned),
        "one_to_one, one_to_many, many_to_one or many_to_many, by the most rows that a key has on each side.",
    ),
    count("shared_keys", |it| Some(it.shared_keys), "Distinct keys that both sides have, as they stand."),
    ratio("left_overlap", |it| it.left.overlap, "The share of the left keys that the right has, 0 to 1."),
    ratio("right_overlap", |it| it.right.overlap, "The share of the right keys that the left has, 0 to 1."),
    count("join_rows", |it| Some(it.join_rows), "Rows of the inner join on the keys as they stand."),
    ratio("left_fan_out", |it| it.left.fan_out, "Rows of that join for each row of the left table."),
    ratio("right_fan_out", |it| it.right.fan_out, "Rows of that join for each row of the right table."),
    count(
        "left_unmatched_rows",
        |it| Some(it.left.unmatched_rows),
        "Left rows that the join loses, those without a key too.",
    ),
    count(
        "right_unmatched_rows",
        |it| Some(it.right.unmatched_rows),
        "Right rows that the join loses, those without a key too.",
    ),
    count(
        "more_keys_lower",
        |it| it.more.lower,
        "Keys that find a partner only in lower(), on the side where there are more of them. NULL where the keys are no texts.",
    ),
    count("more_keys_trim", |it| it.more.trim, "The same for trim()."),
    count("more_keys_lower_trim", |it| it.more.lower_trim, "The same for lower(trim())."),
    count(
        "more_keys_cast",
        |it| it.more.cast,
        "The same for a cast of the text to BIGINT. NULL where the keys are of one kind.",
    ),
    text(
        "mend",
        |row| mend(&row.pair, row.figures.as_ref()?),
        "The condition of the join under which those keys match: a is the left table, b the right. NULL where none would be won.",
    ),
    Column {
        name: "is_sampled",
        doc: "Only some keys were measured, the same on both sides: rows and nulls are exact, the most rows of a key is the \
              most seen, and the other counts are estimates for all keys.",
        value: Value::Flag(|it| it.share < 1.0),
    },
    ratio("sample_share", |it| Some(it.share), "The share of the keys that were measured; 1 is all."),
    text("error", |row| row.error.clone(), "Why this pair could not be measured."),
];

impl Column {
    fn field(&self) -> Field {
        let (data_type, nullable) = match self.value {
            Value::Name(_) => (DataType::Utf8, false),
            Value::Claim(_) => (DataType::Boolean, false),
            Value::Text(_) => (DataType::Utf8, true),
            Value::Count(_) => (DataType::UInt64, true),
            Value::Ratio(_) => (DataType::Float64, true),
            Value::Flag(_) => (DataType::Boolean, true),
        };
        let comment = ("weft.comment".to_owned(), self.doc.to_owned());
        Field::new(self.name, data_type, nullable).with_metadata([comment].into())
    }

    fn is_measured(&self) -> bool {
        !matches!(self.value, Value::Name(_) | Value::Claim(_))
    }

    fn values(&self, rows: &[Row]) -> ArrayRef {
        let figures = || rows.iter().map(|row| row.figures.as_ref());
        match self.value {
            Value::Name(name) => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| name(&row.pair)))),
            Value::Claim(claim) => Arc::new(rows.iter().map(|row| Some(claim(&row.pair))).collect::<BooleanArray>()),
            Value::Text(text) => Arc::new(rows.iter().map(text).collect::<StringArray>()),
            Value::Count(count) => Arc::new(figures().map(|it| it.and_then(count)).collect::<UInt64Array>()),
            Value::Ratio(ratio) => Arc::new(figures().map(|it| it.and_then(ratio)).collect::<Float64Array>()),
            Value::Flag(flag) => Arc::new(figures().map(|it| it.map(flag)).collect::<BooleanArray>()),
        }
    }
}

#[async_trait]
impl SystemTable for JoinHealth {
    fn name(&self) -> &'static str {
        "join_health"
    }

    fn comment(&self) -> &'static str {
        "How well two tables join, measured: WHERE left_table = 'a.b' AND right_table = 'c.d'."
    }

    fn schema(&self) -> Schema {
        Schema::new(COLUMNS.iter().map(Column::field).collect::<Vec<_>>())
    }

    async fn rows(&self, asked: &Asked) -> Result<RecordBatch, Error> {
        let pairs = pairs::of(asked, &sides::left(asked).await?, &sides::right(asked).await?);
        let is_measured = COLUMNS.iter().any(|column| column.is_measured() && asked.wants_column(column.name));
        let rows = match is_measured {
            true => measured(asked, pairs).await?,
            false => pairs.into_iter().map(|pair| Row { pair, figures: None, error: None }).collect(),
        };
        let columns = COLUMNS.iter().map(|column| column.values(&rows)).collect();
        Ok(RecordBatch::try_new(Arc::new(self.schema()), columns)?)
    }
}

/// Measures each pair. One that fails says why in its row; where the query names both tables, its error is the answer.
async fn measured(asked: &Asked, pairs: Vec<Pair>) -> Result<Vec<Row>, Error> {
    const MOST_PAIRS: usize = 200;
    const AT_ONCE: usize = 4;
    if pairs.len() > MOST_PAIRS {
        let message =
            format!("{} pairs of columns look like keys; at most {MOST_PAIRS} are measured at once.", pairs.len());
        return Err(Error::new(Code::InvalidArgument, message)
            .hint("Name tables with left_table and right_table; without figures, all pairs can be listed."));
    }
    // These queries wait for turns like any others: they leave most turns to those.
    let at_once = (asked.engine.inner.limits.concurrent_queries / 4).clamp(1, AT_ONCE);
    let measuring = pairs.into_iter().map(|pair| async move {
        match figures::measure(asked, &pair).await {
            Ok(figures) => Ok(Row { pair, figures: Some(figures), error: None }),
            Err(error) if pair.left.is_named && pair.right.is_named => Err(error),
            Err(error) => Ok(Row { pair, figures: None, error: Some(error.message().to_owned()) }),
        }
    });
    stream::iter(measuring).buffered(at_once).try_collect().await
}
