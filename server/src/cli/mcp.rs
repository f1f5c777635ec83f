//! `weft mcp`: the Model Context Protocol over standard input and output, for a client that starts the process itself.

use super::failure::Failure;
use super::home;
use crate::compose::HomeArgs;
use crate::mcp;

/// Serve MCP on standard input and output, for a client that starts weft itself.
///
/// Standard output carries nothing but the protocol; everything else goes to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    home: HomeArgs,
}

const EXAMPLES: &str = "\
Example, in the configuration of an MCP client:
  {\"mcpServers\": {\"weft\": {\"command\": \"weft\", \"args\": [\"mcp\", \"--home\", \"/path/to/home\"]}}}";

/// Runs the command until standard input ends.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let composition = home::open(&args.home)?;
    Ok(mcp::stdio(composition.engine.clone(), composition.principal.clone()).await?)
}
