//! What is said of raked weights: whether the margins hold, each category before and after, and what weighting costs.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use engine::raking::{Fitted, Margin, Options, Raked, Spread};
use serde::Serialize;

use super::new_table::NewTable;
use super::rows::Rows;
use crate::cli::failure::Failure;
use crate::cli::progress::grouped;
use crate::cli::table::{Look, Table};
use crate::cli::terminal::{self, Paint};

/// What nobody should have to find out by themselves.
const FIXED: &str = "svy_* functions take raked weights as given and do not residualise on the margins: standard errors of \
     what is related to the margins are usually too large.";

/// The report. Its fields are those of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    converged: bool,
    iterations: usize,
    tolerance: f64,
    largest_deviation: f64,
    /// The largest deviation after each iteration.
    deviations: &'a [f64],
    base_weights: &'a str,
    weight: &'a str,
    rows: usize,
    output: Option<&'a Path>,
    margins_output: Option<&'a Path>,
    trim: Option<Trimmed>,
    margins: Vec<Line<'a>>,
    weights: Weights,
    notices: Vec<&'a str>,
}

/// What trimming did.
#[derive(Debug, Serialize)]
struct Trimmed {
    low: f64,
    high: f64,
    rows_at_low: usize,
    rows_at_high: usize,
}

/// A category before and after.
#[derive(Debug, Serialize)]
struct Line<'a> {
    variable: &'a str,
    category: &'a str,
    rows: u64,
    target: f64,
    before: f64,
    after: f64,
    deviation: f64,
    target_share: f64,
    before_share: f64,
    after_share: f64,
}

#[derive(Debug, Serialize)]
struct Weights {
    before: Figures,
    after: Figures,
}

#[derive(Debug, Serialize)]
struct Figures {
    rows: usize,
    zeros: usize,
    min: f64,
    mean: f64,
    max: f64,
    sum: f64,
    design_effect: f64,
    effective_n: f64,
}

impl From<Spread> for Figures {
    fn from(spread: Spread) -> Self {
        let Spread { rows, zeros, min, mean, max, sum, design_effect, effective_n } = spread;
        Self { rows, zeros, min, mean, max, sum, design_effect, effective_n }
    }
}

impl<'a> Report<'a> {
    /// The report of a raking, and of the table that was written of it.
    pub(super) fn of(rows: &'a Rows, raked: &'a Raked, options: &Options, written: Option<&'a NewTable>) -> Self {
        let lines = rows.margins.iter().zip(&raked.fitted).flat_map(|(margin, fitted)| lines(margin, fitted));
        let notices = rows.summary.notices.iter().chain(&raked.notices).map(String::as_str).chain([FIXED]);
        Self {
            converged: raked.is_converged,
            iterations: raked.iterations(),
            tolerance: options.tolerance,
            largest_deviation: raked.largest_deviation(),
            deviations: &raked.deviations,
            base_weights: &rows.start.told,
            weight: &rows.name,
            rows: rows.base.len(),
            output: written.map(|table| table.file.as_path()),
            margins_output: written.map(|table| table.margins.as_path()),
            trim: raked.bounds.map(|(low, high)| Trimmed {
                low,
                high,
                rows_at_low: raked.at_bounds.0,
                rows_at_high: raked.at_bounds.1,
            }),
            margins: lines.collect(),
            weights: Weights { before: raked.before.into(), after: raked.after.into() },
            notices: notices.collect(),
        }
    }

    /// Writes the report to standard output, and the notices to standard error unless they are in it.
    ///
    /// # Errors
    /// What standard output does not take.
    pub(super) fn write(&self, as_json: bool) -> Result<(), Failure> {
        let to = |error| Failure::Output { to: "Standard output".to_owned(), error };
        let out = &mut io::stdout().lock();
        if as_json {
            let text = serde_json::to_string_pretty(self).map_err(|error| to(error.into()))?;
            return writeln!(out, "{text}").map_err(to);
        }
        self.describe(out).map_err(to)?;
        // Where standard error is closed there is nobody to tell.
        let _ = self.tell(&mut io::stderr().lock());
        Ok(())
    }

    fn describe(&self, out: &mut impl Write) -> io::Result<()> {
        let is_terminal = io::stdout().is_terminal();
        let paint = Paint::when(terminal::is_colored(is_terminal));
        let look = if is_terminal { Look::fitting(terminal::width(), paint) } else { Look::plain() };
        let margins = self.margins.chunk_by(|a, b| a.variable == b.variable).count();
        let margins = if margins == 1 { "1 margin".to_owned() } else { format!("{margins} margins") };
        let holds = if self.converged { "raked to" } else { "not yet raked to" };
        let iterations = if self.iterations == 1 { "iteration" } else { "iterations" };
        let rows = grouped(self.rows as u64);
        let Self { iterations: count, largest_deviation, base_weights, .. } = self;
        writeln!(
            out,
            "{rows} rows {holds} {margins} in {count} {iterations}; largest deviation {largest_deviation:.1e}"
        )?;
        writeln!(out, "base weights: {base_weights}")?;
        if let Some(Trimmed { low, high, rows_at_low, rows_at_high }) = &self.trim {
            let (low, high) = (rounded(*low), rounded(*high));
            writeln!(
                out,
                "trimmed to {low} .. {high}: {rows_at_low} rows at the low bound, {rows_at_high} at the high"
            )?;
        }
        show(&self.lines()?, look, out)?;
        show(&self.figures()?, look, out)
    }

    fn lines(&self) -> io::Result<RecordBatch> {
        let number = |of: fn(&Line<'_>) -> f64| numbers(self.margins.iter().map(|line| rounded(of(line))));
        let text = |of: fn(&Line<'a>) -> &'a str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(self.margins.iter().map(of)))
        };
        let rows: ArrayRef = Arc::new(UInt64Array::from_iter_values(self.margins.iter().map(|line| line.rows)));
        batch([
            ("margin", text(|line| line.variable)),
            ("category", text(|line| line.category)),
            ("rows", rows),
            ("target", number(|line| line.target)),
            ("before", number(|line| line.before)),
            ("after", number(|line| line.after)),
            ("deviation", number(|line| line.deviation)),
            ("target %", number(|line| 100.0 * line.target_share)),
            ("before %", number(|line| 100.0 * line.before_share)),
            ("after %", number(|line| 100.0 * line.after_share)),
        ])
    }

    fn figures(&self) -> io::Result<RecordBatch> {
        let both = [&self.weights.before, &self.weights.after];
        let number = |of: fn(&Figures) -> f64| numbers(both.into_iter().map(|figures| rounded(of(figures))));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(["before", "after"]));
        let count = |of: fn(&Figures) -> usize| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(both.into_iter().map(|figures| of(figures) as u64)))
        };
        batch([
            ("weights", names),
            ("rows", count(|figures| figures.rows)),
            ("zeros", count(|figures| figures.zeros)),
            ("min", number(|figures| figures.min)),
            ("mean", number(|figures| figures.mean)),
            ("max", number(|figures| figures.max)),
            ("sum", number(|figures| figures.sum)),
            ("design effect", number(|figures| figures.design_effect)),
            ("effective n", number(|figures| figures.effective_n)),
        ])
    }

    fn tell(&self, err: &mut impl Write) -> io::Result<()> {
        let paint = Paint::when(terminal::is_colored(io::stderr().is_terminal()));
        for notice in &self.notices {
            writeln!(err, "{}: {notice}", paint.bold("note"))?;
        }
        match (self.output, self.margins_output) {
            (Some(table), Some(margins)) => {
                let line = format!(
                    "({} rows to {}, the margins to {})",
                    grouped(self.rows as u64),
                    table.display(),
                    margins.display()
                );
                writeln!(err, "{}", paint.dim(&line))
            }
            _ => writeln!(err, "{}", paint.dim("(no file was written)")),
        }
    }
}

fn lines<'a>(margin: &'a Margin, fitted: &'a [Fitted]) -> impl Iterator<Item = Line<'a>> {
    let sum = |of: fn(&Fitted) -> f64| fitted.iter().map(of).sum::<f64>();
    let (target, before, after) = (sum(|f| f.target), sum(|f| f.before), sum(|f| f.after));
    margin.categories.iter().zip(fitted).map(move |(category, fitted)| Line {
        variable: &margin.variable,
        category: &category.name,
        rows: fitted.rows,
        target: fitted.target,
        before: fitted.before,
        after: fitted.after,
        deviation: fitted.deviation(),
        target_share: fitted.target / target,
        before_share: fitted.before / before,
        after_share: fitted.after / after,
    })
}

/// A figure for people: two decimals, or four digits where it is small.
fn rounded(figure: f64) -> f64 {
    let decimals = (3.0 - figure.abs().log10().floor()).clamp(2.0, 300.0);
    let scale = 10f64.powf(decimals);
    let rounded = (figure * scale).round() / scale;
    if rounded.is_finite() { rounded } else { figure }
}

fn numbers(figures: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(figures))
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> io::Result<RecordBatch> {
    RecordBatch::try_from_iter(columns).map_err(io::Error::other)
}

fn show(batch: &RecordBatch, look: Look, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&batch.schema(), look);
    table.push(batch, out)?;
    table.finish(out).map(|_| ())
}
