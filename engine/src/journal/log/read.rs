//! Reading a log, and checking that nobody has changed it.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::chain::{self, Link};
use super::{Asked, Ended, Event, Line};

/// A log that was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Lines that hang together.
    pub lines: u64,
    /// What does not; empty = nobody has changed the log.
    pub broken: Vec<Broken>,
}

/// A place at which a log was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1 on.
    pub line: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// The numbers of the segments, in order.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

pub(super) fn segment_path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("{segment:08}.jsonl"))
}

/// How a segment ends.
pub(super) struct Tail {
    pub(super) seq: u64,
    pub(super) link: Link,
    /// Whether its last line was cut off.
    pub(super) is_torn: bool,
}

/// The end of a segment: that of its last whole line.
pub(super) fn tail(path: &Path) -> io::Result<Tail> {
    const NEAR: u64 = 256 << 10;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut from = length.saturating_sub(NEAR);
    loop {
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let is_torn = bytes.last().is_some_and(|last| *last != b'\n');
        let text = String::from_utf8_lossy(&bytes);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        if let Some((line, link)) = whole.lines().rev().find_map(chain::parse) {
            return Ok(Tail { seq: line.seq, link, is_torn });
        }
        if from == 0 {
            return Ok(Tail { seq: 0, link: Link::default(), is_torn });
        }
        // A line may be longer.
        from = from.saturating_sub(length.saturating_sub(from).saturating_mul(4));
    }
}

/// Every line of the log in `folder`, in order. What is no line is left out.
///
/// # Errors
/// Where the folder or a segment cannot be read.
pub fn read(folder: &Path, mut each: impl FnMut(Line)) -> io::Result<()> {
    segments(folder)?.into_iter().try_for_each(|segment| read_segment(folder, segment, &mut each))
}

fn read_segment(folder: &Path, segment: u64, each: &mut impl FnMut(Line)) -> io::Result<()> {
    let mut lines = BufReader::new(File::open(segment_path(folder, segment))?);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes)? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((line, _)) = chain::parse(text.trim_end_matches('\n')) {
            each(line);
        }
        bytes.clear();
    }
    Ok(())
}

/// The latest `count` queries, the oldest first. Only as many segments are read as hold them.
pub(super) fn latest(folder: &Path, count: usize) -> io::Result<Vec<(Asked, Option<Ended>)>> {
    let mut ends: HashMap<String, Ended> = HashMap::new();
    let mut found: VecDeque<(Asked, Option<Ended>)> = VecDeque::new();
    for segment in segments(folder)?.into_iter().rev() {
        let mut asked = Vec::new();
        read_segment(folder, segment, &mut |line| match line.event {
            Event::Asked(query) => asked.push(query),
            Event::Ended(end) => drop(ends.insert(end.query_id.clone(), end)),
            _ => {}
        })?;
        for query in asked.into_iter().rev() {
            let end = ends.remove(&query.query_id);
            found.push_front((query, end));
        }
        if found.len() >= count {
            break;
        }
    }
    let too_many = found.len().saturating_sub(count);
    Ok(found.into_iter().skip(too_many).collect())
}

/// Checks that the log in `folder` is as it was written with `key`: no line changed, added or taken out, none cut off at its end.
/// Where it begins is where the oldest segment that was kept begins.
///
/// # Errors
/// Where the folder or a segment cannot be read.
pub fn verify(folder: &Path, key: &[u8; 32]) -> io::Result<Verified> {
    let mut verified = Verified::default();
    let mut end: Option<(u64, Link)> = None;
    let head = chain::read_head(folder, key);
    let mut has_head = false;
    let segments = segments(folder)?;
    for segment in &segments {
        let path = segment_path(folder, *segment);
        let mut lines = BufReader::new(File::open(&path)?);
        let (mut bytes, mut number, mut was_torn) = (Vec::new(), 0, false);
        while lines.read_until(b'\n', &mut bytes)? > 0 {
            number += 1;
            let mut break_at = |what| verified.broken.push(Broken { file: path.clone(), line: number, what });
            let is_whole = bytes.ends_with(b"\n");
            let text = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
            bytes.clear();
            let Some((line, link)) = chain::parse(&text) else {
                // A line that a crash has cut off is followed by one that says so, or by nothing.
                was_torn = true;
                if is_whole {
                    continue;
                }
                break;
            };
            if std::mem::take(&mut was_torn) && line.event != Event::Mended {
                break_at("the line before this one is no line of the log");
            }
            let before = match (&line.event, end) {
                (_, Some((_, before))) => Some(before),
                (Event::Continued { link }, None) => Link::read(link),
                _ => None,
            };
            match before {
                Some(before) if chain::follows(&text, before, key) => verified.lines += 1,
                Some(_) => break_at("this line, or the one before it, was changed, added or taken out"),
                None => break_at("the log does not begin here"),
            }
            if end.is_some_and(|(seq, _)| seq + 1 != line.seq) {
                break_at("lines are missing before this one");
            }
            has_head |= head.is_ok_and(|head| head.is_some_and(|head| head.seq == line.seq && head.link == link));
            end = Some((line.seq, link));
        }
        if was_torn && segments.last() != Some(segment) {
            verified.broken.push(Broken { file: path, line: number, what: "the last line is no line of the log" });
        }
    }
    let last = segments.last().map(|segment| segment_path(folder, *segment)).unwrap_or_else(|| folder.to_owned());
    match head {
        Ok(None) => {}
        Ok(Some(_)) if has_head => {}
        Ok(Some(_)) => verified.broken.push(Broken { file: last, line: 0, what: "lines at the end are missing" }),
        Err(()) => verified.broken.push(Broken { file: last, line: 0, what: "head.json is not the one of this log" }),
    }
    Ok(verified)
}
