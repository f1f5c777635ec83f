//! Finds the files of a table in a store: one object, all below a folder, or those that a pattern matches.
//!
//! A single object takes the right to read and no right to list. `https://` has single files only.

use std::sync::Arc;

use engine::{Code, Error};
use futures::{StreamExt, TryStreamExt};
use glob::{MatchOptions, Pattern};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::{Address, Bucket, Hive, failure, hive};
use crate::sources::files::find::{DataFile, Found, has_extension, is_hidden, none_found, partition_of, stem};

/// Requests that are under way at once.
pub(super) const AT_ONCE: usize = 16;

const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Which objects below a folder are files of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    root: Path,
    pattern: Option<Pattern>,
    extensions: &'static [&'static str],
}

impl Wanted {
    fn new(address: &Address, root: Path, extensions: &'static [&'static str]) -> Result<Self, Error> {
        let bad = |error: glob::PatternError| {
            let text = format!("The pattern \"{}\" cannot be read: {}.", address.name(), error.msg);
            Error::new(Code::InvalidArgument, text)
        };
        let pattern = address.is_pattern().then(|| Pattern::new(&address.path)).transpose().map_err(bad)?;
        Ok(Self { root, pattern, extensions })
    }

    /// The object's place below the folder, if it is a file of the table.
    pub(super) fn name_of(&self, key: &Path) -> Option<String> {
        let parts: Vec<String> = key.prefix_match(&self.root)?.map(|part| part.as_ref().to_owned()).collect();
        if parts.is_empty() || parts.iter().any(|part| is_hidden(std::path::Path::new(part))) {
            return None;
        }
        let has_extension = has_extension(&parts[parts.len() - 1], self.extensions);
        let is_wanted = match &self.pattern {
            None => has_extension,
            Some(pattern) => {
                pattern.matches_with(key.as_ref(), MATCHING)
                    || (has_extension && self.is_in_matched_folder(key, pattern))
            }
        };
        is_wanted.then(|| parts.join("/"))
    }

    /// Whether a folder above the object matches: all below it is meant then.
    fn is_in_matched_folder(&self, key: &Path, pattern: &Pattern) -> bool {
        let key = key.as_ref();
        let folders = key.match_indices('/').map(|(end, _)| &key[..end]);
        folders
            .filter(|folder| folder.len() > self.root.as_ref().len())
            .any(|folder| pattern.matches_with(folder, MATCHING))
    }

    pub(super) fn file(&self, bucket: &Arc<Bucket>, meta: &ObjectMeta) -> Option<DataFile> {
        Some(DataFile::in_store(bucket, meta.clone(), self.name_of(&meta.location)?))
    }
}

/// The files at `address` as they are now.
pub(crate) async fn find(
    bucket: &Arc<Bucket>,
    address: &Address,
    extensions: &'static [&'static str],
) -> Result<Found, Error> {
    let name = address.name();
    if address.is_http() {
        return single(bucket, address, &Path::ROOT).await?.ok_or_else(|| failure::missing(&name));
    }
    let root = address.literal()?;
    // A name such as `x.parquet` is an object's as a rule, and it takes no right to list to read it.
    let looks_single = !address.is_pattern() && !address.is_folder && has_extension(&name, extensions);
    if looks_single && let Some(found) = single(bucket, address, &root).await? {
        return Ok(found);
    }
    let wanted = Wanted::new(address, root.clone(), extensions)?;
    match folder(bucket, address, wanted).await {
        Ok(Some(found)) => Ok(found),
        _ if looks_single => Err(failure::missing(&name)),
        refused if address.is_pattern() || root.is_root() => refused.and(Err(none_found(&name, extensions))),
        // An object without a known end, which may be read where nothing may be listed.
        refused => match single(bucket, address, &root).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => match refused {
                Ok(_) if bucket.has(&root, &name, |_| true).await? => Err(none_found(&name, extensions)),
                Ok(_) => Err(failure::missing(&name)),
                Err(error) => Err(error),
            },
            Err(error) => Err(refused.err().unwrap_or(error)),
        },
    }
}

/// The files below a folder; None where it holds none.
async fn folder(bucket: &Arc<Bucket>, address: &Address, wanted: Wanted) -> Result<Option<Found>, Error> {
    let (name, root) = (address.name(), wanted.root.clone());
    if let Some((hive, files)) = hive::look(bucket, &name, &wanted, &root).await? {
        return Ok(Some(found(address, files, Some(hive))));
    }
    let listing = bucket.below(&root, &name).await?;
    let files: Vec<DataFile> = listing.objects.iter().filter_map(|meta| wanted.file(bucket, meta)).collect();
    Ok((!files.is_empty()).then(|| found(address, files, None)))
}

async fn single(bucket: &Arc<Bucket>, address: &Address, key: &Path) -> Result<Option<Found>, Error> {
    let name = address.name();
    if address.is_http() && address.is_folder {
        return Err(failure::no_folder(&name));
    }
    let meta = bucket.single(key, &name).await?;
    Ok(meta.map(|meta| found(address, vec![DataFile::in_store(bucket, meta, name)], None)))
}

fn found(address: &Address, mut files: Vec<DataFile>, hive: Option<Hive>) -> Found {
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Found { root: address.display().into(), files, hive }
}

/// The tables that an address holds: a file, a pattern or a partitioned folder is one; of any other folder each file
/// and each folder with files is one.
pub(crate) async fn tables(
    bucket: &Arc<Bucket>,
    address: &Address,
    id: &str,
    extensions: &'static [&'static str],
) -> Result<Vec<(String, Address)>, Error> {
    let name = address.name();
    if address.is_pattern() {
        let root = address.literal()?;
        let name = root.filename().map_or_else(|| id.to_owned(), str::to_owned);
        return Ok(vec![(name, address.clone())]);
    }
    if address.is_http() || (!address.is_folder && has_extension(&name, extensions)) {
        return Ok(vec![(stem(&name), address.clone())]);
    }
    let root = address.literal()?;
    let level = bucket.level(&root, &name).await?;
    let folders = level.folders.iter().filter_map(|folder| Some((folder.clone(), folder.filename()?.to_owned())));
    let folders: Vec<_> = folders.filter(|(_, name)| !is_hidden(std::path::Path::new(name))).collect();
    if folders.iter().any(|(_, folder)| partition_of(folder).is_some()) {
        return Ok(vec![(name, address.clone())]);
    }
    let objects = level.objects.iter().filter_map(|meta| meta.location.filename());
    let objects =
        objects.filter(|object| has_extension(object, extensions) && !is_hidden(std::path::Path::new(object)));
    let mut tables: Vec<(String, Address)> =
        objects.map(|object| Ok((stem(object), address.below(object)?))).collect::<Result<_, Error>>()?;
    let with_files: Vec<Option<(String, Address)>> = futures::stream::iter(folders)
        .map(|(folder, name)| async move {
            let wanted = Wanted { root: folder.clone(), pattern: None, extensions };
            let holds = bucket.has(&folder, &name, |key| wanted.name_of(key).is_some()).await?;
            Ok::<_, Error>(if holds { Some((name.clone(), address.below(&name)?)) } else { None })
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    tables.extend(with_files.into_iter().flatten());
    if tables.is_empty() && level.objects.is_empty() && level.folders.is_empty() {
        // It may be an object without a known end.
        let is_object = !root.is_root() && bucket.single(&root, &name).await?.is_some();
        return if is_object { Ok(vec![(stem(&name), address.clone())]) } else { Err(failure::missing(&name)) };
    }
    tables.sort();
    Ok(tables)
}

/// Whether the store answers for `address`.
pub(crate) async fn exists(
    bucket: &Arc<Bucket>,
    address: &Address,
    extensions: &'static [&'static str],
) -> Result<(), Error> {
    let name = address.name();
    if address.is_http() && address.is_folder {
        // Files below it have URLs of their own; there is none to ask for here.
        return Ok(());
    }
    let root = if address.is_http() { Path::ROOT } else { address.literal()? };
    let looks_single = address.is_http() || (!address.is_pattern() && has_extension(&name, extensions));
    if looks_single && bucket.single(&root, &name).await?.is_some() {
        return Ok(());
    }
    if address.is_http() {
        return Err(failure::missing(&name));
    }
    let holds = bucket.has(&root, &name, |_| true).await?;
    if holds || root.is_root() || (!looks_single && bucket.single(&root, &name).await?.is_some()) {
        return Ok(());
    }
    Err(failure::missing(&name))
}
