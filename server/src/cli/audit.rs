//! `weft audit`: reads the audit log of a home, and checks that nobody has changed it.

use std::collections::HashMap;
use std::io::{self, Write};

use chrono::{DateTime, NaiveDate, Utc};
use engine::journal::log::{self, Asked, Ended, Event, LogOptions};
use serde::Serialize;

use super::failure::{FAILED, Failure};
use super::home::HomeFlag;
use crate::compose::{self, HomeArgs};

/// Read the audit log, and check that nobody has changed it.
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
    /// List queries: one JSON object a line, the oldest first.
    List(Filter),
    /// Check that no line was changed, added or taken out. The exit code is 1 where one was.
    Verify,
}

/// Which queries to list.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Only those of this principal.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only those of this tool: claude, chatgpt, cursor, manus, api, cli, ..
    #[arg(long, value_name = "TOOL")]
    tool: Option<String>,
    /// Only those that read this dataset.
    #[arg(long, value_name = "ID")]
    dataset: Option<String>,
    /// Only those that ended so: completed, failed, cancelled, abandoned, or lost with their process.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Only those that came on this day or at this time, or later: 2026-11-01, or 2026-11-01T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Only those that came before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
}

const EXAMPLES: &str = "\
Examples:
  weft audit list --since 2026-11-01 --tool claude
  weft audit list --principal meera --dataset panel | jq .asked.sql
  weft audit verify";

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let day = text.parse::<NaiveDate>().ok().and_then(|day| day.and_hms_opt(0, 0, 0)).map(|day| day.and_utc());
    let time = || DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    day.or_else(time).ok_or_else(|| "write it as 2026-11-01 or 2026-11-01T08:00:00Z".to_owned())
}

/// A query of the log: who asked what, and how it ended. Without an end it runs, or its process was lost.
#[derive(Debug, Serialize)]
struct Entry {
    asked: Asked,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Ended>,
}

/// Runs the command.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    let home = HomeArgs::from(args.home);
    let settings = compose::settings(&home)?;
    let options = compose::audit::options(&settings).ok_or_else(|| {
        Failure::usage("This home keeps no audit log.")
            .hint("Set data_dir in weft.yaml, leave audit.enabled as it is, and name the home with --home.")
    })?;
    match args.command {
        Command::List(filter) => list(&options, &filter),
        Command::Verify => verify(&options),
    }
}

fn list(options: &LogOptions, filter: &Filter) -> Result<(), Failure> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut open: HashMap<String, usize> = HashMap::new();
    let read = log::read(&options.folder, |line| match line.event {
        Event::Asked(asked) if filter.wants(&asked) => {
            open.insert(asked.query_id.clone(), entries.len());
            entries.push(Entry { asked, ended: None });
        }
        Event::Ended(ended) => {
            if let Some(entry) = open.remove(&ended.query_id).and_then(|at| entries.get_mut(at)) {
                entry.ended = Some(ended);
            }
        }
        _ => {}
    });
    read.map_err(|error| unreadable(options, &error))?;
    let mut out = io::stdout().lock();
    for entry in entries.iter().filter(|entry| filter.wants_end(entry)) {
        let line = serde_json::to_string(entry).map_err(io::Error::from);
        let written = line.and_then(|line| writeln!(out, "{line}"));
        written.map_err(|error| Failure::Output { to: "Standard output".to_owned(), error })?;
    }
    Ok(())
}

fn verify(options: &LogOptions) -> Result<(), Failure> {
    let verified = log::verify(&options.folder, &options.key).map_err(|error| unreadable(options, &error))?;
    let mut out = io::stdout().lock();
    let mut say = |text: String| {
        writeln!(out, "{text}").map_err(|error| Failure::Output { to: "Standard output".to_owned(), error })
    };
    for broken in &verified.broken {
        say(format!("{}:{}: {}", broken.file.display(), broken.line, broken.what))?;
    }
    match verified.broken.len() {
        0 => say(format!("{}: {} lines, as they were written", options.folder.display(), verified.lines)),
        _ => Err(Failure::Told(FAILED)),
    }
}

fn unreadable(options: &LogOptions, error: &io::Error) -> Failure {
    Failure::usage(format!("The log in {} cannot be read: {error}.", options.folder.display()))
}

impl Filter {
    fn wants(&self, asked: &Asked) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
        is(&self.principal, &asked.principal)
            && is(&self.tool, &asked.tool)
            && self.dataset.as_ref().is_none_or(|dataset| asked.datasets.contains(dataset))
            && self.since.is_none_or(|since| asked.started_at >= since)
            && self.until.is_none_or(|until| asked.started_at < until)
    }

    fn wants_end(&self, entry: &Entry) -> bool {
        let outcome = entry.ended.as_ref().map_or("lost", |ended| ended.outcome.as_str());
        self.outcome.as_deref().is_none_or(|wanted| wanted == outcome)
    }
}
