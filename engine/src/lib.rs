//! What a query is: one path from SQL to governed, streaming Arrow batches.
//!
//! ```no_run
//! use engine::{Engine, MemoryCatalog, Principal, Query};
//! use futures::TryStreamExt;
//!
//! # async fn run(people: engine::TableProviderRef) -> Result<(), engine::Error> {
//! let catalog = MemoryCatalog::default().with_table("panel", "people", people);
//! let engine = Engine::builder(catalog).build()?;
//! let query = Query::new("SELECT weighted_avg(age, weight) FROM panel.people");
//! let stream = engine.query(&Principal::local(), query).await?;
//! let batches: Vec<_> = stream.try_collect().await?;
//! # Ok(()) }
//! ```
//!
//! Nothing here opens a socket or a database: where data comes from is behind [`Catalog`].

mod builder;
mod cached;
mod catalog;
mod code;
mod codes;
mod designs;
mod disclosure;
mod error;
mod extremes;
mod grouping;
mod grouping_sets;
mod identity;
mod integers;
mod join_order;
mod joins;
pub mod journal;
mod limits;
mod memory;
mod merging;
mod meter;
pub mod names;
mod numbers;
mod path;
pub mod policy;
mod pushdown;
mod quality;
mod query;
pub mod raking;
mod reach;
pub mod receipt;
mod refresh;
mod replicates;
mod session;
mod share;
mod stream;
mod survey;
pub mod system;
mod tokens;
mod transfer;
mod turns;
mod weighing;
pub mod weighted;

pub use builder::{Engine, EngineBuilder};
pub use catalog::{
    Access, Catalog, Dataset, MemoryCatalog, SourceHealth, SourceStatus, TableEntry, TableKind, TableProviderRef,
    Tenancy, Weights, WeightsMode,
};
pub use code::Code;
pub use codes::{Codebook, Coding, Meaning};
pub use designs::{DesignFigures, DesignReport, Finding, Severity};
pub use error::Error;
pub use identity::{ADMIN, Attributes, Authenticator, Everybody, Presented, Principal, Scope};
pub use joins::JoinFacts;
pub use limits::{Limits, PerPrincipal};
pub use path::Description;
pub use policy::{AccessReport, TableAccess};
pub use quality::Quality;
pub use query::{Deadline, Door, Explain, Query, QueryId};
pub use refresh::{Drift, Retyped, TableDrift, Typed, Unreadable};
pub use replicates::{ReplicateMethod, Replicates};
pub use stream::{QueryStream, Summary};
pub use survey::{RowSums, SumsOfRows};
pub use transfer::{Expected, Transfer, Transfers};
