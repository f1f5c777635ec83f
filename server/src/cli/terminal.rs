//! What the terminal can show: its width, and color where it is wanted.

use std::env;

use nu_ansi_term::{Color, Style};

/// The width of the terminal in columns, where there is one.
pub(super) fn width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0)
}

/// Whether to write color to a stream: only to a terminal, and not where `NO_COLOR` is set or the terminal is dumb.
pub(crate) fn is_colored(is_terminal: bool) -> bool {
    is_terminal
        && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    is_on: bool,
}

impl Paint {
    /// Paints when `is_on`.
    pub(super) fn when(is_on: bool) -> Self {
        Self { is_on }
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.is_on { style.paint(text).to_string() } else { text.to_owned() }
    }

    /// As it is.
    pub(super) fn plain(self, text: &str) -> String {
        text.to_owned()
    }

    /// For errors.
    pub(super) fn red(self, text: &str) -> String {
        self.with(Color::Red.bold(), text)
    }

    /// For headings.
    pub(super) fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// For what is beside the point, and for NULL.
    pub(super) fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }
}
