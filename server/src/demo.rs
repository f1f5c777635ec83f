//! `weft demo`: a home with a bank, a panel and sales, three questions asked of it, and then a server over it.
//!
//! The data is made by a seeded generator, so that two runs give the same answers. Questions take the path that every
//! query takes; nothing here reads the data it wrote.

mod bank;
mod cluster;
mod home;
mod india;
mod panel;
mod questions;
mod random;
mod recipes;
mod sales;
mod table;

use std::error::Error as StdError;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;

use catalogs::LogFormat;

use crate::compose::{self, HomeArgs};
use crate::serve::{self, Listen};
use crate::telemetry::{self, Metrics};

/// Write a bank, a panel and sales, ask three questions of them, and serve them.
///
/// The bank is six PostgreSQL databases where PostgreSQL's programs are on this machine: a server of its own, which ends
/// with the demo. The next run uses what the first one made.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// The folder that the demo is written to, and found in by the next run.
    #[arg(long, value_name = "DIR", default_value = "weft-demo")]
    pub home: PathBuf,

    /// End after the answers, without serving.
    #[arg(long)]
    pub once: bool,

    /// Write the demo anew, also where it is already there.
    #[arg(long)]
    pub fresh: bool,

    /// Where the bank is made.
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    pub bank: BankForm,

    /// How many events there are, as a part of a million: for a quick look. Another number, other data.
    #[arg(long, value_name = "PART", default_value_t = 1.0)]
    pub scale: f64,

    /// What the data is made from: another number, other data, in the place of those that are there.
    #[arg(long, value_name = "NUMBER", default_value_t = 2026)]
    pub seed: u64,

    /// Where to listen.
    #[command(flatten)]
    pub listen: Listen,
}

/// Where the bank is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum BankForm {
    /// In PostgreSQL where its programs are on this machine, else in files.
    #[default]
    Auto,
    /// In Parquet files.
    Files,
    /// In PostgreSQL, or not at all.
    Postgres,
}

/// Why the demo cannot be shown.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct DemoError {
    sentence: String,
    #[source]
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl DemoError {
    fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), cause: None }
    }

    fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let cause = cause.into();
        self.sentence = format!("{} ({cause})", self.sentence);
        self.cause = Some(cause);
        self
    }
}

impl From<std::io::Error> for DemoError {
    fn from(error: std::io::Error) -> Self {
        DemoError::new("The answers cannot be written.").because(error)
    }
}

/// Writes the demo to `home` where it is not there yet, and starts its bank. The bank stops when the value is dropped.
///
/// # Errors
/// As [`run`].
pub fn prepare(home: &std::path::Path, progress: &mut dyn Write) -> Result<impl Sized + use<>, DemoError> {
    #[derive(clap::Parser)]
    struct Defaults {
        #[command(flatten)]
        args: DemoArgs,
    }
    let Defaults { args } = clap::Parser::parse_from(["demo"]);
    home::prepare(&DemoArgs { home: home.to_owned(), ..args }, progress)
}

/// Writes the demo where it is not there yet, asks the questions, and serves until the process is told to end. Answers go
/// to `out`, progress to `progress`.
///
/// # Errors
/// A folder or a server that cannot be used, each with a sentence for the user.
pub async fn run(
    args: &DemoArgs,
    out: &mut (dyn Write + Send),
    progress: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    // Held until the end: the bank's server stops with it.
    let bank = tokio::task::block_in_place(|| home::prepare(args, progress))?;
    // What goes wrong in a source is worth a line; that everything goes well is not.
    let _ = telemetry::init("warn", LogFormat::Text);
    let metrics = Metrics::default();
    let home = HomeArgs { home: Some(args.home.clone()), ..HomeArgs::default() };
    let composition = compose::open_observed(&home, metrics.observer())
        .map_err(|error| DemoError::new(format!("The demo home {} does not load: {error}", args.home.display())))?;
    for line in composition.registry.registered() {
        writeln!(progress, "{line}")?;
    }
    questions::ask_all(&composition, out).await?;
    if args.once {
        return Ok(());
    }
    // Before anybody knows that the server runs, so that no signal ends it.
    let mut hangups = serve::Hangups::listen();
    let listen = free_doors(&args.listen, &composition.settings.http.listen, &composition.settings.flight.listen);
    let mut running =
        serve::start(composition, metrics, &listen).await.map_err(|error| DemoError::new(error.to_string()))?;
    recipes::print(out, &args.home, running.http, running.flight)?;
    serve::until_stopped(&mut running, &mut hangups).await;
    writeln!(progress, "Stopping.")?;
    running.stop().await;
    drop(bank);
    Ok(())
}

/// Where to listen: where the user says, else where the settings say, else, where that is taken, anywhere.
fn free_doors(wanted: &Listen, http: &str, flight: &str) -> Listen {
    let free = |wanted: &Option<String>, configured: &str| {
        let is_free = TcpListener::bind(configured).is_ok();
        wanted.clone().or_else(|| (!is_free).then(|| "127.0.0.1:0".to_owned()))
    };
    Listen { http: free(&wanted.http, http), flight: free(&wanted.flight, flight) }
}
