//! Reading a home again while the server runs: all of it changes in one step, or nothing does.
//!
//! What the process has taken hold of at its start does not change: addresses, limits, the data folder, logs, and who asks.

use std::path::PathBuf;
use std::sync::Arc;

use catalogs::{Connections, Home, Problems, Settings};
use engine::Principal;

use super::{Composition, HomeArgs, OpenError, environment, folder};

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
        let (home, problems) = Home::load_usable(folder, &environment, &self.connections)?;
        Ok((home.and(self.local.clone()), problems))
    }

    /// The home, which has no problem.
    fn read(&self) -> Result<Home, Problems> {
        let Some(folder) = &self.folder else { return Ok(self.local.clone()) };
        Ok(Home::load_again(folder, &environment, &self.connections)?.and(self.local.clone()))
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
        if self.origin.principal(&home).ok().as_ref() != Some(&self.principal) {
            return Err(ReloadError::Principal(self.principal.name().to_owned()));
        }
        self.registry = self.registry.renewed(&home);
        self.settings.default_dataset = home.settings.default_dataset.clone();
        self.engine.reload(self.registry.clone(), home.policies.clone(), home.settings.default_dataset.clone());
        self.problems = Problems::default();
        Ok(Reloaded { counts: home.counts(), needs_restart: needs_restart(&self.settings, &home.settings) })
    }
}

fn needs_restart(now: &Settings, read: &Settings) -> Vec<&'static str> {
    let differ = [
        ("data_dir", now.data_dir != read.data_dir),
        ("flight.listen", now.flight != read.flight),
        ("http.listen", now.http != read.http),
        ("limits", now.limits != read.limits),
        ("quality", now.quality != read.quality),
        ("telemetry", now.telemetry != read.telemetry),
    ];
    differ.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}
