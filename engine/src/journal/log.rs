//! The journal on disk: one line of JSON for each thing that happened, each chained to the one before by a keyed hash.
//!
//! A line is written before the first row of its query leaves, so a killed process loses none; it is on the disk a fifth of a
//! second later. Several processes may write one log: they take turns by a lock on a file.

mod chain;
mod read;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::receipt::{Receipt, Settings};
use crate::{Code, Error};
use chain::Link;

pub use read::{Broken, Verified, read, verify};

/// What was written is on the disk after so long.
const SYNC_EVERY: Duration = Duration::from_millis(200);
/// A segment is followed by another when it is as long as this.
const SEGMENT_BYTES: u64 = 16 << 20;
const LOCK: &str = "lock";

/// How a log is kept.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The folder of the log.
    pub folder: PathBuf,
    /// The key of its chain: without it nobody can write a line that fits.
    pub key: [u8; 32],
    /// Lines older than this are deleted, a segment at a time.
    pub keep_for: Duration,
    /// With more bytes than these, the oldest are deleted.
    pub keep_bytes: u64,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A query was let through to its sources, or was refused before.
    Asked(Asked),
    /// A segment goes on where another one ended.
    Continued {
        /// The last link of the segment before; the empty one of the first.
        link: String,
    },
    /// A query ended.
    Ended(Ended),
    /// The line before was cut off by a crash.
    Mended,
}

/// Who asked what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of system.queries")]
pub struct Asked {
    pub query_id: String,
    pub principal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    pub door: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    pub tool: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    pub kind: String,
    pub sql: String,
    #[serde(default, flatten)]
    pub settings: Settings,
    /// Whether values were left out, so that it cannot be asked again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
    pub datasets: Vec<String>,
    pub policies: Vec<String>,
    pub started_at: DateTime<Utc>,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of system.queries")]
pub struct Ended {
    pub query_id: String,
    pub outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub rows: u64,
    pub bytes: u64,
    pub truncated: bool,
    pub source_rows: u64,
    pub source_bytes: u64,
    pub planning_ms: f64,
    pub execution_ms: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 1 on without a gap.
    pub seq: u64,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The journal on disk. Clones share it.
#[derive(Debug, Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: LogOptions,
    lock: File,
    end: Mutex<Option<End>>,
}

/// Where the log ends, as this process knows it.
#[derive(Debug)]
struct End {
    segment: u64,
    file: File,
    bytes: u64,
    seq: u64,
    link: Link,
    is_unsynced: bool,
}

impl Log {
    /// Opens the log in its folder, and makes it where there is none.
    ///
    /// # Errors
    /// `internal` where the folder cannot be written.
    pub fn open(options: LogOptions) -> Result<Self, Error> {
        let made = || -> io::Result<File> {
            std::fs::create_dir_all(&options.folder)?;
            private().create(true).truncate(false).write(true).open(options.folder.join(LOCK))
        };
        let lock = made().map_err(|error| unwritable(&options.folder, error))?;
        let shared = Arc::new(Shared { options, lock, end: Mutex::new(None) });
        let synced = Arc::downgrade(&shared);
        let spawned = std::thread::Builder::new().name("weft-audit".to_owned()).spawn(move || follow(&synced));
        spawned.map_err(|error| unwritable(&shared.options.folder, error))?;
        Ok(Self { shared })
    }

    /// The latest `count` queries of the log, the oldest first, each with its end where it has one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn latest(&self, count: usize) -> io::Result<Vec<(Asked, Option<Ended>)>> {
        read::latest(&self.shared.options.folder, count)
    }

    /// Writes down what happened: it is in the file when this returns.
    ///
    /// # Errors
    /// `internal` where it cannot be written, such as on a full disk.
    pub(crate) fn write(&self, event: Event) -> Result<(), Error> {
        self.shared.write(event).map_err(|error| unwritable(&self.shared.options.folder, error))
    }
}

fn unwritable(folder: &Path, error: io::Error) -> Error {
    Error::new(Code::Internal, "The audit log cannot be written, and without it nothing is answered.")
        .hint("An administrator finds the reason in the server's log.")
        // Where it is, is nothing for callers.
        .cause(io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
}

/// Files that only their owner reads.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl Shared {
    fn write(&self, event: Event) -> io::Result<()> {
        let mut end = self.end();
        self.lock.lock()?;
        let written = self.write_locked(&mut end, event);
        self.lock.unlock()?;
        if written.is_err() {
            // Where it ends is read again next time: a part of the line may be there.
            *end = None;
        }
        written
    }

    fn write_locked(&self, end: &mut Option<End>, event: Event) -> io::Result<()> {
        let folder = &self.options.folder;
        let is_known = match &*end {
            // Another process may have written, or begun the next segment.
            Some(end) => {
                end.file.metadata()?.len() == end.bytes && !read::segment_path(folder, end.segment + 1).exists()
            }
            None => false,
        };
        if !is_known {
            *end = Some(self.find_end()?);
        }
        let Some(known) = end else { return Ok(()) };
        if known.bytes >= SEGMENT_BYTES {
            known.file.sync_data()?;
            *known = begin(folder, known.segment + 1, known.seq, known.link, &self.options.key)?;
            sweep(&self.options)?;
        }
        known.append(event, &self.options.key)
    }

    /// Where the log ends now. A line that a crash has cut off is closed, and told.
    fn find_end(&self) -> io::Result<End> {
        let LogOptions { folder, key, .. } = &self.options;
        let Some(segment) = read::segments(folder)?.pop() else { return begin(folder, 1, 0, Link::default(), key) };
        let path = read::segment_path(folder, segment);
        let tail = read::tail(&path)?;
        let mut file = private().append(true).open(&path)?;
        if tail.is_torn {
            file.write_all(b"\n")?;
        }
        let bytes = file.metadata()?.len();
        let mut end = End { segment, file, bytes, seq: tail.seq, link: tail.link, is_unsynced: true };
        if tail.is_torn {
            end.append(Event::Mended, key)?;
        }
        Ok(end)
    }

    fn sync(&self) -> io::Result<()> {
        let mut known = self.end();
        let Some(end) = known.as_mut().filter(|end| end.is_unsynced) else { return Ok(()) };
        let file = end.file.try_clone()?;
        let head = chain::Head { seq: end.seq, link: end.link };
        end.is_unsynced = false;
        // Nobody waits for the disk.
        drop(known);
        file.sync_data()?;
        chain::write_head(&self.options.folder, &head, &self.options.key)
    }

    fn end(&self) -> MutexGuard<'_, Option<End>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A process that ends in order leaves nothing to the system.
        let _ = self.sync();
    }
}

impl End {
    fn append(&mut self, event: Event, key: &[u8; 32]) -> io::Result<()> {
        let line = Line { seq: self.seq + 1, at: Utc::now(), event };
        let (text, link) = chain::forge(&line, self.link, key)?;
        self.file.write_all(text.as_bytes())?;
        self.bytes += text.len() as u64;
        self.seq = line.seq;
        self.link = link;
        self.is_unsynced = true;
        Ok(())
    }
}

/// Begins a segment after `link`.
fn begin(folder: &Path, segment: u64, seq: u64, link: Link, key: &[u8; 32]) -> io::Result<End> {
    let path = read::segment_path(folder, segment);
    let file = private().append(true).create_new(true).open(path)?;
    let mut end = End { segment, file, bytes: 0, seq, link, is_unsynced: true };
    end.append(Event::Continued { link: link.to_string() }, key)?;
    // Its name is on the disk as well.
    File::open(folder)?.sync_all()?;
    Ok(end)
}

/// Deletes the oldest segments: those that are too old, and those that are too much.
fn sweep(options: &LogOptions) -> io::Result<()> {
    let mut segments = read::segments(&options.folder)?;
    // The last one is being written.
    segments.pop();
    let mut bytes = SEGMENT_BYTES;
    for segment in segments.iter().rev() {
        let path = read::segment_path(&options.folder, *segment);
        let metadata = std::fs::metadata(&path)?;
        bytes += metadata.len();
        let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
        if bytes > options.keep_bytes || age > options.keep_for {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Brings what was written to the disk, as long as the log is open.
fn follow(log: &Weak<Shared>) {
    const SWEEP_EVERY: u32 = 5 * 3600;
    let mut ticks = 0_u32;
    loop {
        std::thread::sleep(SYNC_EVERY);
        let Some(log) = log.upgrade() else { return };
        let mut done = log.sync();
        if ticks.is_multiple_of(SWEEP_EVERY) {
            done =
                done.and_then(|()| log.lock.lock()).and_then(|()| sweep(&log.options)).and_then(|()| log.lock.unlock());
        }
        if let Err(error) = done {
            tracing::error!(cause = %error, "The audit log cannot be brought to the disk.");
        }
        ticks = ticks.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn options(folder: &Path) -> LogOptions {
        let keep_for = Duration::from_secs(3600);
        LogOptions { folder: folder.to_owned(), key: KEY, keep_for, keep_bytes: u64::MAX }
    }

    fn asked(sql: &str) -> Event {
        Event::Asked(Asked { query_id: "q".to_owned(), sql: sql.to_owned(), ..Asked::default() })
    }

    fn ended() -> Event {
        Event::Ended(Ended { query_id: "q".to_owned(), outcome: "completed".to_owned(), ..Ended::default() })
    }

    fn texts(folder: &Path) -> Vec<String> {
        let mut texts = Vec::new();
        read(folder, |line| match line.event {
            Event::Asked(asked) => texts.push(asked.sql),
            Event::Ended(ended) => texts.push(ended.outcome),
            Event::Continued { .. } => texts.push("continued".to_owned()),
            Event::Mended => texts.push("mended".to_owned()),
        })
        .unwrap();
        texts
    }

    fn broken(folder: &Path) -> Vec<&'static str> {
        verify(folder, &KEY).unwrap().broken.into_iter().map(|broken| broken.what).collect()
    }

    fn segment(folder: &Path) -> PathBuf {
        read::segment_path(folder, 1)
    }

    #[test]
    fn what_is_written_is_read_and_hangs_together_also_by_turns() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Log::open(options(folder.path())).unwrap(), Log::open(options(folder.path())).unwrap());
        one.write(asked("a")).unwrap();
        other.write(asked("b \"quoted\" \n")).unwrap();
        one.write(ended()).unwrap();
        drop((one, other));
        Log::open(options(folder.path())).unwrap().write(asked("c")).unwrap();
        assert_eq!(texts(folder.path()), ["continued", "a", "b \"quoted\" \n", "completed", "c"]);
        assert_eq!(verify(folder.path(), &KEY).unwrap(), Verified { lines: 5, broken: Vec::new() });
        assert!(!verify(folder.path(), &[8; 32]).unwrap().broken.is_empty(), "by another key");
    }

    #[test]
    fn what_was_changed_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(options(folder.path())).unwrap();
        for sql in ["one", "two", "three"] {
            log.write(asked(sql)).unwrap();
        }
        drop(log);
        let path = segment(folder.path());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let with = |lines: Vec<&str>| {
            std::fs::write(&path, lines.join("\n") + "\n").unwrap();
            broken(folder.path())
        };
        assert!(with(lines.clone()).is_empty());
        let changed = lines[2].replace("two", "TWO");
        assert!(!with(vec![lines[0], lines[1], &changed, lines[3]]).is_empty(), "a value");
        assert!(!with(vec![lines[0], lines[2], lines[3]]).is_empty(), "taken out");
        assert!(!with(vec![lines[0], lines[2], lines[1], lines[3]]).is_empty(), "in another order");
        assert!(!with(vec![lines[0], lines[1], lines[1], lines[2], lines[3]]).is_empty(), "twice");
        assert!(!with(vec![lines[1], lines[2], lines[3]]).is_empty(), "the beginning");
        assert_eq!(with(lines[..3].to_vec()), ["lines at the end are missing"]);
        assert!(!with(vec!["nonsense", lines[0], lines[1], lines[2], lines[3]]).is_empty(), "something else");
    }

    #[test]
    fn a_line_that_a_crash_has_cut_off_costs_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(options(folder.path())).unwrap();
        log.write(asked("one")).unwrap();
        drop(log);
        let mut file = OpenOptions::new().append(true).open(segment(folder.path())).unwrap();
        file.write_all(b"{\"seq\":3,\"at\":\"2026").unwrap();
        assert!(broken(folder.path()).is_empty(), "nobody has changed anything");
        Log::open(options(folder.path())).unwrap().write(asked("two")).unwrap();
        assert_eq!(texts(folder.path()), ["continued", "one", "mended", "two"]);
        assert!(broken(folder.path()).is_empty());
    }

    #[test]
    fn old_segments_go_and_the_rest_hangs_together() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(LogOptions { keep_bytes: 3 * SEGMENT_BYTES, ..options(folder.path()) }).unwrap();
        let long = "x".repeat(1 << 20);
        for _ in 0..80 {
            log.write(asked(&long)).unwrap();
        }
        drop(log);
        let kept = read::segments(folder.path()).unwrap();
        assert!(kept.len() <= 3 && kept.first().is_some_and(|first| *first > 1), "{kept:?}");
        assert!(broken(folder.path()).is_empty());
        std::fs::remove_file(read::segment_path(folder.path(), kept[1])).unwrap();
        assert!(!broken(folder.path()).is_empty(), "one in the middle");
    }
}
