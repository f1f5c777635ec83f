//! `weft query`: one statement in, rows out.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::answer::{self, ROWS_ON_TERMINAL, Writing};
use super::ask::{Asker, Question};
use super::failure::Failure;
use super::format::{self, Shape};
use super::home;
use super::output::Target;
use crate::compose::HomeArgs;

/// Run one statement and write its rows.
///
/// It runs in this process; no server is needed. Rows go to standard output as a table, whether that is a terminal or
/// not; what is said about them goes to standard error. On a terminal a table shows the first 100 rows, and as many
/// columns as fit; elsewhere it is whole.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    question: Question,

    #[command(flatten)]
    writing: WritingArgs,

    /// Cut the answer after so many rows, and say that it was cut.
    #[arg(long, value_name = "N")]
    max_rows: Option<u64>,

    #[command(flatten)]
    home: HomeArgs,
}

const EXAMPLES: &str = "\
Examples:
  weft query --table t=./sales.csv \"SELECT region, sum(amount) FROM t GROUP BY 1\"
  weft query --table p='postgres://user@host/db?table=public.people' \"SELECT count(*) FROM p\"
  weft query --home ./bank -o out.parquet \"SELECT * FROM customer_db.customers\"
  weft query --home ./bank --param Lucknow \"SELECT * FROM customer_db.customers WHERE city = ?\"
  cat report.sql | weft query --format csv -";

/// How the answer is written.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct WritingArgs {
    /// How to write the rows; default: table, or what the end of FILE's name says.
    #[arg(long, value_name = "FORMAT", value_parser = shape_parser())]
    format: Option<Shape>,

    /// Write to FILE. It appears when it is whole; an old file stays until then.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn shape_parser() -> impl TypedValueParser<Value = Shape> {
    PossibleValuesParser::new(format::names()).try_map(|name| name.parse::<Shape>())
}

impl WritingArgs {
    /// The writing that the flags ask for.
    ///
    /// # Errors
    /// As [`Writing::to`].
    pub(super) fn writing(self) -> Result<Writing, Failure> {
        Writing::to(Target::of(self.output), self.format)
    }
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let writing = args.writing.writing()?.rows(args.max_rows, ROWS_ON_TERMINAL);
    let query = args.question.query()?;
    let composition = home::open(&args.home)?;
    answer::give(&Asker::of(&composition), query, writing).await
}
