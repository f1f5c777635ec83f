//! The interactive shell: SQL until a semicolon, commands that begin with a backslash.
//!
//! It asks through the same engine call as everything else, its completion included. Ctrl-C clears the line or cancels
//! the query that runs; Ctrl-D leaves.

mod command;
mod complete;
mod editor;
mod keywords;
mod lexer;
mod look;
mod mentions;
mod names;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reedline::Signal;
use tokio::runtime::Runtime;

use super::answer::{self, ROWS_ON_TERMINAL, Writing};
use super::ask::Asker;
use super::datasets;
use super::failure::Failure;
use super::format::Shape;
use super::home;
use super::interrupt::Interrupts;
use super::output::Target;
use crate::compose::HomeArgs;
use command::Command;
use names::Names;

/// The dataset of bare table names, as the prompt, the completion and the queries of one shell share it.
#[derive(Debug, Clone, Default)]
struct DefaultDataset(Arc<Mutex<Option<String>>>);

impl DefaultDataset {
    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, dataset: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(dataset);
    }
}

/// A shell over one home.
struct Shell<'a> {
    runtime: &'a Runtime,
    asker: Asker,
    default_dataset: DefaultDataset,
    shape: Shape,
    rows: u64,
    is_timed: bool,
    next_file: Option<PathBuf>,
}

/// Whether the shell goes on.
enum Next {
    Read,
    Leave,
}

/// Runs the shell until the user leaves.
///
/// # Errors
/// A home that cannot be opened, a terminal that cannot be read.
pub(super) fn run(runtime: &Runtime, args: &HomeArgs) -> Result<(), Failure> {
    let _inside = runtime.enter();
    let composition = home::open(args)?;
    let asker = Asker::of(&composition);
    let default_dataset = DefaultDataset::default();
    if let Some(dataset) = composition.settings.default_dataset.clone() {
        default_dataset.set(dataset);
    }
    let names = Names::of(runtime.handle().clone(), asker.clone());
    let must_leave = Arc::new(AtomicBool::new(false));
    leave_on_signal(runtime, Arc::clone(&must_leave))?;
    let mut editor = editor::editor(names, default_dataset.clone(), must_leave);
    let mut shell = Shell {
        runtime,
        asker,
        default_dataset: default_dataset.clone(),
        shape: Shape::Table,
        rows: ROWS_ON_TERMINAL,
        is_timed: true,
        next_file: None,
    };
    let prompt = look::Weft::new(default_dataset);
    say(&format!("Weft {}. \\? helps, \\q leaves.\n", env!("CARGO_PKG_VERSION")))?;
    loop {
        let signal = editor.read_line(&prompt);
        match signal.map_err(|error| Failure::usage(format!("The terminal cannot be read: {error}.")))? {
            Signal::Success(line) => match shell.take(&line) {
                Ok(Next::Read) => {}
                Ok(Next::Leave) => return Ok(()),
                // Where standard error is closed there is nobody to tell.
                Err(failure) => _ = failure.write(&mut io::stderr().lock()),
            },
            Signal::CtrlC => {}
            Signal::CtrlD | Signal::ExternalBreak(_) => return Ok(()),
            _ => {}
        }
    }
}

/// How long the editor has to notice that it must end.
const GRACE: std::time::Duration = std::time::Duration::from_millis(500);

/// A shell whose terminal goes away, or that is told to end, ends.
fn leave_on_signal(runtime: &Runtime, must_leave: Arc<AtomicBool>) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::usage(format!("The process cannot listen to signals: {error}.")))?;
    runtime.spawn(async move {
        interrupts.end().await;
        must_leave.store(true, Ordering::Relaxed);
        tokio::time::sleep(GRACE).await;
        leave_at_once();
    });
    Ok(())
}

/// A terminal that has gone away reads as ready for ever, and the editor never looks up from it.
#[expect(
    clippy::disallowed_methods,
    reason = "the editor's loop cannot be ended from outside, and nothing here outlives us"
)]
fn leave_at_once() {
    std::process::exit(1);
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Target::Stdout.failed(error))
}

impl Shell<'_> {
    fn take(&mut self, line: &str) -> Result<Next, Failure> {
        match command::parse(line) {
            Some(Ok(command)) => self.obey(command),
            Some(Err(sentence)) => Err(Failure::usage(sentence)),
            None => {
                for sql in lexer::statements(line) {
                    self.answer(sql)?;
                }
                Ok(Next::Read)
            }
        }
    }

    fn answer(&mut self, sql: &str) -> Result<(), Failure> {
        let writing = match self.next_file.take() {
            Some(file) => Writing::to(Target::File(file), None)?.rows(None, self.rows),
            None => self.writing()?,
        };
        let query = Asker::query(sql, &[])?.dataset(self.default_dataset.get());
        self.runtime.block_on(answer::give(&self.asker, query, writing))
    }

    fn writing(&self) -> Result<Writing, Failure> {
        let mut writing = Writing::to(Target::Stdout, Some(self.shape))?.rows(None, self.rows);
        writing.is_timed = self.is_timed;
        Ok(writing)
    }

    fn obey(&mut self, command: Command) -> Result<Next, Failure> {
        match command {
            Command::Describe(None) => {
                let writing = self.listing()?;
                let query = Asker::query(datasets::ALL, &[])?;
                self.runtime.block_on(answer::give(&self.asker, query, writing))?;
            }
            Command::Describe(Some(name)) => self.describe(&name)?,
            Command::Format(shape) => self.shape = shape,
            Command::Help => say(&command::help())?,
            Command::Output(file) => {
                Shape::of_file(None, &file)?;
                self.next_file = Some(file);
            }
            Command::Quit => return Ok(Next::Leave),
            Command::Rows(rows) => self.rows = rows,
            Command::Timing => {
                self.is_timed = !self.is_timed;
                say(if self.is_timed { "The time is told.\n" } else { "The time is not told.\n" })?;
            }
            Command::Use(dataset) => {
                self.runtime.block_on(datasets::facts(&self.asker, &dataset))?;
                self.default_dataset.set(dataset);
            }
            Command::Expanded => {
                self.shape = if self.shape == Shape::Expanded { Shape::Table } else { Shape::Expanded };
            }
        }
        Ok(Next::Read)
    }

    /// A listing is a table of all its rows, however answers are written.
    fn listing(&self) -> Result<Writing, Failure> {
        let mut writing = Writing::to(Target::Stdout, Some(Shape::Table))?;
        writing.is_timed = self.is_timed;
        Ok(writing)
    }

    fn describe(&self, name: &str) -> Result<(), Failure> {
        let writing = self.listing()?;
        let described = async {
            match (name.split_once('.'), self.default_dataset.get()) {
                (Some((dataset, table)), _) => datasets::describe_table(&self.asker, dataset, table, writing).await,
                (None, Some(dataset)) if datasets::has_table(&self.asker, &dataset, name).await? => {
                    datasets::describe_table(&self.asker, &dataset, name, writing).await
                }
                (None, _) => datasets::describe(&self.asker, name, writing).await,
            }
        };
        self.runtime.block_on(described)
    }
}
