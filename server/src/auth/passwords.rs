//! Passwords: Argon2id hashes, as the policy files hold them. Verifying one takes a while by design, so a right one is
//! remembered for some time by a hash with a key that lives as long as the process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use engine::{Code, Error};
use tokio::sync::{Semaphore, SemaphorePermit};

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

    /// Whether `password` was found to be the one behind `hash` not long ago.
    pub(super) fn is_remembered(&self, name: &str, password: &str, hash: Option<&str>) -> bool {
        let Some(seen) = hash.map(|hash| self.fingerprint(name, password, hash)) else { return false };
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(&seen).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    /// A turn to verify one password.
    ///
    /// # Errors
    /// `overloaded` where none comes.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.turn.acquire().await.map_err(|_| stopped())
    }

    /// Whether `password` is the one behind `hash`, that of the principal called `name`; None = it has none.
    ///
    /// # Errors
    /// `overloaded` where the process is about to end.
    pub(super) async fn verify(
        &self,
        _turn: SemaphorePermit<'_>,
        name: &str,
        password: &str,
        hash: Option<String>,
    ) -> Result<bool, Error> {
        let seen = hash.as_deref().map(|hash| self.fingerprint(name, password, hash));
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

    async fn is_right(passwords: &Passwords, name: &str, password: &str, hash: Option<&str>) -> bool {
        let turn = passwords.turn().await.unwrap();
        passwords.verify(turn, name, password, hash.map(str::to_owned)).await.unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_of_the_right_name_is_right() {
        let (passwords, stored) = (Passwords::new(), hash("a:b").unwrap());
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert!(!passwords.is_remembered("meera", "a:b", Some(&stored)));
        assert!(is_right(&passwords, "meera", "a:b", Some(&stored)).await);
        assert!(passwords.is_remembered("meera", "a:b", Some(&stored)));
        for wrong in ["a:c", "", "a:b "] {
            assert!(!is_right(&passwords, "meera", wrong, Some(&stored)).await, "{wrong}");
            assert!(!passwords.is_remembered("meera", wrong, Some(&stored)), "{wrong}");
        }
        assert!(!passwords.is_remembered("ravi", "a:b", Some(&stored)));
        for (password, hash) in [("a:b", None), ("nobody's", None), ("a:b", Some("a:b"))] {
            assert!(!is_right(&passwords, "meera", password, hash).await, "{password}");
        }
    }

    #[tokio::test]
    async fn a_changed_hash_is_not_the_remembered_one() {
        let (passwords, old, new) = (Passwords::new(), hash("a").unwrap(), hash("b").unwrap());
        assert!(is_right(&passwords, "meera", "a", Some(&old)).await);
        assert!(!passwords.is_remembered("meera", "a", Some(&new)));
        assert!(!is_right(&passwords, "meera", "a", Some(&new)).await);
    }
}
