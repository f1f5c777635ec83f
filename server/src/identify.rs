//! Tells who sends a request, before any door over HTTP sees it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Extensions, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use engine::{Authenticator, Code, Door, Error, Presented, Principal, Scope};

use crate::rest::Problem;

/// The certificate that the other side of a connection proved to hold (DER).
#[derive(Debug, Clone)]
pub(crate) struct Certificate(pub(crate) Option<Vec<u8>>);

/// What anybody may read: whether the server lives, and how it is to be asked.
const OPEN: [&str; 3] = ["/docs", "/health/live", "/openapi.json"];

/// What anybody may read, and more of it who has signed in.
const READY: &str = "/health/ready";

/// `router` behind `authenticator`: handlers find who asks in the extensions of the request.
pub fn by(authenticator: Arc<dyn Authenticator>, router: Router) -> Router {
    router.layer(from_fn_with_state(authenticator, identify))
}

/// Who asks, as [`by`] found out.
///
/// # Errors
/// `unauthenticated` where the request did not come that way.
pub(crate) fn caller(extensions: &Extensions) -> Result<Principal, Error> {
    extensions.get::<Principal>().cloned().ok_or_else(nobody)
}

/// Why a request without a principal is refused.
pub(crate) fn nobody() -> Error {
    Error::new(Code::Unauthenticated, "Nobody says who sends this request.")
}

async fn identify(State(authenticator): State<Arc<dyn Authenticator>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let path = path.as_str();
    if OPEN.iter().any(|open| path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))) {
        return next.run(request).await;
    }
    let (door, scope) = match path {
        "/mcp" => (Door::Mcp, Scope::Mcp),
        "/metrics" => (Door::Rest, Scope::Metrics),
        _ => (Door::Rest, Scope::Rest),
    };
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let certificate = request.extensions().get::<Certificate>().and_then(|Certificate(shown)| shown.clone());
    let presented = Presented { certificate, ..Presented::of_header(header) }.coming_from(peer);
    let identified = authenticator.authenticate(door, &presented).await;
    match identified.and_then(|principal| principal.demand(scope).map(|()| principal)) {
        Ok(principal) => {
            request.extensions_mut().insert(principal.at(presented.peer));
            next.run(request).await
        }
        Err(_) if path == READY => next.run(request).await,
        Err(error) => refused(error, scope),
    }
}

/// RFC 6750: what was wrong, and which credential would do.
fn refused(error: Error, scope: Scope) -> Response {
    let challenge = match error.code() {
        Code::Unauthenticated => Some("Bearer realm=\"weft\"".to_owned()),
        Code::PermissionDenied => {
            Some(format!("Bearer realm=\"weft\", error=\"insufficient_scope\", scope=\"{scope}\""))
        }
        _ => None,
    };
    let mut response = Problem::from(error).into_response();
    if let Some(value) = challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
