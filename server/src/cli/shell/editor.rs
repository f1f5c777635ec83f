//! The line editor of the shell: history, completion, color, and when a line is whole.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use reedline::{
    ColumnarMenu, DefaultHinter, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Reedline, ReedlineEvent,
    ReedlineMenu, ValidationResult, Validator, default_emacs_keybindings,
};

use super::complete::Completion;
use super::look::SqlColors;
use super::names::Names;
use super::{DefaultDataset, command, lexer};
use crate::cli::terminal;

/// The variable that says where the history is kept; empty = nowhere.
const HISTORY_VARIABLE: &str = "WEFT_HISTORY";

/// Lines that the history keeps.
const HISTORY_LINES: usize = 10_000;

const MENU: &str = "completion";

/// The editor. It returns from reading once `must_leave` is set.
pub(super) fn editor(names: Names, default_dataset: DefaultDataset, must_leave: Arc<AtomicBool>) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let open_or_next = vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext];
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, ReedlineEvent::UntilFound(open_or_next));
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    let is_colored = terminal::is_colored(true);
    let editor = Reedline::create()
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_completer(Box::new(Completion::new(names, default_dataset)))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(ColumnarMenu::default().with_name(MENU))))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_validator(Box::new(Whole))
        .with_ansi_colors(is_colored)
        .with_break_signal(must_leave);
    let editor = if is_colored {
        editor.with_highlighter(Box::new(SqlColors)).with_hinter(Box::new(DefaultHinter::default()))
    } else {
        editor
    };
    // A shell without a history is still a shell.
    match history_file().and_then(|file| FileBackedHistory::with_file(HISTORY_LINES, file).ok()) {
        Some(history) => editor.with_history(Box::new(history)).with_history_exclusion_prefix(Some(" ".to_owned())),
        None => editor,
    }
}

/// Where the history is kept: `$WEFT_HISTORY`, else with the user's other data.
fn history_file() -> Option<PathBuf> {
    if let Some(file) = env::var_os(HISTORY_VARIABLE) {
        return (!file.is_empty()).then(|| PathBuf::from(file));
    }
    let data = env::var_os("XDG_DATA_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = data.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/share")))?;
    Some(data.join("weft").join("history"))
}

/// A line is whole when it is a command, or ends with a semicolon outside of quotes and comments.
struct Whole;

impl Validator for Whole {
    fn validate(&self, line: &str) -> ValidationResult {
        if command::parse(line).is_some() || lexer::is_complete(line) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}
