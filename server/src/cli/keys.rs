//! `weft keys`: makes, lists and revokes API keys in the `data_dir` of a home, whether its server runs or not.

use std::io::{self, Write};
use std::time::Duration;

use chrono::DateTime;
use engine::Scope;

use super::failure::{FAILED, Failure};
use super::home::{self, HomeFlag};
use crate::auth::keys::{Key, Keys, NewKey};
use crate::compose::HomeArgs;
use crate::state::State;

/// Make, list and revoke API keys.
///
/// A key signs in as a principal of the policy files, wherever credentials are asked for: as `Authorization: Bearer KEY` over
/// REST, MCP and Flight SQL. A server that runs sees changes within a second.
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
    /// Make a key, and print it: nothing can show it again.
    Create(Create),
    /// List the keys, without what makes them keys.
    List,
    /// Revoke a key: queries that came by it end within a second.
    Revoke {
        /// The key's id, as `weft keys list` shows it.
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The principal of the policy files that the key stands for.
    #[arg(value_name = "PRINCIPAL")]
    principal: String,

    /// What it is for, such as the name of a program.
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,

    /// What it is good for: flight, manage, mcp, metrics, rest; repeatable. Default: all that the principal may.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,

    /// How long it is good: 12h, 30d, 52w. Default: until it is revoked.
    #[arg(long = "expires", value_name = "TIME", value_parser = life)]
    life: Option<Duration>,
}

const EXAMPLES: &str = "\
Examples:
  weft keys create meera --label notebook --expires 30d
  weft keys create assistant --scope mcp
  weft keys list
  weft keys revoke 3f9a0c21d4b7";

fn scope(text: &str) -> Result<Scope, String> {
    Scope::named(text).ok_or_else(|| format!("choose of {}", Scope::ALL.map(Scope::as_str).join(", ")))
}

fn life(text: &str) -> Result<Duration, String> {
    match text.trim().ends_with(char::is_alphabetic) {
        true => catalogs::timespan(text).map_err(|_| "write it as 12h, 30d or 52w".to_owned()),
        false => Err("say of what, such as 30d for thirty days".to_owned()),
    }
}

/// Runs the command.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    let composition = home::open(&HomeArgs::from(args.home))?;
    let data_dir = composition.data_dir.as_deref().ok_or_else(|| {
        Failure::usage("This home keeps no state, so there is no place for keys.")
            .hint("Set data_dir in weft.yaml, and name the home with --home.")
    })?;
    let keys = Keys::open(State::open(data_dir)?)?;
    match args.command {
        Command::Create(new) => {
            if composition.engine.declared(&new.principal).is_none() {
                return Err(Failure::usage(format!("No policy file declares a principal \"{}\".", new.principal))
                    .hint("Add it under `principals:` in a file of the policies folder."));
            }
            let scopes = (!new.scopes.is_empty()).then(|| new.scopes.into_iter().collect());
            let new = NewKey { principal: new.principal, label: new.label, scopes, life: new.life };
            let (text, key) = keys.create(new)?;
            say(&format!("{text}\n"))?;
            // The key alone goes to standard output, so that a script can take it from there.
            let end = key.expires_at.map_or("it is revoked".to_owned(), moment);
            let note = format!("Key {} of {} is good until {end}. It is shown this once.", key.id, key.principal);
            let _ = writeln!(io::stderr().lock(), "{note}");
            Ok(())
        }
        Command::List => say(&listing(&keys.list()?)),
        Command::Revoke { id } => match keys.revoke(&id)? {
            true => say(&format!("Key {id} is revoked.\n")),
            false => {
                let _ = Failure::usage(format!("There is no key \"{id}\" that could be revoked."))
                    .hint("weft keys list shows them.")
                    .write(&mut io::stderr().lock());
                Err(Failure::Told(FAILED))
            }
        },
    }
}

fn say(text: &str) -> Result<(), Failure> {
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Failure::Output { to: "Standard output".to_owned(), error })
}

/// The keys as aligned columns.
fn listing(keys: &[Key]) -> String {
    if keys.is_empty() {
        return "There are no keys; weft keys create makes one.\n".to_owned();
    }
    let head = ["id", "principal", "status", "scopes", "created", "expires", "last used", "label"].map(str::to_owned);
    let rows = keys.iter().map(|key| {
        let scopes = key.scopes.as_ref();
        let scopes = scopes.map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(","));
        [
            key.id.clone(),
            key.principal.clone(),
            key.status().to_owned(),
            scopes.unwrap_or_else(|| "all".to_owned()),
            moment(key.created_at),
            key.expires_at.map_or("never".to_owned(), moment),
            key.last_used_at.map_or("never".to_owned(), moment),
            key.label.clone(),
        ]
    });
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(rows).collect();
    let widths: [usize; 8] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default());
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            format!("{}\n", cells.join("  ").trim_end())
        })
        .collect()
}

/// A moment to the minute, in UTC.
fn moment(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).map_or_else(|| "?".to_owned(), |at| at.format("%Y-%m-%d %H:%MZ").to_string())
}
