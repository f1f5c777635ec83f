//! Where each key path of a file stands, so that a problem can be told with its line.

use std::collections::{BTreeMap, HashMap};

use serde_saphyr::granit_parser::{Event, Parser};

use super::interpolate::join;

/// The lines of one file by key path, such as `rules[0].rows`.
#[derive(Debug, Default)]
pub(crate) struct Lines(HashMap<String, usize>);

/// A list or a map that is being read.
enum Open {
    List { at: String, items: usize },
    Map { at: String, key: Option<String> },
}

impl Open {
    /// The path of the value that comes next; None where a key comes next.
    fn next(&self) -> Option<String> {
        match self {
            Open::List { at, items } => Some(format!("{at}[{items}]")),
            Open::Map { at, key } => key.as_ref().map(|key| join(at, key)),
        }
    }

    fn took_value(&mut self) {
        match self {
            Open::List { items, .. } => *items += 1,
            Open::Map { key, .. } => *key = None,
        }
    }
}

impl Lines {
    /// The lines of a file. Where it is broken they end.
    pub(crate) fn of(text: &str) -> Self {
        let mut lines = HashMap::new();
        let mut open: Vec<Open> = Vec::new();
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            let line = span.start.line();
            let at = open.last().map_or(Some(String::new()), Open::next);
            let mut took_value = false;
            match (event, at) {
                (Event::Scalar(text, ..), None) => {
                    if let Some(Open::Map { at, key }) = open.last_mut() {
                        lines.entry(join(at, &text)).or_insert(line);
                        *key = Some(text.into_owned());
                    }
                }
                (Event::Scalar(..) | Event::Alias(..), at) => {
                    at.map(|at| lines.entry(at).or_insert(line));
                    took_value = true;
                }
                (Event::SequenceStart(..), at) => {
                    let at = at.unwrap_or_default();
                    lines.entry(at.clone()).or_insert(line);
                    open.push(Open::List { at, items: 0 });
                }
                (Event::MappingStart(..), at) => {
                    let at = at.unwrap_or_default();
                    lines.entry(at.clone()).or_insert(line);
                    open.push(Open::Map { at, key: None });
                }
                (Event::SequenceEnd | Event::MappingEnd, _) => {
                    open.pop();
                    took_value = true;
                }
                _ => {}
            }
            if took_value && let Some(around) = open.last_mut() {
                around.took_value();
            }
        }
        Self(lines)
    }

    /// The lines of what stands below a key, each by its path from there; that of the key itself is `""`.
    pub(crate) fn below(&self, key: &str) -> BTreeMap<String, usize> {
        let part = |path: &str| Some(path.strip_prefix(key)?.trim_start_matches('.').to_owned());
        let is_below = |path: &str| path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let below = self.0.iter().filter(|(path, _)| is_below(path));
        below.filter_map(|(path, line)| Some((part(path)?, *line))).collect()
    }

    /// The line of a key path, else that of what holds it. A key that is missing stands nowhere.
    pub(crate) fn line(&self, key: &str) -> Option<usize> {
        let ends = key.char_indices().filter(|(_, char)| matches!(char, '.' | '[')).map(|(at, _)| at);
        let mut ends: Vec<usize> = ends.chain([key.len()]).collect();
        ends.reverse();
        ends.into_iter().find_map(|end| self.0.get(&key[..end]).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_item_has_its_line() {
        let text =
            "a: 1\nrules:\n  - name: one\n    rows: \"x\"\n  - {name: two, masks: {b: c}}\nlist:\n- 1\n- [2,\n   3]\n";
        let lines = Lines::of(text);
        for (key, line) in [
            ("a", Some(1)),
            ("rules", Some(2)),
            ("rules[0]", Some(3)),
            ("rules[0].rows", Some(4)),
            ("rules[1].masks.b", Some(5)),
            ("rules[1].table", Some(5)),
            ("list[0]", Some(7)),
            ("list[1][1]", Some(9)),
            ("nothing", None),
            ("", Some(1)),
        ] {
            assert_eq!(lines.line(key), line, "{key}");
        }
    }

    #[test]
    fn a_broken_file_has_the_lines_before_the_break() {
        assert_eq!(Lines::of("a: 1\nb: [\n").line("a"), Some(1));
    }
}
