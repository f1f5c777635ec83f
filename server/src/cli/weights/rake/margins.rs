//! Margins as analysts keep them: CSV with a row for each category. What is wrong is told with its file and line.

use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{Reader, ReaderBuilder, StringRecord, Trim};
use engine::raking::{Category, Margin};
use engine::{Code, Error};

use crate::cli::failure::Failure;

/// Where the margins are.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct MarginArgs {
    /// Margins in one file: CSV with the columns variable, category, population; repeatable.
    #[arg(long = "margins", value_name = "FILE", required_unless_present = "one")]
    all: Vec<PathBuf>,

    /// The margin of one column: CSV with the columns category, population; repeatable.
    #[arg(long = "margin", value_name = "COLUMN=FILE", value_parser = margin_flag)]
    one: Vec<(String, PathBuf)>,
}

fn margin_flag(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((column, file)) if !column.trim().is_empty() && !file.is_empty() => {
            Ok((column.trim().to_owned(), PathBuf::from(file)))
        }
        _ => Err("write it as COLUMN=FILE, such as gender=gender.csv".to_owned()),
    }
}

/// What the hints say of the format.
const FORMAT: &str = "It is CSV with the columns variable, category, population: one row for each category.";
const FORMAT_OF_ONE: &str = "It is CSV with the columns category, population: one row for each category.";

impl MarginArgs {
    /// The margins, in the order in which they are given. No category is empty, and each has a number of 0 or more.
    ///
    /// # Errors
    /// A usage failure where a file cannot be read; `invalid_argument` for what is wrong in it.
    pub(super) fn read(&self) -> Result<Vec<Margin>, Failure> {
        let mut margins: Vec<Margin> = Vec::new();
        let files = self.all.iter().map(|file| (None, file));
        for (column, path) in files.chain(self.one.iter().map(|(column, file)| (Some(column.as_str()), file))) {
            let file = File::open(path)
                .map_err(|error| Failure::usage(format!("The margins {} cannot be read: {error}.", path.display())))?;
            for margin in (Source { path, column }).margins(file)? {
                if margins.iter().any(|other| other.variable == margin.variable) {
                    let message =
                        format!("{}: there is another margin of {} already.", path.display(), margin.variable);
                    return Err(Error::new(Code::InvalidArgument, message)
                        .hint("Give one margin of each column.")
                        .into());
                }
                margins.push(margin);
            }
        }
        Ok(margins)
    }
}

/// A file of margins, or of the margin of a column.
struct Source<'a> {
    path: &'a Path,
    column: Option<&'a str>,
}

/// Where the columns stand.
struct Columns {
    variable: Option<usize>,
    category: usize,
    population: usize,
}

impl Source<'_> {
    fn margins(&self, file: File) -> Result<Vec<Margin>, Error> {
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(file);
        let columns = self.columns(&mut reader)?;
        let mut margins: Vec<Margin> = Vec::new();
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| self.torn(&error))? {
            let line = record.position().map_or(0, csv::Position::line);
            let field = |at: usize, what: &str| match record.get(at) {
                Some(text) if !text.is_empty() => Ok(text),
                _ => Err(self.wrong(format!("line {line} has no {what}"))),
            };
            let variable = match (self.column, columns.variable) {
                (Some(column), _) => column,
                (None, Some(at)) => field(at, "variable")?,
                (None, None) => return Err(self.wrong("it has no column variable".to_owned())),
            };
            let category = Category {
                name: field(columns.category, "category")?.to_owned(),
                population: self.population(field(columns.population, "population")?, line)?,
            };
            let margin = match margins.iter_mut().find(|margin| margin.variable == variable) {
                Some(margin) => margin,
                None => margins.push_mut(Margin { variable: variable.to_owned(), categories: Vec::new() }),
            };
            if margin.categories.iter().any(|other| other.name == category.name) {
                return Err(self.wrong(format!("line {line} has {variable} = {} again", category.name)));
            }
            margin.categories.push(category);
        }
        if margins.is_empty() { Err(self.wrong("it has no rows".to_owned())) } else { Ok(margins) }
    }

    fn columns(&self, reader: &mut Reader<File>) -> Result<Columns, Error> {
        let headers = reader.headers().map_err(|error| self.torn(&error))?;
        let find = |names: &[&str]| {
            let mut places = headers
                .iter()
                .enumerate()
                .filter(|(_, header)| names.iter().any(|name| name.eq_ignore_ascii_case(header)));
            match (places.next(), places.next()) {
                (Some(_), Some(_)) => Err(self.wrong(format!("it has two columns {}", names.join(" or ")))),
                (first, _) => Ok(first.map(|(at, _)| at)),
            }
        };
        let needed = |at: Option<usize>, name: &str| at.ok_or_else(|| self.wrong(format!("it has no column {name}")));
        let variable = find(&["variable"])?;
        if let Some(column) = self.column {
            if variable.is_some() {
                let message = format!("it has a column variable, and --margin says that it is of {column} alone");
                return Err(self.wrong(message).hint("Give a file of several margins with --margins."));
            }
        } else {
            needed(variable, "variable")?;
        }
        let category = needed(find(&["category"])?, "category")?;
        let population = needed(find(&["population", "share"])?, "population")?;
        Ok(Columns { variable, category, population })
    }

    fn population(&self, text: &str, line: u64) -> Result<f64, Error> {
        match text.parse::<f64>() {
            Ok(population) if population >= 0.0 && population.is_finite() => Ok(population),
            Ok(_) => {
                Err(self.wrong(format!("line {line} has the population {text}")).hint("It is a number of 0 or more."))
            }
            Err(_) => Err(self
                .wrong(format!("line {line} has the population \"{text}\", which is no number"))
                .hint("Write it without separators of thousands and without units, as 1200 or 0.47.")),
        }
    }

    fn wrong(&self, what: String) -> Error {
        let hint = if self.column.is_some() { FORMAT_OF_ONE } else { FORMAT };
        Error::new(Code::InvalidArgument, format!("The margins {}: {what}.", self.path.display())).hint(hint)
    }

    fn torn(&self, error: &csv::Error) -> Error {
        let line = error.position().map_or(1, csv::Position::line);
        match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                self.wrong(format!("line {line} has {len} fields and not {expected_len}"))
            }
            csv::ErrorKind::Utf8 { .. } => self.wrong(format!("line {line} is not UTF-8")),
            _ => self.wrong("it cannot be read as CSV".to_owned()),
        }
    }
}
