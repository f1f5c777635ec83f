//! One file of a store, held to the version that was found: every part of it that is read is of that version, or the
//! read fails. A file that is replaced while it is read never mixes with the new one.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::DateTime;
use engine::Error;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use super::{Bucket, failure};

/// The name of this store in libraries' errors.
const STORE: &str = "Weft";

/// Where a file is in its store, and which version of it was found.
pub(crate) struct Stored {
    bucket: Arc<Bucket>,
    meta: ObjectMeta,
    interrupted: Interrupted,
}

/// Why a read ended, if its store was the reason.
pub(super) type Interrupted = Arc<Mutex<Option<Error>>>;

impl Stored {
    pub(in crate::sources::files) fn new(bucket: &Arc<Bucket>, meta: ObjectMeta) -> Self {
        Self { bucket: Arc::clone(bucket), meta, interrupted: Interrupted::default() }
    }

    /// What tells two versions apart that have the same size and were written within the clock's tick.
    pub(in crate::sources::files) fn identity(meta: &ObjectMeta) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&meta.e_tag, &meta.version).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether a new version is told from the old one by more than its size.
    pub(in crate::sources::files) fn is_told_apart(&self) -> bool {
        let meta = &self.meta;
        meta.e_tag.is_some() || meta.version.is_some() || meta.last_modified > DateTime::UNIX_EPOCH
    }

    /// The file as a store by itself, whatever name it is asked by.
    pub(crate) fn steady(&self, name: &str) -> Steady {
        Steady { bucket: Arc::clone(&self.bucket), meta: self.meta.clone(), name: name.to_owned() }
    }

    /// Where a read of this file notes why it ended: readers of text pass on words only.
    pub(super) fn interrupted(&self) -> Interrupted {
        Arc::clone(&self.interrupted)
    }

    /// Why the last read of this file ended, if its store was the reason.
    pub(crate) fn take_note(&self) -> Option<Error> {
        self.interrupted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Clone for Stored {
    /// A clone is read by itself: notes are its own.
    fn clone(&self) -> Self {
        Self::new(&self.bucket, self.meta.clone())
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bucket, &other.bucket) && self.meta == other.meta
    }
}

impl Eq for Stored {}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("key", &self.meta.location).finish_non_exhaustive()
    }
}

/// One version of one file.
#[derive(Debug)]
pub(crate) struct Steady {
    bucket: Arc<Bucket>,
    meta: ObjectMeta,
    name: String,
}

impl Steady {
    pub(super) fn size(&self) -> u64 {
        self.meta.size
    }

    async fn get(&self, mut options: GetOptions) -> Result<GetResult, object_store::Error> {
        // A weak tag matches nothing; the answer's own is compared in any case.
        let tag = self.meta.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"));
        options.if_match = tag.map(|tag| if tag.starts_with('"') { tag.to_owned() } else { format!("\"{tag}\"") });
        let answer = self.bucket.store().get_opts(&self.meta.location, options).await?;
        if self.is_same(&answer.meta) { Ok(answer) } else { Err(self.replaced()) }
    }

    fn is_same(&self, other: &ObjectMeta) -> bool {
        let plain = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').to_owned();
        let is_same_tag = match (&self.meta.e_tag, &other.e_tag) {
            (Some(one), Some(other)) => plain(one) == plain(other),
            // The second is the finest that a header tells.
            _ => self.meta.last_modified.timestamp() == other.last_modified.timestamp(),
        };
        self.meta.size == other.size && is_same_tag
    }

    fn replaced(&self) -> object_store::Error {
        let source = "it is another version".into();
        object_store::Error::Precondition { path: self.meta.location.to_string(), source }
    }

    /// An error that carries its sentence, through every library, to those who ask.
    fn explained(&self, error: object_store::Error) -> object_store::Error {
        if matches!(error, object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) {
            self.bucket.forget();
        }
        let explained = failure::explained(&self.bucket, &self.name, &error);
        match error {
            object_store::Error::NotSupported { .. } => object_store::Error::NotSupported { source: explained.into() },
            _ => object_store::Error::Generic { store: STORE, source: explained.into() },
        }
    }
}

#[async_trait]
impl ObjectStore for Steady {
    async fn get_opts(&self, _: &Path, options: GetOptions) -> Result<GetResult, object_store::Error> {
        let answer = self.get(options).await.map_err(|error| self.explained(error))?;
        let GetResultPayload::Stream(stream) = answer.payload else { return Ok(answer) };
        let own = Self { bucket: Arc::clone(&self.bucket), meta: self.meta.clone(), name: self.name.clone() };
        let payload = GetResultPayload::Stream(stream.map_err(move |error| own.explained(error)).boxed());
        Ok(GetResult { payload, ..answer })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult, object_store::Error> {
        Err(only_read("put"))
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>, object_store::Error> {
        Err(only_read("put_multipart"))
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path, object_store::Error>>,
    ) -> BoxStream<'static, Result<Path, object_store::Error>> {
        futures::stream::once(async { Err(only_read("delete")) }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta, object_store::Error>> {
        futures::stream::once(async { Err(only_read("list")) }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult, object_store::Error> {
        Err(only_read("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<(), object_store::Error> {
        Err(only_read("copy"))
    }
}

fn only_read(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}

impl fmt::Display for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
