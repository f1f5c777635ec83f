//! How a command ends badly: what it says on standard error, and its exit code.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use engine::{Code, Error};

use super::terminal::{self, Paint};
use crate::compose::OpenError;
use crate::rest::Problem;
use crate::telemetry;

/// The exit code of a query that failed.
pub(super) const FAILED: u8 = 1;

/// The exit code of wrong usage or configuration.
pub(super) const USAGE: u8 = 2;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The query failed.
    Query(Error),
    /// The flags or the configuration are wrong.
    Usage {
        /// One sentence.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The home cannot be opened.
    Open(OpenError),
    /// The answer cannot be written.
    Output {
        /// Where to.
        to: String,
        /// Why not.
        error: io::Error,
    },
    /// Nothing was asked: the help text says what can be.
    Help(String),
    /// A server refuses, and says why.
    Problem(Box<Problem>),
    /// It has been said already.
    Told(u8),
}

impl Failure {
    /// Wrong usage, in one sentence.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Failure::Usage { message: message.into(), hint: None }
    }

    /// The same, with what to do about it.
    pub(super) fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Failure::Usage { message, .. } => Failure::Usage { message, hint: Some(text.into()) },
            other => other,
        }
    }

    /// Says what is wrong, and gives the exit code. A reader that went away is no failure.
    pub(super) fn report(self) -> ExitCode {
        // Where standard error is closed there is nobody to tell.
        let _ = self.write(&mut io::stderr().lock());
        ExitCode::from(match self {
            Failure::Query(_) | Failure::Problem(_) => FAILED,
            Failure::Output { error, .. } if error.kind() == ErrorKind::BrokenPipe => 0,
            Failure::Output { .. } => FAILED,
            Failure::Usage { .. } | Failure::Open(_) | Failure::Help(_) => USAGE,
            Failure::Told(code) => code,
        })
    }

    /// Writes what is wrong, as [`Failure::report`] does.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Failure::Query(error) | Failure::Open(OpenError::Engine(error)) => write_error(out, error),
            Failure::Usage { message, hint } => say(out, None, message, hint.as_deref()),
            Failure::Open(OpenError::Problems(problems)) => {
                say(out, None, format!("The configuration has {}:", problems_of(problems.len())), None)?;
                for problem in problems.iter() {
                    writeln!(out, "  {problem}")?;
                }
                Ok(())
            }
            Failure::Open(error @ OpenError::NotAFolder(_)) => {
                say(out, None, error, Some("Give the folder of a Weft home; weft demo makes one."))
            }
            Failure::Output { error, .. } if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Failure::Output { to, error } => say(out, None, format!("{to} cannot be written: {error}."), None),
            Failure::Problem(problem) => say(out, Some(&problem.code), &problem.detail, problem.hint.as_deref()),
            Failure::Help(text) => out.write_all(text.as_bytes()),
            Failure::Told(_) => Ok(()),
        }
    }
}

/// `1 problem`, `2 problems`.
pub(super) fn problems_of(count: usize) -> String {
    if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") }
}

fn write_error(out: &mut impl Write, error: &Error) -> io::Result<()> {
    telemetry::log_cause(error);
    let hint = match (error.hint_text(), error.code()) {
        (Some(hint), _) => Some(hint.to_owned()),
        (None, Code::Internal) => Some(format!("{}=info shows the cause.", telemetry::LOG_VARIABLE)),
        (None, _) => None,
    };
    say(out, Some(error.code().as_str()), error, hint.as_deref())
}

fn say(out: &mut impl Write, code: Option<&str>, message: impl Display, hint: Option<&str>) -> io::Result<()> {
    let paint = Paint::when(terminal::is_colored(io::stderr().is_terminal()));
    match code {
        Some(code) => writeln!(out, "{}: {message}", paint.red(&format!("error[{code}]")))?,
        None => writeln!(out, "{}: {message}", paint.red("error"))?,
    }
    match hint {
        Some(hint) => writeln!(out, "{}: {hint}", paint.bold("hint")),
        None => Ok(()),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Query(error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Failure::Open(error)
    }
}
