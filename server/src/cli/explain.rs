//! `weft explain`: how a statement would be answered, or was.

use engine::Explain;

use super::answer::{self, Writing};
use super::ask::{Asker, Question};
use super::failure::Failure;
use super::format::Shape;
use super::home;
use super::output::Target;
use crate::compose::HomeArgs;

/// Show how a statement is answered: what each source does, and what runs here.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    question: Question,

    /// Run it, and show what each step did: rows, time, bytes.
    #[arg(long)]
    analyze: bool,

    #[command(flatten)]
    home: HomeArgs,
}

const EXAMPLES: &str = "\
Examples:
  weft explain --home ./bank \"SELECT count(*) FROM customer_db.customers WHERE city = 'Lucknow'\"
  weft explain --table t=./sales.parquet --analyze \"SELECT max(amount) FROM t\"";

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let explain = if args.analyze { Explain::Analyze } else { Explain::Plan };
    let query = args.question.query()?.explain(explain);
    let composition = home::open(&args.home)?;
    answer::give(&Asker::of(&composition), query, Writing::to(Target::Stdout, Some(Shape::Plan))?).await
}
