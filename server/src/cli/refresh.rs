//! `weft datasets refresh`: tells a running server to look at its sources again, and says what has changed.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use reqwest::{Client, Url};
use serde::de::DeserializeOwned;

use super::design;
use super::failure::{FAILED, Failure};
use super::terminal::{self, Paint};
use crate::compose::{self, HomeArgs};
use crate::rest::{ChangedTable, Problem, RefreshedDataset, RefreshedDatasets};
use crate::serve;

/// See new, changed and dropped tables and columns now, in the server that runs.
///
/// A server looks at its sources again by itself, after half a minute at the latest. This tells it to do so at once, and says
/// what is otherwise than the server had last seen it, and how the designs of weighted datasets fare against their rows. The exit code is 1 where something could not be read.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The datasets to refresh; default: every one.
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    ids: Vec<String>,

    /// Where the server answers HTTP; default: where the home's server is, else http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Write the server's answers as JSON, one dataset per line.
    #[arg(long)]
    json: bool,

    /// The Weft home whose server is meant; default: the current folder, if it is one.
    #[arg(long, value_name = "DIR", env = "WEFT_HOME")]
    home: Option<PathBuf>,
}

impl Args {
    /// The same for the server of `home`, where they name none: `--home` may stand before the word refresh, too.
    pub(super) fn within(mut self, home: Option<PathBuf>) -> Self {
        self.home = self.home.or(home);
        self
    }
}

const EXAMPLES: &str = "\
Examples:
  weft datasets refresh
  weft datasets refresh --home ./bank customer_db
  weft datasets refresh --url http://127.0.0.1:9090 --json
  WEFT_API_KEY=weft_.. weft datasets refresh    where callers must sign in";

/// The environment variable with the API key for a server at which callers sign in.
const KEY: &str = "WEFT_API_KEY";

/// How long the server may be silent. It keeps to its own limits, which are shorter.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let server = Server { url: url(&args)?, client: Client::new() };
    let mut is_whole = true;
    if args.ids.is_empty() {
        let answer: RefreshedDatasets = server.post(&["refresh"]).await?;
        for dataset in &answer.datasets {
            is_whole &= dataset.is_whole();
            tell(dataset, args.json)?;
        }
    }
    for id in &args.ids {
        match server.post::<RefreshedDataset>(&[id, "refresh"]).await {
            Ok(dataset) => {
                is_whole &= dataset.is_whole();
                tell(&dataset, args.json)?;
            }
            Err(failure @ Failure::Problem(_)) => {
                is_whole = false;
                // Where standard error is closed there is nobody to tell.
                let _ = failure.write(&mut io::stderr().lock());
            }
            Err(other) => return Err(other),
        }
    }
    if is_whole { Ok(()) } else { Err(Failure::Told(FAILED)) }
}

/// Where the server is: as the flag says, as the server of the home has written down, as the home is configured.
fn url(args: &Args) -> Result<Url, Failure> {
    let text = match &args.url {
        Some(url) => url.clone(),
        None => {
            let settings = compose::settings(&HomeArgs { home: args.home.clone(), ..HomeArgs::default() })?;
            let running = settings.data_dir.as_deref().and_then(serve::address_of);
            running.unwrap_or_else(|| format!("http://{}", settings.http.listen))
        }
    };
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| Failure::usage(format!("\"{text}\" is no URL.")).hint("Write it as http://127.0.0.1:8080."))
}

/// A server that runs.
struct Server {
    url: Url,
    client: Client,
}

impl Server {
    async fn post<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Failure> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v1", "datasets"]).extend(path);
        }
        let mut request = self.client.post(url).timeout(PATIENCE);
        if let Some(key) = compose::environment(KEY) {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|_| self.silent())?;
        let is_success = response.status().is_success();
        let body = response.bytes().await.map_err(|_| self.silent())?;
        if is_success {
            serde_json::from_slice(&body).map_err(|_| self.foreign())
        } else {
            let problem: Problem = serde_json::from_slice(&body).map_err(|_| self.foreign())?;
            Err(Failure::Problem(Box::new(problem)))
        }
    }

    fn silent(&self) -> Failure {
        Failure::usage(format!("No server answers at {}.", self.url))
            .hint("Start one with weft serve, or say with --url where it is. Commands without a server see the present anyway.")
    }

    fn foreign(&self) -> Failure {
        Failure::usage(format!("What answers at {} is no Weft of this version.", self.url))
            .hint("Say with --url where the server is.")
    }
}

/// Writes what has changed in a dataset.
fn tell(dataset: &RefreshedDataset, as_json: bool) -> Result<(), Failure> {
    let to = |error| Failure::Output { to: "Standard output".to_owned(), error };
    let out = &mut io::stdout().lock();
    if as_json {
        let line = serde_json::to_string(dataset).map_err(|error| to(error.into()))?;
        return writeln!(out, "{line}").map_err(to);
    }
    let paint = Paint::when(terminal::is_colored(io::stdout().is_terminal()));
    describe(dataset, paint, out).map_err(to)
}

fn describe(dataset: &RefreshedDataset, paint: Paint, out: &mut impl Write) -> io::Result<()> {
    let RefreshedDataset { dataset_id, problem, tables, is_first, added, removed, changed, unreadable, design } =
        dataset;
    let id = paint.bold(dataset_id);
    if let Some(problem) = problem {
        return writeln!(out, "{id}: {}: {}", paint.red(&format!("error[{}]", problem.code)), problem.detail);
    }
    let count = if *tables == 1 { "1 table".to_owned() } else { format!("{tables} tables") };
    let has_changed = !(added.is_empty() && removed.is_empty() && changed.is_empty());
    let what = match (is_first, has_changed) {
        (true, false) => ", listed for the first time",
        (false, false) => ", no change",
        (_, true) => "",
    };
    writeln!(out, "{id}: {count}{what}")?;
    for table in added {
        writeln!(out, "  added    {table}")?;
    }
    for table in removed {
        writeln!(out, "  removed  {table}")?;
    }
    for table in changed {
        writeln!(out, "  changed  {}: {}", table.table, columns(table))?;
    }
    for table in unreadable {
        let code = paint.red(&format!("error[{}]", table.problem.code));
        writeln!(out, "  {}: {code}: {}", table.table, table.problem.detail)?;
    }
    if let Some(checked) = design {
        design::describe(dataset_id, checked, "  ", paint, out)?;
    }
    Ok(())
}

/// `+email VARCHAR, -fax VARCHAR, age INTEGER -> BIGINT`.
fn columns(table: &ChangedTable) -> String {
    let added = table.added.iter().map(|column| format!("+{} {}", column.name, column.data_type));
    let dropped = table.dropped.iter().map(|column| format!("-{} {}", column.name, column.data_type));
    let retyped = table.retyped.iter().map(|column| format!("{} {} -> {}", column.name, column.from, column.to));
    added.chain(dropped).chain(retyped).collect::<Vec<_>>().join(", ")
}
