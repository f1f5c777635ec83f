//! What the shell does besides SQL: commands that begin with a backslash.

use std::path::PathBuf;

use crate::cli::format::Shape;

/// A command of the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// All datasets, or what a name stands for.
    Describe(Option<String>),
    /// How answers are written.
    Format(Shape),
    /// What commands there are.
    Help,
    /// The next answer goes to a file.
    Output(PathBuf),
    /// The shell ends.
    Quit,
    /// How many rows a terminal gets.
    Rows(u64),
    /// Whether the time is told.
    Timing,
    /// The dataset of bare table names.
    Use(String),
    /// Rows one value per line, or as a table.
    Expanded,
}

/// Every command with its argument and what it does, by name.
pub(super) const COMMANDS: [(&str, &str, &str); 9] = [
    ("\\?", "", "show this list"),
    ("\\d", "[NAME]", "list the datasets; describe a dataset, or a table as dataset.table"),
    ("\\format", "NAME", "write answers as table, csv, json, ndjson or markdown"),
    ("\\o", "FILE", "write the next answer to FILE, in the format that its name ends in"),
    ("\\q", "", "leave; Ctrl-D does too"),
    ("\\rows", "N", "show at most N rows of a table"),
    ("\\timing", "", "tell how long a query takes, or not"),
    ("\\use", "DATASET", "look up bare table names in DATASET first"),
    ("\\x", "", "show one value per line, or tables again"),
];

/// Words that leave or help as well, since every other shell has them.
const WORDS: [(&str, Command); 4] =
    [("exit", Command::Quit), ("help", Command::Help), ("quit", Command::Quit), ("\\h", Command::Help)];

/// The command that a line is, if it is one.
pub(super) fn parse(line: &str) -> Option<Result<Command, String>> {
    let line = line.trim().trim_end_matches(';').trim_end();
    if let Some((_, command)) = WORDS.iter().find(|(word, _)| line.eq_ignore_ascii_case(word)) {
        return Some(Ok(command.clone()));
    }
    if !line.starts_with('\\') {
        return None;
    }
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some(command(name, argument.trim()))
}

fn command(name: &str, argument: &str) -> Result<Command, String> {
    let known = COMMANDS.iter().find(|(known, _, _)| *known == name);
    let Some((_, wanted, _)) = known else {
        return Err(format!("There is no command {name}; \\? lists them."));
    };
    if argument.is_empty() != wanted.is_empty() && !wanted.starts_with('[') {
        return Err(format!("Write it as {}.", format!("{name} {wanted}").trim_end()));
    }
    Ok(match name {
        "\\d" => Command::Describe((!argument.is_empty()).then(|| argument.to_owned())),
        "\\format" => Command::Format(argument.parse()?),
        "\\o" => Command::Output(PathBuf::from(argument)),
        "\\q" => Command::Quit,
        "\\rows" => Command::Rows(argument.parse().map_err(|_| "Write it as \\rows 100.".to_owned())?),
        "\\timing" => Command::Timing,
        "\\use" => Command::Use(argument.to_owned()),
        "\\x" => Command::Expanded,
        _ => Command::Help,
    })
}

/// The list of commands for people.
pub(super) fn help() -> String {
    let mut text = String::from("A statement ends with a semicolon. Tab completes names; Ctrl-C cancels.\n\n");
    for (name, argument, what) in COMMANDS {
        let usage = format!("{name} {argument}");
        text.push_str(&format!("  {usage:<18} {what}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_sorted_and_each_is_understood() {
        assert!(COMMANDS.is_sorted_by_key(|(name, _, _)| *name));
        for (name, argument, _) in COMMANDS {
            let line = match argument {
                "NAME" => format!("{name} csv"),
                "N" => format!("{name} 5"),
                other => format!("{name} {other}"),
            };
            assert!(matches!(parse(&line), Some(Ok(_))), "{line}");
        }
    }

    #[test]
    fn sql_is_no_command_and_a_typo_is_told() {
        assert_eq!(parse("SELECT 1;"), None);
        assert_eq!(parse("exit;"), Some(Ok(Command::Quit)));
        assert_eq!(parse("\\d customer_db;"), Some(Ok(Command::Describe(Some("customer_db".to_owned())))));
        assert_eq!(parse("\\d"), Some(Ok(Command::Describe(None))));
        assert!(matches!(parse("\\dt"), Some(Err(_))));
        assert!(matches!(parse("\\rows many"), Some(Err(_))));
        assert!(matches!(parse("\\use"), Some(Err(_))));
        assert!(matches!(parse("\\q now"), Some(Err(_))));
    }
}
