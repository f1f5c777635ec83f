//! A file of a store as bytes in a row, for readers that block: it is fetched in parts, the next one ahead of its use.
//!
//! Parts keep requests short, however slowly the rows are taken. It must be read on a thread that may block.

use std::io::{self, Read};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use engine::Error;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::steady::Interrupted;
use super::{Steady, Stored};

/// Bytes of one part.
const PART: u64 = 4 << 20;

type Fetched = Result<Bytes, object_store::Error>;

/// A file that is being read.
pub(crate) struct Reading {
    steady: Arc<Steady>,
    interrupted: Interrupted,
    handle: Handle,
    /// What was fetched and not yet taken.
    part: Bytes,
    /// Where the part behind the one that is being fetched begins.
    next: u64,
    ahead: JoinSet<Fetched>,
    /// The rest of a file whose server sends no parts.
    whole: Option<BoxStream<'static, Fetched>>,
}

impl Reading {
    /// Begins to read the file `name`. Nothing is fetched before the first read.
    pub(crate) fn new(name: &str, stored: &Stored) -> Self {
        Self {
            steady: Arc::new(stored.steady(name)),
            interrupted: stored.interrupted(),
            handle: Handle::current(),
            part: Bytes::new(),
            next: 0,
            ahead: JoinSet::new(),
            whole: None,
        }
    }

    fn fetch_ahead(&mut self) {
        let (from, size) = (self.next, self.steady.size());
        if from < size {
            self.next = size.min(from + PART);
            let (steady, range) = (Arc::clone(&self.steady), from..self.next);
            let fetch = async move {
                let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
                steady.get_opts(&Path::ROOT, options).await?.bytes().await
            };
            self.ahead.spawn_on(fetch, &self.handle);
        }
    }

    /// The next bytes; none at the end.
    fn fetched(&mut self) -> Result<Option<Bytes>, object_store::Error> {
        if let Some(whole) = &mut self.whole {
            return self.handle.block_on(whole.next()).transpose();
        }
        if self.ahead.is_empty() {
            self.fetch_ahead();
        }
        let is_first = self.next <= PART;
        let fetched = match self.handle.block_on(self.ahead.join_next()) {
            None => return Ok(None),
            Some(fetched) => fetched.map_err(object_store::Error::from)?,
        };
        match fetched {
            Err(object_store::Error::NotSupported { .. }) if is_first => {
                let opened = self.handle.block_on(self.steady.get_opts(&Path::ROOT, GetOptions::default()))?;
                self.whole = Some(opened.into_stream());
                self.fetched()
            }
            Err(error) => Err(error),
            Ok(bytes) => {
                self.fetch_ahead();
                Ok(Some(bytes))
            }
        }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.fetched() {
                Ok(Some(bytes)) => self.part = bytes,
                Ok(None) => return Ok(0),
                Err(error) => {
                    *self.interrupted.lock().unwrap_or_else(PoisonError::into_inner) = Error::within(&error);
                    return Err(io::Error::other(error.to_string()));
                }
            }
        }
        let taken = buffer.len().min(self.part.len());
        buffer[..taken].copy_from_slice(&self.part.split_to(taken));
        Ok(taken)
    }
}
