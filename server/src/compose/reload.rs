//! Reading a home again while the server runs: all of it changes in one step, or nothing does.
//!
//! What the process has taken hold of at its start does not change: addresses, limits, the data folder, logs, and who asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use catalogs::{Connections, Fault, Home, Problem, Problems, Registry, Settings};
use engine::policy::Policies;
use engine::{Engine, Principal};

use super::{Composition, HomeArgs, OpenError, folder, variables};

/// A source that has not shown its tables by then is looked at when somebody asks.
const LOOK: Duration = Duration::from_secs(10);

/// Where the home comes from, as the flags said.
#[derive(Debug)]
pub(super) struct Origin {
    folder: Option<PathBuf>,
    /// The tables of `--table`, which are the same as long as the process lives.
    local: Home,
    principal: Option<String>,
    connections: Connections,
}

/// What a reload has brought.
#[derive(Debug)]
pub struct Reloaded {
    /// How many sources and datasets there are now.
    pub counts: (usize, usize),
    /// Key paths of `weft.yaml` that differ from what the server runs with: it takes a restart to follow them.
    pub needs_restart: Vec<&'static str>,
}

/// Why everything stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The home has problems.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The principal of `--as` has other rights now, or none.
    #[error("The policy files declare principal \"{0}\" otherwise than at the start: restart to ask as it is now.")]
    Principal(String),
    /// The thread that reads the files has ended.
    #[error("The files of the home could not be read.")]
    Unread(#[from] tokio::task::JoinError),
}

impl Origin {
    pub(super) fn of(args: &HomeArgs) -> Result<Self, OpenError> {
        let (folder, local) = (folder(args)?, Home::of_tables(&args.tables)?);
        Ok(Self { folder, local, principal: args.principal.clone(), connections: Connections::default() })
    }

    /// The home without what has problems, and the problems.
    pub(super) fn read_usable(&self) -> Result<(Home, Problems), Problems> {
        let Some(folder) = &self.folder else { return Ok((self.local.clone(), Problems::default())) };
        let (home, problems) = Home::load_usable(folder, &variables(folder), &self.connections)?;
        Ok((home.and(self.local.clone()), problems))
    }

    /// The home, which has no problem.
    fn read(&self) -> Result<Home, Problems> {
        let Some(folder) = &self.folder else { return Ok(self.local.clone()) };
        Ok(Home::load_again(folder, &variables(folder), &self.connections)?.and(self.local.clone()))
    }

    /// Who asks.
    pub(super) fn principal(&self, home: &Home) -> Result<Principal, engine::Error> {
        match &self.principal {
            Some(name) => home.policies.principal(name),
            None => Ok(Principal::local()),
        }
    }
}

impl Composition {
    /// Reads the home again. From then on queries see its datasets under its policies; those that run go on with what they
    /// started with. Sources whose configuration is the same keep their connections.
    ///
    /// # Errors
    /// A home that has any problem, or a principal that has other rights: then everything stays as it was.
    pub async fn reload(&mut self) -> Result<Reloaded, ReloadError> {
        let origin = Arc::clone(&self.origin);
        let home = tokio::task::spawn_blocking(move || origin.read()).await??;
        if !self.origin.principal(&home).is_ok_and(|principal| principal.is_as(&self.principal)) {
            return Err(ReloadError::Principal(self.principal.name().to_owned()));
        }
        let registry = self.registry.renewed(&home);
        let misfits = misfits(&self.engine, &registry, &home.policies).await;
        if !misfits.is_empty() {
            return Err(ReloadError::Problems(misfits));
        }
        self.registry = registry;
        self.settings.default_dataset = home.settings.default_dataset.clone();
        self.engine.reload(self.registry.clone(), home.policies.clone(), home.settings.default_dataset.clone());
        self.policies = home.policies.clone();
        self.problems = Problems::default();
        Ok(Reloaded { counts: home.counts(), needs_restart: needs_restart(&self.settings, &home.settings) })
    }
}

/// What of the policies does not fit the tables that they name. Tables that cannot be looked at now are closed as long as
/// their rules do not fit, and are no reason to wait.
pub(crate) async fn misfits(engine: &Engine, registry: &Registry, policies: &Policies) -> Problems {
    let looked = tokio::time::timeout(LOOK, engine.misfits(registry, policies)).await;
    let known = looked.unwrap_or_default().into_iter().filter(|misfit| !misfit.is_unknown);
    known
        .map(|misfit| {
            let (file, line, key) = match misfit.place {
                Some(place) => {
                    let line = place.lines.get(&misfit.part).or_else(|| place.lines.get("")).copied();
                    (place.file, line, format!("{}.{}", place.key, misfit.part))
                }
                None => ("policies".to_owned(), None, format!("rules.{}.{}", misfit.rule, misfit.part)),
            };
            Problem { file, line, key, fault: Fault::Rejected(misfit.message) }
        })
        .collect()
}

fn needs_restart(now: &Settings, read: &Settings) -> Vec<&'static str> {
    let differ = [
        ("audit", now.audit != read.audit),
        ("auth", now.auth != read.auth),
        ("data_dir", now.data_dir != read.data_dir),
        ("flight.listen", now.flight != read.flight),
        ("http.listen", now.http != read.http),
        ("limits", now.limits != read.limits),
        ("quality", now.quality != read.quality),
        ("tls", now.tls != read.tls),
        ("telemetry", now.telemetry != read.telemetry),
    ];
    differ.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}
