//! API keys: 256 random bits, of which only a keyed hash is kept. A key shows its id, by which it is found.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Code, Error, Scope};
use rand::TryRngCore;
use rand::rngs::OsRng;
use rusqlite::{Connection, Row};
use tokio_util::sync::CancellationToken;

use crate::state::State;

/// What every key begins with, so that a scanner for secrets knows it when it sees one.
const PREFIX: &str = "weft_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const PURPOSE: &str = "weft 2026-11 hashes of API keys";

const COLUMNS: &str = "id, hash, principal, label, scopes, created_at, expires_at, revoked_at, last_used_at";

/// The API keys of a state.
#[derive(Debug)]
pub struct Keys {
    state: State,
    secret: [u8; 32],
    known: RwLock<Known>,
    /// When keys were used since that was last written down.
    used: Mutex<HashMap<String, i64>>,
}

/// The keys as they were last read.
#[derive(Debug, Default)]
struct Known {
    version: i64,
    by_id: HashMap<String, (Key, CancellationToken)>,
}

/// A key, as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What finds it: the part of it that may be shown.
    pub id: String,
    hash: [u8; 32],
    /// Whose it is.
    pub principal: String,
    /// What it is for.
    pub label: String,
    /// What it is good for; None = for all that its principal may.
    pub scopes: Option<BTreeSet<Scope>>,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
    /// From when on it is not good any more.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// When it was last used.
    pub last_used_at: Option<i64>,
}

/// What a good key says of who holds it.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) id: String,
    pub(super) principal: String,
    pub(super) scopes: Option<BTreeSet<Scope>>,
    /// Cancelled when the key is no longer good.
    pub(super) ends: CancellationToken,
}

/// What is asked for when a key is made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Whose it will be.
    pub principal: String,
    /// What it is for.
    pub label: String,
    /// What it will be good for; None = for all that its principal may.
    pub scopes: Option<BTreeSet<Scope>>,
    /// How long it will be good; None = until it is revoked.
    pub life: Option<Duration>,
}

impl Key {
    /// `active`, `expired` or `revoked`.
    pub fn status(&self) -> &'static str {
        match (self.revoked_at, self.is_good(now())) {
            (Some(_), _) => "revoked",
            (None, true) => "active",
            (None, false) => "expired",
        }
    }

    fn is_good(&self, now: i64) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let scopes: Option<String> = row.get(4)?;
        Ok(Self {
            id: row.get(0)?,
            hash: row.get(1)?,
            principal: row.get(2)?,
            label: row.get(3)?,
            // A scope of another version of Weft is good for nothing here.
            scopes: scopes.map(|scopes| scopes.split(' ').filter_map(Scope::named).collect()),
            created_at: row.get(5)?,
            expires_at: row.get(6)?,
            revoked_at: row.get(7)?,
            last_used_at: row.get(8)?,
        })
    }
}

impl Keys {
    /// The keys of `state`.
    ///
    /// # Errors
    /// `internal` where they cannot be read.
    pub fn open(state: State) -> Result<Self, Error> {
        let secret = state.secret()?.key(PURPOSE);
        let keys = Self { state, secret, known: RwLock::default(), used: Mutex::default() };
        keys.follow()?;
        Ok(keys)
    }

    /// Makes a key. The text is the key itself, which nothing can show again.
    ///
    /// # Errors
    /// `internal` where it cannot be written.
    pub fn create(&self, new: NewKey) -> Result<(String, Key), Error> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        for bytes in [&mut id[..], &mut secret[..]] {
            OsRng
                .try_fill_bytes(bytes)
                .map_err(|error| Error::new(Code::Internal, "The system gives no random numbers.").cause(error))?;
        }
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        let key = Key {
            hash: self.hash(&text),
            id,
            principal: new.principal,
            label: new.label,
            scopes: new.scopes,
            created_at: now(),
            expires_at: new.life.map(|life| now().saturating_add(i64::try_from(life.as_secs()).unwrap_or(i64::MAX))),
            revoked_at: None,
            last_used_at: None,
        };
        let scopes =
            key.scopes.as_ref().map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" "));
        self.state.with(|file| {
            file.execute(
                &format!("INSERT INTO keys ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)"),
                (&key.id, &key.hash, &key.principal, &key.label, &scopes, key.created_at, key.expires_at),
            )
        })?;
        self.read()?;
        Ok((text, key))
    }

    /// Revokes the key called `id`: from now on it is good for nothing, and its queries end. Whether there was a good one.
    ///
    /// # Errors
    /// `internal` where that cannot be written.
    pub fn revoke(&self, id: &str) -> Result<bool, Error> {
        let changed = self.state.with(|file| {
            file.execute("UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (now(), id))
        })?;
        self.read()?;
        Ok(changed > 0)
    }

    /// Every key, the newest first.
    ///
    /// # Errors
    /// `internal` where they cannot be read.
    pub fn list(&self) -> Result<Vec<Key>, Error> {
        self.state.with(|file| list(file))
    }

    /// Who holds the key `text`, where it is good.
    pub(super) fn find(&self, text: &str) -> Option<Holder> {
        let (id, _) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (key, ends) = known.by_id.get(id)?;
        // Comparing two `blake3::Hash`es takes the same time wherever they differ.
        let is_right = blake3::Hash::from(self.hash(text)) == blake3::Hash::from(key.hash);
        if !is_right || !key.is_good(now()) {
            return None;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get_mut(id) {
            Some(at) => *at = now(),
            None => drop(used.insert(id.to_owned(), now())),
        }
        Some(Holder {
            id: key.id.clone(),
            principal: key.principal.clone(),
            scopes: key.scopes.clone(),
            ends: ends.clone(),
        })
    }

    /// Reads the keys again where another process has changed them, ends those that are no longer good, and writes down
    /// which were used.
    ///
    /// # Errors
    /// `internal` where the file cannot be read or written.
    pub(super) fn follow(&self) -> Result<(), Error> {
        let version = self.state.with(|file| data_version(file))?;
        if self.known.read().unwrap_or_else(PoisonError::into_inner).version != version {
            self.read()?;
        }
        let now = now();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.by_id.values().filter(|(key, _)| !key.is_good(now)).for_each(|(_, ends)| ends.cancel());
        drop(known);
        self.write_uses()
    }

    fn read(&self) -> Result<(), Error> {
        let (version, keys) = self.state.with(|file| Ok((data_version(file)?, list(file)?)))?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut known.by_id);
        for key in keys {
            let ends = before.remove(&key.id).map(|(_, ends)| ends).unwrap_or_default();
            if !key.is_good(now()) {
                ends.cancel();
            }
            known.by_id.insert(key.id.clone(), (key, ends));
        }
        known.version = version;
        // Whatever is not in the file any more is good for nothing.
        before.into_values().for_each(|(_, ends)| ends.cancel());
        Ok(())
    }

    /// A key that is used all the time is written down once a minute.
    fn write_uses(&self) -> Result<(), Error> {
        const EVERY: i64 = 60;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let written = |id: &str| known.by_id.get(id).and_then(|(key, _)| key.last_used_at);
        let due: Vec<(String, i64)> = used
            .iter()
            .filter(|(id, at)| written(id).is_none_or(|before| **at >= before.saturating_add(EVERY)))
            .map(|(id, at)| (id.clone(), *at))
            .collect();
        used.retain(|id, _| !due.iter().any(|(written, _)| written == id));
        drop((used, known));
        if due.is_empty() {
            return Ok(());
        }
        self.state.with(|file| {
            let change = file.transaction()?;
            for (id, at) in &due {
                change.execute("UPDATE keys SET last_used_at = ? WHERE id = ?", (at, id))?;
            }
            change.commit()
        })?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (id, at) in due {
            if let Some((key, _)) = known.by_id.get_mut(&id) {
                key.last_used_at = Some(at);
            }
        }
        Ok(())
    }

    fn hash(&self, text: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.secret, text.as_bytes()).as_bytes()
    }
}

fn list(file: &Connection) -> rusqlite::Result<Vec<Key>> {
    let mut statement = file.prepare(&format!("SELECT {COLUMNS} FROM keys ORDER BY created_at DESC, id"))?;
    statement.query_map([], Key::read)?.collect()
}

/// Changes when another connection has changed the file.
fn data_version(file: &Connection) -> rusqlite::Result<i64> {
    file.pragma_query_value(None, "data_version", |row| row.get(0))
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(folder: &tempfile::TempDir) -> Keys {
        Keys::open(State::open(folder.path()).unwrap()).unwrap()
    }

    fn new(life: Option<Duration>) -> NewKey {
        NewKey { principal: "meera".to_owned(), label: "notebook".to_owned(), scopes: None, life }
    }

    #[test]
    fn a_key_is_found_by_itself_and_by_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder);
        let (text, key) = keys.create(new(None)).unwrap();
        assert_eq!(keys.find(&text).unwrap().principal, "meera");
        let last = text.len() - 1;
        let near = format!("{}{}", &text[..last], if text.ends_with('A') { 'E' } else { 'A' });
        for wrong in [near.as_str(), "", "weft_", &format!("weft_{}_", key.id), &text[5..], &format!("{text} ")] {
            assert!(keys.find(wrong).is_none(), "{wrong}");
        }
        let file = std::fs::read(folder.path().join("state.sqlite-wal")).unwrap();
        let secret = text.rsplit_once('_').unwrap().1.as_bytes();
        assert!(!file.windows(secret.len()).any(|bytes| bytes == secret), "only a hash is kept");
    }

    #[test]
    fn a_key_ends_when_it_is_revoked_by_another_process() {
        let folder = tempfile::tempdir().unwrap();
        let (server, command) = (keys(&folder), keys(&folder));
        let (text, key) = command.create(new(None)).unwrap();
        assert!(server.find(&text).is_none());
        server.follow().unwrap();
        let ends = server.find(&text).unwrap().ends;
        assert!(command.revoke(&key.id).unwrap());
        assert!(!command.revoke(&key.id).unwrap(), "it was revoked before");
        server.follow().unwrap();
        assert!(ends.is_cancelled());
        assert!(server.find(&text).is_none());
        assert_eq!(server.list().unwrap()[0].status(), "revoked");
    }

    #[test]
    fn a_key_expires() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder);
        let (text, key) = keys.create(new(Some(Duration::ZERO))).unwrap();
        assert!(keys.find(&text).is_none());
        assert_eq!(key.status(), "expired");
    }

    #[test]
    fn the_last_use_of_a_key_is_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder);
        let (text, _) = keys.create(new(None)).unwrap();
        keys.find(&text).unwrap();
        keys.follow().unwrap();
        assert!(keys.list().unwrap()[0].last_used_at.is_some());
    }
}
