//! `weft access`: who may see what, and why.

use std::io::{self, IsTerminal, Write};

use engine::{AccessReport, Principal};

use super::failure::Failure;
use super::home::{self, HomeFlag};
use super::terminal::{self, Paint};
use crate::compose::HomeArgs;

/// Say who may see what, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    home: HomeFlag,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what a principal may see of a dataset, and which rules bind it there.
    Explain {
        /// The principal of the policy files.
        name: String,
        /// The dataset.
        dataset: String,
    },
}

const EXAMPLES: &str = "\
Examples:
  weft access explain meera panel
  weft access explain meera shop --home ./bank";

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let Command::Explain { name, dataset } = args.command;
    let composition = home::open(&HomeArgs::from(args.home))?;
    let principal = composition.policies.principal(&name)?;
    let report = composition.engine.access(&principal, &dataset).await?;
    let paint = Paint::when(terminal::is_colored(io::stdout().is_terminal()));
    write(&principal, &dataset, &report, paint, &mut io::stdout().lock())
        .map_err(|error| Failure::Output { to: "Standard output".to_owned(), error })
}

fn write(
    principal: &Principal,
    dataset: &str,
    report: &AccessReport,
    paint: Paint,
    out: &mut impl Write,
) -> io::Result<()> {
    let name = paint.bold(principal.name());
    let verb = if report.is_visible { "sees" } else { "does not see" };
    writeln!(out, "{name} {verb} dataset {}.", paint.bold(dataset))?;
    let listed = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    writeln!(out, "  roles: {}", listed(principal.roles().iter().cloned().collect()))?;
    writeln!(out, "  projects: {}", listed(principal.projects().iter().cloned().collect()))?;
    if let Some(tenant) = principal.tenant() {
        writeln!(out, "  tenant: {tenant}")?;
    }
    for (attribute, values) in principal.attributes() {
        writeln!(out, "  @{attribute}: {}", listed(values.clone()))?;
    }
    for reason in &report.reasons {
        writeln!(out, "  {reason}")?;
    }
    for table in &report.tables {
        let columns = table.columns.as_ref().map(|columns| format!(" ({})", columns.join(", "))).unwrap_or_default();
        let free = if table.bounds.is_empty() && table.columns.is_none() { ": all of it" } else { "" };
        writeln!(out, "\n{}{columns}{free}", paint.bold(&format!("{dataset}.{}", table.table)))?;
        for bound in &table.bounds {
            writeln!(out, "  {bound}")?;
        }
    }
    Ok(())
}
