//! One store, and what it said of late: listings are kept for a few seconds, so that a question does not list twice.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::Error;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{Scheme, failure};

/// How long a listing is good for.
pub(crate) const LISTING_LIFETIME: Duration = Duration::from_secs(5);

/// A store.
pub(crate) struct Bucket {
    scheme: Scheme,
    store: Arc<dyn ObjectStore>,
    secrets: Vec<String>,
    heard: Mutex<HashMap<(Question, Path), Heard>>,
}

/// What was answered, and when it was asked.
type Heard = (Instant, Arc<Listing>);

/// What was asked about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    /// The object itself.
    Single,
    /// What is directly in the folder.
    Level,
    /// All objects below the folder.
    Below,
    /// Any object below the folder.
    Any,
}

/// What a store says is in a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) folders: Vec<Path>,
    pub(super) objects: Vec<ObjectMeta>,
}

impl Bucket {
    pub(super) fn new(scheme: Scheme, store: Arc<dyn ObjectStore>, secrets: Vec<String>) -> Self {
        Self { scheme, store, secrets, heard: Mutex::default() }
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// A library's words, without any secret that this store was given.
    pub(super) fn without_secrets(&self, mut text: String) -> String {
        for secret in &self.secrets {
            text = text.replace(secret, "***");
        }
        text
    }

    /// Forgets all listings: one of them was wrong.
    pub(crate) fn forget(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The object at `key`, if there is one.
    pub(super) async fn single(&self, key: &Path, name: &str) -> Result<Option<ObjectMeta>, Error> {
        let asked = async {
            match self.head(key).await {
                Ok(meta) => Ok(Listing { objects: vec![meta], ..Listing::default() }),
                Err(object_store::Error::NotFound { .. }) => Ok(Listing::default()),
                Err(error) => Err(failure::explained(self, name, &error)),
            }
        };
        let asked = self.ask(Question::Single, key, asked.boxed());
        Ok(asked.await?.objects.first().cloned())
    }

    /// The folders and objects directly in `folder`.
    pub(super) async fn level(&self, folder: &Path, name: &str) -> Result<Arc<Listing>, Error> {
        let asked = async {
            let listed = self.store.list_with_delimiter(Some(folder)).await;
            let listed = listed.map_err(|error| failure::unlisted(self, name, &error))?;
            Ok(Listing { folders: listed.common_prefixes, objects: listed.objects })
        };
        self.ask(Question::Level, folder, asked.boxed()).await
    }

    /// All objects below `folder`.
    pub(super) async fn below(&self, folder: &Path, name: &str) -> Result<Arc<Listing>, Error> {
        let asked = async {
            let objects = self.store.list(Some(folder)).try_collect().await;
            let objects = objects.map_err(|error| failure::unlisted(self, name, &error))?;
            Ok(Listing { objects, ..Listing::default() })
        };
        self.ask(Question::Below, folder, asked.boxed()).await
    }

    /// Whether an object below `folder` is wanted. It asks for no more than it takes to know.
    pub(super) async fn has(
        &self,
        folder: &Path,
        name: &str,
        is_wanted: impl Fn(&Path) -> bool + Send + Sync,
    ) -> Result<bool, Error> {
        let asked = async {
            let mut objects = self.store.list(Some(folder));
            while let Some(meta) = objects.next().await {
                let meta = meta.map_err(|error| failure::unlisted(self, name, &error))?;
                if is_wanted(&meta.location) {
                    return Ok(Listing { objects: vec![meta], ..Listing::default() });
                }
            }
            Ok(Listing::default())
        };
        let found = self.ask(Question::Any, folder, asked.boxed()).await?;
        Ok(!found.objects.is_empty())
    }

    async fn ask(
        &self,
        question: Question,
        path: &Path,
        ask: BoxFuture<'_, Result<Listing, Error>>,
    ) -> Result<Arc<Listing>, Error> {
        let key = (question, path.clone());
        let known = {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.get(&key).filter(|(at, _)| at.elapsed() < LISTING_LIFETIME).map(|(_, known)| Arc::clone(known))
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let asked_at = Instant::now();
        let listing = Arc::new(ask.await?);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|_, (at, _)| at.elapsed() < LISTING_LIFETIME);
        heard.insert(key, (asked_at, Arc::clone(&listing)));
        Ok(listing)
    }

    /// An object's size and version. Over https a URL may be signed for GET alone, or the server may know no HEAD.
    async fn head(&self, key: &Path) -> Result<ObjectMeta, object_store::Error> {
        let error = match self.store.head(key).await {
            Err(error) if self.scheme == Scheme::Http && may_differ_by_method(&error) => error,
            answer => return answer,
        };
        let first_byte = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        match self.store.get_opts(key, first_byte).await {
            Ok(answer) => return Ok(answer.meta),
            Err(object_store::Error::NotSupported { .. }) => {}
            Err(_) => return Err(error),
        }
        // Its body is dropped unread.
        self.store.get_opts(key, GetOptions::default()).await.map(|answer| answer.meta)
    }
}

fn may_differ_by_method(error: &object_store::Error) -> bool {
    use object_store::Error as Store;
    let is_refused =
        matches!(error, Store::NotFound { .. } | Store::PermissionDenied { .. } | Store::Unauthenticated { .. });
    is_refused || error.to_string().contains("Content-Length")
}

impl fmt::Debug for Bucket {
    /// Without the store, which would show its credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}
