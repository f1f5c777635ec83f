//! How an answer is written: six formats, each of which streams.
//!
//! An encoder sees batches one by one and never holds a result. Values read the same in every text format: they are
//! defined once, in `cell`.

mod accept;
mod arrow;
mod cell;
mod csv;
pub mod json;
pub mod markdown;
mod ndjson;
mod parquet;
mod stream;

use std::fmt;
use std::str::FromStr;

use ::arrow::array::RecordBatch;
use ::arrow::datatypes::SchemaRef;
use engine::{Code, Error, QueryId, QueryStream, Summary};

pub use accept::negotiate;
pub use cell::text;
pub use stream::Encoded;

/// A way to write an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The Arrow IPC stream.
    Arrow,
    /// Comma-separated values, as RFC 4180 says.
    Csv,
    /// One JSON object that holds columns, rows, and what there is to know about them.
    Json,
    /// A pipe table.
    Markdown,
    /// One JSON object per row.
    Ndjson,
    /// A Parquet file.
    Parquet,
}

/// Every format with its name, media type and file extension, by name.
pub const FORMATS: [(Format, &str, &str, &str); 6] = [
    (Format::Arrow, "arrow", "application/vnd.apache.arrow.stream", "arrows"),
    (Format::Csv, "csv", "text/csv", "csv"),
    (Format::Json, "json", "application/json", "json"),
    (Format::Markdown, "markdown", "text/markdown", "md"),
    (Format::Ndjson, "ndjson", "application/x-ndjson", "ndjson"),
    (Format::Parquet, "parquet", "application/vnd.apache.parquet", "parquet"),
];

impl Format {
    const fn row(self) -> (Format, &'static str, &'static str, &'static str) {
        FORMATS[self as usize]
    }

    /// The name, as flags and messages write it.
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        self.row().2
    }

    /// The ending of a file, without the dot.
    pub const fn extension(self) -> &'static str {
        self.row().3
    }

    /// Whether it is text that a terminal can show.
    pub const fn is_text(self) -> bool {
        !matches!(self, Format::Arrow | Format::Parquet)
    }

    fn encoder(self) -> Box<dyn Encoder> {
        match self {
            Format::Arrow => Box::<arrow::ArrowStream>::default(),
            Format::Csv => Box::<csv::Csv>::default(),
            Format::Json => Box::<json::Json>::default(),
            Format::Markdown => Box::<markdown::Markdown>::default(),
            Format::Ndjson => Box::<ndjson::Ndjson>::default(),
            Format::Parquet => Box::<parquet::Parquet>::default(),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        FORMATS.iter().find(|row| row.1.eq_ignore_ascii_case(text)).map(|row| row.0).ok_or_else(|| {
            let names = FORMATS.map(|row| row.1).join(", ");
            Error::new(Code::InvalidArgument, format!("There is no format \"{text}\"."))
                .hint(format!("Formats: {names}."))
        })
    }
}

/// The answer in `format`, piece by piece, once its first rows are there: a query that fails before them has no answer at
/// all. Dropping it stops the query.
///
/// # Errors
/// What the query failed with before its first rows; `unsupported_sql` where the format cannot hold a column.
pub async fn begin(format: Format, answer: QueryStream) -> Result<Encoded, Error> {
    Encoded::begin(format, answer).await
}

/// Writes rows that are at hand, as [`begin`] writes an answer. `of` is the answer that they came in; `out` gets each piece.
///
/// # Errors
/// `unsupported_sql` where the format cannot hold a column; what `out` fails with.
pub(crate) fn write<E: From<Error>>(
    format: Format,
    of: (QueryId, &Summary),
    schema: &SchemaRef,
    rows: impl IntoIterator<Item = Result<RecordBatch, Error>>,
    mut out: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut encoder = format.encoder();
    let mut piece = Vec::new();
    encoder.begin(of.0, schema, &mut piece)?;
    for batch in rows {
        encoder.batch(&batch?, &mut piece)?;
        out(&piece)?;
        piece.clear();
    }
    encoder.finish(of.1, &mut piece)?;
    out(&piece)
}

/// One format while it is being written. What it writes is appended to `out`.
trait Encoder: Send {
    /// What stands before the rows.
    fn begin(&mut self, query_id: QueryId, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), Error>;

    /// Rows. A format that keeps some back may write nothing.
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error>;

    /// What stands after the rows.
    fn finish(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<(), Error>;

    /// Ends the answer with `error` inside it, and says whether the format can.
    fn fail(&mut self, _error: &Error, _out: &mut Vec<u8>) -> bool {
        false
    }
}

/// A failure to encode what the engine delivered.
fn unencodable(format: Format, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Code::UnsupportedSql, format!("A column of the result has a type that {format} cannot hold."))
        .hint("Cast it to text in the query, or ask for another format.")
        .cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_sorted_and_each_stands_at_its_own_place() {
        assert!(FORMATS.is_sorted_by_key(|row| row.1));
        for (format, name, media_type, extension) in FORMATS {
            assert_eq!((format.name(), format.media_type(), format.extension()), (name, media_type, extension));
            assert_eq!(name.parse::<Format>().ok(), Some(format));
        }
    }

    #[test]
    fn an_unknown_format_is_told_the_known_ones() {
        let error = "xlsx".parse::<Format>().unwrap_err();
        assert_eq!(error.hint_text(), Some("Formats: arrow, csv, json, markdown, ndjson, parquet."));
    }
}
