//! As whom a server runs: PostgreSQL refuses root, so that root lends it another account.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::demo::{DemoError, random};

/// An account of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Accounts that may run a server for root, the best first.
const CANDIDATES: &[&str] = &["postgres", "nobody"];

impl Account {
    /// The account to run servers as: None where it is our own. `folder` is one that this process has made.
    ///
    /// # Errors
    /// We are root, and there is no other account.
    pub(super) fn for_servers(folder: &Path) -> Result<Option<Self>, DemoError> {
        let probe = folder.join(".owner");
        let owner = fs::write(&probe, "").and_then(|()| fs::metadata(&probe)).map(|metadata| metadata.uid());
        let _ = fs::remove_file(&probe);
        match owner {
            Ok(0) => {}
            Ok(_) => return Ok(None),
            Err(error) => return Err(DemoError::new(format!("{} is not writable.", folder.display())).because(error)),
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        CANDIDATES
            .iter()
            .find_map(|name| Self::named(&accounts, name))
            .map(Some)
            .ok_or_else(|| DemoError::new("PostgreSQL does not run as root, and there is no account to lend it."))
    }

    /// The account called `name` in the text of `/etc/passwd`.
    fn named(accounts: &str, name: &str) -> Option<Self> {
        accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                return None;
            }
            let uid = fields.nth(1)?.parse().ok()?;
            Some(Self { uid, gid: fields.next()?.parse().ok()? })
        })
    }

    /// Whether the account can be in `folder`, which depends on all the folders above it.
    pub(super) fn can_enter(self, folder: &Path) -> bool {
        Command::new("/bin/sh")
            .args(["-c", r#"cd "$1""#, "weft-demo"])
            .arg(folder)
            .uid(self.uid)
            .gid(self.gid)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Gives a file or a folder to the account.
    pub(super) fn own(self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
    }

    /// A folder among temporary files that stands in for `folder`, always the same one, and no one else's.
    pub(super) fn folder_elsewhere(self, folder: &Path) -> Result<PathBuf, DemoError> {
        let name = format!("weft-demo-{:016x}", random::hash(&folder.to_string_lossy()));
        let elsewhere = std::env::temp_dir().join(name);
        let failed = |error| DemoError::new(format!("{} cannot be made.", elsewhere.display())).because(error);
        match fs::DirBuilder::new().mode(0o700).create(&elsewhere) {
            Ok(()) => self.own(&elsewhere).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let metadata = fs::symlink_metadata(&elsewhere).map_err(failed)?;
                if !metadata.is_dir() || metadata.uid() != self.uid {
                    return Err(DemoError::new(format!("{} belongs to somebody else.", elsewhere.display())));
                }
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(elsewhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\npostgresql:x:7:7::/:\npostgres:x:110:117:PG:/var/lib:/bin/bash\n";
        assert_eq!(Account::named(accounts, "postgres"), Some(Account { uid: 110, gid: 117 }));
        assert_eq!(Account::named(accounts, "nobody"), None);
    }
}
