//! The formats of `--format` and `-o`: a table for people, and every format that the other doors write.

use std::path::Path;
use std::str::FromStr;

use crate::encode::{FORMATS, Format};

use super::failure::Failure;

/// A way to write an answer on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A table for people.
    Table,
    /// One `column | value` line per value, for rows that are too wide.
    Expanded,
    /// The text of a plan.
    Plan,
    /// The Arrow IPC file format, which only a file can hold.
    ArrowFile,
    /// What the other doors write too.
    Encoded(Format),
}

/// The word for [`Shape::Table`].
const TABLE: &str = "table";

/// Endings of file names besides each format's own.
const ENDINGS: [(&str, Shape); 7] = [
    ("arrow", Shape::ArrowFile),
    ("feather", Shape::ArrowFile),
    ("ipc", Shape::ArrowFile),
    ("jsonl", Shape::Encoded(Format::Ndjson)),
    ("markdown", Shape::Encoded(Format::Markdown)),
    ("pq", Shape::Encoded(Format::Parquet)),
    ("txt", Shape::Table),
];

/// Every name that `--format` takes.
pub(super) fn names() -> Vec<&'static str> {
    [TABLE].into_iter().chain(FORMATS.iter().map(|row| row.1)).collect()
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case(TABLE) {
            return Ok(Shape::Table);
        }
        match text.parse() {
            Ok(format) => Ok(Shape::Encoded(format)),
            Err(_) => Err(format!("formats are {}", names().join(", "))),
        }
    }
}

impl Shape {
    /// The shape for a file: what was asked for, else what the end of its name says.
    ///
    /// # Errors
    /// A usage failure where neither says it.
    pub(super) fn of_file(asked: Option<Shape>, file: &Path) -> Result<Self, Failure> {
        let ending = file.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let by_name = FORMATS
            .iter()
            .find(|row| row.3 == ending)
            .map(|row| Shape::Encoded(row.0))
            .or_else(|| ENDINGS.iter().find(|row| row.0 == ending).map(|row| row.1));
        match (asked, by_name) {
            (Some(Shape::Encoded(Format::Arrow)), Some(Shape::ArrowFile)) | (None, Some(Shape::ArrowFile)) => {
                Ok(Shape::ArrowFile)
            }
            (Some(asked), _) => Ok(asked),
            (None, Some(shape)) => Ok(shape),
            (None, None) => Err(Failure::usage(format!("The name {} does not say the format.", file.display()))
                .hint(format!("Give --format, or end the name in {}.", endings()))),
        }
    }

    /// Whether a terminal can show it.
    pub(super) fn is_text(self) -> bool {
        match self {
            Shape::Table | Shape::Expanded | Shape::Plan => true,
            Shape::ArrowFile => false,
            Shape::Encoded(format) => format.is_text(),
        }
    }

    /// The name, as `--format` writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Shape::Table | Shape::Expanded | Shape::Plan => TABLE,
            Shape::ArrowFile => Format::Arrow.name(),
            Shape::Encoded(format) => format.name(),
        }
    }
}

/// The endings that say a format, for a sentence.
fn endings() -> String {
    let mut known: Vec<&str> = FORMATS.iter().map(|row| row.3).chain(ENDINGS.map(|row| row.0)).collect();
    known.sort_unstable();
    known.iter().map(|ending| format!(".{ending}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_its_format() {
        let of = |name: &str| Shape::of_file(None, Path::new(name)).ok();
        assert_eq!(of("out.csv"), Some(Shape::Encoded(Format::Csv)));
        assert_eq!(of("a.b/OUT.JSONL"), Some(Shape::Encoded(Format::Ndjson)));
        assert_eq!(of("out.arrows"), Some(Shape::Encoded(Format::Arrow)));
        assert_eq!(of("out.arrow"), Some(Shape::ArrowFile));
        assert_eq!(of("out.txt"), Some(Shape::Table));
        assert_eq!(of("out.gz"), None);
        assert_eq!(of("out"), None);
    }

    #[test]
    fn what_is_asked_for_goes_before_the_name() {
        let of = |asked: &str, name: &str| Shape::of_file(Some(asked.parse().unwrap()), Path::new(name)).unwrap();
        assert_eq!(of("json", "out.csv"), Shape::Encoded(Format::Json));
        assert_eq!(of("arrow", "out.arrow"), Shape::ArrowFile);
        assert_eq!(of("arrow", "out.dat"), Shape::Encoded(Format::Arrow));
    }

    #[test]
    fn an_unknown_format_is_told_the_known_ones() {
        let told = "xlsx".parse::<Shape>().unwrap_err();
        assert_eq!(told, "formats are table, arrow, csv, json, markdown, ndjson, parquet");
    }
}
