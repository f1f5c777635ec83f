//! One server per `data_dir`: a lock that the system lets go of when the process ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The lock of a `data_dir`, held as long as this value lives.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
    data_dir: PathBuf,
    has_address: bool,
}

/// The file of a `data_dir` that says where its server answers HTTP.
const ADDRESS: &str = "address";

/// Where the server of `data_dir` answers HTTP, if one runs or has ended unawares.
pub(crate) fn address_of(data_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(data_dir.join(ADDRESS)).ok()?;
    Some(text.trim().to_owned())
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum LockError {
    #[error(
        "Another server uses the data folder {}. Stop it, or set another data_dir in weft.yaml (or WEFT_DATA_DIR).",
        path.display()
    )]
    Taken { path: PathBuf },
    #[error("The data folder {} cannot be used: {source}. Set another data_dir in weft.yaml (or WEFT_DATA_DIR).", path.display())]
    Unusable { path: PathBuf, source: std::io::Error },
}

impl DirLock {
    /// Takes the lock of `data_dir`, which is made where it is missing.
    pub(super) fn take(data_dir: &Path) -> Result<Self, LockError> {
        let path = || data_dir.to_owned();
        let unusable = |source| LockError::Unusable { path: path(), source };
        std::fs::create_dir_all(data_dir).map_err(unusable)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(data_dir.join("lock"));
        let file = file.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file, data_dir: path(), has_address: false }),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken { path: path() }),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// Writes where the server answers, for commands that talk to it. They take an address too, so a failure stops nothing.
    pub(super) fn tell(&mut self, http: SocketAddr) {
        match fs::write(self.data_dir.join(ADDRESS), format!("http://{http}\n")) {
            Ok(()) => self.has_address = true,
            Err(error) => tracing::warn!(cause = %error, "The server's address cannot be written to the data folder."),
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        if self.has_address {
            // Whoever reads it after us finds nobody there, and says so.
            let _ = fs::remove_file(self.data_dir.join(ADDRESS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_server_is_refused_until_the_first_has_gone() {
        let home = tempfile::tempdir().unwrap();
        let data_dir = home.path().join("state");
        let mut first = DirLock::take(&data_dir).unwrap();
        first.tell("127.0.0.1:8080".parse().unwrap());
        assert_eq!(address_of(&data_dir).as_deref(), Some("http://127.0.0.1:8080"));
        let refused = DirLock::take(&data_dir).unwrap_err();
        assert!(refused.to_string().contains("set another data_dir in weft.yaml"), "{refused}");
        drop(first);
        assert_eq!(address_of(&data_dir), None);
        assert!(DirLock::take(&data_dir).is_ok());
    }
}
