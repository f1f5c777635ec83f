//! Explains what is wrong in a CSV file: which line, which column, and never which value, as a value may be masked.

use std::io::{BufRead, BufReader};

use arrow::error::ArrowError;
use engine::Error;

use crate::sources::files::{self, DataFile};

/// The characters that divide a file into rows and fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    pub(super) escape: Option<u8>,
}

/// The sentence for `error`.
pub(super) fn explained(file: &DataFile, error: &ArrowError, names: &[String], dialect: Dialect) -> Error {
    let line_of = |record: Option<usize>| record.map(|record| line_of(file, record, dialect));
    match error {
        ArrowError::CsvError(text)
            if text.contains("incorrect number of fields") || text.contains("unequal lengths") =>
        {
            let (expected, got) = (number_after(text, "expected "), number_after(text, "got "));
            let what = match (expected, got) {
                (Some(expected), Some(1)) => format!("has 1 field where {expected} are expected."),
                (Some(expected), Some(got)) => format!("has {got} fields where {expected} are expected."),
                (Some(expected), None) => format!("has more fields than the {expected} that are expected."),
                _ => "has another number of fields than the header.".to_owned(),
            };
            files::invalid_line(&file.name, line_of(number_after(text, "line ")), what)
                .hint("Every row must have as many fields as the header; put fields that hold a delimiter in quotes.")
        }
        ArrowError::CsvError(text) if text.to_ascii_lowercase().contains("utf-8") => {
            files::invalid_line(&file.name, line_of(number_after(text, "line ")), "is not UTF-8 text.")
                .hint("Save the file as UTF-8.")
        }
        ArrowError::ParseError(text) => {
            // The row's number counts from 0, and so does the column's.
            let line = line_of(number_of(text, " at line ").map(|record| record + 1));
            let column = number_of(text, "column ").and_then(|at| names.get(at));
            let what = column.map_or_else(|| "a value".to_owned(), |name| format!("a value of column \"{name}\""));
            files::invalid_line(&file.name, line, format!("has {what} that is not of the column's type."))
                .hint("Declare the column under `columns:` of the connection, for example as text.")
        }
        ArrowError::IoError(_, io) => files::unpacking_failed(file, io),
        _ if files::is_compressed(file) => files::unpacking_failed(file, &std::io::ErrorKind::InvalidData.into()),
        _ => files::invalid_file(&file.name, "is not CSV."),
    }
}

fn number_after(text: &str, word: &str) -> Option<usize> {
    leading_number(&text[text.find(word)? + word.len()..])
}

/// The number behind the last `word` in front of the row's own text, which could hold the word too.
fn number_of(text: &str, word: &str) -> Option<usize> {
    let head = text.split(". Row data: ").next().unwrap_or(text);
    leading_number(&head[head.rfind(word)? + word.len()..])
}

fn leading_number(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// The line on which record `number`, counted from 1, begins: quoted line breaks and empty lines make them differ.
fn line_of(file: &DataFile, number: usize, dialect: Dialect) -> usize {
    let Ok(reader) = files::open(file) else { return number };
    line_of_record(BufReader::new(reader), number, dialect).unwrap_or(number)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between records.
    Outside,
    /// At the begin of a field.
    Begin,
    Plain,
    Quoted,
    /// After a quote in a quoted field: its end, or half of a doubled quote.
    Quote,
    Escaped,
}

fn line_of_record(reader: impl BufRead, number: usize, dialect: Dialect) -> Option<usize> {
    let (mut line, mut record, mut state) = (1_usize, 0_usize, State::Outside);
    for byte in reader.bytes() {
        let byte = byte.ok()?;
        let is_break = byte == b'\n' || byte == b'\r';
        if state == State::Outside && !is_break {
            record += 1;
            if record == number {
                return Some(line);
            }
            state = State::Begin;
        }
        state = match state {
            State::Outside => State::Outside,
            State::Escaped => State::Quoted,
            State::Quoted if Some(byte) == dialect.escape => State::Escaped,
            State::Quoted if byte == dialect.quote => State::Quote,
            State::Quoted => State::Quoted,
            State::Quote if byte == dialect.quote => State::Quoted,
            State::Begin if byte == dialect.quote => State::Quoted,
            _ if is_break => State::Outside,
            _ if byte == dialect.delimiter => State::Begin,
            _ => State::Plain,
        };
        line += usize::from(byte == b'\n');
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_on_its_line_behind_quoted_breaks_and_empty_lines() {
        let dialect = Dialect { delimiter: b',', quote: b'"', escape: None };
        let text = "a,b\r\n1,\"x\r\ny \"\"q\"\"\"\r\n\r\n2,5\" pipe\r\n3,z\r\n";
        let lines: Vec<_> = (1..=5).map(|record| line_of_record(text.as_bytes(), record, dialect)).collect();
        assert_eq!(lines, [Some(1), Some(2), Some(5), Some(6), None]);
    }

    #[test]
    fn a_value_that_looks_like_the_message_does_not_mislead_it() {
        let text =
            "Error while parsing value ' at line 9' as type 'Int64' for column 1 at line 2. Row data: '[x at line 7]'";
        assert_eq!(number_of(text, " at line "), Some(2));
        assert_eq!(number_of(text, "column "), Some(1));
    }
}
