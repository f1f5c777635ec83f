//! `weft users`: what people who sign in by a password need.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure::Failure;
use crate::auth;

/// Hash a password for a policy file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read a password from standard input, and print its Argon2id hash.
    ///
    /// The hash is the value of `password:` of a principal in a file of the policies folder. The password itself is kept
    /// nowhere.
    Hash,
}

const EXAMPLES: &str = "\
Examples:
  weft users hash < password.txt
  policies/people.yaml:  principals: [{name: meera, roles: [analyst], password: \"$argon2id$..\"}]";

/// Runs the command.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    let Command::Hash = args.command;
    let input = io::stdin();
    if input.is_terminal() {
        let _ = write!(io::stderr().lock(), "Password (it is shown while you type): ");
    }
    let mut password = String::new();
    input.lock().read_line(&mut password).map_err(|_| Failure::usage("The password is not text."))?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::usage("There is no password.").hint("weft users hash < password.txt"));
    }
    let line = format!("{}\n", auth::hash_of_password(password)?);
    let written = io::stdout().lock().write_all(line.as_bytes());
    written.map_err(|error| Failure::Output { to: "Standard output".to_owned(), error })
}
