//! From flags to a running engine: the home is read, the registry and the engine are built, the principal is chosen.
//!
//! Every command starts here, so this does no more than a query needs: no source is opened, no listener is started.

pub(crate) mod audit;
mod reload;
mod spill;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use catalogs::{Connections, Home, Problems, Registry, Settings};
use engine::journal::Observer;
use engine::journal::log::Log;
use engine::policy::Policies;
use engine::{Engine, Principal};
use reload::Origin;
use spill::SpillDir;

use crate::state::{Secret, Vault};

pub(crate) use reload::misfits;
pub use reload::{ReloadError, Reloaded};

/// The secret of a `data_dir`, which is made where there is none.
pub(crate) fn secret(data_dir: &Path) -> Option<Secret> {
    std::fs::create_dir_all(data_dir).ok()?;
    Secret::of(data_dir).ok()
}

/// What the key of masks is derived for.
const MASKS: &str = "weft 2026-11 hashes of masked values";

/// Where the datasets are and who asks: the flags that every command over a home shares.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Data")]
pub struct HomeArgs {
    /// The Weft home: a folder with datasources.yaml, summary.yaml, datasets/.
    ///
    /// Without it, the current folder if it is a home; else there are only the tables given by --table.
    #[arg(long, value_name = "DIR", env = "WEFT_HOME")]
    pub home: Option<PathBuf>,

    /// A table without any configuration, as NAME=PATH or NAME=URL; repeatable.
    ///
    /// A file, a folder, a glob or a database URL. The tables make the dataset `local`, which is then the default one,
    /// so that the bare name works.
    #[arg(long = "table", value_name = "NAME=WHERE", value_parser = table_flag)]
    pub tables: Vec<(String, String)>,

    /// Ask as this principal of the policy files, and see what it may see.
    #[arg(long = "as", value_name = "NAME")]
    pub principal: Option<String>,
}

fn table_flag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, at)) if !name.trim().is_empty() && !at.trim().is_empty() => {
            Ok((name.trim().to_owned(), at.trim().to_owned()))
        }
        _ => Err("write it as NAME=PATH or NAME=URL, such as people=./people.parquet".to_owned()),
    }
}

/// What a command needs to answer: the engine, and who asks.
#[derive(Debug)]
pub struct Composition {
    /// Answers queries.
    pub engine: Engine,
    /// The datasets and sources behind the engine.
    pub registry: Registry,
    /// Who asks, unless a door authenticates somebody else.
    pub principal: Principal,
    /// Who may see what, as it was read at the start.
    pub policies: Policies,
    /// The settings of `weft.yaml`.
    pub settings: Settings,
    /// Where state lives; None = nothing is kept beyond the process.
    pub data_dir: Option<PathBuf>,
    /// What is wrong in the home: the sources and datasets that have a problem are left out, and hurt no other.
    pub problems: Problems,
    /// Whether queries are written down beyond the process.
    pub is_audited: bool,
    origin: Arc<Origin>,
    /// Where queries spill, gone with the process.
    _spill: Option<SpillDir>,
}

/// Why there is nothing to ask.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `--home` names no folder.
    #[error("The home {} is not a folder.", .0.display())]
    NotAFolder(PathBuf),
    /// The files of the home, or the `--table` flags, do not hold together.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The engine refuses its settings, or nobody is called as `--as` says.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

/// Builds everything that a query needs from the flags.
///
/// # Errors
/// A home that is no folder; problems that nothing can run with, such as in weft.yaml; an unknown principal.
pub fn open(args: &HomeArgs) -> Result<Composition, OpenError> {
    compose(args, None)
}

/// As [`open`], and `observer` is told of each query that ends.
///
/// # Errors
/// As [`open`].
pub fn open_observed(args: &HomeArgs, observer: Observer) -> Result<Composition, OpenError> {
    compose(args, Some(observer))
}

/// Looks up an environment variable for the home's files.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Looks up what the files of the home in `folder` name: variables of the environment, then the secrets of its `data_dir`.
pub(crate) fn variables(folder: &Path) -> impl Fn(&str) -> Option<String> {
    let data_dir = Home::settings(folder, &environment).data_dir;
    let vault = OnceLock::new();
    move |name| {
        if let Some(value) = environment(name) {
            return Some(value);
        }
        let found = vault.get_or_init(|| Vault::find(data_dir.as_deref()?)).as_ref()?.get(name);
        found.unwrap_or_else(|error| {
            tracing::warn!(cause = %error, secret = name, "A secret cannot be read.");
            None
        })
    }
}

fn compose(args: &HomeArgs, observer: Option<Observer>) -> Result<Composition, OpenError> {
    let origin = Arc::new(Origin::of(args)?);
    let (home, problems) = origin.read_usable()?;
    let principal = origin.principal(&home)?;
    let settings = home.settings.clone();
    let registry = Registry::new(&home);
    let mut builder = Engine::builder(registry.clone())
        .limits(settings.limits.clone())
        .quality(settings.quality)
        .policies(home.policies.clone())
        .default_dataset(settings.default_dataset.clone());
    let mut is_audited = false;
    // Where there is no state, or it cannot be written, the engine takes the system's temporary folder.
    let spill = settings.data_dir.as_deref().and_then(|data_dir| SpillDir::make(data_dir).ok());
    if let Some(spill) = &spill {
        builder = builder.spill_dir(spill.path());
    }
    if let Some(data_dir) = &settings.data_dir {
        // A folder that cannot be written keeps nothing: commands answer from it all the same, and a server says so.
        if let Some(secret) = secret(data_dir) {
            builder = builder.mask_key(secret.key(MASKS));
        }
        if let Some(log) = audit::options(&settings).and_then(|options| Log::open(options).ok()) {
            builder = builder.log(log, settings.audit.redact);
            is_audited = true;
        }
    }
    if let Some(observer) = observer {
        // Who observes is a server, which answers for the time before it as well.
        builder = builder.observer(observer).recall();
    }
    let data_dir = settings.data_dir.clone();
    let engine = builder.build()?;
    let policies = home.policies;
    Ok(Composition {
        engine,
        registry,
        principal,
        policies,
        settings,
        data_dir,
        problems,
        is_audited,
        origin,
        _spill: spill,
    })
}

/// The settings of a home, or the defaults where there is none. Nothing is opened.
///
/// # Errors
/// A home that is no folder; problems that nothing can run with.
pub(crate) fn settings(args: &HomeArgs) -> Result<Settings, OpenError> {
    let Some(folder) = folder(args)? else { return Ok(Settings::default()) };
    Ok(Home::load_usable(&folder, &variables(&folder), &Connections::default())?.0.settings)
}

/// The home's folder: as the flag or `$WEFT_HOME` says, else the current folder if it looks like one.
///
/// # Errors
/// A home that is no folder.
pub(crate) fn folder(args: &HomeArgs) -> Result<Option<PathBuf>, OpenError> {
    const SIGNS: [&str; 4] = ["weft.yaml", "datasources.yaml", "summary.yaml", "datasets"];
    match &args.home {
        Some(path) if path.is_dir() => Ok(Some(path.clone())),
        Some(path) => Err(OpenError::NotAFolder(path.clone())),
        None if SIGNS.iter().any(|sign| Path::new(sign).exists()) => Ok(Some(PathBuf::from("."))),
        None => Ok(None),
    }
}
