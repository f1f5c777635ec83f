//! What went wrong, as a caller may read it: a code, one safe sentence, a hint. The cause stays inside, for the log.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

use crate::{Code, QueryId};

/// What went wrong. `Display` is the safe sentence; the cause is reached by `source()` and is for logs only.
///
/// It is a struct and not an enum because [`Code`] already is the closed list of what can be wrong, and every variant
/// would carry the same four things.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    hint: Option<String>,
    query_id: Option<QueryId>,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error whose `message` is safe to show: no path, no credential, no name that the caller may not see.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, query_id: None, retry_after: None, cause: None }
    }

    /// What the caller can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// When to ask again.
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// What lies behind it, for the log.
    pub fn cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// A copy of the error of this kind that lies behind `error`, where a library has wrapped one in its own.
    pub fn within(error: &(dyn StdError + 'static)) -> Option<Self> {
        find_own(error)
    }

    pub(crate) fn of_query(mut self, id: QueryId) -> Self {
        self.query_id.get_or_insert(id);
        self
    }

    /// The code of the contract.
    pub fn code(&self) -> Code {
        self.code
    }

    /// One safe sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the caller can do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// How long to wait before asking again, where that is known.
    pub fn retry_time(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The query that failed, where one had begun.
    pub fn query_id(&self) -> Option<QueryId> {
        self.query_id
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| cause.as_ref() as &(dyn StdError + 'static))
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<Error> for ArrowError {
    fn from(error: Error) -> Self {
        ArrowError::ExternalError(Box::new(error))
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        Error::from(DataFusionError::from(error))
    }
}

/// Every failure below the doors is a `DataFusionError`; this is the one place that gives it a code.
impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match take_own(error) {
            Ok(own) => own,
            Err(other) => classify(other),
        }
    }
}

/// The engine's own error inside wrappers, if there is one: sources and functions speak through it.
fn take_own(error: DataFusionError) -> Result<Error, DataFusionError> {
    match error {
        DataFusionError::External(boxed) => match boxed.downcast::<Error>() {
            Ok(own) => Ok(*own),
            Err(boxed) => match boxed.downcast::<DataFusionError>() {
                Ok(inner) => take_own(*inner),
                Err(boxed) => match boxed.downcast::<ArrowError>() {
                    Ok(inner) => take_own(DataFusionError::from(*inner)),
                    Err(boxed) => Err(DataFusionError::External(boxed)),
                },
            },
        },
        DataFusionError::ArrowError(arrow, backtrace) => match *arrow {
            ArrowError::ExternalError(boxed) => take_own(DataFusionError::External(boxed)),
            other => Err(DataFusionError::ArrowError(Box::new(other), backtrace)),
        },
        DataFusionError::Context(text, inner) => {
            take_own(*inner).map_err(|inner| DataFusionError::Context(text, Box::new(inner)))
        }
        DataFusionError::Diagnostic(diagnostic, inner) => {
            take_own(*inner).map_err(|inner| DataFusionError::Diagnostic(diagnostic, Box::new(inner)))
        }
        DataFusionError::Collection(errors) => {
            let mut rest = Vec::with_capacity(errors.len());
            for error in errors {
                match take_own(error) {
                    Ok(own) => return Ok(own),
                    Err(error) => rest.push(error),
                }
            }
            Err(DataFusionError::Collection(rest))
        }
        // One that is shared, or that came through a library's own errors.
        other => Error::within(&other).ok_or(other),
    }
}

/// A copy of the engine's own error behind `error`; the cause cannot be shared and goes as text.
fn find_own(error: &(dyn StdError + 'static)) -> Option<Error> {
    let mut at = Some(error);
    while let Some(here) = at {
        if let Some(own) = here.downcast_ref::<Error>() {
            let mut copy = Error::new(own.code, own.message.clone());
            copy.hint = own.hint.clone();
            copy.query_id = own.query_id;
            return Some(match &own.cause {
                Some(cause) => copy.cause(cause.to_string()),
                None => copy,
            });
        }
        at = here.source();
    }
    None
}

/// Whether what is behind an error is a disk without space.
fn is_disk_full(error: &(dyn StdError + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(here) = at {
        if here.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            return true;
        }
        at = here.source();
    }
    false
}

fn classify(error: DataFusionError) -> Error {
    if is_disk_full(&error) {
        return Error::new(Code::OutOfMemory, "The disk that takes what does not fit in memory is full.")
            .hint("Aggregate or filter more, raise limits.query_memory in weft.yaml, or let data_dir be on a larger disk.")
            .cause(error);
    }
    match error.find_root() {
        DataFusionError::SQL(parser, _) => {
            let text = parser.to_string();
            let text = text.trim_start_matches("sql parser error: ").trim_start_matches("ParserError: ");
            Error::new(Code::InvalidSql, format!("The SQL does not parse: {}", first_line(text)))
        }
        DataFusionError::SchemaError(schema, _) => of_schema(schema),
        DataFusionError::Plan(text) => of_plan(text),
        DataFusionError::NotImplemented(text) => Error::new(Code::UnsupportedSql, sentence(text)),
        DataFusionError::ResourcesExhausted(text) if text.contains("disk") => {
            Error::new(Code::OutOfMemory, "The query needs more spill space than limits.spill allows.")
                .hint("Aggregate or filter more, or raise limits.spill in weft.yaml.")
        }
        DataFusionError::ResourcesExhausted(_) => {
            Error::new(Code::OutOfMemory, "The query needs more memory than it may use.")
                .hint("Select fewer columns, filter more, or raise limits.query_memory in weft.yaml.")
        }
        DataFusionError::ArrowError(arrow, _) => of_arrow(arrow),
        DataFusionError::ParquetError(_) => unreadable("A Parquet file"),
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            Error::new(Code::DataInvalid, "A file of the dataset cannot be read: it is missing, torn or not permitted.")
                .hint("Check the dataset's path; the server's log has the cause.")
        }
        DataFusionError::Execution(text) => of_execution(text),
        DataFusionError::External(inner) if inner.to_string().contains("regex parse error") => {
            Error::new(Code::InvalidArgument, "A regular expression of the query does not parse.")
                .hint("Close its brackets, and write \\( for a bracket that is meant.")
        }
        DataFusionError::External(inner) if inner.to_string().contains("Parquet") => unreadable("A Parquet file"),
        _ => Error::new(Code::Internal, "Something went wrong inside Weft; the log has the cause under this query id."),
    }
    .cause(error)
}

fn unreadable(what: &str) -> Error {
    Error::new(Code::DataInvalid, format!("{what} of the dataset is torn or is not of that format."))
        .hint("Write the file again; other files and datasets are not affected.")
}

fn of_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let error = Error::new(Code::ColumnNotFound, format!("Column \"{}\" does not exist here.", field.name));
            let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            match crate::names::nearest(&field.name, names.iter().copied()) {
                Some(near) => error.hint(format!("Did you mean \"{near}\"?")),
                None if names.is_empty() => error,
                None => error.hint(format!("Columns here: {}.", crate::names::listing(names))),
            }
        }
        SchemaError::AmbiguousReference { field } => Error::new(
            Code::AmbiguousName,
            format!("Column \"{}\" is in more than one table of the query.", field.name),
        )
        .hint("Write it with its table, as in t.column."),
        other => Error::new(Code::InvalidSql, sentence(&other.to_string())),
    }
}

fn of_plan(text: &str) -> Error {
    if let Some(name) = text.strip_prefix("Invalid function '").and_then(|rest| rest.split('\'').next()) {
        return Error::new(Code::FunctionNotFound, format!("Function \"{name}\" does not exist."))
            .hint("docs/functions.md lists Weft's functions; the others are DataFusion's.");
    }
    if let Some((name, mismatches)) = signature(text) {
        let types = mismatches.split("requires ").skip(1).filter_map(|part| part.split(", but received").next());
        let given =
            mismatches.split("(DataType: ").nth(1).and_then(|part| part.split(')').next()).unwrap_or("this type");
        let wanted: std::collections::BTreeSet<&str> = types.collect();
        let wanted = wanted.into_iter().collect::<Vec<_>>().join(", ");
        return Error::new(Code::InvalidSql, format!("{name}() does not take {given}."))
            .hint(format!("It takes {wanted}: cast the value, as in {name}(x::double)."));
    }
    Error::new(Code::InvalidSql, sentence(text))
}

/// The function and what it says of each way to call it, where a call fits none.
fn signature(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("Function '")?;
    let (name, rest) = rest.split_once('\'')?;
    let mismatches = rest.strip_prefix(" failed to match any signature, errors: ")?;
    Some((name, mismatches))
}

fn of_arrow(error: &ArrowError) -> Error {
    match error {
        ArrowError::DivideByZero => {
            Error::new(Code::ArithmeticError, "Division by zero.").hint("Write nullif(divisor, 0) to get NULL instead.")
        }
        ArrowError::ArithmeticOverflow(_) => {
            Error::new(Code::ArithmeticError, "A number grows beyond its type.").hint("Cast to a wider type first.")
        }
        ArrowError::CastError(text) => Error::new(Code::InvalidArgument, sentence(text))
            .hint("Write try_cast(.. AS ..) to get NULL where a value does not fit."),
        ArrowError::CsvError(text) => {
            Error::new(Code::DataInvalid, format!("A CSV file of the dataset is malformed: {}", first_line(text)))
                .hint("Each row must have as many fields as the header, in UTF-8.")
        }
        ArrowError::JsonError(text) => {
            Error::new(Code::DataInvalid, format!("A JSON file of the dataset is malformed: {}", first_line(text)))
                .hint("Write one JSON object per line.")
        }
        ArrowError::ParquetError(_) => unreadable("A Parquet file"),
        ArrowError::IpcError(_) => unreadable("An Arrow file"),
        ArrowError::ParseError(text) | ArrowError::InvalidArgumentError(text) | ArrowError::ComputeError(text) => {
            Error::new(Code::InvalidArgument, sentence(text))
        }
        ArrowError::DictionaryKeyOverflowError | ArrowError::MemoryError(_) | ArrowError::OffsetOverflowError(_) => {
            Error::new(Code::ResultTooLarge, "A column of the result is too large for one batch.")
        }
        _ => Error::new(Code::Internal, "Something went wrong inside Weft; the log has the cause under this query id."),
    }
}

fn of_execution(text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    if lower.contains("overflow") || lower.contains("out of range") {
        Error::new(Code::ArithmeticError, "A number grows beyond its type.").hint("Cast to a wider type first.")
    } else if lower.contains("divide by zero") || lower.contains("division by zero") {
        Error::new(Code::ArithmeticError, "Division by zero.").hint("Write nullif(divisor, 0) to get NULL instead.")
    } else {
        Error::new(Code::InvalidArgument, sentence(text))
    }
}

fn first_line(text: &str) -> String {
    sentence(text.lines().next().unwrap_or_default())
}

/// The first line of a library's message as one sentence, without what it says of the program's own insides.
fn sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.split("This issue was likely caused by").next().unwrap_or(line).trim();
    let line = line.trim_start_matches("Error during planning: ").trim_start_matches("Execution error: ");
    if line.ends_with(['.', '?', '!']) { line.to_owned() } else { format!("{line}.") }
}
