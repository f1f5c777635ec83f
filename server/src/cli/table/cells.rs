//! The text of cells, safe for a terminal, and its width there.

use std::borrow::Cow;

use arrow::array::{Array, RecordBatch};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::encode;

/// The cells of a row; None is NULL.
pub(super) type Row = Vec<Option<String>>;

/// The rows of a batch as text. No cell needs more than `limit` columns of a terminal, if there is a limit.
pub(super) fn rows(batch: &RecordBatch, limit: Option<usize>) -> impl Iterator<Item = Row> {
    (0..batch.num_rows()).map(move |row| {
        let cell = |column: &dyn Array| {
            // The engine delivers no type that cannot be shown; if it did, a mark says so.
            let text = encode::text(column, row).unwrap_or_else(|_| Some("?".to_owned()))?;
            let text = match limit {
                // Twice the limit in characters is enough to see that it does not fit.
                Some(limit) => match text.char_indices().nth(limit.saturating_mul(2)) {
                    Some((end, _)) => printable(&text[..end]).into_owned(),
                    None => printable(&text).into_owned(),
                },
                None => printable(&text).into_owned(),
            };
            Some(text)
        };
        batch.columns().iter().map(|column| cell(column.as_ref())).collect()
    })
}

/// The text without what would move the cursor or color the terminal: data must not be able to do that.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if is_unprintable(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    Cow::Owned(out)
}

/// Control characters, line separators, and marks that turn the direction of what follows.
fn is_unprintable(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns of a terminal that a text takes.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text in at most `limit` columns; an ellipsis says that there is more.
pub(super) fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if width(text) <= limit {
        return Cow::Borrowed(text);
    }
    let mut taken = 0;
    let end = text.char_indices().find_map(|(at, letter)| {
        taken += letter.width().unwrap_or_default();
        (taken >= limit).then_some(at)
    });
    Cow::Owned(format!("{}…", &text[..end.unwrap_or_default()]))
}
