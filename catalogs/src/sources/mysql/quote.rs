//! Names and values in SQL text. Every piece of SQL that this source sends quotes through these functions.
//!
//! What they write means the same under every `sql_mode`: names stand in backticks, and text that holds a backslash is
//! written as its bytes.

use std::fmt::Write;

/// A name: quoted, so that it means itself, whatever it holds.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string value in UTF-8.
pub(super) fn text(text: &str) -> String {
    format!("_utf8mb4 {}", constant(text))
}

/// The bytes of `text` in UTF-8. The cast makes a comparison go by bytes, whatever the column's collation; a collation's
/// index still serves an equality with it.
pub(super) fn bytes_of(text: &str) -> String {
    format!("CAST({} AS BINARY)", constant(text))
}

/// Bytes as they are.
pub(super) fn bytes(bytes: &[u8]) -> String {
    format!("CAST({} AS BINARY)", hex(bytes))
}

fn constant(text: &str) -> String {
    if text.contains(['\\', '\0']) { hex(text.as_bytes()) } else { format!("'{}'", text.replace('\'', "''")) }
}

fn hex(bytes: &[u8]) -> String {
    let mut sql = String::with_capacity(3 + bytes.len() * 2);
    sql.push_str("x'");
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(sql, "{byte:02x}");
    }
    sql.push('\'');
    sql
}

#[cfg(test)]
mod tests {
    use super::{bytes, bytes_of, identifier, text};

    #[test]
    fn names_and_values_mean_themselves() {
        assert_eq!(identifier("we`ird.Name\""), "`we``ird.Name\"`");
        assert_eq!(text("it's"), "_utf8mb4 'it''s'");
        assert_eq!(text("a\\'"), "_utf8mb4 x'615c27'");
        assert_eq!(bytes_of("é'; DROP TABLE x; --"), "CAST('é''; DROP TABLE x; --' AS BINARY)");
        assert_eq!(bytes_of("nul\0"), "CAST(x'6e756c00' AS BINARY)");
        assert_eq!(bytes(&[0, 255]), "CAST(x'00ff' AS BINARY)");
    }
}
