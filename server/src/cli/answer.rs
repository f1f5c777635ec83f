//! From a question to a written answer: runs the query, shows progress, writes rows as they come, says how it went.
//!
//! Nothing is kept but the piece that is being written. A signal cancels the query, and leaves no half-written file.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::FileWriter;
use engine::{Error, Query, QueryId, QueryStream, Summary};
use futures::StreamExt;

use super::ask::Asker;
use super::failure::Failure;
use super::format::Shape;
use super::interrupt::until_interrupted;
use super::output::{Output, Target};
use super::progress::{Progress, grouped};
use super::table::{Expanded, Look, Table, printable};
use super::terminal::{self, Paint};
use crate::encode::{self, Format};

/// Rows that a terminal gets where nobody said how many.
pub(super) const ROWS_ON_TERMINAL: u64 = 100;

/// How an answer is to be written.
#[derive(Debug, Clone)]
pub(super) struct Writing {
    shape: Shape,
    target: Target,
    is_terminal: bool,
    /// Cut after so many rows.
    max_rows: Option<u64>,
    /// The cut is ours and not the user's.
    is_preview: bool,
    /// Say how long it took.
    pub(super) is_timed: bool,
}

impl Writing {
    /// The writing of an answer to `target` in the shape that was asked for, else the one that suits the target.
    ///
    /// # Errors
    /// A usage failure where nothing says the format, or where a terminal cannot show it.
    pub(super) fn to(target: Target, asked: Option<Shape>) -> Result<Self, Failure> {
        let shape = match &target {
            Target::File(file) => Shape::of_file(asked, file)?,
            Target::Stdout => asked.unwrap_or(Shape::Table),
        };
        let is_terminal = target == Target::Stdout && io::stdout().is_terminal();
        if is_terminal && !shape.is_text() {
            return Err(Failure::usage(format!("A terminal cannot show {}.", shape.name()))
                .hint("Write it to a file with -o FILE, or pipe it to a program."));
        }
        Ok(Self { shape, target, is_terminal, max_rows: None, is_preview: false, is_timed: true })
    }

    /// The same, cut after `max_rows`. Where that is None, a table on a terminal is cut after `preview` rows.
    pub(super) fn rows(mut self, max_rows: Option<u64>, preview: u64) -> Self {
        self.is_preview =
            max_rows.is_none() && self.is_terminal && matches!(self.shape, Shape::Table | Shape::Expanded);
        self.max_rows = if self.is_preview { Some(preview) } else { max_rows };
        self
    }

    /// Whether it goes to a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether it is written to standard output, for people to read.
    pub(super) fn is_for_people(&self) -> bool {
        self.target == Target::Stdout && matches!(self.shape, Shape::Table | Shape::Expanded)
    }

    fn paint(&self) -> Paint {
        Paint::when(terminal::is_colored(self.is_terminal))
    }

    fn look(&self) -> Look {
        if self.is_terminal { Look::fitting(terminal::width(), self.paint()) } else { Look::plain() }
    }
}

/// Asks, and writes the answer. Ctrl-C cancels.
///
/// # Errors
/// What the query fails with; what cannot be written.
pub(super) async fn give(asker: &Asker, query: Query, writing: Writing) -> Result<(), Failure> {
    until_interrupted(asker, |id| write(asker.clone(), query, writing, id)).await
}

async fn write(asker: Asker, query: Query, writing: Writing, id: Arc<OnceLock<QueryId>>) -> Result<(), Failure> {
    let mut out = writing.target.open()?;
    let progress = Progress::begin();
    let answer = asker.engine.query(&asker.principal, query.max_rows(writing.max_rows)).await?;
    // Nobody else sets it.
    let _ = id.set(answer.id());
    let written = match writing.shape {
        Shape::Table if is_plan(&answer.schema()) => plan(answer, &mut out, &writing, &progress).await?,
        Shape::Plan => plan(answer, &mut out, &writing, &progress).await?,
        Shape::Table => table(answer, &mut out, &writing, &progress).await?,
        Shape::Expanded => expanded(answer, &mut out, &writing, &progress).await?,
        Shape::ArrowFile => arrow_file(answer, &mut out, &writing, &progress).await?,
        Shape::Encoded(format) => encoded(format, answer, &mut out, &writing, &progress).await?,
    };
    out.finish().map_err(|error| writing.target.failed(error))?;
    progress.clear();
    // Where standard error is closed there is nobody to tell.
    let _ = tell(&written, &writing);
    Ok(())
}

/// What was written.
struct Written {
    summary: Summary,
    /// How many of how many columns are shown.
    columns: (usize, usize),
}

impl Written {
    fn whole(summary: Summary) -> Self {
        Self { summary, columns: (0, 0) }
    }
}

/// Hands each batch to `each`. What reaches a terminal takes the progress from it.
async fn batches(
    answer: &mut QueryStream,
    writing: &Writing,
    progress: &Progress,
    mut each: impl FnMut(RecordBatch) -> io::Result<()>,
) -> Result<(), Failure> {
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        if writing.is_terminal {
            progress.clear();
        }
        each(batch).map_err(|error| writing.target.failed(error))?;
        progress.set_rows(answer.summary().rows);
    }
    if writing.is_terminal {
        progress.clear();
    }
    Ok(())
}

async fn table(
    mut answer: QueryStream,
    out: &mut Output,
    writing: &Writing,
    progress: &Progress,
) -> Result<Written, Failure> {
    let mut table = Table::new(&answer.schema(), writing.look());
    batches(&mut answer, writing, progress, |batch| table.push(&batch, out)).await?;
    let columns = table.finish(out).map_err(|error| writing.target.failed(error))?;
    Ok(Written { summary: answer.summary(), columns })
}

async fn expanded(
    mut answer: QueryStream,
    out: &mut Output,
    writing: &Writing,
    progress: &Progress,
) -> Result<Written, Failure> {
    let mut rows = Expanded::new(&answer.schema(), writing.paint());
    batches(&mut answer, writing, progress, |batch| rows.push(&batch, out)).await?;
    Ok(Written::whole(answer.summary()))
}

/// The columns of an explained query.
fn is_plan(schema: &Schema) -> bool {
    let columns = schema.fields().iter().map(|field| (field.name().as_str(), field.data_type()));
    columns.eq([("plan_type", &DataType::Utf8), ("plan", &DataType::Utf8)])
}

/// A plan is text of many lines: no table can hold it.
async fn plan(
    mut answer: QueryStream,
    out: &mut Output,
    writing: &Writing,
    progress: &Progress,
) -> Result<Written, Failure> {
    let paint = writing.paint();
    batches(&mut answer, writing, progress, |batch| {
        let [kinds, plans] = batch.columns() else { return Ok(()) };
        let (Some(kinds), Some(plans)) = (kinds.as_string_opt::<i32>(), plans.as_string_opt::<i32>()) else {
            return Ok(());
        };
        for (kind, plan) in kinds.iter().zip(plans) {
            writeln!(out, "{}", paint.bold(kind.unwrap_or_default()))?;
            for line in plan.unwrap_or_default().lines() {
                writeln!(out, "  {}", printable(line))?;
            }
        }
        Ok(())
    })
    .await?;
    Ok(Written::whole(answer.summary()))
}

async fn arrow_file(
    mut answer: QueryStream,
    out: &mut Output,
    writing: &Writing,
    progress: &Progress,
) -> Result<Written, Failure> {
    let io = |error: ArrowError| match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    };
    let mut file = FileWriter::try_new(out, &answer.schema()).map_err(|error| writing.target.failed(io(error)))?;
    batches(&mut answer, writing, progress, |batch| file.write(&batch).map_err(io)).await?;
    file.finish().map_err(|error| writing.target.failed(io(error)))?;
    Ok(Written::whole(answer.summary()))
}

async fn encoded(
    format: Format,
    answer: QueryStream,
    out: &mut Output,
    writing: &Writing,
    progress: &Progress,
) -> Result<Written, Failure> {
    let mut pieces = encode::begin(format, answer).await?;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if writing.is_terminal {
            progress.clear();
        }
        // A program that reads the pipe gets rows when they are there, not when a buffer is full.
        out.write_all(&piece).and_then(|()| out.flush()).map_err(|error| writing.target.failed(error))?;
        progress.set_rows(pieces.summary().rows);
    }
    let summary = pieces.summary();
    match summary.code {
        Some(code) => Err(Error::new(code, "The query failed after rows had been written; they are not all.")
            .hint("The member `error` at the end of what was written says why.")
            .into()),
        None => Ok(Written::whole(summary)),
    }
}

/// Says on standard error what the answer was.
fn tell(written: &Written, writing: &Writing) -> io::Result<()> {
    let mut err = io::stderr().lock();
    let is_terminal = err.is_terminal();
    let paint = Paint::when(terminal::is_colored(is_terminal));
    let Written { summary, columns: (shown, all) } = written;
    for notice in &summary.notices {
        writeln!(err, "{}: {notice}", paint.bold("note"))?;
    }
    if summary.truncated && writing.is_preview {
        writeln!(err, "{}: --max-rows N shows more; -o FILE writes everything.", paint.bold("hint"))?;
    }
    if shown < all {
        let hint = "name fewer of them, or write them with -o FILE";
        writeln!(err, "{}: {shown} of {all} columns fit; {hint}.", paint.bold("note"))?;
    }
    if matches!(writing.shape, Shape::Plan) || !(is_terminal || matches!(writing.shape, Shape::Table)) {
        return Ok(());
    }
    let rows = if summary.rows == 1 { "1 row".to_owned() } else { format!("{} rows", grouped(summary.rows)) };
    let to = match &writing.target {
        Target::File(file) => format!(" to {}", file.display()),
        Target::Stdout => String::new(),
    };
    let time = if writing.is_timed { format!(" in {}", time(summary.elapsed)) } else { String::new() };
    writeln!(err, "{}", paint.dim(&format!("({rows}{to}{time})")))
}

/// A time as people read it.
fn time(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    match seconds {
        ..0.01 => format!("{:.1} ms", seconds * 1e3),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        ..60.0 => format!("{seconds:.2} s"),
        _ => format!("{} min {:02} s", elapsed.as_secs() / 60, elapsed.as_secs() % 60),
    }
}
