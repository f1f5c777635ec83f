//! A YAML file as a tree that keeps each scalar's own text.
//!
//! Types are decided later, by what the place expects: `password: 0123` and `version: 1.10` stay what was written.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::problem::Fault;

/// Nesting that no configuration needs; beyond it a file is refused.
const MAX_DEPTH: usize = 64;
/// Nodes that aliases may add, so that a small file cannot fill the memory.
const MAX_ALIASED: usize = 100_000;

/// One node of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A scalar's own text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// How a scalar was written: only a plain one can be null, and only a substituted one may hold a secret. One whose
/// variable could not be substituted has been reported and is taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    Substituted,
    Unset,
}

impl Node {
    /// A scalar that the program itself writes.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Node::Scalar(Scalar { text: text.into(), style: Style::Quoted })
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Node::Scalar(scalar) if scalar.style == Style::Plain
            && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match self {
            Node::Map(entries) => entries.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Takes a key out of a map.
    pub(crate) fn take(&mut self, key: &str) -> Option<Node> {
        let Node::Map(entries) = self else { return None };
        let at = entries.iter().position(|(name, _)| name == key)?;
        Some(entries.remove(at).1)
    }

    /// Adds a key to a map, unless it is there.
    pub(crate) fn put(&mut self, key: &str, node: Node) {
        if let Node::Map(entries) = self
            && !entries.iter().any(|(name, _)| name == key)
        {
            entries.push((key.to_owned(), node));
        }
    }

    /// The entries of a map; none for any other node.
    pub(crate) fn entries(&self) -> &[(String, Node)] {
        match self {
            Node::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn into_entries(self) -> Vec<(String, Node)> {
        match self {
            Node::Map(entries) => entries,
            _ => Vec::new(),
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Node::Scalar(scalar) if !self.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    fn size(&self) -> usize {
        match self {
            Node::Scalar(_) => 1,
            Node::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Node::Map(entries) => 1 + entries.iter().map(|(_, node)| node.size()).sum::<usize>(),
        }
    }
}

/// Reads one document. An empty file is an empty map.
pub(crate) fn parse(text: &str) -> Result<Node, Fault> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let mark = error.marker();
            Fault::Syntax(format!("line {}, column {}: {}", mark.line(), mark.col() + 1, error.info()))
        })?;
        tree.push(event).map_err(|what| Fault::Syntax(format!("line {}: {what}", span.start.line())))?;
    }
    Ok(match tree.root {
        Some(node) if !node.is_null() => node,
        _ => Node::Map(Vec::new()),
    })
}

/// A list or a map that is not closed yet, with its anchor.
#[derive(Debug)]
enum Open {
    List { anchor: usize, items: Vec<Node> },
    Map { anchor: usize, entries: Vec<(String, Node)>, merged: Vec<Node>, key: Option<String> },
}

#[derive(Debug, Default)]
struct Tree {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    documents: usize,
    root: Option<Node>,
}

impl Tree {
    fn push(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a file holds one document; remove the second \"---\"".to_owned());
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.as_deref().is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                check_tag(tag.as_deref())?;
                let style = if style == ScalarStyle::Plain && !is_text { Style::Plain } else { Style::Quoted };
                self.add(anchor, Node::Scalar(Scalar { text: text.into_owned(), style }))
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref())?;
                self.begin(Open::List { anchor, items: Vec::new() })
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref())?;
                self.begin(Open::Map { anchor, entries: Vec::new(), merged: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { anchor, items }) => self.add(anchor, Node::List(items)),
                Some(Open::Map { anchor, entries, merged, .. }) => self.add(anchor, merge(entries, merged)?),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or("an alias refers to a node that holds it")?;
                self.aliased += node.size();
                if self.aliased > MAX_ALIASED {
                    return Err("the aliases of this file expand to too much".to_owned());
                }
                self.add(0, node)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("the file nests deeper than {MAX_DEPTH} levels"));
        }
        self.open.push(open);
        Ok(())
    }

    fn add(&mut self, anchor: usize, node: Node) -> Result<(), String> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, merged, key, .. }) => match key.take() {
                None => {
                    let Node::Scalar(scalar) = node else { return Err("a key must be a plain word".to_owned()) };
                    if entries.iter().any(|(name, _)| *name == scalar.text) {
                        return Err(format!("the key \"{}\" stands here twice", scalar.text));
                    }
                    *key = Some(scalar.text);
                }
                Some(name) if name == "<<" => match node {
                    Node::List(nodes) => merged.extend(nodes),
                    node => merged.push(node),
                },
                Some(name) => entries.push((name, node)),
            },
        }
        Ok(())
    }
}

/// The entries of a map and, behind them, those of the maps merged by `<<`.
fn merge(entries: Vec<(String, Node)>, merged: Vec<Node>) -> Result<Node, String> {
    let mut map = Node::Map(entries);
    for node in merged {
        let Node::Map(more) = node else { return Err("\"<<\" merges maps only".to_owned()) };
        for (name, node) in more {
            map.put(&name, node);
        }
    }
    Ok(map)
}

fn check_tag(tag: Option<&Tag>) -> Result<(), String> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Err(format!("the tag \"{}\" has no meaning here", tag.original())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_keep_the_text_that_was_written() {
        let node = parse("password: 0123\nversion: 1.10\nname: 'no'\nempty:\n").unwrap();
        assert_eq!(node.get("password").unwrap().as_text(), Some("0123"));
        assert_eq!(node.get("version").unwrap().as_text(), Some("1.10"));
        assert_eq!(node.get("name").unwrap().as_text(), Some("no"));
        assert!(node.get("empty").unwrap().is_null());
    }

    #[test]
    fn aliases_and_merge_keys_are_expanded_and_own_keys_win() {
        let node = parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n").unwrap();
        let b = node.get("b").unwrap();
        assert_eq!(b.get("x").unwrap().as_text(), Some("1"));
        assert_eq!(b.get("y").unwrap().as_text(), Some("3"));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_with_its_line() {
        let fault = parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(fault.to_string(), "this is not valid YAML: line 3: the key \"a\" stands here twice");
    }

    #[test]
    fn aliases_cannot_fill_the_memory() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let items = vec![format!("*a{}", level - 1); 10].join(",");
            text += &format!("a{level}: &a{level} [{items}]\n");
        }
        assert!(parse(&text).is_err());
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        assert_eq!(parse("").unwrap(), Node::Map(Vec::new()));
        assert_eq!(parse("# nothing\n").unwrap(), Node::Map(Vec::new()));
    }
}
