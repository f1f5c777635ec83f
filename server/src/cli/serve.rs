//! `weft serve`: REST, MCP and Flight SQL over a home, until the process is told to end.

use std::io;

use super::failure::Failure;
use crate::compose::{self, HomeArgs};
use crate::serve::{self, Listen};
use crate::telemetry::{self, Metrics};

/// Serve REST, MCP and Flight SQL until Ctrl-C.
///
/// It listens on this machine only. A source that is down is reported, and stops nothing else.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    listen: Listen,

    #[command(flatten)]
    home: HomeArgs,
}

const EXAMPLES: &str = "\
Examples:
  weft serve --home ./bank
  weft serve --table people=./people.parquet --http 127.0.0.1:9090 --flight 127.0.0.1:0
  curl -s localhost:8080/v1/sql --json '{\"sql\": \"SELECT 1\"}'";

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let metrics = Metrics::default();
    let composition = compose::open_observed(&args.home, metrics.observer())?;
    let logs = &composition.settings.telemetry;
    telemetry::init(&logs.log, logs.format).map_err(Failure::usage)?;
    for problem in composition.problems.iter() {
        tracing::warn!("{problem}");
    }
    let served = serve::run(composition, metrics, &args.listen, &mut io::stdout()).await;
    served.map_err(|error| Failure::usage(error.to_string()))
}
