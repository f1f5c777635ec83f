//! The lexical shape of SQL that is being typed: enough to know where a statement ends, and what to paint.
//!
//! It decides nothing about a query: the engine parses what it gets.

use std::ops::Range;

/// What a piece of SQL is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, or a name without quotes.
    Word,
    /// A number.
    Number,
    /// `'text'` or `$$text$$`.
    Text,
    /// `"name"`.
    Quoted,
    /// `-- to the end of the line` or `/* .. */`.
    Comment,
    /// White space.
    Space,
    /// `;`
    End,
    /// Anything else, one character at a time.
    Sign,
}

/// A piece of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// Where it is, in bytes.
    pub(super) at: Range<usize>,
    /// Whether it has its end: quotes and comments may lack it.
    pub(super) is_closed: bool,
}

impl Token {
    /// Its text in `sql`.
    pub(super) fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.at.clone()]
    }

    /// Whether nothing is asked by it.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Comment)
    }
}

/// The pieces of `sql`, which together are all of it.
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = sql[start..].chars().next() {
        let (kind, length, is_closed) = piece(&sql[start..], first);
        tokens.push(Token { kind, at: start..start + length, is_closed });
        start += length;
    }
    tokens
}

fn piece(rest: &str, first: char) -> (Kind, usize, bool) {
    let run = |is: fn(char) -> bool| rest.find(|letter| !is(letter)).unwrap_or(rest.len());
    if first.is_whitespace() {
        return (Kind::Space, run(char::is_whitespace), true);
    }
    if first.is_alphabetic() || first == '_' {
        return (Kind::Word, run(|letter| letter.is_alphanumeric() || letter == '_'), true);
    }
    if first.is_ascii_digit() {
        return (Kind::Number, run(|letter| letter.is_ascii_alphanumeric() || letter == '.'), true);
    }
    if rest.starts_with("--") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()), true);
    }
    if rest.starts_with("/*") {
        let (length, is_closed) = block_comment(rest);
        return (Kind::Comment, length, is_closed);
    }
    match first {
        '\'' => quoted(Kind::Text, rest, '\''),
        '"' => quoted(Kind::Quoted, rest, '"'),
        '$' => dollar_quoted(rest),
        ';' => (Kind::End, 1, true),
        other => (Kind::Sign, other.len_utf8(), true),
    }
}

/// A doubled quote inside is one quote, and no end.
fn quoted(kind: Kind, rest: &str, quote: char) -> (Kind, usize, bool) {
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return (kind, at + 1, true);
        }
    }
    (kind, rest.len(), false)
}

fn block_comment(rest: &str) -> (usize, bool) {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return (at, true);
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    (rest.len(), false)
}

/// `$tag$ .. $tag$`; a parameter such as `$1` is a sign and a number.
fn dollar_quoted(rest: &str) -> (Kind, usize, bool) {
    let is_tag = |tag: &str| {
        !tag.starts_with(|letter: char| letter.is_ascii_digit())
            && tag.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    let Some(open) = rest[1..].find('$').map(|end| &rest[..end + 2]).filter(|open| is_tag(&open[1..open.len() - 1]))
    else {
        return (Kind::Sign, 1, true);
    };
    match rest[open.len()..].find(open) {
        Some(end) => (Kind::Text, open.len() + end + open.len(), true),
        None => (Kind::Text, rest.len(), false),
    }
}

/// The statements of a text, without their semicolons; what is blank is no statement.
pub(super) fn statements(sql: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let (mut start, mut is_blank) = (0, true);
    for token in tokens(sql) {
        if token.kind == Kind::End {
            if !is_blank {
                statements.push(sql[start..token.at.start].trim());
            }
            (start, is_blank) = (token.at.end, true);
        } else if !token.is_blank() {
            is_blank = false;
        }
    }
    if !is_blank {
        statements.push(sql[start..].trim());
    }
    statements
}

/// Whether a text may be run: nothing is open, and the last statement has its semicolon.
pub(super) fn is_complete(sql: &str) -> bool {
    let tokens = tokens(sql);
    let last = tokens.iter().rfind(|token| !token.is_blank());
    tokens.iter().all(|token| token.is_closed) && last.is_none_or(|token| token.kind == Kind::End)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_at_a_semicolon_outside_of_quotes_and_comments() {
        assert!(is_complete("SELECT 1;"));
        assert!(is_complete("SELECT 1; -- done"));
        assert!(is_complete("SELECT ';' AS \"a;b\" /* ; */ ;\n"));
        assert!(is_complete("SELECT $x$ ; ' $x$;"));
        assert!(is_complete("SELECT $1;"));
        assert!(is_complete(""));
        assert!(!is_complete("SELECT 1"));
        assert!(!is_complete("SELECT 1; SELECT 2"));
        assert!(!is_complete("SELECT ';"));
        assert!(!is_complete("SELECT 'it''s;"));
        assert!(!is_complete("SELECT \"a;"));
        assert!(!is_complete("SELECT 1 -- ;"));
        assert!(!is_complete("SELECT 1 /* /* */ ;"));
        assert!(!is_complete("SELECT $$ ;"));
    }

    #[test]
    fn a_text_is_split_into_its_statements() {
        assert_eq!(statements("SELECT 1; ;\nSELECT ';' ; -- end"), ["SELECT 1", "SELECT ';'"]);
        assert_eq!(statements("SELECT 'a'';b'"), ["SELECT 'a'';b'"]);
        assert!(statements(" -- nothing\n;").is_empty());
    }

    #[test]
    fn pieces_are_all_of_the_text() {
        for sql in ["SELECT é, 'ü' FROM \"ñ\";", "$", "$$", "$a", "/*", "'", "a.b.c::int -- x", "€1_000.5e3"] {
            let mut end = 0;
            for token in tokens(sql) {
                assert_eq!(token.at.start, end, "{sql}");
                end = token.at.end;
            }
            assert_eq!(end, sql.len(), "{sql}");
        }
    }
}
