//! Who asks: credentials become principals here, the same on every door.
//!
//! A credential is an API key, a name with a password, a token that was given for one, a certificate, or a token of an identity
//! provider. What a principal may is declared by the policy files, so a reload changes it at once; whom the provider vouches for
//! has the roles that its token says.

mod certificates;
pub mod keys;
mod oidc;
mod passwords;
mod sessions;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalogs::Oidc;
use engine::policy::PrincipalEntry;
use engine::{Authenticator, Code, Door, Engine, Error, Presented, Principal};
use tokio_util::sync::CancellationToken;

use keys::Keys;
use oidc::Provider;
use passwords::Passwords;
pub(crate) use passwords::hash as hash_of_password;
use sessions::Sessions;
use throttle::Throttle;

/// Changes of keys by other processes are seen within this time, and so are keys that have expired.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// Tells who asks by what the policy files declare and by the keys of the `data_dir`.
#[derive(Debug)]
pub struct Gate {
    engine: Engine,
    keys: Keys,
    passwords: Passwords,
    sessions: Sessions,
    throttle: Throttle,
    provider: Option<Provider>,
}

impl Gate {
    /// A gate before `engine`, with `keys`, which believes the tokens of `provider` as well.
    pub fn new(engine: Engine, keys: Keys, provider: Option<Oidc>) -> Self {
        let provider = provider.map(Provider::new);
        let (passwords, sessions, throttle) = (Passwords::new(), Sessions::new(), Throttle::new());
        Self { engine, keys, passwords, sessions, throttle, provider }
    }

    /// Follows changes until `stop`: queries of a key that has been revoked, or has expired, end.
    pub(crate) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let reading = async {
            if let Some(provider) = &self.provider {
                provider.serve(stop.clone()).await;
            }
        };
        tokio::join!(reading, Arc::clone(&self).follow_changes(stop.clone()));
    }

    async fn follow_changes(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(FOLLOW_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let gate = Arc::clone(&self);
            let followed = tokio::task::spawn_blocking(move || gate.keys.follow()).await;
            if let Ok(Err(error)) = followed {
                tracing::warn!(cause = %error, "The keys cannot be read; those that were read before hold.");
            }
            if let Some(provider) = &self.provider {
                provider.follow();
            }
            self.sessions.retain(|name, entry| {
                self.engine.declared(name).is_some_and(|declared| declared.password.as_deref() == Some(entry))
            });
        }
    }

    fn declared(&self, name: &str) -> Option<PrincipalEntry> {
        self.engine.declared(name)
    }

    async fn by_password(
        &self,
        name: &str,
        password: &str,
        presented: &Presented,
    ) -> Result<(PrincipalEntry, String), Error> {
        let entry = self.declared(name);
        let hash = entry.as_ref().and_then(|entry| entry.password.clone());
        let is_right = match self.passwords.is_remembered(name, password, hash.as_deref()) {
            true => true,
            false => {
                // Asked when the turn has come: of many guesses at once, those behind a wrong one wait as well.
                let turn = self.passwords.turn().await?;
                self.throttle.admit(presented.peer, name)?;
                self.passwords.verify(turn, name, password, hash.clone()).await?
            }
        };
        match (entry, hash) {
            (Some(entry), Some(hash)) if is_right => {
                self.throttle.forget(presented.peer, name);
                Ok((entry, hash))
            }
            _ => {
                self.throttle.failed(presented.peer, name);
                Err(refused())
            }
        }
    }

    /// Whom a provider vouches for, if nobody else is called so: what is kept of queries goes by the name.
    fn vouched_for(&self, principal: Principal) -> Result<Principal, Error> {
        let is_taken = principal.name() == Principal::local().name() || self.declared(principal.name()).is_some();
        if is_taken {
            tracing::info!(name = principal.name(), "A token names a principal that the policy files declare.");
            return Err(refused());
        }
        Ok(principal)
    }

    fn by_token(&self, token: &str) -> Result<Principal, Error> {
        if let Some(session) = self.sessions.find(token) {
            let entry =
                self.declared(&session.name).filter(|entry| entry.password.as_deref() == Some(&session.password));
            return Ok(entry.ok_or_else(refused)?.principal().by("session", session.ends));
        }
        let key = self.keys.find(token).ok_or_else(refused)?;
        let entry = self.declared(&key.principal).ok_or_else(refused)?;
        Ok(entry.principal().with_scopes(key.scopes).by(format!("key {}", key.id), key.ends))
    }
}

#[async_trait]
impl Authenticator for Gate {
    async fn authenticate(&self, _: Door, presented: &Presented) -> Result<Principal, Error> {
        if let Some(token) = &presented.bearer {
            return match &self.provider {
                Some(provider) if Provider::is_token(token) => {
                    let principal = provider.principal(token).await?;
                    self.vouched_for(principal)
                }
                _ => self.by_token(token),
            };
        }
        if let Some((name, password)) = &presented.basic {
            let (entry, hash) = self.by_password(name, password, presented).await?;
            return Ok(entry.principal().by("password", self.sessions.of_password(name, &hash)));
        }
        if let Some(certificate) = &presented.certificate {
            let entry = self.engine.certified(&certificates::names(certificate)).ok_or_else(refused)?;
            return Ok(entry.principal().by("certificate", CancellationToken::new()));
        }
        Err(Error::new(Code::Unauthenticated, "Sign in: this server answers to known callers only.")
            .hint("Send `Authorization: Bearer KEY` with an API key, or a name and a password."))
    }

    async fn sign_in(&self, door: Door, presented: &Presented) -> Result<Option<String>, Error> {
        match &presented.basic {
            Some((name, password)) if presented.bearer.is_none() => {
                let (_, hash) = self.by_password(name, password, presented).await?;
                Ok(Some(self.sessions.open(name, &hash)?))
            }
            _ => self.authenticate(door, presented).await.map(|_| None),
        }
    }

    fn sign_out(&self, token: &str) {
        self.sessions.close(token);
    }

    fn is_open(&self) -> bool {
        false
    }
}

/// One answer for every wrong credential: it tells neither what exists nor what was nearly right.
fn refused() -> Error {
    Error::new(Code::Unauthenticated, "The key, token or password is not valid.")
        .hint("It may have expired or been revoked: ask an administrator for a new one.")
}
