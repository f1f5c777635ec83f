//! Finds the files of a table: one file, a folder with all below it, or a pattern.
//!
//! It looks at names, sizes and times only. Names that begin with `.` or `_` are left out, as Spark and Hive do.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use engine::{Code, Error};
use object_store::ObjectMeta;

use super::store::{Bucket, Hive, Reading, Stored};
use super::{changed_file, invalid_file, last_name, unreachable_file};

/// Folders within folders beyond this are taken for a loop of links.
const MAX_DEPTH: usize = 32;

/// Ends of compressed files and how each is unpacked.
const COMPRESSIONS: [(&str, FileCompressionType); 4] = [
    (".bz2", FileCompressionType::BZIP2),
    (".gz", FileCompressionType::GZIP),
    (".xz", FileCompressionType::XZ),
    (".zst", FileCompressionType::ZSTD),
];

/// Where a table's files are, as somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The folder that it starts from.
    base: PathBuf,
    /// A file, a folder or a pattern.
    written: String,
}

/// One file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFile {
    /// Where it is on this machine, or below its folder in a store; never shown.
    pub(crate) path: PathBuf,
    /// Its store, where it is in one.
    pub(crate) stored: Option<Stored>,
    /// Its place below the table's folder, with `/`; this is its name in messages.
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
    /// What tells a file from one that took its place within the clock's tick.
    pub(super) identity: u64,
    /// `key=value` folders above it, decoded.
    pub(crate) partitions: Vec<(String, String)>,
}

/// The files of a table, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The folder that names start from.
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<DataFile>,
    /// Where further files are, of which `files` is a sample.
    pub(super) hive: Option<Hive>,
}

impl Place {
    pub(crate) fn new(base: &Path, written: &str) -> Self {
        Self { base: base.to_owned(), written: written.trim_end_matches('/').to_owned() }
    }

    /// Its name for people, without the folders above.
    pub(crate) fn name(&self) -> String {
        if self.is_pattern() { last_of_pattern(&self.written) } else { last_name(&self.full()) }
    }

    fn full(&self) -> PathBuf {
        let written = if self.written.is_empty() { "/" } else { &self.written };
        self.base.join(written)
    }

    /// Whether it is a pattern. A file or folder that has such a name itself is none.
    fn is_pattern(&self) -> bool {
        self.written.contains(['*', '?', '[']) && !self.full().exists()
    }

    /// A place that is named from this one: a path below it, or the name of a table in it.
    pub(crate) fn below(&self, at: &str, extensions: &'static [&'static str]) -> Result<Place, Error> {
        let place = Place::new(&self.full(), at);
        if place.is_pattern() || place.full().exists() || !self.full().is_dir() {
            return Ok(place);
        }
        let named = self.tables("", extensions)?.into_iter().find(|(name, _)| name == at);
        Ok(named.map_or(place, |(_, place)| place))
    }

    pub(crate) fn exists(&self) -> Result<(), Error> {
        let place = if self.is_pattern() { self.pattern_root() } else { self.full() };
        fs::metadata(&place).map_err(|error| unreachable_file(&self.name(), error))?;
        Ok(())
    }

    /// The tables that this place holds: a file, a pattern or a partitioned folder is one; of any other folder each
    /// file and each folder with files is one.
    pub(crate) fn tables(&self, id: &str, extensions: &[&str]) -> Result<Vec<(String, Place)>, Error> {
        if self.is_pattern() {
            let root = self.pattern_root();
            let name = if root == self.base { id.to_owned() } else { last_name(&root) };
            return Ok(vec![(name, self.clone())]);
        }
        let full = self.full();
        let metadata = fs::metadata(&full).map_err(|error| unreachable_file(&self.name(), error))?;
        if !metadata.is_dir() {
            return Ok(vec![(stem(&last_name(&full)), self.clone())]);
        }
        let mut tables = Vec::new();
        for (path, metadata) in entries(&full)? {
            let name = last_name(&path);
            if !metadata.is_dir() {
                if has_extension(&name, extensions) {
                    tables.push((stem(&name), Place { base: full.clone(), written: name }));
                }
            } else if partition_of(&name).is_some() && holds_files(&path, extensions, 0)? {
                return Ok(vec![(last_name(&full), self.clone())]);
            } else if holds_files(&path, extensions, 0)? {
                tables.push((name.clone(), Place { base: full.clone(), written: name }));
            }
        }
        tables.sort();
        Ok(tables)
    }

    /// Its files as they are now.
    pub(crate) fn find(&self, extensions: &[&str]) -> Result<Found, Error> {
        let full = self.full();
        let (root, mut paths) = if self.is_pattern() {
            (self.pattern_root(), self.matches(extensions)?)
        } else {
            let metadata = fs::metadata(&full).map_err(|error| unreachable_file(&self.name(), error))?;
            if metadata.is_dir() {
                let mut paths = Vec::new();
                walk(&full, extensions, 0, &mut paths)?;
                (full, paths)
            } else {
                let folder = full.parent().map_or_else(PathBuf::new, Path::to_path_buf);
                (folder, vec![(full, metadata)])
            }
        };
        if paths.is_empty() {
            return Err(none_found(&self.name(), extensions));
        }
        paths.sort_by(|one, other| one.0.cmp(&other.0));
        paths.dedup_by(|one, other| one.0 == other.0);
        let files = paths.into_iter().map(|(path, metadata)| DataFile::new(&root, path, &metadata));
        Ok(Found { files: files.collect::<Result<_, _>>()?, root, hive: None })
    }

    fn matches(&self, extensions: &[&str]) -> Result<Vec<(PathBuf, Metadata)>, Error> {
        let base = glob::Pattern::escape(&self.base.to_string_lossy());
        let pattern = Path::new(&base).join(&self.written);
        let bad = |error: glob::PatternError| {
            Error::new(Code::InvalidArgument, format!("The pattern \"{}\" cannot be read: {}.", self.name(), error.msg))
        };
        let mut paths = Vec::new();
        for found in glob::glob(&pattern.to_string_lossy()).map_err(bad)? {
            let path = found.map_err(|error| unreachable_file(&self.name(), error.into()))?;
            if is_hidden(&path) {
                continue;
            }
            let metadata = fs::metadata(&path).map_err(|error| unreachable_file(&last_name(&path), error))?;
            if metadata.is_dir() {
                // `**` matches each folder and the files in it: only a pattern that ends in a folder means all below.
                if !self.written.ends_with("**") {
                    walk(&path, extensions, 0, &mut paths)?;
                }
            } else {
                paths.push((path, metadata));
            }
        }
        Ok(paths)
    }

    /// The folders in front of the first one with a wildcard.
    fn pattern_root(&self) -> PathBuf {
        let is_literal = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
        let literal: PathBuf = Path::new(&self.written).components().take_while(is_literal).collect();
        if literal.as_os_str().is_empty() { self.base.clone() } else { self.base.join(literal) }
    }
}

impl DataFile {
    fn new(root: &Path, path: PathBuf, metadata: &Metadata) -> Result<Self, Error> {
        let below = path.strip_prefix(root).unwrap_or(&path);
        let parts: Option<Vec<&str>> = below.components().map(|part| part.as_os_str().to_str()).collect();
        let Some(parts) = parts.filter(|parts| parts.iter().all(|part| !part.contains(char::is_control))) else {
            return Err(invalid_file(&last_name(&path), "has a name that is not UTF-8 text.").hint("Rename it."));
        };
        let folders = parts.split_last().map_or(&[][..], |(_, folders)| folders);
        let modified = metadata.modified().map_err(|error| unreachable_file(&last_name(&path), error))?;
        Ok(Self {
            name: parts.join("/"),
            partitions: folders.iter().filter_map(|folder| partition_of(folder)).collect(),
            size: metadata.len(),
            modified,
            identity: identity(metadata),
            stored: None,
            path,
        })
    }

    /// A file in a store, with its place below the table's folder.
    pub(super) fn in_store(bucket: &Arc<Bucket>, meta: ObjectMeta, name: String) -> Self {
        let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
        Self {
            path: PathBuf::from(&name),
            partitions: folders.split('/').filter_map(partition_of).collect(),
            size: meta.size,
            modified: meta.last_modified.into(),
            identity: Stored::identity(&meta),
            stored: Some(Stored::new(bucket, meta)),
            name,
        }
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> u64 {
    0
}

/// A file's bytes, unpacked by the end of its name.
pub(crate) fn open(file: &DataFile) -> Result<Box<dyn Read + Send>, Error> {
    let compression = compression_of(&file.name);
    let unpacked = match &file.stored {
        Some(stored) => compression.convert_read(Reading::new(&file.name, stored)),
        None => compression.convert_read(File::open(&file.path).map_err(|error| unreachable_file(&file.name, error))?),
    };
    unpacked.map_err(|error| invalid_file(&file.name, "cannot be unpacked.").cause(error))
}

/// A file of this machine, open, if it still is the one that was found.
pub(crate) fn open_as_found(file: &DataFile) -> Result<File, Error> {
    let failed = |error| unreachable_file(&file.name, error);
    let open = File::open(&file.path).map_err(failed)?;
    let now = open.metadata().map_err(failed)?;
    let is_found = now.len() == file.size
        && identity(&now) == file.identity
        && now.modified().is_ok_and(|modified| modified == file.modified);
    if is_found { Ok(open) } else { Err(changed_file(&file.name)) }
}

/// A place without a file of its kind.
pub(super) fn none_found(name: &str, extensions: &[&str]) -> Error {
    let ends = extensions.iter().map(|end| format!(".{end}")).collect::<Vec<_>>().join(", ");
    Error::new(Code::SourceUnavailable, format!("\"{name}\" holds no file that ends in {ends}."))
        .hint("Check the path in the dataset's file; a relative path starts from the home folder.")
}

/// Whether a file is unpacked while it is read.
pub(crate) fn is_compressed(file: &DataFile) -> bool {
    compression_of(&file.name).is_compressed()
}

fn compression_of(name: &str) -> FileCompressionType {
    let lower = name.to_ascii_lowercase();
    let known = COMPRESSIONS.into_iter().find(|(end, _)| lower.ends_with(end));
    known.map_or(FileCompressionType::UNCOMPRESSED, |(_, compression)| compression)
}

/// A lower-case file name without `.gz` and the like.
pub(crate) fn without_compression(name: &str) -> &str {
    COMPRESSIONS.iter().find_map(|(end, _)| name.strip_suffix(end)).unwrap_or(name)
}

/// Whether a file or folder is none of the data.
pub(crate) fn is_hidden(path: &Path) -> bool {
    let name = last_name(path);
    // A folder such as `_year=2024` is data: `_` only hides what writers leave behind.
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

pub(super) fn has_extension(name: &str, extensions: &[&str]) -> bool {
    let lower = name.to_ascii_lowercase();
    without_compression(&lower).rsplit_once('.').is_some_and(|(_, end)| extensions.contains(&end))
}

/// A file's name without its ends: the name of its table.
pub(super) fn stem(name: &str) -> String {
    let plain = &name[..without_compression(&name.to_ascii_lowercase()).len()];
    plain.rsplit_once('.').map_or(plain, |(stem, _)| stem).to_owned()
}

fn last_of_pattern(written: &str) -> String {
    written.rsplit('/').next().unwrap_or(written).to_owned()
}

fn entries(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>, Error> {
    let failed = |error: io::Error| unreachable_file(&last_name(folder), error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_hidden(&path) {
            continue;
        }
        match fs::metadata(&path) {
            Ok(metadata) => found.push((path, metadata)),
            // A file that went away since, or a link to nowhere: it holds no rows.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreachable_file(&last_name(&path), error)),
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

fn walk(folder: &Path, extensions: &[&str], depth: usize, out: &mut Vec<(PathBuf, Metadata)>) -> Result<(), Error> {
    check_depth(folder, depth)?;
    for (path, metadata) in entries(folder)? {
        if metadata.is_dir() {
            walk(&path, extensions, depth + 1, out)?;
        } else if has_extension(&last_name(&path), extensions) {
            out.push((path, metadata));
        }
    }
    Ok(())
}

fn holds_files(folder: &Path, extensions: &[&str], depth: usize) -> Result<bool, Error> {
    check_depth(folder, depth)?;
    for (path, metadata) in entries(folder)? {
        let holds = if metadata.is_dir() {
            holds_files(&path, extensions, depth + 1)?
        } else {
            has_extension(&last_name(&path), extensions)
        };
        if holds {
            return Ok(true);
        }
    }
    Ok(false)
}

fn check_depth(folder: &Path, depth: usize) -> Result<(), Error> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    let text = format!("Folders nest deeper than {MAX_DEPTH} levels at \"{}\".", last_name(folder));
    Err(Error::new(Code::DataInvalid, text).hint("Look for a link that leads to a folder above it."))
}

/// `key=value` of a folder's name, decoded as Hive writes them.
pub(super) fn partition_of(folder: &str) -> Option<(String, String)> {
    let (key, value) = folder.split_once('=')?;
    (!key.is_empty()).then(|| (percent_decoded(key), percent_decoded(value)))
}

pub(super) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_folders_are_decoded() {
        assert_eq!(partition_of("day=2024-01-31"), Some(("day".to_owned(), "2024-01-31".to_owned())));
        assert_eq!(partition_of("city=S%C3%A3o%20Paulo%2FX"), Some(("city".to_owned(), "São Paulo/X".to_owned())));
        assert_eq!(partition_of("rate=5%"), Some(("rate".to_owned(), "5%".to_owned())));
        assert_eq!(partition_of("plain"), None);
        assert_eq!(partition_of("=x"), None);
    }

    #[test]
    fn a_table_has_the_name_of_its_file_without_ends() {
        assert_eq!(stem("orders.csv"), "orders");
        assert_eq!(stem("orders.2024.csv.GZ"), "orders.2024");
        assert_eq!(stem("orders"), "orders");
    }
}
