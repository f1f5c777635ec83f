//! The keys of an identity provider: found where it says that they are, read again when a token names another one, and believed for a
//! bounded time while it cannot be reached.
//!
//! One task reads them. Whoever waits for it may leave without ending it, and whoever has a key that is known does not wait.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use catalogs::Oidc;
use engine::{Code, Error};
use futures::StreamExt;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// The provider is asked no more often than this: anybody can write a token that names a key which there is not.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// It is asked again after this time, so that a key which it has withdrawn is not believed for long.
const FRESH_FOR: Duration = Duration::from_secs(600);
/// It answers each question within this time, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// A longer answer is none.
const LONGEST: usize = 1 << 20;

/// The keys of one provider.
#[derive(Debug)]
pub(super) struct ProviderKeys {
    issuer: String,
    keep_for: Duration,
    client: Result<reqwest::Client, String>,
    held: Mutex<Held>,
    wanted: Notify,
    /// How often it was asked.
    asked: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Held {
    read: Option<Read>,
    /// When it was last asked.
    asked_at: Option<Instant>,
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
            held: Mutex::default(),
            wanted: Notify::new(),
            asked: watch::Sender::new(0),
        }
    }

    /// The key that a token names, which must be one for its algorithm.
    ///
    /// # Errors
    /// `unauthenticated` where there is no such key, `source_unavailable` where the provider cannot be asked and nothing is known of
    /// it that may still be believed.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Jwk, Error> {
        let mut asked = self.asked.subscribe();
        let known = || self.believed().and_then(|keys| choose(&keys, id, algorithm));
        if let Some(key) = known() {
            return Ok(key);
        }
        let is_too_soon = self.held().asked_at.is_some_and(|at| at.elapsed() < AT_MOST_EVERY);
        if !is_too_soon || *asked.borrow_and_update() == 0 {
            self.wanted.notify_one();
            // Without an answer in time there is what was known.
            let _ = tokio::time::timeout(3 * PATIENCE, asked.changed()).await;
        }
        match (known(), self.believed()) {
            (Some(key), _) => Ok(key),
            (None, Some(_)) => Err(super::refused(&"it names no key of the provider")),
            (None, None) => Err(Error::new(
                Code::SourceUnavailable,
                "Who vouches for callers cannot be asked now, so that tokens cannot be verified.",
            )
            .hint("Try again, or sign in with an API key.")),
        }
    }

    /// Whether the provider still has this key, as far as is known.
    pub(super) fn has(&self, key: &Jwk) -> bool {
        self.believed().is_some_and(|keys| keys.keys.contains(key))
    }

    /// Reads the keys until `stop`: at first, when one is missing, and every now and then.
    pub(super) async fn serve(&self, stop: CancellationToken) {
        let reading = async {
            loop {
                self.held().asked_at = Some(Instant::now());
                match self.ask().await {
                    Ok(keys) => self.held().read = Some(Read { keys, at: Instant::now() }),
                    Err(reason) => {
                        tracing::warn!(
                            issuer = self.issuer,
                            reason,
                            "The keys of the identity provider cannot be read."
                        );
                    }
                }
                self.asked.send_modify(|asked| *asked += 1);
                tokio::time::sleep(AT_MOST_EVERY).await;
                // Whoever wanted keys in the meantime has been told that it was too soon, or is still waiting.
                let _ = tokio::time::timeout(FRESH_FOR, self.wanted.notified()).await;
            }
        };
        stop.run_until_cancelled(reading).await;
    }

    fn believed(&self) -> Option<JwkSet> {
        let held = self.held();
        held.read.as_ref().filter(|read| read.at.elapsed() < self.keep_for).map(|read| read.keys.clone())
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

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
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
