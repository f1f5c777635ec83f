//! Where an answer goes: standard output, or a file that appears whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 16;

/// Where an answer goes, as the user said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl Target {
    /// From `-o`: a file, or `-` for standard output.
    pub(super) fn of(file: Option<PathBuf>) -> Self {
        match file {
            Some(file) if file != Path::new("-") => Target::File(file),
            _ => Target::Stdout,
        }
    }

    /// What messages call it.
    pub(super) fn name(&self) -> String {
        match self {
            Target::Stdout => "Standard output".to_owned(),
            Target::File(path) => path.display().to_string(),
        }
    }

    /// Opens it for writing.
    ///
    /// # Errors
    /// A usage failure where the file cannot be made.
    pub(super) fn open(&self) -> Result<Output, Failure> {
        match self {
            Target::Stdout => Ok(Output::Stdout(BufWriter::with_capacity(BUFFER, io::stdout()))),
            Target::File(path) => Output::file(path)
                .map_err(|error| Failure::usage(format!("The file {} cannot be written: {error}.", path.display()))),
        }
    }

    /// The failure to write to it.
    pub(super) fn failed(&self, error: io::Error) -> Failure {
        Failure::Output { to: self.name(), error }
    }
}

/// An open target. Dropped before [`Output::finish`], a file is as if it never had been begun.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output.
    Stdout(BufWriter<Stdout>),
    /// A device or a pipe, which is written as it stands.
    Device(BufWriter<File>),
    /// A file under another name until it is whole.
    File(BufWriter<File>, Unfinished),
}

/// The name of a file that is not whole yet. Dropped, the file is removed.
#[derive(Debug)]
pub(super) struct Unfinished {
    temporary: PathBuf,
    whole: PathBuf,
}

impl Output {
    fn file(path: &Path) -> io::Result<Self> {
        // A link stays a link: the file that it points to is replaced.
        let whole = match fs::canonicalize(path) {
            Ok(whole) => whole,
            Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        let old = fs::metadata(&whole).ok();
        match &old {
            Some(old) if old.is_dir() => return Err(io::Error::from(ErrorKind::IsADirectory)),
            Some(old) if !old.is_file() => {
                let device = OpenOptions::new().write(true).open(&whole)?;
                return Ok(Output::Device(BufWriter::with_capacity(BUFFER, device)));
            }
            _ => {}
        }
        let name = whole.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidFilename))?;
        let temporary = whole.with_file_name(format!(".{}.{:08x}.tmp", name.to_string_lossy(), rand::random::<u32>()));
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        let unfinished = Unfinished { temporary, whole };
        if let Some(old) = old {
            file.set_permissions(old.permissions())?;
        }
        Ok(Output::File(BufWriter::with_capacity(BUFFER, file), unfinished))
    }

    /// Everything has been written: a file gets its name.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Output::Stdout(mut out) => out.flush(),
            Output::Device(mut out) => out.flush(),
            Output::File(out, unfinished) => {
                out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                fs::rename(&unfinished.temporary, &unfinished.whole)
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Stdout(out) => out.write(bytes),
            Output::Device(out) | Output::File(out, _) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Stdout(out) => out.flush(),
            Output::Device(out) | Output::File(out, _) => out.flush(),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is nothing under this name.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::of(Some(folder.path().join("out.csv")));
        let mut output = target.open().unwrap();
        output.write_all(b"a,b\n").unwrap();
        drop(output);
        assert!(names(folder.path()).is_empty());
        let mut output = target.open().unwrap();
        output.write_all(b"a,b\n").unwrap();
        output.finish().unwrap();
        assert_eq!(names(folder.path()), ["out.csv"]);
        assert_eq!(fs::read(folder.path().join("out.csv")).unwrap(), b"a,b\n");
    }

    #[test]
    fn an_old_file_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(&path, "old").unwrap();
        let mut output = Target::of(Some(path.clone())).open().unwrap();
        output.write_all(b"new").unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Target::of(Some(folder.path().to_owned())).open(), Err(Failure::Usage { .. })));
    }
}
