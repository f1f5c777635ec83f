//! The catalogs crate from outside: homes, the registry, and every source kind through one contract.

mod asked;
mod breaker;
mod configuration;
mod contract;
mod files;
mod folder;
mod frames;
mod frozen;
mod home;
#[cfg(test)]
mod mysql;
#[cfg(test)]
mod postgres;
mod registry;
mod reload;
mod rights;
mod sqlite;
mod stores;
mod survey;
