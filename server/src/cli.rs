//! The command line: each command is one file, and one line in `Command`.
//!
//! Commands run in this process, with no server. Answers go to standard output; everything said about them goes to
//! standard error. Exit codes: 0, 1 (the query failed), 2 (usage or configuration).

mod access;
mod answer;
mod ask;
mod audit;
mod check;
mod datasets;
mod demo;
mod design;
mod explain;
mod failure;
mod format;
mod home;
mod interrupt;
mod keys;
mod mcp;
mod output;
mod progress;
mod query;
mod receipts;
mod refresh;
mod secrets;
mod serve;
mod shell;
pub(crate) mod table;
pub(crate) mod terminal;
mod users;
mod weights;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::compose::HomeArgs;
use failure::Failure;

/// One SQL over all your datasets: PostgreSQL, Parquet, CSV, weighted panels.
///
/// Alone on a terminal, weft is an interactive shell.
#[derive(Debug, Parser)]
#[command(name = "weft", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    home: HomeArgs,
}

const EXAMPLES: &str = "\
Examples:
  weft query --table people=./people.parquet \"SELECT gender, count(*) FROM people GROUP BY 1\"
  weft --home ./bank                            a shell over the datasets of a home
  weft serve --home ./bank                      REST and MCP on :8080, Flight SQL on :31337
  weft demo                                     a home with data to try everything on

Exit codes: 0, 1 (the query failed), 2 (usage or configuration).";

/// Every command, by name.
#[derive(Debug, Subcommand)]
enum Command {
    Access(access::Args),
    Audit(audit::Args),
    Check(check::Args),
    Datasets(datasets::Args),
    /// Write a home with a bank, a panel and sales, ask it four questions, and serve it.
    Demo(crate::demo::DemoArgs),
    Explain(explain::Args),
    Keys(keys::Args),
    Mcp(mcp::Args),
    Query(query::Args),
    Receipts(receipts::Args),
    Secrets(secrets::Args),
    Serve(serve::Args),
    Users(users::Args),
    Weights(weights::Args),
}

/// Runs the command that the process was called with, and gives its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with code 0. A reader that went away is no matter.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::USAGE));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let is_shell = cli.command.is_none();
    if is_shell && !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Failure::Help(Cli::command().render_help().to_string()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("The process cannot start threads: {error}.")))?;
    let done = match cli.command {
        Some(command) => runtime.block_on(execute(command)),
        None => shell::run(&runtime, &cli.home),
    };
    stop(runtime);
    done
}

async fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Access(args) => access::run(args).await,
        Command::Audit(args) => audit::run(args),
        Command::Check(args) => check::run(args).await,
        Command::Datasets(args) => datasets::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Explain(args) => explain::run(args).await,
        Command::Keys(args) => keys::run(args),
        Command::Mcp(args) => mcp::run(args).await,
        Command::Query(args) => query::run(args).await,
        Command::Receipts(args) => receipts::run(args).await,
        Command::Secrets(args) => secrets::run(args),
        Command::Serve(args) => serve::run(args).await,
        Command::Users(args) => users::run(args),
        Command::Weights(args) => weights::run(args).await,
    }
}

/// A source that is being cancelled may still hold a thread: nobody waits long for it.
fn stop(runtime: Runtime) {
    const PATIENCE: Duration = Duration::from_millis(500);
    runtime.shutdown_timeout(PATIENCE);
}
