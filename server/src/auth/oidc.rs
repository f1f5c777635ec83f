//! Tokens of an identity provider (OpenID Connect, OAuth 2.1): who vouches for a caller, and what that means here.
//!
//! A token is believed by its signature, for who issued it, for whom, and from when to when. Its claims alone say who asks: roles that
//! the configuration does not name give no rights.

mod cipher;
mod claims;
mod keys;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catalogs::Oidc;
use engine::{Code, Error, Principal};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use keys::ProviderKeys;

/// So many tokens are remembered once they were verified.
const REMEMBERED: usize = 10_000;
/// A longer token is none.
const LONGEST: usize = 16 << 10;

/// Believes one identity provider.
#[derive(Debug)]
pub(super) struct Provider {
    settings: Oidc,
    keys: ProviderKeys,
    tokens: Mutex<Tokens>,
}

/// Tokens that were verified.
#[derive(Debug, Default)]
struct Tokens {
    /// By their hash.
    known: HashMap<[u8; 32], Known>,
    /// What ends with each of them, remembered or not.
    ending: Vec<Ending>,
}

#[derive(Debug)]
struct Known {
    principal: Principal,
    /// The key that signed it.
    key: Jwk,
    /// Seconds since 1970.
    ends_at: u64,
}

#[derive(Debug)]
struct Ending {
    key: Jwk,
    ends_at: u64,
    ends: CancellationToken,
}

impl Provider {
    pub(super) fn new(settings: Oidc) -> Self {
        cipher::install();
        let keys = ProviderKeys::new(&settings);
        Self { settings, keys, tokens: Mutex::default() }
    }

    /// Whether a text may be one of its tokens: the engine's own have no dots.
    pub(super) fn is_token(text: &str) -> bool {
        text.len() <= LONGEST && text.split('.').count() == 3
    }

    /// Who the token says that asks.
    ///
    /// # Errors
    /// `unauthenticated` where it is not to be believed; the log says why. `source_unavailable` where nobody knows, since the
    /// provider's keys cannot be read.
    pub(super) async fn principal(&self, token: &str) -> Result<Principal, Error> {
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        if let Some(principal) = self.remembered(&hash) {
            return Ok(principal);
        }
        let header = decode_header(token).map_err(|error| refused(&error))?;
        // RFC 7515, section 4.1.11: what a token says must be understood is refused where it is not.
        if header.crit.is_some() {
            return Err(refused(&"it has critical extensions, of which none is known here"));
        }
        let jwk = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let key = DecodingKey::from_jwk(&jwk).map_err(|error| refused(&error))?;
        let claims = decode::<Map<String, Value>>(token, &key, &self.validation(header.alg));
        let claims = claims.map_err(|error| refused(&error))?.claims;
        let principal = claims::principal(&claims, &self.settings)
            .ok_or_else(|| refused(&format!("the claim \"{}\" does not name anybody", self.settings.name)))?;
        let ends_at = claims.get("exp").and_then(Value::as_f64).unwrap_or_default() as u64;
        let ends_at = ends_at.saturating_add(self.settings.leeway.as_secs());
        let ends = CancellationToken::new();
        let principal = principal.by(format!("token of {}", self.settings.issuer), ends.clone());
        Ok(self.remember(hash, Known { principal, key: jwk, ends_at }, ends))
    }

    fn validation(&self, algorithm: jsonwebtoken::Algorithm) -> Validation {
        // That the algorithm is one of the key is seen to when the key is found.
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&self.settings.audience);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = self.settings.leeway.as_secs();
        validation
    }

    /// Reads the provider's keys until `stop`.
    pub(super) async fn serve(&self, stop: CancellationToken) {
        self.keys.serve(stop).await;
    }

    /// Ends the queries of tokens that have expired, or whose key the provider has withdrawn.
    pub(super) fn follow(&self) {
        let now = now();
        let is_good = |ends_at: u64, key: &Jwk| ends_at > now && self.keys.has(key);
        let mut tokens = self.tokens();
        tokens.known.retain(|_, known| is_good(known.ends_at, &known.key));
        tokens.ending.retain(|ending| {
            let is_good = is_good(ending.ends_at, &ending.key);
            if !is_good {
                ending.ends.cancel();
            }
            is_good
        });
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Principal> {
        let tokens = self.tokens();
        tokens.known.get(hash).filter(|known| known.ends_at > now()).map(|known| known.principal.clone())
    }

    /// Remembers a token, unless another request has by now: then that one's principal is who asks.
    fn remember(&self, hash: [u8; 32], new: Known, ends: CancellationToken) -> Principal {
        let mut tokens = self.tokens();
        if let Some(known) = tokens.known.get(&hash) {
            return known.principal.clone();
        }
        if tokens.known.len() >= REMEMBERED
            && let Some(last) = tokens.known.iter().max_by_key(|(_, known)| known.ends_at).map(|(hash, _)| *hash)
        {
            // It is verified again if it comes again.
            tokens.known.remove(&last);
        }
        let principal = new.principal.clone();
        tokens.ending.push(Ending { key: new.key.clone(), ends_at: new.ends_at, ends });
        tokens.known.insert(hash, new);
        principal
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// One answer for every token that is not believed. Why, is for the operator.
fn refused(reason: &dyn std::fmt::Display) -> Error {
    // A token's own words may stand in it.
    let reason: String = reason.to_string().chars().take(200).collect();
    tracing::info!(reason = ?reason, "A token of the identity provider was refused.");
    Error::new(
        Code::Unauthenticated,
        "The token is not valid: it has expired, is for another server, or is not signed by who vouches here.",
    )
    .hint("Get a new one from the identity provider.")
}

#[cfg(test)]
mod tests;
