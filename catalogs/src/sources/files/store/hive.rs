//! A folder whose files lie in `key=value` folders, level below level. Only the folders that a question's filters leave
//! over are listed, so that a day out of ten years costs a day's requests.
//!
//! The columns are those of a sample of the files. What a later listing finds beyond them is added when the table is next
//! opened.

use std::sync::Arc;

use engine::{Code, Error};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::Bucket;
use super::bucket::Listing;
use super::find::{AT_ONCE, Wanted};
use crate::sources::files::find::{DataFile, is_hidden, partition_of};

/// Folders of one level that are looked into for the levels below, and files for their columns.
const SAMPLE: usize = 4;
const SAMPLE_FILES: usize = 8;

/// Folders that are listed one by one; beyond this, those above them are, unless the filters leave few.
const FEW: usize = 64;

/// A partitioned folder.
#[derive(Debug, Clone)]
pub(crate) struct Hive {
    bucket: Arc<Bucket>,
    name: String,
    root: Path,
    wanted: Wanted,
    keys: Vec<String>,
    /// Values of each key that were seen, sorted.
    seen: Vec<Vec<String>>,
}

impl PartialEq for Hive {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bucket, &other.bucket)
            && self.wanted == other.wanted
            && self.keys == other.keys
            && self.seen == other.seen
    }
}

impl Eq for Hive {}

/// Which folders a question leaves over.
pub(crate) trait Filters: Sync {
    /// Whether a filter is on one of the keys from the number `level` on.
    fn reaches(&self, level: usize) -> bool;

    /// For the values of the first keys, row by row: whether a file with them may be wanted.
    ///
    /// # Errors
    /// Where a filter cannot be evaluated.
    fn keep(&self, rows: &[&[String]]) -> Result<Vec<bool>, Error>;
}

/// A folder on the way down, with the values above and of it.
#[derive(Debug, Clone)]
struct Folder {
    path: Path,
    values: Vec<String>,
}

impl Hive {
    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Values that were seen of the key with the number `at`.
    pub(crate) fn seen(&self, at: usize) -> &[String] {
        &self.seen[at]
    }

    /// The files as they are now, in the folders that `filters` leave over, sorted.
    pub(crate) async fn files(&self, filters: &impl Filters) -> Result<Vec<DataFile>, Error> {
        let mut folders = vec![Folder { path: self.root.clone(), values: Vec::new() }];
        for level in 0..self.keys.len() {
            if !filters.reaches(level) {
                break;
            }
            let below = self.descend(folders.clone()).await?;
            let rows: Vec<&[String]> = below.iter().map(|folder| folder.values.as_slice()).collect();
            let keep = filters.keep(&rows)?;
            let total = below.len();
            let kept: Vec<Folder> =
                below.into_iter().zip(keep).filter_map(|(folder, keep)| keep.then_some(folder)).collect();
            // Nearly all of very many: the folders above list them in fewer requests.
            if kept.len() > FEW && kept.len() * 2 > total && folders.len() <= FEW {
                break;
            }
            folders = kept;
        }
        let listings: Vec<Arc<Listing>> = futures::stream::iter(folders)
            .map(|folder| async move { self.bucket.below(&folder.path, &self.name).await })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let objects = listings.iter().flat_map(|listing| &listing.objects);
        let mut files: Vec<DataFile> = objects.filter_map(|meta| self.wanted.file(&self.bucket, meta)).collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        if let Some(file) = files.iter().find(|file| !file.partitions.iter().map(|(key, _)| key).eq(&self.keys)) {
            return Err(self.elsewhere(&file.name));
        }
        Ok(files)
    }

    /// The folders of the next level.
    async fn descend(&self, folders: Vec<Folder>) -> Result<Vec<Folder>, Error> {
        let levels: Vec<Vec<Folder>> = futures::stream::iter(folders)
            .map(|folder| async move {
                let listing = self.bucket.level(&folder.path, &self.name).await?;
                if let Some(file) = listing.objects.iter().find_map(|meta| self.wanted.name_of(&meta.location)) {
                    return Err(self.elsewhere(&file));
                }
                let mut below = Vec::with_capacity(listing.folders.len());
                for path in &listing.folders {
                    let Some(name) = path.filename().filter(|name| !is_hidden(std::path::Path::new(name))) else {
                        continue;
                    };
                    match partition_of(name) {
                        Some((key, value)) if key == self.keys[folder.values.len()] => {
                            let values = folder.values.iter().cloned().chain([value]).collect();
                            below.push(Folder { path: path.clone(), values });
                        }
                        _ => return Err(self.elsewhere(name)),
                    }
                }
                Ok(below)
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(levels.into_iter().flatten().collect())
    }

    fn elsewhere(&self, name: &str) -> Error {
        let text = format!("\"{name}\" lies in other key=value folders than the other files of the same table.");
        Error::new(Code::SchemaChanged, text).hint("Give every file of the table the same folders, in the same order.")
    }
}

/// The partitioned folder that `wanted` begins at, and a sample of its files. None where it is none.
pub(super) async fn look(
    bucket: &Arc<Bucket>,
    name: &str,
    wanted: &Wanted,
    root: &Path,
) -> Result<Option<(Hive, Vec<DataFile>)>, Error> {
    let (mut keys, mut seen) = (Vec::new(), Vec::new());
    let mut folders = vec![root.clone()];
    loop {
        let levels: Vec<Arc<Listing>> = futures::stream::iter(folders)
            .map(|folder| async move { bucket.level(&folder, name).await })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let below = levels.iter().flat_map(|level| &level.folders);
        let below: Vec<&Path> = below.filter(|path| !is_hidden(std::path::Path::new(name_of(path)))).collect();
        let files: Vec<DataFile> =
            levels.iter().flat_map(|level| &level.objects).filter_map(|meta| wanted.file(bucket, meta)).collect();
        let parts: Option<Vec<(String, String)>> = below.iter().map(|path| partition_of(name_of(path))).collect();
        let key = parts.as_ref().and_then(|parts| parts.first()).map(|(key, _)| key.clone());
        let is_level = parts.as_ref().is_some_and(|parts| parts.iter().all(|(other, _)| Some(other) == key.as_ref()));
        match (key, parts) {
            (Some(key), Some(parts)) if is_level && files.is_empty() && !keys.contains(&key) => {
                let mut values: Vec<String> = parts.into_iter().map(|(_, value)| value).collect();
                values.sort();
                values.dedup();
                keys.push(key);
                seen.push(values);
                folders = spread(&below, SAMPLE).into_iter().map(|path| Path::clone(path)).collect();
            }
            _ if keys.is_empty() || files.is_empty() || !below.is_empty() => return Ok(None),
            _ => {
                let files = spread(&files, SAMPLE_FILES).into_iter().cloned().collect();
                let (bucket, name) = (Arc::clone(bucket), name.to_owned());
                let hive = Hive { bucket, name, root: root.clone(), wanted: wanted.clone(), keys, seen };
                return Ok(Some((hive, files)));
            }
        }
    }
}

fn name_of(path: &Path) -> &str {
    path.filename().unwrap_or_default()
}

/// At most `count` of `items`, spread evenly, with the first and the last.
fn spread<T>(items: &[T], count: usize) -> Vec<&T> {
    if items.len() <= count {
        return items.iter().collect();
    }
    (0..count).map(|at| &items[at * (items.len() - 1) / (count - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_holds_the_first_and_the_last() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(spread(&items, 4), [&0, &33, &66, &99]);
        assert_eq!(spread(&items[..3], 4), [&0, &1, &2]);
    }
}
