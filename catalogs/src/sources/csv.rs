//! CSV files: typed by their values, or as the options say; plain or compressed.
//!
//! Empty values are NULL. A number that begins with a zero is text, so that codes such as `007` stay what they are.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format as CsvFormat;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::FileSource;
use datafusion::datasource::table_schema::TableSchema;
use engine::{Code, Error};
use object_store::ObjectStore;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

mod guess;
mod lines;

use self::guess::Guess;
use super::files::{
    self, Batches, DataFile, Files, Format, Mixing, SOURCE_TYPE, ScannedFile, StoreOptions, TextFormat, TextSource,
};
use crate::source::{Connect, Source, SourceKind};

/// Rows of a table whose values are looked at for types, unless the options say otherwise.
const GUESS_ROWS: usize = 100_000;
/// Rows of each file whose values are looked at, however many files there are.
const GUESS_ROWS_PER_FILE: usize = 1_000;

/// The kind `csv`.
#[derive(Debug)]
pub(super) struct Csv;

/// The keys of `connection:`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// A file, a folder or a pattern such as `sales/*.csv`. With `table:` next to it a folder is one table; without,
    /// each file and each folder in it is one. Folders named `key=value` are columns. It is on this machine, or in a store:
    /// `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`, or one file behind `https://`.
    path: Option<String>,
    /// The character between fields. Default: a comma, and a tab in `.tsv` files.
    #[schemars(length(min = 1, max = 1))]
    delimiter: Option<String>,
    /// Whether the first row holds the names of the columns; else they are `column_1`, `column_2` and so on.
    #[serde(default = "yes")]
    header: bool,
    /// The character around fields that hold a delimiter or a line break; such a character within is doubled.
    #[serde(default = "quote")]
    quote: String,
    /// The character that takes a quote its meaning, where quotes are not doubled.
    escape: Option<String>,
    /// Values that stand for NULL, besides the empty one.
    #[serde(default)]
    null_values: Vec<String>,
    /// Types of columns by name, where the values do not tell: `text`, `integer`, `number`, `boolean`, `date`,
    /// `timestamp`, `decimal(p,s)`.
    #[serde(default)]
    columns: BTreeMap<String, String>,
    /// Rows that are looked at for the types of columns.
    #[serde(default = "guess_rows")]
    infer_rows: usize,
    /// Stores.
    #[serde(flatten)]
    store: StoreOptions,
}

fn yes() -> bool {
    true
}

fn quote() -> String {
    "\"".to_owned()
}

fn guess_rows() -> usize {
    GUESS_ROWS
}

impl SourceKind for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn title(&self) -> &'static str {
        "CSV"
    }

    fn recognizes(&self) -> &'static [&'static str] {
        &["csv", "tsv"]
    }

    fn options_schema(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn connect(&self, connect: Connect) -> Result<Arc<dyn Source>, Error> {
        let options: Options = files::options(connect.options)?;
        let (path, store) = (options.path.clone(), options.store.clone());
        let csv = CsvFiles(Arc::new(Dialect::of(options)?));
        Ok(Arc::new(Files::new(connect.id, connect.root, path, store, csv)?))
    }
}

/// The options, checked.
#[derive(Debug, Clone)]
struct Dialect {
    delimiter: Option<u8>,
    header: bool,
    quote: u8,
    escape: Option<u8>,
    null: Option<Regex>,
    columns: BTreeMap<String, DataType>,
    guess_rows: usize,
}

impl Dialect {
    fn of(options: Options) -> Result<Self, Error> {
        let mut columns = BTreeMap::new();
        for (name, text) in options.columns {
            let data_type = guess::declared(&text).ok_or_else(|| {
                let text = format!("\"columns.{name}\" names no type: \"{text}\".");
                Error::new(Code::InvalidArgument, text)
                    .hint("Write text, integer, number, boolean, date, timestamp or decimal(p,s).")
            })?;
            columns.insert(name, data_type);
        }
        let null = (!options.null_values.is_empty()).then(|| {
            let values: Vec<String> = options.null_values.iter().map(|value| regex::escape(value)).collect();
            Regex::new(&format!("^(?:{})?$", values.join("|")))
        });
        let invalid = |error| Error::new(Code::InvalidArgument, "\"null_values\" cannot be read.").cause(error);
        Ok(Self {
            delimiter: options.delimiter.as_deref().map(|text| one_byte("delimiter", text)).transpose()?,
            header: options.header,
            quote: one_byte("quote", &options.quote)?,
            escape: options.escape.as_deref().map(|text| one_byte("escape", text)).transpose()?,
            null: null.transpose().map_err(invalid)?,
            columns,
            guess_rows: options.infer_rows,
        })
    }

    fn format(&self, file: &DataFile) -> CsvFormat {
        let format = CsvFormat::default()
            .with_header(self.header)
            .with_quote(self.quote)
            .with_delimiter(self.delimiter_of(file));
        let format = match self.escape {
            Some(escape) => format.with_escape(escape),
            None => format,
        };
        match &self.null {
            Some(null) => format.with_null_regex(null.clone()),
            None => format,
        }
    }

    fn delimiter_of(&self, file: &DataFile) -> u8 {
        let name = file.name.to_ascii_lowercase();
        let of_name = if files::without_compression(&name).ends_with(".tsv") { b'\t' } else { b',' };
        self.delimiter.unwrap_or(of_name)
    }

    fn reader(&self, file: &DataFile, schema: SchemaRef) -> Result<ReaderBuilder, Error> {
        Ok(ReaderBuilder::new(schema).with_format(self.format(file)))
    }

    /// The names of a file's columns; none where the file is empty.
    fn names(&self, file: &DataFile) -> Result<Vec<String>, Error> {
        let (schema, _) = self
            .format(file)
            .infer_schema(BufReader::new(files::open(file)?), Some(0))
            .map_err(|error| self.error(file, error, &[]))?;
        let mut names: Vec<String> = Vec::with_capacity(schema.fields().len());
        for (at, field) in schema.fields().iter().enumerate() {
            let name = match field.name().trim() {
                "" => format!("column_{}", at + 1),
                name => name.to_owned(),
            };
            let mut unique = name.clone();
            let mut count = 1;
            while names.contains(&unique) {
                count += 1;
                unique = format!("{name}_{count}");
            }
            names.push(unique);
        }
        Ok(if names.len() == 1 && file.size == 0 { Vec::new() } else { names })
    }

    fn columns(&self, file: &DataFile, of: usize) -> Result<SchemaRef, Error> {
        let names = self.names(file)?;
        if names.is_empty() {
            return Ok(Arc::new(Schema::empty()));
        }
        let text =
            Arc::new(Schema::new(names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>()));
        let mut left = (self.guess_rows / of.max(1)).max(GUESS_ROWS_PER_FILE.min(self.guess_rows));
        let mut guesses = vec![Guess::default(); names.len()];
        let batches =
            self.reader(file, text)?.build(files::open(file)?).map_err(|error| self.error(file, error, &names))?;
        for batch in batches {
            if left == 0 {
                break;
            }
            let batch = batch.map_err(|error| self.error(file, error, &names))?;
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            for (guess, column) in guesses.iter_mut().zip(batch.columns()) {
                column.as_string::<i32>().iter().flatten().for_each(|value| guess.see(value));
            }
        }
        let field = |(name, guess): (&String, &Guess)| {
            let data_type = self.columns.get(name).cloned().unwrap_or_else(|| guess.data_type());
            Field::new(name, data_type, true).with_metadata([(SOURCE_TYPE.to_owned(), "text".to_owned())].into())
        };
        Ok(Arc::new(Schema::new(names.iter().zip(&guesses).map(field).collect::<Vec<_>>())))
    }

    /// What is wrong with a file, with its line and never with its values.
    fn error(&self, file: &DataFile, error: ArrowError, names: &[String]) -> Error {
        if let Some(error) = files::interrupted(file) {
            return error;
        }
        let dialect = lines::Dialect { delimiter: self.delimiter_of(file), quote: self.quote, escape: self.escape };
        lines::explained(file, &error, names, dialect).cause(error)
    }
}

fn one_byte(name: &str, text: &str) -> Result<u8, Error> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Error::new(Code::InvalidArgument, format!("\"{name}\" must be one ASCII character."))),
    }
}

/// CSV files in the dialect of their options.
#[derive(Debug)]
struct CsvFiles(Arc<Dialect>);

#[async_trait]
impl Format for CsvFiles {
    fn extensions(&self) -> &'static [&'static str] {
        Csv.recognizes()
    }

    fn mixing(&self) -> Mixing {
        Mixing::Guessed
    }

    fn for_table(&self) -> Arc<dyn Format> {
        Arc::new(Self(Arc::clone(&self.0)))
    }

    async fn columns(&self, _: &Arc<dyn ObjectStore>, file: &DataFile, of: usize) -> Result<SchemaRef, Error> {
        let (dialect, file) = (Arc::clone(&self.0), file.clone());
        files::blocking(move || dialect.columns(&file, of)).await
    }

    fn readable(&self, schema: SchemaRef) -> SchemaRef {
        // Files that guess differently become text, but a type that was declared holds.
        let field = |field: &Arc<Field>| match self.0.columns.get(field.name()) {
            Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type.clone())),
            None => Arc::clone(field),
        };
        Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
    }

    fn reader(
        &self,
        _: &Arc<dyn ObjectStore>,
        schema: &TableSchema,
        state: &dyn Session,
    ) -> Result<Arc<dyn FileSource>, DataFusionError> {
        let format: Arc<dyn TextFormat> = Arc::clone(&self.0) as Arc<dyn TextFormat>;
        Ok(Arc::new(TextSource::new(format, schema, state.config().batch_size())))
    }
}

impl TextFormat for Dialect {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn read(&self, file: &ScannedFile, schema: SchemaRef, batch_size: usize) -> Result<Batches, Error> {
        let wanted = |field: &Arc<Field>| schema.field_with_name(field.name()).cloned().ok();
        let fields: Vec<Field> = file
            .columns
            .fields()
            .iter()
            .map(|field| wanted(field).unwrap_or_else(|| Field::new(field.name(), DataType::Utf8, true)))
            .collect();
        let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        // For each column of the table: its place in the file, if the file has it.
        let places: Vec<Option<usize>> =
            schema.fields().iter().map(|field| names.iter().position(|name| name == field.name())).collect();
        let projection: Vec<usize> = places.iter().flatten().copied().collect();
        let (file, dialect) = (file.file.clone(), self.clone());
        let opened: Box<dyn Read + Send> = files::open(&file)?;
        let reader = self
            .reader(&file, Arc::new(Schema::new(fields)))?
            .with_batch_size(batch_size)
            .with_projection(projection)
            .build_buffered(BufReader::with_capacity(1 << 17, opened))
            .map_err(|error| self.error(&file, error, &names))?;
        Ok(Box::new(reader.map(move |batch| {
            let batch = batch.map_err(|error| dialect.error(&file, error, &names))?;
            arranged(&batch, &places, &schema).map_err(|error| dialect.error(&file, error, &names))
        })))
    }
}

/// A file's columns in the order of the table; those that the file lacks are NULL.
fn arranged(batch: &RecordBatch, places: &[Option<usize>], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let mut own = batch.columns().iter();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(places.len());
    for (place, field) in places.iter().zip(schema.fields()) {
        let column = place.and_then(|_| own.next()).cloned();
        columns.push(column.unwrap_or_else(|| new_null_array(field.data_type(), rows)));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
