//! The Flight SQL door: Arrow Flight SQL over gRPC, for ADBC, JDBC and ODBC drivers, pandas, polars and BI tools.
//!
//! It decodes a command, asks the engine, and encodes the answer. It has no other way to rows than
//! [`engine::Engine::query`]: listings of schemas and tables are queries on the system tables, so the caller's rights
//! hold for them too. It keeps nothing that a client could not ask again: tickets and prepared statements carry their
//! own question, signed.

mod actions;
mod answer;
mod call;
mod commands;
mod direct;
mod door;
mod encode;
mod gather;
mod listing;
mod options;
mod params;
mod pattern;
mod put;
mod recent;
mod running;
mod serve;
mod session;
mod sql_type;
mod status;
mod ticket;

use std::sync::Arc;

use engine::{Authenticator, Engine};

pub use direct::Service;
pub use door::Door;
pub use options::Options;
pub use serve::{Peer, serve, serve_connections};

/// The largest message a client may send: parameters of prepared statements come in one.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// The door as a gRPC service. `authenticator` says who comes through it; [`serve()`] listens for it.
pub fn service(engine: Engine, authenticator: Arc<dyn Authenticator>, options: Options) -> Service {
    Service::new(Door::new(engine, authenticator, options), MAX_REQUEST_BYTES)
}
