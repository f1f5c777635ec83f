//! The one secret of a `data_dir`: 32 random bytes, from which a key is derived for each purpose.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use engine::{Code, Error};
use rand::TryRngCore;
use rand::rngs::OsRng;

/// The environment variable that holds the secret in place of the file: 64 hexadecimal digits.
const VARIABLE: &str = "WEFT_SECRET_KEY";

const FILE: &str = "secret.key";
const BYTES: usize = 32;

/// The secret of a state. It is shown nowhere.
#[derive(Clone)]
pub struct Secret([u8; BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secret {
    /// The secret of the state in `folder`: from the environment, else from its file, which is made where there is none.
    ///
    /// # Errors
    /// `internal` where it can be neither read nor made, `invalid_argument` where the variable holds none.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        match of_variable(VARIABLE)? {
            Some(secret) => Ok(secret),
            None => of_file(&folder.join(FILE)),
        }
    }

    /// The key for one purpose; `purpose` is a sentence that nothing else uses.
    pub fn key(&self, purpose: &str) -> [u8; BYTES] {
        blake3::derive_key(purpose, &self.0)
    }
}

/// The secret that a variable of the environment holds, where it is set.
///
/// # Errors
/// `invalid_argument` where it is none.
pub(super) fn of_variable(name: &str) -> Result<Option<Secret>, Error> {
    let Some(text) = crate::compose::environment(name) else { return Ok(None) };
    let wrong = || Error::new(Code::InvalidArgument, format!("{name} is not 64 hexadecimal digits."));
    read(text.trim()).ok_or_else(wrong).map(Some)
}

/// The secret in a file, which is made where there is none.
///
/// # Errors
/// `internal` where it can be neither read nor made, or is none.
pub(super) fn of_file(path: &Path) -> Result<Secret, Error> {
    let unusable = || {
        Error::new(Code::Internal, format!("The secret in {} cannot be used.", path.display()))
            .hint("It is a file with 64 hexadecimal digits, for its owner only.")
    };
    make(path).map_err(|error| unusable().cause(error))?;
    let text = std::fs::read_to_string(path).map_err(|error| unusable().cause(error))?;
    read(text.trim()).ok_or_else(unusable)
}

/// Makes the file whole or not at all, also where two processes come at once.
fn make(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut bytes = [0; BYTES];
    OsRng.try_fill_bytes(&mut bytes).map_err(std::io::Error::other)?;
    let text = blake3::Hash::from_bytes(bytes).to_hex();
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = match std::fs::hard_link(&draft, path) {
        // The other process was first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    std::fs::remove_file(&draft)?;
    linked?;
    // The name is on the disk as well.
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// 64 hexadecimal digits as bytes.
fn read(text: &str) -> Option<Secret> {
    let mut bytes = [0; BYTES];
    let hash = blake3::Hash::from_hex(text).ok()?;
    hash.as_bytes().as_slice().read_exact(&mut bytes).ok()?;
    Some(Secret(bytes))
}

/// Takes a file's rights away from everybody but its owner.
pub(super) fn only_for_the_owner(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_the_same_and_differs_by_purpose_and_folder() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = |folder: &tempfile::TempDir, purpose| Secret::of(folder.path()).unwrap().key(purpose);
        assert_eq!(key(&one, "a"), key(&one, "a"));
        assert_ne!(key(&one, "a"), key(&one, "b"));
        assert_ne!(key(&one, "a"), key(&other, "a"));
        assert_eq!(format!("{:?}", Secret::of(one.path()).unwrap()), "Secret(***)");
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "short").unwrap();
        assert!(Secret::of(folder.path()).is_err());
        assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap(), "short");
    }
}
