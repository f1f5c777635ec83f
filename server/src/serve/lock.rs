//! One server per `data_dir`: a lock that the system lets go of when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// The lock of a `data_dir`, held as long as this value lives.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
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
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken { path: path() }),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
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
        let first = DirLock::take(&data_dir).unwrap();
        let refused = DirLock::take(&data_dir).unwrap_err();
        assert!(refused.to_string().contains("set another data_dir in weft.yaml"), "{refused}");
        drop(first);
        assert!(DirLock::take(&data_dir).is_ok());
    }
}
