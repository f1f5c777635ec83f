//! Secrets that were given at run time, such as passwords of databases: encrypted, each bound to its name, by a key that is
//! elsewhere and can be replaced.
//!
//! The key is in the environment or in a file for its owner only. Replacing it is safe against a crash at any moment: each secret
//! says which key it is sealed by, and the next key is on the disk before the first secret is.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use engine::{Code, Error};
use rand::TryRngCore;
use rand::rngs::OsRng;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rusqlite::{OptionalExtension, params};

use super::State;
use super::secret::{self, Secret};

/// The environment variable that holds the key in place of the file: 64 hexadecimal digits.
const VARIABLE: &str = "WEFT_VAULT_KEY";
/// And the one with the key that takes its place, while `weft secrets rotate` runs.
const NEXT_VARIABLE: &str = "WEFT_VAULT_KEY_NEXT";

const FILE: &str = "vault.key";
const NEXT_FILE: &str = "vault.key.next";
/// Whoever changes secrets or their key holds it.
const LOCK: &str = "vault.lock";
const SEALING: &str = "weft 2026-11 secrets given at run time";
const NAMING: &str = "weft 2026-11 names of keys";

/// The secrets of a `data_dir`.
#[derive(Debug)]
pub struct Vault {
    state: State,
    folder: PathBuf,
}

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// When it was given.
    pub given_at: DateTime<Utc>,
}

/// A key, and the name by which secrets say that they are sealed by it.
struct Key {
    id: String,
    key: LessSafeKey,
}

impl Key {
    fn of(secret: &Secret) -> Result<Self, Error> {
        let id = blake3::Hash::from_bytes(secret.key(NAMING)).to_hex()[..16].to_owned();
        let key =
            UnboundKey::new(&CHACHA20_POLY1305, &secret.key(SEALING)).map_err(|_| broken("There is no cipher."))?;
        Ok(Self { id, key: LessSafeKey::new(key) })
    }

    /// The nonce, then the sealed value. Nobody moves it to another name.
    fn seal(&self, name: &str, value: &str) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        OsRng.try_fill_bytes(&mut nonce).map_err(|error| broken("There is no randomness.").cause(error))?;
        let mut sealed = value.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name), &mut sealed)
            .map_err(|_| broken("The secret cannot be sealed."))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Option<String> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut value = sealed.to_vec();
        let value = self.key.open_in_place(nonce, Aad::from(name), &mut value).ok()?;
        String::from_utf8(value.to_vec()).ok()
    }
}

impl Vault {
    /// The secrets of `data_dir`, whose state is made where there is none.
    ///
    /// # Errors
    /// Those of [`State::open`].
    pub fn open(data_dir: &Path) -> Result<Self, Error> {
        Ok(Self { state: State::open(data_dir)?, folder: data_dir.to_owned() })
    }

    /// The secrets of `data_dir`, if there is a state at all.
    pub(crate) fn find(data_dir: &Path) -> Option<Self> {
        if !data_dir.join(super::FILE).exists() {
            return None;
        }
        Self::open(data_dir).ok()
    }

    /// Keeps a secret, in place of another one of its name.
    ///
    /// # Errors
    /// `internal` where it cannot be written.
    pub fn set(&self, name: &str, value: &str) -> Result<(), Error> {
        let _alone = self.alone()?;
        self.settle()?;
        let key = self.key()?;
        let sealed = key.seal(name, value)?;
        let given_at = Utc::now().timestamp_millis();
        self.state.with(|file| {
            file.execute(
                "INSERT INTO secrets (name, key_id, sealed, given_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO UPDATE SET key_id = ?2, sealed = ?3, given_at = ?4",
                params![name, key.id, sealed, given_at],
            )
        })?;
        Ok(())
    }

    /// The value of a secret; None where there is none of the name.
    ///
    /// # Errors
    /// `internal` where it was sealed by a key that is not here, or was changed.
    pub fn get(&self, name: &str) -> Result<Option<String>, Error> {
        let found = self.state.with(|file| {
            let sealed = "SELECT key_id, sealed FROM secrets WHERE name = ?1";
            file.query_row(sealed, [name], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))).optional()
        })?;
        match found {
            Some((id, sealed)) => self.opened(name, &id, &sealed).map(Some),
            None => Ok(None),
        }
    }

    /// Every secret without its value, by name.
    ///
    /// # Errors
    /// `internal` where the state cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        self.state.with(|file| {
            let mut all = file.prepare("SELECT name, given_at FROM secrets ORDER BY name")?;
            let rows = all.query_map([], |row| {
                let given_at = DateTime::from_timestamp_millis(row.get(1)?).unwrap_or_default();
                Ok(Listed { name: row.get(0)?, given_at })
            })?;
            rows.collect()
        })
    }

    /// Forgets a secret. Whether there was one.
    ///
    /// # Errors
    /// `internal` where the state cannot be written.
    pub fn delete(&self, name: &str) -> Result<bool, Error> {
        let _alone = self.alone()?;
        // What is deleted is overwritten, in the file and in what goes before it.
        let deleted = self.state.with(|file| {
            file.pragma_update(None, "secure_delete", "ON")?;
            let deleted = file.execute("DELETE FROM secrets WHERE name = ?1", [name])?;
            file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(deleted)
        })?;
        Ok(deleted > 0)
    }

    /// Seals every secret by another key: a new one in the file, or the next one of the environment. How many there are.
    ///
    /// # Errors
    /// `internal` where a secret cannot be opened or written: then all stay as they were. `invalid_argument` where the environment
    /// has a key and no next one.
    pub fn rotate(&self) -> Result<usize, Error> {
        let _alone = self.alone()?;
        self.settle()?;
        if crate::compose::environment(VARIABLE).is_none() {
            let next = Key::of(&secret::of_file(&self.folder.join(NEXT_FILE))?)?;
            let count = self.seal_by(&next)?;
            self.settle()?;
            return Ok(count);
        }
        match secret::of_variable(NEXT_VARIABLE)? {
            Some(next) => self.seal_by(&Key::of(&next)?),
            None => {
                let message = format!("The key is in {VARIABLE}, and there is none to take its place.");
                let hint =
                    format!("Set {NEXT_VARIABLE} to 64 other hexadecimal digits; afterwards, {VARIABLE} to the same.");
                Err(Error::new(Code::InvalidArgument, message).hint(hint))
            }
        }
    }

    /// Seals every secret by `key`, all of them or none. How many there are.
    fn seal_by(&self, key: &Key) -> Result<usize, Error> {
        let names: Vec<String> = self.list()?.into_iter().map(|listed| listed.name).collect();
        let mut sealed = Vec::with_capacity(names.len());
        for name in &names {
            let value = self.get(name)?.unwrap_or_default();
            sealed.push((name, key.seal(name, &value)?));
        }
        self.state.with(|file| {
            file.pragma_update(None, "secure_delete", "ON")?;
            let change = file.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for (name, sealed) in &sealed {
                let again = "UPDATE secrets SET key_id = ?2, sealed = ?3 WHERE name = ?1";
                change.execute(again, params![name, key.id, sealed])?;
            }
            change.commit()?;
            file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })?;
        Ok(names.len())
    }

    /// Ends what a crash has left of an exchange of keys in files: the next key takes its place where any secret is sealed by it,
    /// and goes where none is.
    fn settle(&self) -> Result<(), Error> {
        let path = self.folder.join(NEXT_FILE);
        if !path.exists() {
            return Ok(());
        }
        let next = Key::of(&secret::of_file(&path)?)?;
        let of_others: Vec<bool> = self.state.with(|file| {
            let mut all = file.prepare("SELECT key_id <> ?1 FROM secrets")?;
            let rows = all.query_map([&next.id], |row| row.get(0))?;
            rows.collect()
        })?;
        let moved = if of_others.iter().all(|is_of_other| *is_of_other) {
            std::fs::remove_file(&path)
        } else {
            if of_others.contains(&true) {
                self.seal_by(&next)?;
            }
            std::fs::rename(&path, self.folder.join(FILE))
        };
        moved.map_err(|error| broken("The next key cannot be put in its place.").cause(error))
    }

    /// Keeps others from changing secrets or keys, until it is dropped.
    fn alone(&self) -> Result<std::fs::File, Error> {
        let path = self.folder.join(LOCK);
        let opened = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let locked = opened.and_then(|file| file.lock().map(|()| file));
        locked.map_err(|error| broken("The secrets cannot be locked against others.").cause(error))
    }

    /// The key that seals, which is made where there is none.
    fn key(&self) -> Result<Key, Error> {
        match secret::of_variable(VARIABLE)? {
            Some(secret) => Key::of(&secret),
            None => Key::of(&secret::of_file(&self.folder.join(FILE))?),
        }
    }

    fn opened(&self, name: &str, id: &str, sealed: &[u8]) -> Result<String, Error> {
        // Between two looks another process may have put the next key in its place.
        let key = self.key_called(id)?.map_or_else(|| self.key_called(id), |key| Ok(Some(key)))?.ok_or_else(|| {
            broken(format!("The secret \"{name}\" was sealed by a key that is not here.")).hint(format!(
                "The key is in {VARIABLE} or in {FILE} of the data_dir; without it, set the secret again."
            ))
        })?;
        key.open(name, sealed).ok_or_else(|| broken(format!("The secret \"{name}\" is not as it was sealed.")))
    }

    /// The key of that id, wherever it is.
    fn key_called(&self, id: &str) -> Result<Option<Key>, Error> {
        let mut secrets = vec![secret::of_variable(VARIABLE)?, secret::of_variable(NEXT_VARIABLE)?];
        for path in [self.folder.join(NEXT_FILE), self.folder.join(FILE)] {
            if path.exists() {
                secrets.push(secret::of_file(&path).ok());
            }
        }
        let keys = secrets.into_iter().flatten().map(|secret| Key::of(&secret)).collect::<Result<Vec<_>, _>>()?;
        Ok(keys.into_iter().find(|key| key.id == id))
    }
}

fn broken(message: impl Into<String>) -> Error {
    Error::new(Code::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "postgres://weft:planted-7f3a@db/bank";

    fn bytes_of(folder: &Path) -> Vec<u8> {
        let files = std::fs::read_dir(folder).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    fn holds(folder: &Path, text: &str) -> bool {
        bytes_of(folder).windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[test]
    fn a_secret_is_read_by_its_key_and_stands_nowhere_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        vault.set("BANK", VALUE).unwrap();
        vault.set("OTHER", "x").unwrap();
        assert_eq!(Vault::open(folder.path()).unwrap().get("BANK").unwrap().as_deref(), Some(VALUE));
        assert_eq!(vault.get("NONE").unwrap(), None);
        assert!(!holds(folder.path(), "planted-7f3a"));
        vault.set("BANK", "new").unwrap();
        assert_eq!(vault.get("BANK").unwrap().as_deref(), Some("new"));
        let names: Vec<String> = vault.list().unwrap().into_iter().map(|listed| listed.name).collect();
        assert_eq!(names, ["BANK", "OTHER"]);
        assert!(vault.delete("BANK").unwrap() && !vault.delete("BANK").unwrap());
        assert_eq!(vault.get("BANK").unwrap(), None);
    }

    #[test]
    fn what_was_moved_changed_or_sealed_by_another_key_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        vault.set("ONE", VALUE).unwrap();
        vault.set("OTHER", "x").unwrap();
        let change = |sql: &str| vault.state.with(|file| file.execute(sql, [])).unwrap();
        change("UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'ONE') WHERE name = 'OTHER'");
        assert!(vault.get("OTHER").is_err());
        std::fs::write(folder.path().join(FILE), "ab".repeat(32)).unwrap();
        let error = vault.get("ONE").unwrap_err();
        assert!(error.message().contains("sealed by a key that is not here"), "{error}");
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        assert!(vault.get("ONE").is_err() && !folder.path().join(FILE).exists());
    }

    #[test]
    fn the_key_is_replaced_and_a_crash_in_between_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let key = || std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        vault.set("BANK", VALUE).unwrap();
        let first = key();
        assert_eq!(vault.rotate().unwrap(), 1);
        assert_ne!(key(), first);
        assert_eq!(vault.get("BANK").unwrap().as_deref(), Some(VALUE));
        // The secrets were sealed again, and the new key has not got to its place.
        let second = key();
        std::fs::rename(folder.path().join(FILE), folder.path().join(NEXT_FILE)).unwrap();
        std::fs::write(folder.path().join(FILE), &first).unwrap();
        assert_eq!(vault.get("BANK").unwrap().as_deref(), Some(VALUE));
        assert_eq!(vault.rotate().unwrap(), 1);
        assert!(key() != first && key() != second && !folder.path().join(NEXT_FILE).exists());
        // Such a crash, and a secret that is given before the exchange is ended.
        std::fs::rename(folder.path().join(FILE), folder.path().join(NEXT_FILE)).unwrap();
        std::fs::write(folder.path().join(FILE), &first).unwrap();
        vault.set("LATER", "x").unwrap();
        assert_eq!(vault.rotate().unwrap(), 2);
        assert_eq!(vault.get("BANK").unwrap().as_deref(), Some(VALUE));
        assert_eq!(vault.get("LATER").unwrap().as_deref(), Some("x"));
        vault.delete("LATER").unwrap();
        // A next key that seals nothing yet.
        std::fs::write(folder.path().join(NEXT_FILE), "cd".repeat(32)).unwrap();
        assert_eq!(vault.get("BANK").unwrap().as_deref(), Some(VALUE));
        assert_eq!(vault.rotate().unwrap(), 1);
        assert_eq!(vault.get("BANK").unwrap().as_deref(), Some(VALUE));
    }
}
