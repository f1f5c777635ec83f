//! Passwords: Argon2id hashes, as the policy files hold them. Verifying one takes a while by design, so a right one is
//! remembered for some time by a hash with a key that lives as long as the process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use engine::{Code, Error};
use tokio::sync::Semaphore;

/// Verifications at once: each takes 19 MiB.
const AT_ONCE: usize = 2;
/// A right password is not verified again for so long.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
const REMEMBERED_AT_MOST: usize = 10_000;

/// Verifies passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    turn: Semaphore,
    key: [u8; 32],
    right: Mutex<HashMap<[u8; 32], Instant>>,
    /// What is verified in place of the hash of nobody, so that both take the same time.
    nobody: String,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            turn: Semaphore::new(AT_ONCE),
            key: rand::random(),
            right: Mutex::default(),
            nobody: hash("nobody's").unwrap_or_default(),
        }
    }

    /// Whether `password` is the one behind `hash`, that of the principal called `name`; None = it has none.
    ///
    /// # Errors
    /// `overloaded` where no turn comes.
    pub(super) async fn verify(&self, name: &str, password: &str, hash: Option<String>) -> Result<bool, Error> {
        let seen = hash.as_deref().map(|hash| self.fingerprint(name, password, hash));
        if seen.is_some_and(|seen| self.is_remembered(&seen)) {
            return Ok(true);
        }
        let _turn = self.turn.acquire().await.map_err(|_| stopped())?;
        let (stored, password) = (hash.unwrap_or_else(|| self.nobody.clone()), password.to_owned());
        let is_right =
            tokio::task::spawn_blocking(move || is_right(&password, &stored)).await.map_err(|_| stopped())?;
        match (is_right, seen) {
            (true, Some(seen)) => {
                self.remember(seen);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn fingerprint(&self, name: &str, password: &str, hash: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in [name, password, hash] {
            hasher.update(&part.len().to_le_bytes());
            hasher.update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    fn is_remembered(&self, seen: &[u8; 32]) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(seen).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    fn remember(&self, seen: [u8; 32]) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED_AT_MOST {
            right.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        if right.len() < REMEMBERED_AT_MOST {
            right.insert(seen, Instant::now());
        }
    }
}

fn stopped() -> Error {
    Error::new(Code::Overloaded, "The password cannot be verified now.").hint("Try again in a moment.")
}

fn is_right(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
}

/// The Argon2id hash of a password, as a policy file holds it.
///
/// # Errors
/// `internal` where the system gives no random numbers.
pub(crate) fn hash(password: &str) -> Result<String, Error> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string())
        .map_err(|error| Error::new(Code::Internal, "The password cannot be hashed.").cause(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_the_right_name_is_right() {
        let (passwords, stored) = (Passwords::new(), hash("a:b").unwrap());
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        for _ in 0..2 {
            assert!(passwords.verify("meera", "a:b", Some(stored.clone())).await.unwrap());
            for wrong in ["a:c", "", "a:b "] {
                assert!(!passwords.verify("meera", wrong, Some(stored.clone())).await.unwrap(), "{wrong}");
            }
        }
        assert!(!passwords.verify("meera", "a:b", None).await.unwrap());
        assert!(!passwords.verify("meera", "nobody's", None).await.unwrap());
        assert!(!passwords.verify("meera", "a:b", Some("a:b".to_owned())).await.unwrap());
    }

    #[tokio::test]
    async fn a_changed_hash_is_not_the_remembered_one() {
        let (passwords, old, new) = (Passwords::new(), hash("a").unwrap(), hash("b").unwrap());
        assert!(passwords.verify("meera", "a", Some(old)).await.unwrap());
        assert!(!passwords.verify("meera", "a", Some(new)).await.unwrap());
    }
}
