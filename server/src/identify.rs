//! Tells who sends a request, before any door over HTTP sees it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Extensions, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use catalogs::Oidc;
use engine::{Authenticator, Code, Door, Error, Presented, Principal, Scope};

use serde_json::{Value, json};

use crate::rest::Problem;

/// The certificate that the other side of a connection proved to hold (DER).
#[derive(Debug, Clone)]
pub(crate) struct Certificate(pub(crate) Option<Vec<u8>>);

/// What anybody may read: whether the server lives, and how it is to be asked.
const OPEN: [&str; 3] = ["/docs", "/health/live", "/openapi.json"];

/// Where clients learn who vouches for callers, before the path of a door.
const METADATA: &str = "/.well-known/oauth-protected-resource";

/// What anybody may read, and more of it who has signed in.
const READY: &str = "/health/ready";

/// Who vouches for callers, for clients that ask (RFC 9728).
#[derive(Debug, Clone)]
pub struct Vouching {
    issuer: String,
    /// The address of this server, where the configuration says it.
    resource: Option<String>,
    is_secure: bool,
}

impl Vouching {
    pub(crate) fn of(provider: &Oidc, is_secure: bool) -> Self {
        Self { issuer: provider.issuer.clone(), resource: provider.resource.clone(), is_secure }
    }

    /// The address of this server, for whoever sent this request.
    fn base(&self, request: &Request) -> String {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let scheme = if self.is_secure { "https" } else { "http" };
        self.resource.clone().unwrap_or_else(|| format!("{scheme}://{host}"))
    }

    /// What the door at `path` is, and who vouches for those who come.
    fn metadata(&self, base: &str, path: &str) -> Value {
        json!({
            "resource": format!("{base}{path}"),
            "resource_name": "Weft",
            "authorization_servers": [self.issuer],
            "bearer_methods_supported": ["header"],
            "scopes_supported": Scope::ALL.map(|scope| format!("weft:{scope}")),
        })
    }
}

/// What the middleware knows.
#[derive(Debug, Clone)]
struct Known {
    authenticator: Arc<dyn Authenticator>,
    vouching: Option<Arc<Vouching>>,
}

/// `router` behind `authenticator`: handlers find who asks in the extensions of the request.
pub fn by(authenticator: Arc<dyn Authenticator>, vouching: Option<Vouching>, router: Router) -> Router {
    router.layer(from_fn_with_state(Known { authenticator, vouching: vouching.map(Arc::new) }, identify))
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

async fn identify(State(known): State<Known>, mut request: Request, next: Next) -> Response {
    let Known { authenticator, vouching } = known;
    let path = request.uri().path().to_owned();
    let path = path.as_str();
    if let Some(of) = path.strip_prefix(METADATA).filter(|of| of.is_empty() || of.starts_with('/')) {
        return match &vouching {
            Some(vouching) => Json(vouching.metadata(&vouching.base(&request), of)).into_response(),
            None => next.run(request).await,
        };
    }
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
        Err(error) => {
            let metadata = vouching.map(|vouching| {
                let door = if path == "/mcp" { path } else { "" };
                format!("{}{METADATA}{door}", vouching.base(&request))
            });
            refused(error, scope, presented.bearer.is_some(), metadata)
        }
    }
}

/// RFC 6750 and 9728: what was wrong, which credential would do, and where it says who gives one.
fn refused(error: Error, scope: Scope, has_token: bool, metadata: Option<String>) -> Response {
    let challenge = match error.code() {
        Code::Unauthenticated => {
            let invalid = if has_token { ", error=\"invalid_token\"" } else { "" };
            let metadata = metadata.map(|metadata| format!(", resource_metadata=\"{metadata}\"")).unwrap_or_default();
            Some(format!("Bearer realm=\"weft\"{invalid}{metadata}"))
        }
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
