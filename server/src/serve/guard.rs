//! Keeps other machines' web pages out while nobody needs to sign in.
//!
//! A page in the operator's browser can send requests to this machine, and by DNS rebinding read the answers. So a
//! request must name this machine in `Host`, and come from no page or from one of this machine (`Origin`).

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::{Code, Error};

use crate::rest::Problem;

/// Refuses what does not come from this machine, before any door sees it.
pub(super) async fn only_from_this_machine(request: Request, next: Next) -> Response {
    match check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Problem::from(error).into_response(),
    }
}

fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
    if !host(uri, headers).is_some_and(|host| is_loopback(&host)) {
        return Err(Error::new(Code::PermissionDenied, "The Host header names another machine than this one.")
            .hint("Without authentication the server answers to localhost, 127.0.0.1 and [::1] only."));
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if !origins.all(|origin| origin.to_str().ok().and_then(origin_host).is_some_and(|host| is_loopback(&host))) {
        return Err(Error::new(Code::PermissionDenied, "Pages of other machines may not ask this server.")
            .hint("Without authentication the server answers to pages of localhost, 127.0.0.1 and [::1] only."));
    }
    Ok(())
}

/// The machine that the request is meant for: of HTTP/1 the one `Host` header, of HTTP/2 the `:authority`.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host_of(host.to_str().ok()?),
        (None, _) => host_of(uri.authority()?.as_str()),
        (Some(_), Some(_)) => None,
    }
}

fn origin_host(origin: &str) -> Option<String> {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?;
    host_of(rest)
}

/// The host of `host:port`, which may not name a user.
fn host_of(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    (!text.contains('@')).then(|| authority.host().to_ascii_lowercase())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_let_in(headers: &[(&'static str, &'static str)]) -> bool {
        let pairs = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        check(&Uri::from_static("/v1/sql"), &pairs.collect::<HeaderMap>()).is_ok()
    }

    #[test]
    fn this_machine_is_let_in_by_all_its_names() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8080", "127.1.2.3:80"] {
            assert!(is_let_in(&[("host", host)]), "{host}");
        }
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080"] {
            assert!(is_let_in(&[("host", "localhost"), ("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in
            ["example.com", "localhost.example.com", "127.0.0.1.nip.io", "192.168.1.2", "[::2]", "", "a@localhost"]
        {
            assert!(!is_let_in(&[("host", host)]), "{host}");
        }
        for origin in
            ["http://example.com", "null", "file://", "http://localhost@example.com", "http://localhost.evil:80"]
        {
            assert!(!is_let_in(&[("host", "localhost"), ("origin", origin)]), "{origin}");
        }
        assert!(!is_let_in(&[]));
    }
}
