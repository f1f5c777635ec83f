//! `weft secrets`: keeps what the files of a home name as `${NAME}`, encrypted in its `data_dir`.

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use super::failure::{FAILED, Failure};
use super::home::HomeFlag;
use crate::compose::{self, HomeArgs};
use crate::state::Vault;

/// Keep passwords and connection strings, encrypted, for `${NAME}` in the files of a home.
///
/// A variable of the environment goes before a secret of its name. A server sees a new value when it reads the home again
/// (SIGHUP).
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
    /// Delete a secret.
    Delete {
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
    },
    /// List the names of the secrets, and when each was given.
    List,
    /// Encrypt all of them by another key: a new one in vault.key, or the one in $WEFT_VAULT_KEY_NEXT where $WEFT_VAULT_KEY has the
    /// present one.
    Rotate,
    /// Keep the secret that standard input holds, without the end of its last line.
    Set {
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
    },
}

const EXAMPLES: &str = "\
Examples:
  weft secrets set BANK_PASSWORD < password.txt
  weft secrets list
  weft secrets rotate

In a file of the home:
  password: ${BANK_PASSWORD}";

fn name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| text.to_owned()).ok_or_else(|| "use letters, digits and _, as in BANK_PASSWORD".to_owned())
}

/// Runs the command.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    let data_dir = data_dir(&HomeArgs::from(args.home))?;
    let vault = Vault::open(&data_dir).map_err(Failure::Query)?;
    match args.command {
        Command::Delete { name } => match vault.delete(&name).map_err(Failure::Query)? {
            true => Ok(()),
            false => {
                say(&format!("There is no secret \"{name}\".\n"))?;
                Err(Failure::Told(FAILED))
            }
        },
        Command::List => {
            let listed = vault.list().map_err(Failure::Query)?;
            let line = |name: &str, given_at: &dyn std::fmt::Display| format!("{name:<32} {given_at}\n");
            say(&listed
                .iter()
                .map(|secret| line(&secret.name, &secret.given_at.format("%Y-%m-%d %H:%M:%S UTC")))
                .collect::<String>())
        }
        Command::Rotate => {
            let count = vault.rotate().map_err(Failure::Query)?;
            say(&match count {
                1 => "One secret is sealed by the new key.\n".to_owned(),
                count => format!("{count} secrets are sealed by the new key.\n"),
            })
        }
        Command::Set { name } => vault.set(&name, &value()?).map_err(Failure::Query),
    }
}

fn data_dir(home: &HomeArgs) -> Result<PathBuf, Failure> {
    let Some(folder) = compose::folder(home)? else {
        return Err(Failure::usage("There is no home here.").hint("Name it with --home."));
    };
    of_folder(&folder)
        .ok_or_else(|| Failure::usage("This home keeps nothing beyond a process.").hint("Set data_dir in weft.yaml."))
}

fn of_folder(folder: &Path) -> Option<PathBuf> {
    catalogs::Home::settings(folder, &compose::environment).data_dir
}

fn value() -> Result<String, Failure> {
    let mut input = io::stdin();
    if input.is_terminal() {
        return Err(Failure::usage("The secret is read from standard input, so that it stands in no history.")
            .hint("weft secrets set NAME < file"));
    }
    let mut text = String::new();
    let read = input.read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("The secret on standard input cannot be read: {error}.")))?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    match value.is_empty() {
        true => Err(Failure::usage("The secret is empty.")),
        false => Ok(value.to_owned()),
    }
}

fn say(text: &str) -> Result<(), Failure> {
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Failure::Output { to: "Standard output".to_owned(), error })
}
