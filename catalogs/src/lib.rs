//! Where data comes from: the files of a Weft home, source kinds, and the registry of datasets.
//!
//! It never decides who may see what, and never plans a query: it hands tables to `engine` through `engine::Catalog`.

pub mod home;
mod registry;
mod source;
pub mod sources;

pub use home::{
    Audit, Auth, Connections, Fault, Flight, Home, Http, LogFormat, Oidc, Problem, Problems, Settings, Telemetry, Tls,
    timespan,
};
pub use registry::Registry;
pub use source::{Connect, Scope, ScopedTable, Source, SourceKind};
