//! How lines hang together: each ends with a hash of itself and of the hash before, made with a key.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Line;

/// The hash that a line ends with; the empty one stands before the first line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Link(Option<blake3::Hash>);

/// What stands before the hash of a line: the line is JSON with it and without it.
const BEFORE: &str = ",\"link\":\"";
const AFTER: &str = "\"}\n";
const HEX: usize = 2 * blake3::OUT_LEN;
const HEAD: &str = "head.json";

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |hash| f.write_str(&hash.to_hex()))
    }
}

impl Link {
    /// The link that is written as `text`.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        Some(Self(Some(blake3::Hash::from_hex(text).ok()?)))
    }

    fn after(self, body: &str, key: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(&self.0.map_or([0; blake3::OUT_LEN], blake3::Hash::into));
        hasher.update(body.as_bytes());
        Self(Some(hasher.finalize()))
    }
}

/// A line as it is written after `link`, and its own link.
pub(super) fn forge(line: &Line, link: Link, key: &[u8; 32]) -> io::Result<(String, Link)> {
    let body = serde_json::to_string(line)?;
    let link = link.after(&body, key);
    let open = body.strip_suffix('}').unwrap_or(&body);
    Ok((format!("{open}{BEFORE}{link}{AFTER}"), link))
}

/// A line that was written, and the link that it ends with. None where it is none.
pub(super) fn parse(text: &str) -> Option<(Line, Link)> {
    let (body, link) = split(text)?;
    Some((serde_json::from_str(&body).ok()?, link))
}

/// Whether the line ends with the link that follows `before`.
pub(super) fn follows(text: &str, before: Link, key: &[u8; 32]) -> bool {
    // Comparing two `blake3::Hash`es takes the same time wherever they differ.
    split(text).is_some_and(|(body, link)| before.after(&body, key) == link)
}

fn split(text: &str) -> Option<(String, Link)> {
    let rest = text.strip_suffix(AFTER.trim_end())?;
    let (open, hex) = rest.split_at_checked(rest.len().checked_sub(HEX)?)?;
    let open = open.strip_suffix(BEFORE)?;
    Some((format!("{open}}}"), Link::read(hex)?))
}

/// The last line that is on the disk for sure: a log that ends before it was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) link: Link,
}

#[derive(Serialize, Deserialize)]
struct Written {
    seq: u64,
    link: String,
    seal: String,
}

fn seal(seq: u64, link: &str, key: &[u8; 32]) -> String {
    blake3::keyed_hash(key, format!("head {seq} {link}").as_bytes()).to_hex().to_string()
}

pub(super) fn write_head(folder: &Path, head: &Head, key: &[u8; 32]) -> io::Result<()> {
    let link = head.link.to_string();
    let written = Written { seq: head.seq, seal: seal(head.seq, &link, key), link };
    let draft = folder.join(format!("{HEAD}.{}.new", std::process::id()));
    let mut file = super::private().write(true).create(true).truncate(true).open(&draft)?;
    file.write_all(&serde_json::to_vec(&written)?)?;
    // Another process may be further already.
    if read_head(folder, key).ok().flatten().is_some_and(|known| known.seq > head.seq) {
        return fs::remove_file(draft);
    }
    fs::rename(draft, folder.join(HEAD))
}

/// The head of a log; None where it has none yet.
///
/// # Errors
/// Where it is there and nobody with the key has written it.
pub(super) fn read_head(folder: &Path, key: &[u8; 32]) -> Result<Option<Head>, ()> {
    let Ok(text) = fs::read(folder.join(HEAD)) else { return Ok(None) };
    let written: Written = serde_json::from_slice(&text).map_err(drop)?;
    let link = Link::read(&written.link).ok_or(())?;
    let is_ours = seal(written.seq, &written.link, key) == written.seal;
    if is_ours { Ok(Some(Head { seq: written.seq, link })) } else { Err(()) }
}
