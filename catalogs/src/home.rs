//! A Weft home: the folder of configuration files, read whole and checked whole before anything is opened.
//!
//! All problems are found at once. Nothing here connects to a source or opens a data file.

pub(crate) mod amount;
mod codebook;
mod connections;
mod dataset_file;
mod datasource_file;
mod folder;
mod interpolate;
mod lines;
mod oidc;
mod policy_file;
mod problem;
pub mod reference;
mod resolve;
mod settings;
mod shape;
mod table_flag;
mod yaml;

use std::path::Path;
use std::sync::Arc;

use engine::Dataset;
use engine::policy::Policies;

pub(crate) use amount::Timespan;
pub use amount::timespan;
pub use connections::Connections;
pub use oidc::Oidc;
pub use problem::{Fault, Problem, Problems};
pub use settings::{Audit, Auth, Flight, Http, LogFormat, Settings, Telemetry, Tls};

use crate::{Scope, Source, SourceKind};

/// A home that was read and checked.
#[derive(Debug, Clone)]
pub struct Home {
    /// What `weft.yaml` and the environment say.
    pub settings: Settings,
    /// Principals and rules of all policy files.
    pub policies: Policies,
    pub(crate) sources: Vec<DeclaredSource>,
    pub(crate) datasets: Vec<DeclaredDataset>,
    notes: Vec<String>,
}

/// A source as the home declares it; it has opened nothing.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredSource {
    pub(crate) id: String,
    pub(crate) kind: &'static dyn SourceKind,
    pub(crate) description: String,
    pub(crate) is_enabled: bool,
    pub(crate) source: Arc<dyn Source>,
}

/// A dataset, and where its tables are: one part of one source, or, for `--table`, one part per table.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredDataset {
    pub(crate) dataset: Arc<Dataset>,
    pub(crate) parts: Vec<DeclaredPart>,
}

/// A part of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeclaredPart {
    pub(crate) source: String,
    pub(crate) scope: Scope,
}

/// The dataset of tables that come from `--table`.
pub(crate) const LOCAL: &str = "local";

impl Home {
    /// Reads the home in the folder `dir`; `env` looks up environment variables.
    ///
    /// # Errors
    /// Everything that is wrong in it, at once.
    pub fn load(dir: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Home, Problems> {
        Self::load_again(dir, env, &Connections::default())
    }

    /// As [`Home::load`], and a source whose configuration is the same as when `connections` met it is still the same source.
    ///
    /// # Errors
    /// As [`Home::load`].
    pub fn load_again(
        dir: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        connections: &Connections,
    ) -> Result<Home, Problems> {
        let (home, problems) = folder::read(dir, env, connections);
        if problems.is_empty() { Ok(home) } else { Err(problems) }
    }

    /// Reads what can be used of the home in `dir`: a dataset or a source that has problems is left out, and hurts no
    /// other. `connections` gets to know its sources.
    ///
    /// # Errors
    /// Problems of `weft.yaml`, of the policies and of the folder itself: nothing may run without knowing those.
    pub fn load_usable(
        dir: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        connections: &Connections,
    ) -> Result<(Home, Problems), Problems> {
        let (home, problems) = folder::read(dir, env, connections);
        let is_fatal = |problem: &Problem| {
            problem.fault == Fault::NoHome
                || problem.file == folder::SETTINGS_FILE
                || problem.file == folder::ENVIRONMENT
                || Path::new(&problem.file).starts_with(folder::POLICIES)
        };
        if problems.iter().any(is_fatal) { Err(problems) } else { Ok((home, problems)) }
    }

    /// What `weft.yaml` in the folder `dir` says, as far as it can be read: before anything else of the home is.
    pub fn settings(dir: &Path, env: &dyn Fn(&str) -> Option<String>) -> Settings {
        folder::settings(dir, env)
    }

    /// A home of single tables, `--table name=where`: each a file, a folder, a pattern or a URL. They are the tables of
    /// dataset `local`, which is the default, so that their bare names work.
    ///
    /// # Errors
    /// A place that no kind of source recognizes, a name that stands twice, a URL that cannot be read.
    pub fn of_tables<N: AsRef<str>, W: AsRef<str>>(tables: &[(N, W)]) -> Result<Home, Problems> {
        table_flag::home_of(tables.iter().map(|(name, place)| (name.as_ref(), place.as_ref())))
    }

    /// This home together with one of `--table`, as [`Home::of_tables`] makes it. If there are such tables, theirs is the
    /// default dataset.
    pub fn and(mut self, local: Home) -> Home {
        self.sources.extend(local.sources);
        self.datasets.extend(local.datasets);
        self.settings.default_dataset = local.settings.default_dataset.or(self.settings.default_dataset);
        self
    }

    /// What is worth knowing and no problem, such as a prompt file that is not there yet.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How many sources and datasets it declares.
    pub fn counts(&self) -> (usize, usize) {
        (self.sources.len(), self.datasets.len())
    }
}
