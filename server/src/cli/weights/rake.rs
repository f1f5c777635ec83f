//! `weft weights rake`: weights that add up to margins of the population, as a new column of a new table.
//!
//! Rows come through the engine as those of `weft query` do; the computation is `engine::raking`. Nothing is written into
//! a source, and no file unless the margins hold.

mod margins;
mod new_table;
mod report;
mod rows;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ArgAction;
use engine::raking::{self, Options, Raked, Sample, Trim};
use engine::{Code, Error, Query, QueryId};

use crate::cli::ask::{Asker, Question};
use crate::cli::failure::Failure;
use crate::cli::home;
use crate::cli::interrupt::until_interrupted;
use crate::cli::progress::Progress;
use crate::compose::HomeArgs;
use new_table::NewTable;
use report::Report;
use rows::{Plan, Rows};

/// Rake the weights of a sample to margins of the population (iterative proportional fitting).
///
/// Rows are those of a table or of a SELECT, which may also recode or cross columns. Each margin says how many of the
/// population are of each category of one column, in CSV: all of them in one file with the columns variable, category and
/// population (--margins), or each in a file with category and population (--margin COLUMN=FILE). Figures are counts, or
/// with --total shares that add up to 1 or 100. The new table has all columns of the rows and the new weight.
///
/// One margin is post-stratification. Weights are those of R's survey::rake, postStratify, and, where --trim bounds them,
/// calibrate with the raking distance.
///
/// The functions svy_* take raked weights as given and do not residualise on the margins: the standard errors of what is
/// related to the margins are usually too large. The margins are kept beside the new table, as NAME.margins.csv.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    mut_arg("sql", |arg| arg.value_name("TABLE|SQL").help(ROWS))
)]
pub(super) struct Args {
    #[command(flatten)]
    question: Question,

    #[command(flatten)]
    margins: margins::MarginArgs,

    /// The column of the weights to start from; default: what the dataset declares, else each row weighs the same.
    #[arg(long, value_name = "COLUMN")]
    weight: Option<String>,

    /// Start from equal weights, whatever the dataset declares.
    #[arg(long, conflicts_with = "weight")]
    equal_weights: bool,

    /// What the weights add up to: the margins are shares of it.
    #[arg(long, value_name = "N")]
    total: Option<f64>,

    /// Keep each weight between these multiples of the mean weight, as 0.3,3; what is cut goes to other rows.
    ///
    /// The mean is the population over the rows, so the bounds do not move. They are kept by every step, and the margins
    /// hold all the same, or it says that they cannot. Rows of weight 0 stay at 0. Multiples of the mean weight:
    /// Izrael, Battaglia and Frankel (2009); raking within bounds: Deville, Särndal and Sautory (1993).
    #[arg(long, value_name = "LOW,HIGH", value_parser = trim)]
    trim: Option<Trim>,

    /// The margins hold when no category is further off than this share of it.
    #[arg(long, value_name = "SHARE", default_value_t = Options::default().tolerance)]
    tolerance: f64,

    /// Go through the margins this many times at most.
    #[arg(long, value_name = "N", default_value_t = Options::default().iterations)]
    iterations: u32,

    /// Write the new table to FILE, as Parquet or CSV by the end of its name; without it there is only the report.
    #[arg(short, long, visible_alias = "out", value_name = "FILE")]
    output: Option<PathBuf>,

    /// The name of the new column.
    #[arg(long, value_name = "NAME", default_value = "raked_weight")]
    name: String,

    /// Replace FILE, and the margins beside it, where they exist.
    #[arg(long, action = ArgAction::SetTrue)]
    force: bool,

    /// Write the new table also where the margins do not hold; the exit code is 1 all the same.
    #[arg(long)]
    write_unconverged: bool,

    /// Write the report as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    home: HomeArgs,
}

/// What the question is here.
const ROWS: &str = "The rows: a table as dataset.table, or a SELECT; `-` reads it from standard input";

const EXAMPLES: &str = "\
Examples:
  weft weights rake --home weft-demo panel.people --margins margins.csv --total 582000000 -o raked.parquet
  weft weights rake --table people=people.csv people --margin gender=gender.csv --margin age=age.csv -o raked.csv
  weft weights rake --table p=people.csv \"SELECT *, sex || age_group AS sex_age FROM p\" --margin sex_age=cells.csv -o w.csv
  weft weights rake --home weft-demo panel.people --margins margins.csv --total 12000 --trim 0.3,3 --json

margins.csv:
  variable,category,population
  gender,F,0.47
  gender,M,0.53
  age_group,15-21,0.20
  ...

Exit codes: 0, 1 (the rows or the margins do not fit, or the margins do not hold), 2 (usage or configuration).";

fn trim(text: &str) -> Result<Trim, String> {
    let bounds =
        text.split_once(',').and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
    bounds.map(|(low, high)| Trim { low, high }).ok_or_else(|| "write it as LOW,HIGH, such as 0.3,3".to_owned())
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let new_table = args.output.map(|path| NewTable::at(path, args.force)).transpose()?;
    let margins = args.margins.read()?;
    let options =
        Options { tolerance: args.tolerance, iterations: args.iterations, total: args.total, trim: args.trim };
    let start = match (args.weight, args.equal_weights) {
        (Some(column), _) => rows::Start::Column(column),
        (None, true) => rows::Start::Equal,
        (None, false) => rows::Start::Declared,
    };
    let query = args.question.rows()?;
    let composition = home::open(&args.home)?;
    let asker = Asker::of(&composition);
    let plan = Plan::of(&asker, &query, margins, start, args.name).await?;
    let job = Job { plan, options, new_table, writes_unconverged: args.write_unconverged, is_json: args.json };
    until_interrupted(&asker, |id| job.run(asker.clone(), query, id)).await
}

/// What there is to do, once everything has been checked that can be without rows.
struct Job {
    plan: Plan,
    options: Options,
    new_table: Option<NewTable>,
    writes_unconverged: bool,
    is_json: bool,
}

impl Job {
    async fn run(self, asker: Asker, query: Query, id: Arc<OnceLock<QueryId>>) -> Result<(), Failure> {
        let Self { plan, options, new_table, writes_unconverged, is_json } = self;
        let progress = Progress::begin();
        let rows = plan.read(&asker, query, &id, &progress).await?;
        let (rows, raked) = compute(rows, options).await?;
        let written = new_table.filter(|_| raked.is_converged || writes_unconverged);
        if let Some(new_table) = &written {
            new_table.write(&rows, &raked)?;
        }
        progress.clear();
        let report = Report::of(&rows, &raked, &options, written.as_ref());
        report.write(is_json)?;
        if raked.is_converged { Ok(()) } else { Err(unmet(&rows, &raked).into()) }
    }
}

/// Rakes on a thread of its own: the signal that ends the process must not wait for it.
async fn compute(rows: Rows, options: Options) -> Result<(Rows, Raked), Failure> {
    struct CancelOnDrop(Arc<AtomicBool>);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let guard = CancelOnDrop(Arc::default());
    let is_cancelled = Arc::clone(&guard.0);
    let work = move || {
        let sample = Sample { base: &rows.base, codes: &rows.codes };
        let raked = raking::rake(sample, &rows.margins, &options, || is_cancelled.load(Ordering::Relaxed))?;
        Ok((rows, raked))
    };
    let done: Result<Result<_, Error>, _> = tokio::task::spawn_blocking(work).await;
    drop(guard);
    Ok(done.unwrap_or_else(|error| Err(Error::new(Code::Internal, "The weights cannot be computed.").cause(error)))?)
}

/// Why the margins do not hold, as far as the steps tell.
fn unmet(rows: &Rows, raked: &Raked) -> Error {
    let worst = raked.worst().map(|(margin, category)| {
        let margin = &rows.margins[margin];
        format!("; {} = {} is off most", margin.variable, margin.categories[category].name)
    });
    let message = format!(
        "The margins do not hold after {} iterations: the largest deviation is {:.3e} of what is wanted{}.",
        raked.iterations(),
        raked.largest_deviation(),
        worst.unwrap_or_default(),
    );
    let earlier = raked.deviations.iter().rev().nth(raked.iterations().div_ceil(10)).copied().unwrap_or(f64::INFINITY);
    let hint = if raked.largest_deviation() < 0.9 * earlier {
        "The deviation still falls: allow more --iterations, or a larger --tolerance."
    } else if raked.bounds.is_some() {
        "These rows cannot meet all margins within the bounds: trim less, or merge small categories."
    } else {
        "These rows cannot meet all margins at once: merge small categories, or leave out a margin."
    };
    Error::new(Code::InvalidArgument, message).hint(hint)
}
