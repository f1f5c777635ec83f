//! What a client calls itself, for the journal.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use engine::{Door, Query};

/// Longer names are cut: the journal keeps them for every query.
const MAX_CHARS: usize = 200;

/// The `User-Agent` of a request.
pub(super) struct Client(Option<String>);

impl Client {
    /// `query` as it came from this client.
    pub(super) fn sends(&self, query: Query) -> Query {
        query.from(Door::Rest, self.0.clone())
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let name = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(Self(name.map(|name| name.chars().take(MAX_CHARS).collect())))
    }
}
