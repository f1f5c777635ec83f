//! `weft receipts`: how an answer came about, and what is different when it is asked again.

use std::io::{self, Write};

use engine::journal::log::{self, Asked, Ended, Event};
use engine::receipt::Change;
use engine::{Door, Query, QueryId};
use futures::TryStreamExt;
use serde_json::{Map, Value};

use super::ask::CLIENT;
use super::failure::{FAILED, Failure};
use super::home::{self, HomeFlag};
use super::terminal::{self, Paint};
use crate::compose::{self, HomeArgs};
use crate::receipt::Receipt;
use crate::rest::params::{self, Scalar};

/// Show how an answer came about, or ask again and see what is different.
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
    /// Show the receipt of an answer.
    Show {
        /// The query's id, as answers, system.queries and `weft audit list` have it.
        #[arg(value_name = "ID")]
        id: QueryId,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Ask again, as the same principal, and say what is different. The exit code is 1 where something is.
    Replay {
        /// The query's id.
        #[arg(value_name = "ID")]
        id: QueryId,
        /// As one JSON array of changes.
        #[arg(long)]
        json: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  weft receipts show --home ./bank 01a20699-a810-72b7-bfd8-67ea488845d2
  weft receipts replay --home ./bank 01a20699-a810-72b7-bfd8-67ea488845d2";

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let home = HomeArgs::from(args.home);
    match args.command {
        Command::Show { id, json } => {
            let (asked, ended) = logged(&home, id)?;
            let receipt = receipt(&asked, &ended)?;
            say(&match json {
                true => serde_json::to_string_pretty(&receipt).unwrap_or_default() + "\n",
                false => receipt.text(),
            })
        }
        Command::Replay { id, json } => {
            let (asked, ended) = logged(&home, id)?;
            let changes = replay(home, &asked, &ended).await?;
            say(&match json {
                true => serde_json::to_string_pretty(&changes).unwrap_or_default() + "\n",
                false => told(&changes),
            })?;
            if changes.is_empty() { Ok(()) } else { Err(Failure::Told(FAILED)) }
        }
    }
}

fn say(text: &str) -> Result<(), Failure> {
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Failure::Output { to: "Standard output".to_owned(), error })
}

fn told(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "The same answer, of the same versions.\n".to_owned();
    }
    let paint = Paint::when(terminal::is_colored(io::IsTerminal::is_terminal(&io::stdout())));
    let line = |change: &Change| {
        format!("{}\n  before  {}\n  now     {}\n", paint.bold(&change.what), change.before, change.now)
    };
    changes.iter().map(line).collect()
}

/// The query and its end, as the log of the home has them.
fn logged(home: &HomeArgs, id: QueryId) -> Result<(Asked, Ended), Failure> {
    let settings = compose::settings(home)?;
    let options = compose::audit::options(&settings).ok_or_else(|| {
        Failure::usage("This home keeps no audit log, which is where receipts are.")
            .hint("Set data_dir in weft.yaml, leave audit.enabled as it is, and name the home with --home.")
    })?;
    let wanted = id.to_string();
    let (mut asked, mut ended) = (None, None);
    let read = log::read(&options.folder, |line| match line.event {
        Event::Asked(one) if one.query_id == wanted => asked = Some(one),
        Event::Ended(one) if one.query_id == wanted => ended = Some(one),
        _ => {}
    });
    read.map_err(|error| Failure::usage(format!("The log in {} cannot be read: {error}.", options.folder.display())))?;
    match (asked, ended) {
        (Some(asked), Some(ended)) if ended.receipt.is_some() => Ok((asked, ended)),
        (Some(_), Some(ended)) => Err(Failure::usage(format!("This query has no receipt: it {}.", ended.outcome))
            .hint("Queries that read data and ended well have one.")),
        (Some(_), None) => Err(Failure::usage("This query has not ended yet, or was lost with its process.")),
        (None, _) => {
            Err(Failure::usage("The audit log has no query with this id.").hint("`weft audit list` has the ids."))
        }
    }
}

/// The receipt as every door shows it.
fn receipt(asked: &Asked, ended: &Ended) -> Result<Receipt, Failure> {
    let mut fields = Map::new();
    for part in [serde_json::to_value(asked), serde_json::to_value(ended), serde_json::to_value(&ended.receipt)] {
        if let Ok(Value::Object(part)) = part {
            fields.extend(part);
        }
    }
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Failure::usage(format!("The receipt is not one that this version reads: {error}.")))
}

/// Asks again, and compares.
async fn replay(home: HomeArgs, asked: &Asked, ended: &Ended) -> Result<Vec<Change>, Failure> {
    if asked.redacted {
        return Err(Failure::usage(
            "The values of this query were not written down, so that it cannot be asked again.",
        )
        .hint("audit.redact in weft.yaml says what is written down."));
    }
    if asked.credential.as_ref().is_some_and(|credential| credential.starts_with("token of ")) {
        return Err(Failure::usage(
            "Who asked was vouched for by an identity provider: what it may see stands in its token alone.",
        )
        .hint("Ask the same with a token: weft receipts show has the SQL."));
    }
    let local = engine::Principal::local();
    let principal = (asked.principal != local.name()).then(|| asked.principal.clone());
    let composition = home::open(&HomeArgs { principal, ..home })?;
    let values =
        asked.settings.params.iter().map(|value| serde_json::from_value(value.clone()).unwrap_or(Scalar::Null));
    let values = values.collect();
    let query = Query::new(&asked.sql)
        .params(params::batch(values)?)
        .dataset(asked.settings.dataset.clone())
        .apply_weights(asked.settings.apply_weights)
        .max_rows(asked.settings.max_rows)
        .from(Door::Cli, CLIENT.to_owned());
    let mut stream = composition.engine.query(&composition.principal, query).await.map_err(Failure::Query)?;
    while stream.try_next().await.map_err(Failure::Query)?.is_some() {}
    let Some(now) = composition.engine.record(&composition.principal, stream.id()) else { return Ok(Vec::new()) };
    let mut changes = match (&ended.receipt, &now.receipt) {
        (Some(before), Some(now)) => before.changes(now),
        _ => Vec::new(),
    };
    changes.extend(Change::of("policies", asked.policies.join("; "), now.policies.join("; ")));
    changes.extend(Change::of("datasets", asked.datasets.join(", "), now.datasets.join(", ")));
    changes.extend(Change::of("cut by max_rows", ended.truncated, now.truncated));
    Ok(changes)
}
