//! Sessions: what `SetSessionOptions` said, under the caller's bearer token, else under a cookie.
//!
//! A session holds a default dataset and nothing else. It is no credential: who asks is told by the authenticator.

use std::time::Duration;

use engine::{Code, Error, Presented};
use tonic::metadata::MetadataMap;

use crate::recent::{Key, Recent};
use crate::ticket::Defaults;

/// The name of the cookie that finds a session again.
const COOKIE: &str = "weft-session";
const SESSIONS: usize = 10_000;
const IDLE: Duration = Duration::from_secs(8 * 3600);

/// Sessions that have set an option.
pub(crate) struct Sessions {
    datasets: Recent<Option<String>>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { datasets: Recent::new(SESSIONS, IDLE) }
    }

    /// The default dataset that the session chose.
    pub(crate) fn dataset(&self, session: &Key) -> Option<String> {
        self.datasets.get(session).flatten()
    }

    /// Makes `dataset` the session's default; None = it has none.
    pub(crate) fn choose(&self, session: Key, dataset: Option<String>) {
        self.datasets.put(session, dataset, 1);
    }

    /// Forgets the session; whether there was one.
    pub(crate) fn close(&self, session: &Key) -> bool {
        self.datasets.remove(session)
    }
}

/// A name for a session or for a client that shook hands, which nobody can guess.
pub(crate) fn new_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The session that a token names.
pub(crate) fn key(token: &str) -> Key {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// The session of a call: by bearer token first, then by cookie.
pub(crate) fn of_call(metadata: &MetadataMap) -> Option<Key> {
    bearer(metadata).or_else(|| cookie(metadata)).map(|token| key(&token))
}

/// Puts the session's token where each kind of client takes it from: JDBC and ODBC keep cookies, ADBC keeps any
/// `authorization` that a response carries.
pub(crate) fn announce(token: &str, metadata: &mut MetadataMap) -> Result<(), Error> {
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict");
    for (name, value) in [("set-cookie", cookie), ("authorization", format!("Bearer {token}"))] {
        let value = value
            .parse()
            .map_err(|error| Error::new(Code::Internal, "The session's token cannot be sent.").cause(error))?;
        metadata.insert(name, value);
    }
    Ok(())
}

/// Announces a new session to a caller who brings neither token nor cookie, so that what it sets later is its own.
///
/// Done where an answer is one message. `SetSessionOptions` announces as well, but answers in a stream, and Go's Flight
/// client can lose the headers of a stream that ends: whoever of two goroutines sees the end first decides.
pub(crate) fn offer(call: &MetadataMap, answer: &mut MetadataMap) -> Result<(), Error> {
    if call.contains_key("authorization") || cookie(call).is_some() { Ok(()) } else { announce(&new_token(), answer) }
}

/// The caller's token.
pub(crate) fn bearer(metadata: &MetadataMap) -> Option<String> {
    // ADBC sends the header twice on calls that follow a handshake; both are the same.
    Presented::of_header(metadata.get("authorization")?.to_str().ok()).bearer
}

fn cookie(metadata: &MetadataMap) -> Option<String> {
    metadata
        .get_all("cookie")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, token)| token.trim_matches('"').to_owned())
}

/// The dataset that headers name for clients which know no catalog, such as those that put it in a connection URL.
///
/// A catalog other than `weft` is the alias of a dataset, and says more than a schema beside it.
pub(crate) fn dataset_of_headers(metadata: &MetadataMap) -> Option<String> {
    ["x-weft-dataset", "catalog", "database", "schema"]
        .into_iter()
        .filter_map(|name| metadata.get(name)?.to_str().ok())
        .map(str::trim)
        .find(|value| !value.is_empty() && *value != crate::listing::CATALOG)
        .map(str::to_owned)
}

/// What the headers and the session of a call say about its questions.
///
/// # Errors
/// `invalid_argument` where a header has no value that it could have.
pub(crate) fn defaults(metadata: &MetadataMap, chosen: Option<String>) -> Result<Defaults, Error> {
    Ok(Defaults {
        dataset: dataset_of_headers(metadata).or(chosen),
        apply_weights: header(metadata, "x-weft-apply-weights", "true or false")?,
        max_rows: header(metadata, "x-weft-max-rows", "a whole number of rows")?,
        timeout_ms: header::<u64>(metadata, "x-weft-timeout", "a whole number of seconds")?
            .map(|seconds| seconds.saturating_mul(1000)),
    })
}

fn header<T: std::str::FromStr>(metadata: &MetadataMap, name: &str, what: &str) -> Result<Option<T>, Error> {
    let Some(value) = metadata.get(name) else { return Ok(None) };
    value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .map(Some)
        .ok_or_else(|| Error::new(Code::InvalidArgument, format!("The header {name} must be {what}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for (name, value) in pairs {
            metadata.append(*name, value.parse().unwrap());
        }
        metadata
    }

    #[test]
    fn a_session_is_found_by_token_first_and_by_cookie_second() {
        let by_token = of_call(&headers(&[("authorization", "Bearer a"), ("cookie", "weft-session=b")]));
        assert_eq!(by_token, Some(key("a")));
        let twice = of_call(&headers(&[("authorization", "bearer a"), ("authorization", "bearer a")]));
        assert_eq!(twice, Some(key("a")));
        let by_cookie = of_call(&headers(&[("authorization", "Bearer None"), ("cookie", "x=1; weft-session=b")]));
        assert_eq!(by_cookie, Some(key("b")));
        assert_eq!(of_call(&headers(&[("authorization", "Basic YTpi")])), None);
    }

    #[test]
    fn a_session_is_offered_to_a_caller_who_brings_nothing() {
        for (pairs, offered) in [
            (&[("user-agent", "go")][..], true),
            (&[("cookie", "other=1")], true),
            (&[("cookie", "weft-session=b")], false),
            (&[("authorization", "Bearer a")], false),
            (&[("authorization", "Basic YTpi")], false),
        ] {
            let mut answer = MetadataMap::new();
            offer(&headers(pairs), &mut answer).unwrap();
            assert_eq!(answer.contains_key("authorization"), offered, "{pairs:?}");
            assert_eq!(answer.contains_key("set-cookie"), offered, "{pairs:?}");
        }
    }

    #[test]
    fn the_catalog_alias_says_more_than_the_schema() {
        for (pairs, dataset) in [
            (&[("schema", "panel")][..], Some("panel")),
            (&[("catalog", "weft"), ("schema", "panel")], Some("panel")),
            (&[("catalog", "customer_db"), ("schema", "public")], Some("customer_db")),
            (&[("x-weft-dataset", "panel"), ("catalog", "customer_db")], Some("panel")),
            (&[("catalog", "weft")], None),
            (&[("database", "panel"), ("schema", "public")], Some("panel")),
        ] {
            assert_eq!(dataset_of_headers(&headers(pairs)).as_deref(), dataset, "{pairs:?}");
        }
    }

    #[test]
    fn a_header_that_is_no_number_is_refused() {
        let wrong = defaults(&headers(&[("x-weft-max-rows", "many")]), None).unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument);
        let right = defaults(&headers(&[("x-weft-max-rows", "10"), ("x-weft-timeout", "2")]), None).unwrap();
        assert_eq!((right.max_rows, right.timeout_ms), (Some(10), Some(2000)));
    }
}
