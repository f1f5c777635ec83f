//! Search patterns of the metadata commands: `%` is any text, `_` any one character, `\` takes the next one as it is.
//!
//! They are matched here on rows that the engine returned, and never become part of an SQL text: clients send whatever
//! a user typed, and pandas sends whole statements.

/// A filter on a name, as a client sends it.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Char(char),
    AnyChar,
    AnyText,
}

/// The character before a wildcard that makes it a plain character, as `SQL_SEARCH_STRING_ESCAPE` says.
pub(crate) const ESCAPE: char = '\\';

impl Pattern {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            match char {
                '%' if parts.last() == Some(&Part::AnyText) => {}
                '%' => parts.push(Part::AnyText),
                '_' => parts.push(Part::AnyChar),
                ESCAPE => parts.push(Part::Char(chars.next().unwrap_or(ESCAPE))),
                char => parts.push(Part::Char(char)),
            }
        }
        Self { text, parts }
    }

    /// Whether the pattern's own text is the name: such a name goes first, since `_` in `my_table` matches more.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.text == name
    }

    /// Whether `name` matches. Takes time in the product of both lengths at worst.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut part, mut char) = (0, 0);
        // Where the last `%` stands, and up to which character it reaches so far.
        let mut any: Option<(usize, usize)> = None;
        while char < name.len() {
            match self.parts.get(part) {
                Some(Part::AnyText) => {
                    any = Some((part, char));
                    part += 1;
                }
                Some(Part::AnyChar) => (part, char) = (part + 1, char + 1),
                Some(Part::Char(wanted)) if *wanted == name[char] => (part, char) = (part + 1, char + 1),
                _ => match &mut any {
                    Some((at, reached)) => {
                        *reached += 1;
                        (part, char) = (*at + 1, *reached);
                    }
                    None => return false,
                },
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::AnyText)
    }
}

/// Whether an absent pattern, or one that matches, lets `name` through.
pub(crate) fn lets_through(pattern: Option<&Pattern>, name: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_sql_like() {
        for (pattern, name, matches) in [
            ("people", "people", true),
            ("people", "peoples", false),
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("%", "anything", true),
            ("p%e", "people", true),
            ("p%l", "people", false),
            ("%eo%", "people", true),
            ("_eople", "people", true),
            ("_", "", false),
            ("my_table", "my_table", true),
            ("my_table", "myxtable", true),
            ("my\\_table", "myxtable", false),
            ("my\\_table", "my_table", true),
            ("100\\%", "100%", true),
            ("100\\%", "1000", false),
            ("a\\\\b", "a\\b", true),
            ("end\\", "end\\", true),
            ("k_se", "käse", true),
            ("%a%b%c", "xxaxxbxxbc", true),
            ("People", "people", false),
            ("select * from t where a like '%'", "t", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), matches, "{pattern} on {name}");
        }
    }

    #[test]
    fn many_wildcards_stay_quick() {
        let pattern = Pattern::new("%a".repeat(500) + "b");
        assert!(!pattern.matches(&"a".repeat(2000)));
    }
}
