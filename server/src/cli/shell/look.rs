//! How the shell looks: its prompt, and SQL in color while it is being typed.

use std::borrow::Cow;

use nu_ansi_term::{Color as Paint, Style};
use reedline::{Color, Highlighter, Prompt, PromptEditMode, PromptHistorySearch, StyledText};

use super::DefaultDataset;
use super::keywords::is_keyword;
use super::lexer::{Kind, tokens};

/// The prompt: `weft> `, or with the default dataset `weft panel> `.
pub(super) struct Weft {
    default_dataset: DefaultDataset,
}

impl Weft {
    /// The prompt for bare table names of a default dataset.
    pub(super) fn new(default_dataset: DefaultDataset) -> Self {
        Self { default_dataset }
    }
}

impl Prompt for Weft {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        match self.default_dataset.get() {
            Some(dataset) => Cow::Owned(format!("weft {dataset}")),
            None => Cow::Borrowed("weft"),
        }
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("> ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("  ... ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(search: {}) ", search.term))
    }

    fn get_prompt_color(&self) -> Color {
        Color::Green
    }
}

/// Paints keywords, texts, numbers and comments.
pub(super) struct SqlColors;

impl Highlighter for SqlColors {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut styled = StyledText::new();
        for token in tokens(line) {
            let text = token.text(line);
            let style = match token.kind {
                Kind::Word if is_keyword(&text.to_ascii_uppercase()) => Style::new().fg(Paint::Blue).bold(),
                Kind::Text => Style::new().fg(Paint::Green),
                Kind::Number => Style::new().fg(Paint::Magenta),
                Kind::Comment => Style::new().dimmed(),
                _ => Style::new(),
            };
            styled.push((style, text.to_owned()));
        }
        styled
    }
}
