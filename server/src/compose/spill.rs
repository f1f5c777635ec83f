//! The folder for what queries spill: each process has its own, so that what a killed one left is found and removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The lock of a folder here, held while its process lives, and of the making of folders.
const LOCK: &str = "lock";

/// A process's folder. It goes with this value; that of a process that was killed goes when the next one comes.
#[derive(Debug)]
pub(super) struct SpillDir {
    path: PathBuf,
    _lock: File,
}

impl SpillDir {
    /// Makes a folder below `data_dir`, and removes those that no living process holds.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn make(data_dir: &Path) -> io::Result<Self> {
        let all = data_dir.join("spill");
        fs::create_dir_all(&all)?;
        // One at a time: a folder that is made, but not locked yet, would look left behind.
        let making = lock(&all)?;
        making.lock()?;
        for entry in fs::read_dir(&all)?.flatten().filter(|entry| entry.path().is_dir()) {
            let is_left = lock(&entry.path()).is_ok_and(|lock| lock.try_lock().is_ok());
            if is_left && let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, "what an earlier process spilled cannot be removed from data_dir/spill");
            }
        }
        let path = all.join(Uuid::now_v7().to_string());
        fs::create_dir(&path)?;
        let held = lock(&path)?;
        held.lock()?;
        Ok(Self { path, _lock: held })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpillDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(%error, "the spill folder stays until the next start");
        }
    }
}

fn lock(folder: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_and_what_a_living_one_holds_stays() {
        let data_dir = tempfile::tempdir().unwrap();
        let left = data_dir.path().join("spill/left/datafusion-x");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("sorted"), "rows").unwrap();

        let first = SpillDir::make(data_dir.path()).unwrap();
        let second = SpillDir::make(data_dir.path()).unwrap();
        assert!(!left.exists());
        assert!(first.path().exists() && second.path().exists());

        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().exists());
    }
}
