//! `weft datasets`: what can be asked about. One dataset: its tables and their columns. Two: how they join.

mod joins;

use std::io::{self, Write};

use engine::names::nearest;
use engine::{Code, Error};

use super::answer::{self, Writing};
use super::ask::Asker;
use super::failure::Failure;
use super::home;
use super::query::WritingArgs;
use super::refresh;
use super::terminal::{self, Paint};
use crate::compose::HomeArgs;

/// List the datasets, describe the tables and columns of one, or measure how two join.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// The dataset to describe.
    #[arg(value_name = "ID")]
    id: Option<String>,

    #[command(flatten)]
    writing: WritingArgs,

    #[command(flatten)]
    home: HomeArgs,
}

/// What else can be done with datasets.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Joins(joins::Args),
    Refresh(refresh::Args),
}

const EXAMPLES: &str = "\
Examples:
  weft datasets --home ./bank
  weft datasets --home ./bank customer_db
  weft datasets --home ./bank customer_db --format json
  weft datasets refresh --home ./bank customer_db
  weft datasets joins --home ./bank customer_db accounts_db";

/// All datasets, one per row.
pub(super) const ALL: &str = "SELECT dataset_id AS dataset, kind, source_id AS source, weights_mode AS weights, name, \
     description FROM system.datasets ORDER BY dataset_id";

/// What is known of one dataset.
const ONE: &str = "SELECT name, description, kind, source_id, weight_column, weight_unit, weights_mode \
     FROM system.datasets WHERE dataset_id = $1";

/// The tables of one dataset.
const TABLES: &str = "SELECT table_name AS \"table\", table_type AS type, row_estimate AS rows, comment \
     FROM system.tables WHERE dataset_id = $1 ORDER BY schema_name, table_name";

/// The columns of one dataset.
const COLUMNS: &str = "SELECT table_name AS \"table\", column_name AS \"column\", data_type AS type, nullable, comment \
     FROM system.columns WHERE dataset_id = $1 ORDER BY schema_name, table_name, ordinal";

/// The columns of one table.
const TABLE: &str = "SELECT column_name AS \"column\", data_type AS type, nullable, source_type, comment \
     FROM system.columns WHERE dataset_id = $1 AND table_name = $2 ORDER BY ordinal";

/// The dataset of the system tables, which lists the others.
const SYSTEM: &str = "system";

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Some(Command::Joins(args)) => return joins::run(args).await,
        Some(Command::Refresh(refresh)) => return refresh::run(refresh.within(args.home.home)).await,
        None => {}
    }
    let writing = args.writing.writing()?;
    let composition = home::open(&args.home)?;
    let asker = Asker::of(&composition);
    match args.id {
        None => answer::give(&asker, Asker::query(ALL, &[])?, writing).await,
        Some(id) if writing.is_for_people() => describe(&asker, &id, writing).await,
        Some(id) => {
            facts(&asker, &id).await?;
            answer::give(&asker, Asker::query(COLUMNS, &[&id])?, writing).await
        }
    }
}

/// Writes what is known of a dataset: its facts, its tables, its columns.
///
/// # Errors
/// `dataset_not_found` where nobody may see such a dataset.
pub(super) async fn describe(asker: &Asker, id: &str, writing: Writing) -> Result<(), Failure> {
    let facts = facts(asker, id).await?;
    let to = |error| Failure::Output { to: "Standard output".to_owned(), error };
    tell(&facts, &writing).map_err(to)?;
    answer::give(asker, Asker::query(TABLES, &[id])?, writing.clone()).await?;
    answer::give(asker, Asker::query(COLUMNS, &[id])?, writing).await
}

/// Writes the columns of a table.
///
/// # Errors
/// `table_not_found` where the dataset has no such table.
pub(super) async fn describe_table(asker: &Asker, id: &str, table: &str, writing: Writing) -> Result<(), Failure> {
    let known = asker.listing("SELECT table_name FROM system.tables WHERE dataset_id = $1", &[id]).await?;
    if !known.iter().flatten().any(|name| name == table) {
        let error = Error::new(Code::TableNotFound, format!("Dataset \"{id}\" has no table \"{table}\"."));
        return Err(match nearest(table, known.iter().flatten().map(String::as_str)) {
            Some(near) => error.hint(format!("Did you mean \"{near}\"?")),
            None => error,
        }
        .into());
    }
    answer::give(asker, Asker::query(TABLE, &[id, table])?, writing).await
}

/// Whether a dataset has a table of this name.
///
/// # Errors
/// What the listing fails with.
pub(super) async fn has_table(asker: &Asker, id: &str, table: &str) -> Result<bool, Failure> {
    let sql = "SELECT table_name FROM system.tables WHERE dataset_id = $1 AND table_name = $2";
    Ok(!asker.listing(sql, &[id, table]).await?.is_empty())
}

/// Name and value of each thing known about a dataset.
///
/// # Errors
/// `dataset_not_found` where nobody may see such a dataset.
pub(super) async fn facts(asker: &Asker, id: &str) -> Result<Vec<(&'static str, String)>, Failure> {
    const NAMES: [&str; 7] = ["name", "description", "kind", "source", "weight", "unit", "weights"];
    if id == SYSTEM {
        return Ok(vec![("description", "What this Weft knows about its datasets and queries.".to_owned())]);
    }
    let row = asker.listing(ONE, &[id]).await?.into_iter().next();
    match row {
        Some(row) => Ok(NAMES.into_iter().zip(row).filter(|(_, value)| !value.is_empty()).collect()),
        None => Err(unknown(asker, id).await?.into()),
    }
}

async fn unknown(asker: &Asker, id: &str) -> Result<Error, Error> {
    let known = asker.listing("SELECT dataset_id FROM system.datasets", &[]).await?;
    let error = Error::new(Code::DatasetNotFound, format!("Dataset \"{id}\" does not exist."));
    Ok(match nearest(id, known.iter().flatten().map(String::as_str)) {
        Some(near) => error.hint(format!("Did you mean \"{near}\"?")),
        None => error.hint("weft datasets lists those that you may see."),
    })
}

fn tell(facts: &[(&'static str, String)], writing: &Writing) -> io::Result<()> {
    let paint = Paint::when(terminal::is_colored(writing.is_terminal()));
    let mut out = io::stdout().lock();
    for (name, value) in facts {
        writeln!(out, "{}{:pad$} {value}", paint.bold(name), "", pad = "description".len() - name.len())?;
    }
    Ok(())
}
