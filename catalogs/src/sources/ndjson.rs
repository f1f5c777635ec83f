//! NDJSON files: one JSON object per line, plain or compressed. Objects and lists within become structs and lists.

use std::io::{BufRead, BufReader};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::FileSource;
use datafusion::datasource::table_schema::TableSchema;
use engine::Error;
use object_store::ObjectStore;
use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{
    self, Batches, DataFile, Files, Format, Mixing, SOURCE_TYPE, ScannedFile, StoreOptions, TextFormat, TextSource,
};
use crate::source::{Connect, Source, SourceKind};

/// Rows of a table whose values are looked at for types, unless the options say otherwise.
const GUESS_ROWS: usize = 100_000;
/// Rows of each file whose values are looked at, however many files there are.
const GUESS_ROWS_PER_FILE: usize = 1_000;

/// The kind `ndjson`.
#[derive(Debug)]
pub(super) struct Ndjson;

/// The keys of `connection:`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// A file, a folder or a pattern such as `events/*.ndjson`. With `table:` next to it a folder is one table; without,
    /// each file and each folder in it is one. Folders named `key=value` are columns. It is on this machine, or in a store:
    /// `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`, or one file behind `https://`.
    path: Option<String>,
    /// Rows that are looked at for the types of columns.
    #[serde(default = "guess_rows")]
    infer_rows: usize,
    /// Stores.
    #[serde(flatten)]
    store: StoreOptions,
}

fn guess_rows() -> usize {
    GUESS_ROWS
}

impl SourceKind for Ndjson {
    fn name(&self) -> &'static str {
        "ndjson"
    }

    fn title(&self) -> &'static str {
        "NDJSON"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["jsonl"]
    }

    fn recognizes(&self) -> &'static [&'static str] {
        &["ndjson", "jsonl", "json"]
    }

    fn options_schema(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn connect(&self, connect: Connect) -> Result<Arc<dyn Source>, Error> {
        let options: Options = files::options(connect.options)?;
        let lines = NdjsonFiles { guess_rows: options.infer_rows };
        Ok(Arc::new(Files::new(connect.id, connect.root, options.path, options.store, lines)?))
    }
}

/// NDJSON files.
#[derive(Debug, Clone)]
struct NdjsonFiles {
    guess_rows: usize,
}

#[async_trait]
impl Format for NdjsonFiles {
    fn extensions(&self) -> &'static [&'static str] {
        Ndjson.recognizes()
    }

    fn mixing(&self) -> Mixing {
        Mixing::Guessed
    }

    fn for_table(&self) -> Arc<dyn Format> {
        Arc::new(self.clone())
    }

    async fn columns(&self, _: &Arc<dyn ObjectStore>, file: &DataFile, of: usize) -> Result<SchemaRef, Error> {
        let rows = (self.guess_rows / of.max(1)).max(GUESS_ROWS_PER_FILE.min(self.guess_rows));
        let file = file.clone();
        files::blocking(move || columns(&file, rows)).await
    }

    fn reader(
        &self,
        _: &Arc<dyn ObjectStore>,
        schema: &TableSchema,
        state: &dyn Session,
    ) -> Result<Arc<dyn FileSource>, DataFusionError> {
        Ok(Arc::new(TextSource::new(Arc::new(self.clone()), schema, state.config().batch_size())))
    }
}

impl TextFormat for NdjsonFiles {
    fn name(&self) -> &'static str {
        "ndjson"
    }

    fn read(&self, file: &ScannedFile, schema: SchemaRef, batch_size: usize) -> Result<Batches, Error> {
        let file = file.file.clone();
        let reader = BufReader::with_capacity(1 << 17, files::open(&file)?);
        let batches = builder(&schema)
            .with_batch_size(batch_size)
            .build(reader)
            .map_err(|error| explained(&file, error, &schema))?;
        Ok(Box::new(batches.map(move |batch| batch.map_err(|error| explained(&file, error, &schema)))))
    }
}

/// Numbers and truth values become text where the column is text.
fn builder(schema: &SchemaRef) -> ReaderBuilder {
    ReaderBuilder::new(Arc::clone(schema)).with_coerce_primitive(true)
}

fn columns(file: &DataFile, rows: usize) -> Result<SchemaRef, Error> {
    let reader = BufReader::new(files::open(file)?);
    let empty: SchemaRef = Arc::new(Schema::empty());
    let (schema, _) = infer_json_schema(reader, Some(rows)).map_err(|error| explained(file, error, &empty))?;
    let fields = schema.fields().iter().map(|field| {
        let source_type = match field.data_type() {
            DataType::Boolean => "boolean",
            DataType::Int64 | DataType::Float64 => "number",
            DataType::List(_) => "array",
            DataType::Struct(_) => "object",
            _ => "string",
        };
        let metadata = [(SOURCE_TYPE.to_owned(), source_type.to_owned())].into();
        Field::new(field.name(), known_type(field.data_type()), true).with_metadata(metadata)
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// A type for values of which only null was seen: text, which holds any that may follow.
fn known_type(data_type: &DataType) -> DataType {
    let known = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(known_type(field.data_type())));
    match data_type {
        DataType::Null => DataType::Utf8,
        DataType::List(item) => DataType::List(known(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(known).collect::<Fields>()),
        other => other.clone(),
    }
}

/// What is wrong with a file, with its line and never with its values.
fn explained(file: &DataFile, error: ArrowError, schema: &SchemaRef) -> Error {
    if let Some(error) = files::interrupted(file) {
        return error;
    }
    if let ArrowError::IoError(_, io) = &error {
        return files::unpacking_failed(file, io).cause(error);
    }
    let explained = match first_bad_line(file, schema) {
        Some((line, Bad::NotUtf8)) => {
            files::invalid_line(&file.name, Some(line), "is not UTF-8 text.").hint("Save the file as UTF-8.")
        }
        Some((line, Bad::NotAnObject)) => {
            files::invalid_line(&file.name, Some(line), "is not a JSON object.").hint("Write one JSON object per line.")
        }
        Some((line, Bad::OtherType)) => {
            files::invalid_line(&file.name, Some(line), "has a value that is not of its column's type.")
                .hint("Write the value as the other rows have it, or raise `infer_rows` of the connection.")
        }
        None if files::is_compressed(file) => files::unpacking_failed(file, &std::io::ErrorKind::InvalidData.into()),
        None => files::invalid_file(&file.name, "mixes values, lists and objects in one column.")
            .hint("Give each name the same kind of value in every row."),
    };
    explained.cause(error)
}

enum Bad {
    NotUtf8,
    NotAnObject,
    OtherType,
}

/// Looks for the line that the reader refused; it knows none itself.
fn first_bad_line(file: &DataFile, schema: &SchemaRef) -> Option<(usize, Bad)> {
    let mut reader = BufReader::new(files::open(file).ok()?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let Ok(text) = std::str::from_utf8(&line) else { return Some((number, Bad::NotUtf8)) };
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(serde_json::Value::Object(_)) => {}
            _ => return Some((number, Bad::NotAnObject)),
        }
        let refuses = |mut batches: arrow::json::Reader<&[u8]>| batches.next().is_some_and(|batch| batch.is_err());
        if !schema.fields().is_empty() && builder(schema).build(line.as_slice()).is_ok_and(refuses) {
            return Some((number, Bad::OtherType));
        }
    }
    None
}
