//! The doors that are not Flight SQL, and the binary that holds them all: REST, MCP, command line.
//!
//! A door decodes, calls `engine.query(&principal, query)`, and encodes. Nothing here plans or reads data.

pub mod auth;
pub mod cli;
pub mod compose;
pub mod demo;
pub mod encode;
pub mod identify;
pub mod mcp;
mod receipt;
pub mod rest;
pub mod serve;
pub mod state;
pub mod telemetry;
