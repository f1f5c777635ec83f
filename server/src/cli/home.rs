//! Opens the home for a command that asks one question: quiet, unless something is wrong.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use super::failure::{Failure, problems_of};
use super::terminal::{self, Paint};
use crate::compose::{self, Composition, HomeArgs};
use crate::telemetry;

/// The flag of a command that is about a home, and not about tables besides.
#[derive(Debug, clap::Args)]
pub(super) struct HomeFlag {
    /// The Weft home that is meant; default: the current folder, if it is one.
    #[arg(long, value_name = "DIR", env = "WEFT_HOME", global = true)]
    home: Option<PathBuf>,
}

impl From<HomeFlag> for HomeArgs {
    fn from(HomeFlag { home }: HomeFlag) -> Self {
        Self { home, ..Self::default() }
    }
}

/// Opens the home. Datasets that have a problem are left out, with a line on standard error that says so.
///
/// Nothing is logged unless `$WEFT_LOG` asks for it: an answer comes without log lines.
///
/// # Errors
/// As [`compose::open`].
pub(super) fn open(args: &HomeArgs) -> Result<Composition, Failure> {
    if let Ok(filter) = std::env::var(telemetry::LOG_VARIABLE) {
        telemetry::init(&filter, catalogs::LogFormat::Text).map_err(Failure::usage)?;
    }
    let composition = compose::open(args)?;
    if !composition.problems.is_empty() {
        let paint = Paint::when(terminal::is_colored(io::stderr().is_terminal()));
        let count = problems_of(composition.problems.len());
        let line = format!("the home has {count}, and leaves out what they concern; weft check lists them.");
        // Where standard error is closed there is nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{}: {line}", paint.bold("warning"));
    }
    Ok(composition)
}
