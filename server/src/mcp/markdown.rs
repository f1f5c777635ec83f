//! Markdown for models: tables and lists of what the tools found. Values come from sources, so that none may break out
//! of its cell.

use std::fmt::Display;

use serde_json::Value;

use crate::encode;

/// A table with `names` as its head.
pub(super) fn table<N: Display, C: Display>(
    names: &[N],
    rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
) -> String {
    let mut text = line(names.iter());
    text.push_str(&line(names.iter().map(|_| "---")));
    for row in rows {
        text.push_str(&line(row));
    }
    text
}

/// A value as a cell shows it: texts without quotes.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Notices as a list; nothing where there are none.
pub(super) fn notices(notices: &[String]) -> String {
    notices.iter().map(|notice| format!("\n- {notice}")).collect()
}

fn line<C: Display>(cells: impl IntoIterator<Item = C>) -> String {
    let mut line = Vec::new();
    for cell in cells {
        line.extend_from_slice(b"| ");
        encode::markdown::write_escaped(cell.to_string().as_bytes(), &mut line);
        line.push(b' ');
    }
    line.extend_from_slice(b"|\n");
    String::from_utf8_lossy(&line).into_owned()
}
