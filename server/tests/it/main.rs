//! The doors from outside: real listeners on free ports, real clients.

mod auth;
mod cli;
mod clients;
mod demo;
mod mcp;
mod oidc;
mod parity;
mod reload;
mod rest;
mod secrets;
mod tidy;
mod tls;
mod weights;
