//! Sessions: tokens that stand for a name and a password that were right. They live in memory, and end with the password.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::{Code, Error};
use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio_util::sync::CancellationToken;

/// A session that nobody uses ends after so long.
const IDLE: Duration = Duration::from_secs(8 * 3600);
/// With more than these, the longest unused ends.
const SESSIONS: usize = 10_000;
/// What a session's token begins with.
const PREFIX: &str = "weftsession_";

/// The sessions that are open.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<[u8; 32], Open>>,
    /// What ends with a password that is sent with each request, by name.
    by_password: Mutex<HashMap<String, (String, CancellationToken)>>,
}

#[derive(Debug)]
struct Open {
    session: Session,
    used: Instant,
}

/// Whose a session is.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) name: String,
    /// The hash of the password that opened it: another password ends it.
    pub(super) password: String,
    pub(super) ends: CancellationToken,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A token for the principal called `name`, whose password has the hash `password`.
    ///
    /// # Errors
    /// `internal` where the system gives no random numbers.
    pub(super) fn open(&self, name: &str, password: &str) -> Result<String, Error> {
        let mut bytes = [0; 32];
        OsRng
            .try_fill_bytes(&mut bytes)
            .map_err(|error| Error::new(Code::Internal, "The system gives no random numbers.").cause(error))?;
        let token = format!("{PREFIX}{}", blake3::Hash::from(bytes).to_hex());
        let session = Session { name: name.to_owned(), password: password.to_owned(), ends: CancellationToken::new() };
        let mut open = self.lock();
        if open.len() >= SESSIONS
            && let Some(oldest) = open.iter().min_by_key(|(_, open)| open.used).map(|(key, _)| *key)
            && let Some(ended) = open.remove(&oldest)
        {
            ended.session.ends.cancel();
        }
        open.insert(key(&token), Open { session, used: Instant::now() });
        Ok(token)
    }

    /// The session of `token`.
    pub(super) fn find(&self, token: &str) -> Option<Session> {
        let mut sessions = self.lock();
        let open = sessions.get_mut(&key(token))?;
        if open.used.elapsed() > IDLE {
            sessions.remove(&key(token));
            return None;
        }
        open.used = Instant::now();
        Some(open.session.clone())
    }

    /// Ends the session of `token`, and its queries.
    pub(super) fn close(&self, token: &str) {
        if let Some(open) = self.lock().remove(&key(token)) {
            open.session.ends.cancel();
        }
    }

    /// What ends with the password of `name` that has the hash `password`.
    pub(super) fn of_password(&self, name: &str, password: &str) -> CancellationToken {
        let mut known = self.by_password.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(name) {
            Some((hash, ends)) if hash == password => ends.clone(),
            _ => {
                let ends = CancellationToken::new();
                known.insert(name.to_owned(), (password.to_owned(), ends.clone()));
                ends
            }
        }
    }

    /// Ends what is not `good` any more, by name and hash of the password.
    pub(super) fn retain(&self, is_good: impl Fn(&str, &str) -> bool) {
        self.lock().retain(|_, open| {
            let stays = is_good(&open.session.name, &open.session.password);
            if !stays {
                open.session.ends.cancel();
            }
            stays
        });
        let mut known = self.by_password.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, (hash, ends)| {
            let stays = is_good(name, hash);
            if !stays {
                ends.cancel();
            }
            stays
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(token: &str) -> [u8; 32] {
    *blake3::hash(token.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_token_until_it_is_closed() {
        let sessions = Sessions::new();
        let token = sessions.open("meera", "hash").unwrap();
        let found = sessions.find(&token).unwrap();
        assert_eq!(found.name, "meera");
        assert!(sessions.find("weftsession_").is_none());
        sessions.close(&token);
        assert!(found.ends.is_cancelled());
        assert!(sessions.find(&token).is_none());
    }

    #[test]
    fn another_password_ends_a_session_and_the_queries_of_the_old_one() {
        let sessions = Sessions::new();
        let token = sessions.open("meera", "old").unwrap();
        let (session, sent) = (sessions.find(&token).unwrap().ends, sessions.of_password("meera", "old"));
        sessions.retain(|_, hash| hash == "old");
        assert!(!session.is_cancelled() && !sent.is_cancelled());
        sessions.retain(|_, hash| hash == "new");
        assert!(session.is_cancelled() && sent.is_cancelled());
        assert!(sessions.find(&token).is_none());
    }
}
