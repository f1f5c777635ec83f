//! Files in object stores and behind `https://`: what such a path names, and who answers for it.
//!
//! Nothing is asked before the first use. No key, token or query of a URL gets into a listing, a message or a log.

mod bucket;
mod connect;
mod failure;
mod find;
mod hive;
mod options;
mod read;
mod steady;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Code, Error};
use object_store::path::Path;
use url::Url;

pub(super) use bucket::{Bucket, LISTING_LIFETIME};
pub(super) use find::{exists, find, tables};
pub(super) use hive::{Filters, Hive};
pub(crate) use options::StoreOptions;
pub(super) use read::Reading;
pub(crate) use steady::{Steady, Stored};

/// How stores are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scheme {
    S3,
    Gcs,
    Azure,
    Http,
}

/// What may stand in front of `://`.
const SCHEMES: [(&str, Scheme); 9] = [
    ("abfs", Scheme::Azure),
    ("abfss", Scheme::Azure),
    ("az", Scheme::Azure),
    ("azure", Scheme::Azure),
    ("gs", Scheme::Gcs),
    ("http", Scheme::Http),
    ("https", Scheme::Http),
    ("s3", Scheme::S3),
    ("s3a", Scheme::S3),
];

/// Whether a path names a place in a store, by what stands in front of `://`.
pub(crate) fn is_stored(path: &str) -> bool {
    path.split_once("://").is_some_and(|(scheme, _)| scheme_of(scheme).is_some())
}

fn scheme_of(written: &str) -> Option<Scheme> {
    SCHEMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(written)).map(|(_, scheme)| *scheme)
}

/// A file, a folder or a pattern in a store, as somebody wrote it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address {
    scheme: Scheme,
    /// `s3://bucket`, or `https://host:port`.
    root: String,
    /// What follows, without slashes around it; of `https://` as it is written there.
    path: String,
    /// The query of a URL; it may be a signature, and is never shown.
    query: Option<String>,
    /// Whether a slash ends it: a folder, then.
    is_folder: bool,
}

impl Address {
    /// The address that a path is; None where it is one of this machine.
    ///
    /// # Errors
    /// `invalid_argument`, without the path, which may hold a secret.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, Error> {
        let Some((written, rest)) = text.split_once("://") else { return Ok(None) };
        let Some(scheme) = scheme_of(written) else { return Ok(None) };
        if scheme == Scheme::Http {
            return Self::of_url(text).map(Some);
        }
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let parts: Vec<&str> = bucket.split('@').collect();
        let is_valid = match (scheme, parts.as_slice()) {
            (_, [name]) => !name.is_empty() && name.chars().all(is_name),
            (Scheme::Azure, [name, host]) => {
                [name, host].iter().all(|part| !part.is_empty() && part.chars().all(is_name))
            }
            _ => false,
        };
        if !is_valid {
            let expected = if scheme == Scheme::Azure { "container/folder" } else { "bucket/folder" };
            return Err(invalid(format!("A path with {written}:// is written as {written}://{expected}.")));
        }
        let address = Self {
            scheme,
            root: format!("{}://{bucket}", written.to_ascii_lowercase()),
            path: path.trim_matches('/').to_owned(),
            query: None,
            is_folder: path.ends_with('/'),
        };
        address.literal()?;
        Ok(Some(address))
    }

    fn of_url(text: &str) -> Result<Self, Error> {
        let url = Url::parse(text).map_err(|_| invalid("The URL in \"path\" cannot be read."))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("A URL in \"path\" holds no user and no password."));
        }
        if url.path().contains('*') {
            return Err(invalid("A URL with https:// names one file, and no pattern: https cannot list files."));
        }
        Ok(Self {
            scheme: Scheme::Http,
            root: url.origin().ascii_serialization(),
            path: url.path().trim_matches('/').to_owned(),
            query: url.query().map(str::to_owned),
            is_folder: url.path().ends_with('/'),
        })
    }

    /// A place below this one, or one that is written out whole.
    pub(super) fn below(&self, at: &str) -> Result<Self, Error> {
        if let Some(whole) = Self::parse(at)? {
            return Ok(whole);
        }
        let below = Self::parse(&format!("{}/{at}", self.display()))?.unwrap_or_else(|| self.clone());
        // A signature in the query of a folder's URL is good for its files.
        Ok(Self { query: below.query.clone().or_else(|| self.query.clone()), ..below })
    }

    /// The address for people: whole, but for the query.
    pub(super) fn display(&self) -> String {
        if self.path.is_empty() { self.root.clone() } else { format!("{}/{}", self.root, self.path) }
    }

    /// Its name for people, without the folders above.
    pub(super) fn name(&self) -> String {
        match self.path.rsplit('/').next().filter(|last| !last.is_empty()) {
            Some(last) if self.scheme == Scheme::Http => super::find::percent_decoded(last),
            Some(last) => last.to_owned(),
            None => self.root.rsplit('/').next().unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn is_pattern(&self) -> bool {
        self.scheme != Scheme::Http && self.path.contains(['*', '?', '['])
    }

    pub(super) fn is_http(&self) -> bool {
        self.scheme == Scheme::Http
    }

    /// The whole path, or the folders in front of the first one with a wildcard.
    fn literal(&self) -> Result<Path, Error> {
        let is_literal = |part: &&str| !self.is_pattern() || !part.contains(['*', '?', '[']);
        let parts: Vec<&str> = self.path.split('/').take_while(is_literal).collect();
        Path::parse(parts.join("/"))
            .map_err(|_| invalid("A path in a store has no empty part, and no part that is \".\" or \"..\"."))
    }

    /// What its store is known by: the bucket, or, as a URL stands for itself, the URL.
    fn store(&self) -> String {
        match self.scheme {
            Scheme::Http => format!("{}?{}", self.display(), self.query.as_deref().unwrap_or_default()),
            _ => self.root.clone(),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display())
    }
}

/// The stores of one source: its options, and what was connected with them. They show nothing of themselves, as the names
/// of stores hold the queries of URLs.
pub(super) struct Stores {
    root: PathBuf,
    options: StoreOptions,
    buckets: Mutex<HashMap<String, Arc<Bucket>>>,
}

impl Stores {
    /// Stores for a source at `path`, with its options. A relative file name in them starts from `root`.
    ///
    /// # Errors
    /// `invalid_argument` that names the option which is wrong, or does not belong to such a path.
    pub(super) fn new(root: PathBuf, path: Option<&str>, options: StoreOptions) -> Result<Self, Error> {
        let address = path.map(Address::parse).transpose()?.flatten();
        options.check()?;
        match (&address, path) {
            (Some(address), _) => options.check_for(address)?,
            (None, Some(_)) => options.check_none()?,
            (None, None) => {}
        }
        Ok(Self { root, options, buckets: Mutex::default() })
    }

    /// The store that an address is in. It is asked nothing yet.
    pub(super) async fn bucket(&self, address: &Address) -> Result<Arc<Bucket>, Error> {
        let known = |stores: &Self| {
            let buckets = stores.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            buckets.get(&address.store()).cloned()
        };
        if let Some(bucket) = known(self) {
            return Ok(bucket);
        }
        self.options.check_for(address)?;
        let (at, options, root) = (address.clone(), self.options.clone(), self.root.clone());
        // Certificates are read from files.
        let bucket = super::blocking(move || connect::connect(&at, &options, &root)).await?;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(buckets.entry(address.store()).or_insert_with(|| Arc::new(bucket))))
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Address {
        Address::parse(text).unwrap().unwrap()
    }

    #[test]
    fn a_path_with_a_known_scheme_is_in_a_store_and_any_other_is_here() {
        for path in ["s3://b/x", "S3A://b", "gs://b", "az://c/x", "abfss://c@a.dfs.core.windows.net/x", "https://h/x"] {
            assert!(is_stored(path) && Address::parse(path).unwrap().is_some(), "{path}");
        }
        for path in ["data/x.csv", "/data", "file:///x", "s3:/x", "s3"] {
            assert!(!is_stored(path) && Address::parse(path).unwrap().is_none(), "{path}");
        }
    }

    #[test]
    fn addresses_show_themselves_without_their_query() {
        let address = parsed("https://h.example/a/b%20c.csv?sig=hunter2");
        assert_eq!(address.display(), "https://h.example/a/b%20c.csv");
        assert_eq!((address.name().as_str(), address.is_pattern()), ("b c.csv", false));
        assert!(!format!("{address:?}").contains("hunter2"));
        assert_eq!(parsed("s3://bucket/a/b/").display(), "s3://bucket/a/b");
        assert_eq!(parsed("s3://bucket").name(), "bucket");
        assert_eq!(parsed("s3://b/a/x=1/**/*.csv").literal().unwrap().as_ref(), "a/x=1");
        assert_eq!(parsed("s3://b/a").below("c/d.csv").unwrap(), parsed("s3://b/a/c/d.csv"));
        assert_eq!(parsed("s3://b/a").below("s3://z/d.csv").unwrap(), parsed("s3://z/d.csv"));
    }

    #[test]
    fn addresses_that_cannot_be_meant_are_refused_without_repeating_them() {
        for text in
            ["s3://", "s3://user:hunter2@b/x", "s3://b/../hunter2", "https://u:hunter2@h/x", "https://h/hunter2/*.csv"]
        {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{text}");
            assert!(!error.message().contains("hunter2"), "{error}");
        }
    }
}
