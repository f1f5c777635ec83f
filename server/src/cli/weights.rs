//! `weft weights`: tools that make weights.

mod rake;

use super::failure::Failure;

/// Make weights.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// Every tool, by name.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Rake(rake::Args),
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Rake(args) => rake::run(args).await,
    }
}
