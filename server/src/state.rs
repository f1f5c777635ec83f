//! What the server keeps in `data_dir` beyond one process: one SQLite file, which the server and commands may use at once.
//!
//! design.md has sled in this place. SQLite is kept up, is linked already, lets `weft keys` write while the server runs, and
//! needs no exported copy for readers.

mod secret;
mod vault;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{Code, Error};
use rusqlite::Connection;

pub use secret::Secret;
pub use vault::{Listed, Vault};

/// The name of the file in `data_dir`.
const FILE: &str = "state.sqlite";

/// A writer waits so long for another one.
const PATIENCE: Duration = Duration::from_secs(5);

/// What each version of the file added to the one before. A version is never changed, only followed by another.
const VERSIONS: [&str; 2] = [
    "
    CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        hash BLOB NOT NULL,
        principal TEXT NOT NULL,
        label TEXT NOT NULL,
        scopes TEXT,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER,
        last_used_at INTEGER
    ) STRICT;
",
    "
    CREATE TABLE secrets (
        name TEXT PRIMARY KEY,
        key_id TEXT NOT NULL,
        sealed BLOB NOT NULL,
        given_at INTEGER NOT NULL
    ) STRICT;
",
];

/// The state of a `data_dir`. Clones share it.
#[derive(Debug, Clone)]
pub struct State {
    folder: Arc<PathBuf>,
    file: Arc<Mutex<Connection>>,
}

impl State {
    /// Opens the state of `data_dir`, and makes it where there is none.
    ///
    /// # Errors
    /// `internal` where the folder cannot be written, or the file was written by a later Weft.
    pub fn open(data_dir: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(data_dir).map_err(|error| unusable(data_dir).cause(error))?;
        let path = data_dir.join(FILE);
        let mut file = Connection::open(&path).map_err(|error| unusable(&path).cause(error))?;
        secret::only_for_the_owner(&path).map_err(|error| unusable(&path).cause(error))?;
        prepare(&mut file).map_err(|error| unusable(&path).cause(error))?;
        Ok(Self { folder: Arc::new(data_dir.to_owned()), file: Arc::new(Mutex::new(file)) })
    }

    /// The key that everything secret in this state hangs on.
    ///
    /// # Errors
    /// `internal` where it can be neither read nor made, or is none.
    pub fn secret(&self) -> Result<Secret, Error> {
        Secret::of(&self.folder)
    }

    /// Works on the file. What is written is on the disk when this returns.
    ///
    /// # Errors
    /// `internal` where the file cannot be read or written.
    pub fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut file).map_err(|error| unusable(&self.folder.join(FILE)).cause(error))
    }
}

fn prepare(file: &mut Connection) -> rusqlite::Result<()> {
    file.busy_timeout(PATIENCE)?;
    file.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode only this one has a commit on the disk before it is told.
    file.pragma_update(None, "synchronous", "FULL")?;
    let change = file.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: u32 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // A later version is refused: it may mean something else by what is there.
    let missing = VERSIONS.get(version as usize..).ok_or(rusqlite::Error::InvalidQuery)?;
    for (step, version) in missing.iter().zip(version + 1..) {
        change.execute_batch(step)?;
        change.pragma_update(None, "user_version", version)?;
    }
    change.commit()
}

fn unusable(path: &Path) -> Error {
    Error::new(Code::Internal, format!("The state in {} cannot be used.", path.display()))
        .hint("data_dir must be a folder that this process may write, and of no later Weft than this one.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there_after_opening_again_and_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (State::open(folder.path()).unwrap(), State::open(folder.path()).unwrap());
        let add = "INSERT INTO keys (id, hash, principal, label, created_at) VALUES ('a', x'00', 'meera', '', 1)";
        one.with(|file| file.execute(add, [])).unwrap();
        let count = |state: &State| {
            state.with(|file| file.query_row("SELECT count(*) FROM keys", [], |row| row.get::<_, i64>(0))).unwrap()
        };
        assert_eq!(count(&other), 1);
        drop((one, other));
        assert_eq!(count(&State::open(folder.path()).unwrap()), 1);
    }

    #[test]
    fn the_state_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.with(|file| file.pragma_update(None, "user_version", 1000)).unwrap();
        drop(state);
        assert!(State::open(folder.path()).is_err());
    }
}
