//! What Tab offers: columns of the tables in the statement, tables, datasets, functions, keywords, and commands.

use std::collections::HashSet;

use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::command::COMMANDS;
use super::keywords::KEYWORDS;
use super::lexer::{Kind, Token, tokens};
use super::mentions::{Mention, mentions, unquoted};
use super::names::Names;
use crate::cli::format;

/// Offers names for what is being typed.
pub(super) struct Completion {
    names: Names,
    default_dataset: super::DefaultDataset,
}

/// Something to offer: what is inserted, what it is, and whether typing goes on right behind it.
struct Offer {
    value: String,
    what: String,
    is_open: bool,
}

impl Offer {
    fn new(value: impl Into<String>, what: impl Into<String>) -> Self {
        Self { value: value.into(), what: what.into(), is_open: false }
    }

    fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    fn into_suggestion(self, span: Span) -> Suggestion {
        Suggestion {
            value: self.value,
            description: Some(self.what),
            span,
            append_whitespace: !self.is_open,
            ..Suggestion::default()
        }
    }
}

/// The name that the cursor is at the end of: `a.b.pre`.
struct Typed {
    parents: Vec<String>,
    /// The last part as it is written, with its quote.
    prefix: String,
    /// Where the whole name begins.
    start: usize,
}

impl Completion {
    /// Offers `names`.
    pub(super) fn new(names: Names, default_dataset: super::DefaultDataset) -> Self {
        Self { names, default_dataset }
    }

    fn offers(&self, line: &str, typed: &Typed, before: &[Token]) -> Vec<Offer> {
        let mentions = mentions(line);
        if !typed.parents.is_empty() {
            return self.below(&typed.parents, &mentions);
        }
        let word = before.iter().rfind(|token| !token.is_blank()).map(|token| token.text(line).to_ascii_uppercase());
        let wants_table = matches!(word.as_deref(), Some("FROM" | "JOIN"));
        let mut offers = Vec::new();
        if !wants_table {
            offers.extend(mentions.iter().flat_map(|mention| self.columns(mention)));
            offers
                .extend(mentions.iter().filter_map(|mention| Some(Offer::new(mention.alias.clone()?, "alias").open())));
        }
        offers.extend(self.default_dataset.get().iter().flat_map(|dataset| self.tables(dataset)));
        offers.extend(self.names.datasets().into_iter().map(|id| Offer::new(quoted(&id), "dataset").open()));
        if !wants_table && !typed.prefix.is_empty() {
            let functions = self.names.functions().into_iter();
            offers.extend(functions.map(|name| Offer::new(format!("{name}("), "function").open()));
            let is_lower = typed.prefix.chars().all(|letter| !letter.is_uppercase());
            offers.extend(
                KEYWORDS
                    .iter()
                    .map(|word| Offer::new(if is_lower { word.to_lowercase() } else { (*word).to_owned() }, "keyword")),
            );
        }
        offers
    }

    /// What may stand behind `parents` and a dot.
    fn below(&self, parents: &[String], mentions: &[Mention]) -> Vec<Offer> {
        let mut offers = Vec::new();
        if let [name] = parents {
            let named = mentions.iter().filter(|mention| mention.is_called(name));
            offers.extend(named.flat_map(|mention| self.columns(mention)));
        }
        if offers.is_empty() {
            let path = Mention { path: parents.to_vec(), alias: None };
            offers.extend(self.columns(&path));
        }
        if let Some(dataset) = parents.first() {
            match &parents[1..] {
                [] => offers.extend(self.tables(dataset)),
                // Tables of the first schema are listed without it.
                [schema] => offers.extend(self.tables(dataset).into_iter().filter(|_| schema == "public")),
                _ => {}
            }
        }
        offers
    }

    fn tables(&self, dataset: &str) -> Vec<Offer> {
        let tables = self.names.tables(dataset);
        tables.iter().map(|table| Offer::new(quoted(&table.table), "table")).collect()
    }

    /// The columns of a table in the statement.
    fn columns(&self, mention: &Mention) -> Vec<Offer> {
        let default = self.default_dataset.get();
        let (dataset, table) = match mention.path.as_slice() {
            [table] => (default.as_deref(), table.clone()),
            [dataset, table] => (Some(dataset.as_str()), table.clone()),
            [dataset, schema, table] if schema == "public" => (Some(dataset.as_str()), table.clone()),
            [dataset, schema, table] => (Some(dataset.as_str()), format!("{schema}.{table}")),
            _ => return Vec::new(),
        };
        let Some(dataset) = dataset else { return Vec::new() };
        let tables = self.names.tables(dataset);
        let columns = tables.iter().filter(|known| known.table == table).flat_map(|known| &known.columns);
        columns.map(|(column, data_type)| Offer::new(quoted(column), data_type)).collect()
    }

    fn of_command(&self, line: &str) -> Vec<Suggestion> {
        let Some(at) = line.find(char::is_whitespace) else {
            let span = Span::new(0, line.len());
            let offers = COMMANDS.iter().filter(|(name, _, _)| name.starts_with(line));
            return offers.map(|(name, _, what)| Offer::new(*name, *what).into_suggestion(span)).collect();
        };
        let start = at + line[at..].len() - line[at..].trim_start().len();
        let (argument, span) = (&line[start..], Span::new(start, line.len()));
        let offers: Vec<Offer> = match (&line[..at], argument.split_once('.')) {
            ("\\d", Some((dataset, _))) => {
                let tables = self.tables(dataset).into_iter();
                tables.map(|table| Offer::new(format!("{dataset}.{}", table.value), table.what)).collect()
            }
            ("\\d" | "\\use", None) => {
                self.names.datasets().into_iter().map(|id| Offer::new(id, "dataset").open()).collect()
            }
            ("\\format", None) => format::names().into_iter().map(|name| Offer::new(name, "format")).collect(),
            _ => Vec::new(),
        };
        let matching = offers.into_iter().filter(|offer| offer.value.starts_with(argument));
        matching.map(|offer| offer.into_suggestion(span)).collect()
    }
}

impl Completer for Completion {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        let before = &line[..position];
        if before.starts_with('\\') {
            return CompletionResult::fresh(self.of_command(before));
        }
        let tokens = tokens(before);
        let Some(typed) = typed(before, &tokens) else { return CompletionResult::fresh(Vec::new()) };
        let behind = tokens.partition_point(|token| token.at.end <= typed.start);
        let mut seen = HashSet::new();
        let wanted = unquoted(&typed.prefix).to_lowercase();
        let offers = self.offers(line, &typed, &tokens[..behind]).into_iter();
        let offers = offers
            .filter(|offer| unquoted(&offer.value).to_lowercase().starts_with(&wanted))
            .filter(|offer| seen.insert(offer.value.to_lowercase()));
        let span = Span::new(position - typed.prefix.len(), position);
        CompletionResult::fresh(offers.map(|offer| offer.into_suggestion(span)).collect::<Vec<_>>())
    }
}

/// The name that ends at the cursor. None inside a text or a comment.
fn typed(before: &str, tokens: &[Token]) -> Option<Typed> {
    let last = tokens.last();
    if last.is_some_and(|last| {
        (last.kind == Kind::Text && !last.is_closed)
            || (last.kind == Kind::Comment && !(last.is_closed && last.text(before).starts_with("/*")))
    }) {
        return None;
    }
    let is_part = |token: &Token| matches!(token.kind, Kind::Word | Kind::Quoted);
    let mut rest = tokens;
    let prefix = match last {
        Some(last) if is_part(last) => {
            rest = &tokens[..tokens.len() - 1];
            last.text(before).to_owned()
        }
        _ => String::new(),
    };
    let mut start = before.len() - prefix.len();
    let mut parents = Vec::new();
    while let [.., parent, dot] = rest {
        if dot.text(before) != "." || !is_part(parent) {
            break;
        }
        parents.insert(0, unquoted(parent.text(before)));
        start = parent.at.start;
        rest = &rest[..rest.len() - 2];
    }
    Some(Typed { parents, prefix, start })
}

/// A name as it must be written in SQL.
fn quoted(name: &str) -> String {
    let is_plain = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_')
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && KEYWORDS.binary_search(&name.to_uppercase().as_str()).is_err();
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
