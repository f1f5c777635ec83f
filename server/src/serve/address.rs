//! Where a door listens: on this machine only, as long as nobody needs to sign in.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::{TcpListener, lookup_host};

/// Why a door cannot listen where it should. `door` is its key in weft.yaml and its flag: `http` or `flight`.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum AddressError {
    #[error("{door}.listen: \"{address}\" is no address. Write HOST:PORT, such as 127.0.0.1:8080.")]
    Unreadable { door: &'static str, address: String },
    #[error(
        "{door}.listen: {address} can be reached from other machines, and without authentication anybody there would \
         have every right. Listen on 127.0.0.1, or let callers sign in: auth.required in weft.yaml."
    )]
    NotLoopback { door: &'static str, address: String },
    #[error(
        "{door}.listen: {address} is in use by another program. Stop it, or choose another with --{door} or {door}.listen \
         in weft.yaml; port 0 takes any free one."
    )]
    InUse { door: &'static str, address: SocketAddr },
    #[error("{door}.listen: cannot listen on {address}: {source}.")]
    Refused { door: &'static str, address: String, source: std::io::Error },
}

/// Listens on `address`, which must be on this machine where everybody `is_let_in`.
pub(super) async fn bind(door: &'static str, address: &str, is_let_in: bool) -> Result<TcpListener, AddressError> {
    let unreadable = || AddressError::Unreadable { door, address: address.to_owned() };
    let found: Vec<SocketAddr> = lookup_host(address).await.map_err(|_| unreadable())?.collect();
    if is_let_in && found.iter().any(|found| !found.ip().is_loopback()) {
        return Err(AddressError::NotLoopback { door, address: address.to_owned() });
    }
    // A name such as localhost may stand for several; as elsewhere, IPv4 is what most clients try.
    let address = found.iter().find(|found| found.is_ipv4()).or(found.first()).copied().ok_or_else(unreadable)?;
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => AddressError::InUse { door, address },
        _ => AddressError::Refused { door, address: address.to_string(), source },
    })
}

/// The address that a listener got, which tells the port where any was asked for.
pub(super) fn of(listener: &TcpListener) -> Result<SocketAddr, std::io::Error> {
    listener.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_this_machine_is_listened_on() {
        for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
            assert!(matches!(bind("http", open, true).await, Err(AddressError::NotLoopback { .. })), "{open}");
        }
        for nonsense in ["8080", "", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(matches!(bind("http", nonsense, true).await, Err(AddressError::Unreadable { .. })), "{nonsense}");
        }
    }

    #[tokio::test]
    async fn where_callers_sign_in_others_may_reach_it() {
        assert!(bind("http", "0.0.0.0:0", false).await.is_ok());
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_with_its_flag() {
        let first = bind("http", "localhost:0", true).await.unwrap();
        let error = bind("flight", &of(&first).unwrap().to_string(), true).await.unwrap_err();
        assert!(error.to_string().contains("is in use by another program"), "{error}");
        assert!(error.to_string().contains("--flight"), "{error}");
    }
}
