//! Names and values in SQL text. Every piece of SQL that this source sends quotes through these two functions.

/// A name: quoted, so that it means itself, whatever it holds.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string value. None for text that PostgreSQL cannot hold.
///
/// Backslashes are written as an escape string, so that the text is the same under either setting of
/// `standard_conforming_strings`.
pub(super) fn literal(text: &str) -> Option<String> {
    if text.contains('\0') {
        return None;
    }
    let quoted = text.replace('\'', "''");
    Some(if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") })
}

#[cfg(test)]
mod tests {
    use super::{identifier, literal};

    #[test]
    fn names_and_values_mean_themselves() {
        assert_eq!(identifier(r#"we"ird.Name"#), r#""we""ird.Name""#);
        assert_eq!(literal("it's").as_deref(), Some("'it''s'"));
        assert_eq!(literal(r"a\'; DROP TABLE x; --").as_deref(), Some(r"E'a\\''; DROP TABLE x; --'"));
        assert_eq!(literal("nul\0"), None);
    }
}
