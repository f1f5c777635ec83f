//! The rows to weigh: which columns they need, and what each row is in the margins.
//!
//! Rows are held as the batches that they came in, since the new table has all of their columns.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema, SchemaRef};
use engine::names::{listing, nearest};
use engine::raking::{Category, Margin};
use engine::{Code, Error, Query, QueryId, Summary};
use futures::StreamExt;

use crate::cli::ask::Asker;
use crate::cli::progress::Progress;

/// The weights to start from, as the user says it.
#[derive(Debug)]
pub(super) enum Start {
    /// Those of a column.
    Column(String),
    /// What the dataset declares.
    Declared,
    /// Each row weighs the same.
    Equal,
}

/// What is to be read of a query's rows. Its columns exist, and are of types that fit.
#[derive(Debug)]
pub(super) struct Plan {
    base: Base,
    codings: Vec<Coding>,
    name: String,
}

/// The weights to start from.
#[derive(Debug)]
pub(super) struct Base {
    /// The column, where it is not 1 for each row.
    column: Option<usize>,
    /// What reports say of it.
    pub(super) told: String,
}

/// The rows.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    /// What they start from.
    pub(super) start: Base,
    /// Their weights to start from.
    pub(super) base: Vec<f64>,
    /// The margins, with categories as the rows write them.
    pub(super) margins: Vec<Margin>,
    /// The category of each row in each margin.
    pub(super) codes: Vec<Vec<u32>>,
    /// The name of the new column.
    pub(super) name: String,
    /// The answer that they came in.
    pub(super) id: QueryId,
    pub(super) summary: Summary,
}

impl Plan {
    /// The plan for the rows of `query`, which is described and not run.
    ///
    /// # Errors
    /// What the query fails with; `column_not_found`, `ambiguous_name`; `conflict` where the new column exists.
    pub(super) async fn of(
        asker: &Asker,
        query: &Query,
        margins: Vec<Margin>,
        start: Start,
        name: String,
    ) -> Result<Self, Error> {
        let description = asker.engine.describe(&asker.principal, query).await?;
        let schema = &description.schema;
        if schema.fields().iter().any(|field| *field.name() == name) {
            let message = format!("The rows have a column {name} already.");
            return Err(Error::new(Code::Conflict, message).hint("Call the new column otherwise with --name."));
        }
        if name.trim().is_empty() {
            return Err(Error::new(Code::InvalidArgument, "The new column needs a name."));
        }
        let codings = margins.into_iter().map(|margin| Coding::of(margin, schema)).collect::<Result<_, _>>()?;
        let base = base(asker, schema, &description.datasets, start).await?;
        Ok(Self { base, codings, name })
    }

    /// Reads the rows.
    ///
    /// # Errors
    /// What the query fails with; `data_invalid` for weights and categories that are NULL; `invalid_argument` for categories
    /// that the margins lack.
    pub(super) async fn read(
        mut self,
        asker: &Asker,
        query: Query,
        id: &OnceLock<QueryId>,
        progress: &Progress,
    ) -> Result<Rows, Error> {
        let mut answer = asker.engine.query(&asker.principal, query).await?;
        // Nobody else sets it.
        let _ = id.set(answer.id());
        let (mut batches, mut base, mut nulls) = (Vec::new(), Vec::new(), 0);
        while let Some(batch) = answer.next().await {
            let batch = batch?;
            for coding in &mut self.codings {
                coding.push(batch.column(coding.column))?;
            }
            match self.base.column {
                Some(at) => {
                    let weights = cast(batch.column(at), &DataType::Float64)?;
                    nulls += weights.null_count();
                    base.extend_from_slice(weights.as_primitive::<Float64Type>().values());
                }
                None => base.resize(base.len() + batch.num_rows(), 1.0),
            }
            progress.set_rows(answer.summary().rows);
            batches.push(batch);
        }
        if nulls > 0 {
            let message = format!("The base weight is NULL in {}: {}.", rows_of(nulls), self.base.told);
            return Err(Error::new(Code::DataInvalid, message)
                .hint("Leave these rows out with WHERE, or start from other weights with --weight."));
        }
        let (margins, codes) =
            self.codings.into_iter().map(Coding::finish).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let (schema, id, summary) = (answer.schema(), answer.id(), answer.summary());
        Ok(Rows { schema, batches, start: self.base, base, margins, codes, name: self.name, id, summary })
    }
}

/// `1 row`, `2 rows`.
fn rows_of(count: usize) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

/// The place of a column: as it is written, else the only one that differs in case.
fn place(schema: &Schema, name: &str) -> Result<usize, Error> {
    let find = |is_it: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let fields = schema.fields().iter().enumerate();
        fields.filter(|(_, field)| is_it(field.name())).map(|(at, _)| at).collect()
    };
    let exact = find(&|field| field == name);
    let places = if exact.is_empty() { find(&|field| field.eq_ignore_ascii_case(name)) } else { exact };
    match places.as_slice() {
        [place] => Ok(*place),
        [] => {
            let names = || schema.fields().iter().map(|field| field.name().as_str());
            let error = Error::new(Code::ColumnNotFound, format!("The rows have no column {name}."));
            Err(match nearest(name, names()) {
                Some(near) => error.hint(format!("Did you mean {near}?")),
                None => error.hint(format!("They have {}.", listing(names()))),
            })
        }
        _ => Err(Error::new(Code::AmbiguousName, format!("The rows have several columns {name}."))
            .hint("Name them apart in a SELECT.")),
    }
}

async fn base(asker: &Asker, schema: &Schema, datasets: &[String], start: Start) -> Result<Base, Error> {
    let of_column = |name: &str, told: String| {
        let column = place(schema, name)?;
        let data_type = schema.field(column).data_type();
        if data_type.is_numeric() {
            return Ok(Base { column: Some(column), told });
        }
        let message = format!("The base weights of column {name} are {data_type}, and not numbers.");
        Err(Error::new(Code::InvalidArgument, message)
            .hint("Name another column with --weight, or cast it in a SELECT."))
    };
    let equal = |told: &str| Base { column: None, told: told.to_owned() };
    match start {
        Start::Column(name) => of_column(&name, format!("column {name}")),
        Start::Equal => Ok(equal("1 for each row")),
        Start::Declared => {
            const WEIGHTS: &str = "SELECT dataset_id, weight_column FROM system.datasets WHERE weight_column IS NOT NULL ORDER BY dataset_id";
            let mut declared = asker.listing(WEIGHTS, &[]).await?;
            declared.retain(|row| datasets.contains(&row[0]));
            let [dataset, column] = match declared.as_slice() {
                [] => return Ok(equal("1 for each row, as no weight is declared")),
                [first, others @ ..] if others.iter().all(|other| other[1] == first[1]) => [&first[0], &first[1]],
                several => {
                    let names = several.iter().map(|row| format!("{} of {}", row[1], row[0])).collect::<Vec<_>>();
                    let names = listing(names.iter().map(String::as_str));
                    return Err(Error::new(Code::WeightRequired, format!("Several weights are declared: {names}."))
                        .hint("Say with --weight which column to start from, or --equal-weights."));
                }
            };
            of_column(column, format!("column {column}, as dataset {dataset} declares")).map_err(|error| {
                error.hint(format!(
                    "Dataset {dataset} declares it as its weight: select it too, or say --weight or --equal-weights."
                ))
            })
        }
    }
}

/// How texts of a column are compared.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Boolean,
    Number,
    Text,
}

impl Kind {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Kind::Boolean,
            number if number.is_numeric() => Kind::Number,
            _ => Kind::Text,
        }
    }

    /// One text for all ways to write a value: `01`, `1` and `1.0` are one number.
    fn canonical(self, text: &str) -> String {
        match self {
            Kind::Text => text.to_owned(),
            Kind::Boolean => text.to_ascii_lowercase(),
            Kind::Number => match (text.parse::<i128>(), text.parse::<f64>()) {
                (Ok(integer), _) => integer.to_string(),
                (_, Ok(float)) => float.to_string(),
                _ => text.to_owned(),
            },
        }
    }
}

/// Categories that a margin lacks: so many are told apart.
const LACKING: usize = 100;

/// A margin, and what its column says of each row.
#[derive(Debug)]
struct Coding {
    margin: Margin,
    column: usize,
    kind: Kind,
    /// The category of each text that was seen; None = the margin lacks it.
    known: HashMap<String, Option<u32>>,
    codes: Vec<u32>,
    nulls: usize,
    lacking: BTreeMap<String, usize>,
}

impl Coding {
    fn of(margin: Margin, schema: &Schema) -> Result<Self, Error> {
        let column = place(schema, &margin.variable)?;
        let data_type = schema.field(column).data_type();
        if data_type.is_nested() {
            let message = format!("Column {} is {data_type}, which has no categories.", margin.variable);
            return Err(Error::new(Code::InvalidArgument, message).hint("Take a part of it in a SELECT."));
        }
        let kind = Kind::of(data_type);
        let Margin { variable, mut categories } = margin;
        let mut known = HashMap::new();
        for (at, Category { name, .. }) in (0..).zip(&mut categories) {
            let canonical = kind.canonical(name);
            if known.insert(canonical.clone(), Some(at)).is_some() {
                let message = format!("The margin of {variable} has the category {canonical} twice: once as {name}.");
                return Err(Error::new(Code::InvalidArgument, message).hint("Add the two up."));
            }
            *name = canonical;
        }
        let margin = Margin { variable, categories };
        Ok(Self { margin, column, kind, known, codes: Vec::new(), nulls: 0, lacking: BTreeMap::new() })
    }

    fn push(&mut self, column: &ArrayRef) -> Result<(), Error> {
        let texts = cast(column, &DataType::Utf8)?;
        for text in texts.as_string::<i32>() {
            let code = match text {
                Some(text) => self.code(text),
                None => {
                    self.nulls += 1;
                    None
                }
            };
            self.codes.push(code.unwrap_or_default());
        }
        Ok(())
    }

    fn code(&mut self, text: &str) -> Option<u32> {
        let code = match self.known.get(text) {
            Some(code) => *code,
            None => {
                let code = self.known.get(&self.kind.canonical(text)).copied().flatten();
                if code.is_some() || self.lacking.len() < LACKING {
                    self.known.insert(text.to_owned(), code);
                }
                code
            }
        };
        if code.is_none() && (self.lacking.len() < LACKING || self.lacking.contains_key(text)) {
            *self.lacking.entry(text.to_owned()).or_default() += 1;
        }
        code
    }

    fn finish(self) -> Result<(Margin, Vec<u32>), Error> {
        let variable = &self.margin.variable;
        if self.nulls > 0 {
            let message = format!("{variable} is NULL in {}, so they are in no category.", rows_of(self.nulls));
            return Err(Error::new(Code::DataInvalid, message).hint(format!(
                "Leave them out with a SELECT .. WHERE {variable} IS NOT NULL, or give them a category that the margin has."
            )));
        }
        if !self.lacking.is_empty() {
            let lacking = self.lacking.iter().map(|(text, rows)| format!("{text} ({})", rows_of(*rows)));
            let lacking = lacking.collect::<Vec<_>>();
            let message = format!(
                "The margin of {variable} lacks categories of the rows: {}. It has {}.",
                listing(lacking.iter().map(String::as_str)),
                listing(self.margin.categories.iter().map(|category| category.name.as_str())),
            );
            return Err(Error::new(Code::InvalidArgument, message)
                .hint("Add them to the margin, recode them in a SELECT, or leave their rows out with WHERE."));
        }
        Ok((self.margin, self.codes))
    }
}

/// The weights as a column, in the batches of the rows.
pub(super) fn slices<'a>(
    batches: &'a [RecordBatch],
    weights: &'a [f64],
) -> impl Iterator<Item = (&'a RecordBatch, ArrayRef)> {
    let mut rest = weights;
    batches.iter().map(move |batch| {
        let (these, after) = rest.split_at(batch.num_rows().min(rest.len()));
        rest = after;
        let column: ArrayRef = Arc::new(Float64Array::from(these.to_vec()));
        (batch, column)
    })
}
