//! The keys of an identity provider: found where it says that they are, read again when a token names another one, and believed for a
//! bounded time while it cannot be reached.

use std::sync::Mutex as Held;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use catalogs::Oidc;
use engine::{Code, Error};
use futures::StreamExt;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

/// Keys that were read within this time are not read again for a token that names none of them: anybody can write such a token.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// Keys older than this are read again, so that a key which the provider has withdrawn is not believed for long.
const FRESH_FOR: Duration = Duration::from_secs(600);
/// The provider answers within this time, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// A longer answer is none.
const LONGEST: usize = 1 << 20;

/// The keys of one provider.
#[derive(Debug)]
pub(super) struct ProviderKeys {
    issuer: String,
    keep_for: Duration,
    client: Result<reqwest::Client, String>,
    held: Held<Option<Read>>,
    /// One reads at a time, and all others wait for what it has read. When it was tried.
    reading: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone)]
struct Read {
    keys: JwkSet,
    at: Instant,
}

/// What is read of the provider's description.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl ProviderKeys {
    pub(super) fn new(settings: &Oidc) -> Self {
        // Nobody is followed to another address: the configuration says who is believed.
        let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build();
        Self {
            issuer: settings.issuer.clone(),
            keep_for: settings.keep_keys_for,
            client: client.map_err(|error| error.to_string()),
            held: Held::default(),
            reading: Mutex::default(),
        }
    }

    /// The key that a token names, which must be one for its algorithm.
    ///
    /// # Errors
    /// `unauthenticated` where there is no such key, `source_unavailable` where the provider cannot be asked and nothing is known of
    /// it that may still be believed.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Jwk, Error> {
        let held = self.held();
        if let Some(read) = held.as_ref().filter(|read| read.at.elapsed() < FRESH_FOR)
            && let Some(key) = choose(&read.keys, id, algorithm)
        {
            return Ok(key);
        }
        let read = self.read_again(held.map(|read| read.at)).await?;
        choose(&read.keys, id, algorithm).ok_or_else(|| super::refused(&"it names no key of the provider"))
    }

    /// The keys as the provider has them now, or else as they were, if that is not too long ago.
    async fn read_again(&self, seen: Option<Instant>) -> Result<Read, Error> {
        let mut tried = self.reading.lock().await;
        if let Some(read) = self.held().filter(|read| Some(read.at) != seen) {
            return Ok(read);
        }
        let is_too_soon = tried.is_some_and(|tried| tried.elapsed() < AT_MOST_EVERY);
        let answer = match is_too_soon {
            true => Err("it was asked a moment ago".to_owned()),
            false => self.ask().await,
        };
        if !is_too_soon {
            *tried = Some(Instant::now());
        }
        match answer {
            Ok(keys) => {
                let read = Read { keys, at: Instant::now() };
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(read.clone());
                Ok(read)
            }
            Err(reason) => {
                if !is_too_soon {
                    tracing::warn!(issuer = self.issuer, reason, "The keys of the identity provider cannot be read.");
                }
                self.held().filter(|read| read.at.elapsed() < self.keep_for).ok_or_else(|| {
                    Error::new(
                        Code::SourceUnavailable,
                        "Who vouches for callers cannot be asked now, so that tokens cannot be verified.",
                    )
                    .hint("Try again, or sign in with an API key.")
                })
            }
        }
    }

    async fn ask(&self) -> Result<JwkSet, String> {
        let at = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let description: Description = self.get(&at).await?;
        if description.issuer != self.issuer {
            return Err(format!("{at} is the description of another issuer"));
        }
        let is_as_safe = description.jwks_uri.starts_with("https://") || self.issuer.starts_with("http://");
        if !is_as_safe {
            return Err("its keys are not at an https:// address".to_owned());
        }
        let keys: JwkSet = self.get(&description.jwks_uri).await?;
        match keys.keys.is_empty() {
            true => Err(format!("{} has no keys", description.jwks_uri)),
            false => Ok(keys),
        }
    }

    async fn get<T: DeserializeOwned>(&self, at: &str) -> Result<T, String> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let wrong = |what: &dyn std::fmt::Display| format!("{at}: {what}");
        let response = client.get(at).send().await.and_then(reqwest::Response::error_for_status);
        let mut chunks = response.map_err(|error| wrong(&error.without_url()))?.bytes_stream();
        let mut body = Vec::new();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(|error| wrong(&error.without_url()))?);
            if body.len() > LONGEST {
                return Err(wrong(&"the answer is too long"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| wrong(&error))
    }

    /// As if it had been long ago that the provider was asked.
    #[cfg(test)]
    pub(super) fn forget_when(&mut self) {
        *self.reading.get_mut() = None;
        if let Some(read) = self.held.get_mut().unwrap_or_else(PoisonError::into_inner) {
            read.at = read.at.checked_sub(FRESH_FOR).unwrap_or(read.at);
        }
    }

    fn held(&self) -> Option<Read> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The key with the id, or the only one that fits where a token names none.
fn choose(keys: &JwkSet, id: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
    let mut fitting = keys.keys.iter().filter(|key| fits(key, algorithm));
    match id {
        Some(id) => fitting.find(|key| key.common.key_id.as_deref() == Some(id)).cloned(),
        None => fitting.next().filter(|_| fitting.next().is_none()).cloned(),
    }
}

/// Whether a key may have signed by an algorithm. A public key is no secret, so that none may sign by HMAC.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_for_signatures = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let is_of_kind = match (&key.algorithm, algorithm) {
        (
            AlgorithmParameters::RSA(_),
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512,
        ) => true,
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES256) => curve.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES384) => curve.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(pair), Algorithm::EdDSA) => pair.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let is_as_said = key.common.key_algorithm.is_none_or(|said| said.to_string() == format!("{algorithm:?}"));
    is_for_signatures && is_of_kind && is_as_said
}
