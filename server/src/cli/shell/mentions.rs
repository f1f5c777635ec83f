//! The tables that a statement names in FROM and JOIN while it is being typed, with their aliases.

use super::keywords::is_keyword;
use super::lexer::{Kind, Token, tokens};

/// A table in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    /// Dataset, schema, table, as far as they are written.
    pub(super) path: Vec<String>,
    /// What the statement calls it.
    pub(super) alias: Option<String>,
}

impl Mention {
    /// Whether `name` in front of a column means this table.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.alias.as_deref().or(self.path.last().map(String::as_str)) == Some(name)
    }
}

/// A name without its quotes; without quotes it folds to lower case.
pub(super) fn unquoted(text: &str) -> String {
    match text.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"').unwrap_or(inner).replace("\"\"", "\""),
        None => text.to_lowercase(),
    }
}

/// The tables of a statement, which need not be whole.
pub(super) fn mentions(sql: &str) -> Vec<Mention> {
    let tokens: Vec<Token> = tokens(sql).into_iter().filter(|token| !token.is_blank()).collect();
    let mut found = Vec::new();
    let mut is_from = false;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let word = token.text(sql).to_ascii_uppercase();
        at += 1;
        let begins = match word.as_str() {
            "FROM" => {
                is_from = true;
                true
            }
            "JOIN" => true,
            "," => is_from,
            _ => {
                is_from &= token.kind != Kind::Word || !is_keyword(&word) || word == "AS";
                false
            }
        };
        if begins {
            let (mention, next) = mention(sql, &tokens, at);
            found.extend(mention);
            at = next;
        }
    }
    found
}

fn mention(sql: &str, tokens: &[Token], mut at: usize) -> (Option<Mention>, usize) {
    let name = |at: usize| {
        let token = tokens.get(at)?;
        let text = token.text(sql);
        let is_name = match token.kind {
            Kind::Word => !is_keyword(&text.to_ascii_uppercase()),
            Kind::Quoted => true,
            _ => false,
        };
        is_name.then(|| unquoted(text))
    };
    let Some(first) = name(at) else { return (None, at) };
    let mut path = vec![first];
    at += 1;
    while let (Some(dot), Some(part)) = (tokens.get(at), name(at + 1)) {
        if dot.text(sql) != "." {
            break;
        }
        path.push(part);
        at += 2;
    }
    if tokens.get(at).is_some_and(|token| token.text(sql).eq_ignore_ascii_case("AS")) {
        at += 1;
    }
    let alias = name(at);
    at += usize::from(alias.is_some());
    (Some(Mention { path, alias }), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sql: &str) -> Vec<String> {
        let text = |mention: Mention| match mention.alias {
            Some(alias) => format!("{} {alias}", mention.path.join(".")),
            None => mention.path.join("."),
        };
        mentions(sql).into_iter().map(text).collect()
    }

    #[test]
    fn tables_are_found_with_their_aliases() {
        assert_eq!(found("SELECT  FROM a.b c, d AS e JOIN \"F\".g.h ON e.x = c.y"), ["a.b c", "d e", "F.g.h"]);
        assert_eq!(found("SELECT x, y FROM t WHERE a IN (1, b) ORDER BY c, d"), ["t"]);
        assert_eq!(found("SELECT (SELECT max(x) FROM inner_one i) FROM outer_one"), ["inner_one i", "outer_one"]);
        assert_eq!(found("SELECT 1 FROM"), [""; 0]);
        assert_eq!(found("SELECT 1 FROM a."), ["a"]);
    }
}
