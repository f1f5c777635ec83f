//! `weft check`: every problem of a home at once, without connecting to anything unless asked to.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use catalogs::{Home, Registry};

use super::failure::{Failure, USAGE, problems_of};
use crate::compose::{self, HomeArgs, OpenError};

/// Check the files of a home, and say everything that is wrong in them at once.
///
/// Nothing is connected to, unless --connect is given. The exit code is 2 where there is a problem.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The home to check; default: the current folder.
    #[arg(long, value_name = "DIR", env = "WEFT_HOME")]
    home: Option<PathBuf>,

    /// Test each source as well: whether it answers, and takes the credentials.
    #[arg(long)]
    connect: bool,
}

const EXAMPLES: &str = "\
Examples:
  weft check --home ./bank
  weft check --home ./bank --connect";

/// How long a source may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let home = HomeArgs { home: args.home, ..HomeArgs::default() };
    let folder = compose::folder(&home)?.ok_or_else(|| {
        Failure::usage("The current folder is not a Weft home: it has no datasources.yaml, weft.yaml or datasets/.")
            .hint("Name one with --home DIR; weft demo makes one.")
    })?;
    let home = Home::load(&folder, &compose::environment).map_err(OpenError::Problems)?;
    let to = |error| Failure::Output { to: "Standard output".to_owned(), error };
    summarize(&folder, &home, &mut io::stdout().lock()).map_err(to)?;
    if !args.connect {
        return Ok(());
    }
    let probes = Registry::new(&home).probe(PATIENCE).await;
    let mut out = io::stdout().lock();
    let mut failures = 0;
    for (source, answer) in probes {
        match answer {
            Ok(()) => writeln!(out, "{source}: it answers").map_err(to)?,
            Err(error) => {
                failures += 1;
                writeln!(out, "{source}: error[{}]: {error}", error.code()).map_err(to)?;
            }
        }
    }
    if failures == 0 { Ok(()) } else { Err(Failure::Told(USAGE)) }
}

fn summarize(folder: &Path, home: &Home, out: &mut impl Write) -> io::Result<()> {
    for note in home.notes() {
        writeln!(out, "note: {note}")?;
    }
    let (sources, datasets) = home.counts();
    writeln!(out, "{}: {} ({sources} sources, {datasets} datasets)", folder.display(), problems_of(0))
}
