//! Where PostgreSQL's programs are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The programs that a private server needs, all of one version.
#[derive(Debug, Clone)]
pub(in crate::demo) struct Programs {
    pub(super) initdb: PathBuf,
    pub(super) postgres: PathBuf,
    pub(super) psql: PathBuf,
}

/// Folders under which packages put each version into a folder of its own.
const VERSIONED: &[&str] = &["/opt/homebrew/opt", "/usr/lib/postgresql", "/usr/local/opt"];

impl Programs {
    /// The programs in PATH, or else the newest version among those that packages install.
    pub(in crate::demo) fn find(path: Option<&OsStr>) -> Option<Self> {
        let in_path = path.into_iter().flat_map(std::env::split_paths);
        in_path.chain(packaged()).find_map(|folder| Self::within(&folder))
    }

    fn within(folder: &Path) -> Option<Self> {
        // PATH often holds links to some of the programs: the rest are where the links lead.
        let initdb = folder.join("initdb").canonicalize().ok()?;
        let folder = initdb.parent()?;
        let program = |name| Some(folder.join(name)).filter(|path: &PathBuf| path.is_file());
        Some(Self { postgres: program("postgres")?, psql: program("psql")?, initdb })
    }
}

/// Folders of packaged versions, the newest first.
fn packaged() -> Vec<PathBuf> {
    let mut folders: Vec<(u32, PathBuf)> = VERSIONED
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("postgresql@").unwrap_or(&name).parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    folders.sort();
    folders.into_iter().rev().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_in_path_leads_to_the_folder_that_has_them_all() {
        let folder = tempfile::tempdir().unwrap();
        let (bin, real) = (folder.path().join("bin"), folder.path().join("lib/15/bin"));
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&real).unwrap();
        for name in ["initdb", "postgres", "psql"] {
            fs::write(real.join(name), "").unwrap();
        }
        symlink(real.join("initdb"), bin.join("initdb")).unwrap();
        let programs = Programs::within(&bin).unwrap();
        assert_eq!(programs.psql, real.canonicalize().unwrap().join("psql"));
    }

    #[test]
    fn a_folder_without_a_server_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("psql"), "").unwrap();
        assert!(Programs::within(folder.path()).is_none());
    }
}
