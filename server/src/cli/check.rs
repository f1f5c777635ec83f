//! `weft check`: every problem of a home at once, without connecting to anything unless asked to.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use catalogs::{Home, Registry};
use engine::{Catalog, Principal};

use super::design;
use super::failure::{Failure, USAGE, problems_of};
use super::terminal::{self, Paint};
use crate::compose::{self, HomeArgs, OpenError};
use crate::rest::CheckedDesign;

/// Check the files of a home, and say everything that is wrong in them at once.
///
/// Nothing is connected to, unless --connect or --data is given. The exit code is 2 where there is a problem.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The home to check; default: the current folder.
    #[arg(long, value_name = "DIR", env = "WEFT_HOME")]
    home: Option<PathBuf>,

    /// Test each source as well: whether it answers, and takes the credentials.
    #[arg(long)]
    connect: bool,

    /// Check the rules of policies and each declared design of weights against the data as well: it looks at the tables, and
    /// reads the columns that a design names.
    #[arg(long)]
    data: bool,
}

const EXAMPLES: &str = "\
Examples:
  weft check --home ./bank
  weft check --home ./bank --connect
  weft check --home ./panel --data";

/// How long a source may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let of_home = HomeArgs { home: args.home, ..HomeArgs::default() };
    let folder = compose::folder(&of_home)?.ok_or_else(|| {
        Failure::usage("The current folder is not a Weft home: it has no datasources.yaml, weft.yaml or datasets/.")
            .hint("Name one with --home DIR; weft demo makes one.")
    })?;
    let home = Home::load(&folder, &compose::variables(&folder)).map_err(OpenError::Problems)?;
    summarize(&folder, &home, &mut io::stdout().lock()).map_err(unwritten)?;
    let mut is_sound = true;
    if args.connect {
        is_sound &= connect(&home).await?;
    }
    if args.data {
        is_sound &= check_data(&of_home).await?;
    }
    if is_sound { Ok(()) } else { Err(Failure::Told(USAGE)) }
}

fn unwritten(error: io::Error) -> Failure {
    Failure::Output { to: "Standard output".to_owned(), error }
}

/// Tests each source. Whether all of them answer.
async fn connect(home: &Home) -> Result<bool, Failure> {
    let probes = Registry::new(home).probe(PATIENCE).await;
    let mut out = io::stdout().lock();
    let mut is_sound = true;
    for (source, answer) in probes {
        match answer {
            Ok(()) => writeln!(out, "{source}: it answers").map_err(unwritten)?,
            Err(error) => {
                is_sound = false;
                writeln!(out, "{source}: error[{}]: {error}", error.code()).map_err(unwritten)?;
            }
        }
    }
    Ok(is_sound)
}

/// Checks the rules of policies, and each declared design, as an administrator. Whether all of them are sound.
async fn check_data(home: &HomeArgs) -> Result<bool, Failure> {
    let composition = compose::open(home)?;
    let misfits = compose::misfits(&composition.engine, &composition.registry, &composition.policies).await;
    let paint = Paint::when(terminal::is_colored(io::stdout().is_terminal()));
    let datasets = composition.registry.datasets();
    let mut is_sound = misfits.is_empty();
    for misfit in misfits.iter() {
        writeln!(io::stdout().lock(), "{}: {misfit}", paint.red("error")).map_err(unwritten)?;
    }
    for dataset in datasets.iter().filter(|dataset| dataset.weights.is_some()) {
        let id = &dataset.id;
        let checked = composition.engine.check_design(&Principal::local(), id).await;
        let mut out = io::stdout().lock();
        match checked {
            Ok(report) => {
                let Some(report) = report.map(CheckedDesign::from) else { continue };
                is_sound &= !report.has_errors();
                design::describe(id, &report, "", paint, &mut out).map_err(unwritten)?;
            }
            Err(error) => {
                is_sound = false;
                let label = paint.red(&format!("error[{}]", error.code()));
                writeln!(out, "{id}: {label}: {error}").map_err(unwritten)?;
            }
        }
    }
    Ok(is_sound)
}

fn summarize(folder: &Path, home: &Home, out: &mut impl Write) -> io::Result<()> {
    for note in home.notes() {
        writeln!(out, "note: {note}")?;
    }
    let (sources, datasets) = home.counts();
    writeln!(out, "{}: {} ({sources} sources, {datasets} datasets)", folder.display(), problems_of(0))
}
