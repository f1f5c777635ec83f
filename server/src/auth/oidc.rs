//! Tokens of an identity provider (OpenID Connect, OAuth 2.1): who vouches for a caller, and what that means here.
//!
//! A token is believed by its signature, for who issued it, for whom, and from when to when. Its claims alone say who asks: roles that
//! the configuration does not name give no rights.

mod cipher;
mod claims;
mod keys;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catalogs::Oidc;
use engine::{Code, Error, Principal};
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
    /// Tokens that were verified, by their hash.
    known: Mutex<HashMap<[u8; 32], Known>>,
}

#[derive(Debug)]
struct Known {
    principal: Principal,
    /// Seconds since 1970.
    ends_at: u64,
    ends: CancellationToken,
}

impl Provider {
    pub(super) fn new(settings: Oidc) -> Self {
        cipher::install();
        let keys = ProviderKeys::new(&settings);
        Self { settings, keys, known: Mutex::default() }
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
        let jwk = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let key = DecodingKey::from_jwk(&jwk).map_err(|error| refused(&error))?;
        let claims = decode::<Map<String, Value>>(token, &key, &self.validation(header.alg));
        let claims = claims.map_err(|error| refused(&error))?.claims;
        // The person at this machine is vouched for by the machine alone.
        let principal = claims::principal(&claims, &self.settings);
        let principal = principal
            .filter(|found| found.name() != Principal::local().name())
            .ok_or_else(|| refused(&format!("the claim \"{}\" does not name anybody", self.settings.name)))?;
        let ends_at = claims.get("exp").and_then(Value::as_f64).unwrap_or_default() as u64;
        let ends_at = ends_at.saturating_add(self.settings.leeway.as_secs());
        let ends = CancellationToken::new();
        let principal = principal.by(format!("token of {}", self.settings.issuer), ends.clone());
        self.remember(hash, Known { principal: principal.clone(), ends_at, ends });
        Ok(principal)
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

    /// Ends the queries of tokens that have expired.
    pub(super) fn follow(&self) {
        let now = now();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, known| {
            let is_good = known.ends_at > now;
            if !is_good {
                known.ends.cancel();
            }
            is_good
        });
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Principal> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|known| known.ends_at > now()).map(|known| known.principal.clone())
    }

    fn remember(&self, hash: [u8; 32], new: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // The one that ends first goes: its queries go on, and it is verified again if it comes again.
        if known.len() >= REMEMBERED
            && let Some(first) = known.iter().min_by_key(|(_, known)| known.ends_at).map(|(hash, _)| *hash)
        {
            known.remove(&first);
        }
        known.insert(hash, new);
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// One answer for every token that is not believed. Why, is for the operator.
fn refused(reason: &dyn std::fmt::Display) -> Error {
    tracing::info!(reason = %reason, "A token of the identity provider was refused.");
    Error::new(
        Code::Unauthenticated,
        "The token is not valid: it has expired, is for another server, or is not signed by who vouches here.",
    )
    .hint("Get a new one from the identity provider.")
}

#[cfg(test)]
mod tests;
