//! Tables for people: rows as they come, in columns that fit the terminal.
//!
//! A table is written piece by piece, so that a result of any length needs the memory of one piece. On a terminal the
//! widths are settled by the first piece; elsewhere they grow with the data.

mod cells;
mod layout;

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};

pub(super) use cells::printable;
use cells::{Row, rows, width};
use layout::Layout;

use super::terminal::Paint;

/// Rows that are laid out together.
const PIECE_ROWS: usize = 1000;

/// Bytes of text that are laid out together, where rows are long.
const PIECE_BYTES: usize = 4 << 20;

/// What stands for NULL.
const NULL: &str = "NULL";

/// What stands for columns that do not fit.
const ELIDED: &str = "…";

/// How a table looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    width: Option<usize>,
    paint: Paint,
}

impl Look {
    /// As wide as its values are, without color: for pipes and files.
    pub(crate) fn plain() -> Self {
        Self { width: None, paint: Paint::when(false) }
    }

    /// In at most `width` columns of a terminal.
    pub(super) fn fitting(width: Option<usize>, paint: Paint) -> Self {
        Self { width, paint }
    }
}

/// A table that is being written.
#[derive(Debug)]
pub(crate) struct Table {
    names: Vec<String>,
    is_right: Vec<bool>,
    look: Look,
    layout: Option<Layout>,
    waiting: Vec<Row>,
    waiting_bytes: usize,
}

impl Table {
    /// A table with the columns of `schema`.
    pub(crate) fn new(schema: &Schema, look: Look) -> Self {
        Self {
            names: schema.fields().iter().map(|field| printable(field.name()).into_owned()).collect(),
            is_right: schema.fields().iter().map(|field| is_number(field.data_type())).collect(),
            look,
            layout: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    /// Adds rows, and writes them once there are enough for a piece.
    ///
    /// # Errors
    /// What `out` fails with.
    pub(crate) fn push(&mut self, batch: &RecordBatch, out: &mut impl Write) -> io::Result<()> {
        for row in rows(batch, self.look.width) {
            self.waiting_bytes += row.iter().flatten().map(String::len).sum::<usize>();
            self.waiting.push(row);
            if self.waiting.len() >= PIECE_ROWS || self.waiting_bytes >= PIECE_BYTES {
                self.write_piece(out)?;
            }
        }
        Ok(())
    }

    /// Writes what is left, and the end of the table. Gives how many of how many columns are shown.
    ///
    /// # Errors
    /// What `out` fails with.
    pub(crate) fn finish(mut self, out: &mut impl Write) -> io::Result<(usize, usize)> {
        if self.names.is_empty() {
            return Ok((0, 0));
        }
        self.write_piece(out)?;
        let Some(layout) = &self.layout else { return Ok((0, 0)) };
        writeln!(out, "{}", layout.line("└", "┴", "┘"))?;
        Ok((layout.shown(), self.names.len()))
    }

    fn write_piece(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.names.is_empty() {
            return Ok(());
        }
        let natural = self.natural_widths();
        match &mut self.layout {
            Some(layout) if self.look.width.is_none() => layout.grow(&natural),
            Some(_) => {}
            None => self.begin(&natural, out)?,
        }
        let Some(layout) = &self.layout else { return Ok(()) };
        for row in self.waiting.drain(..) {
            let cell = |at: usize| match &row[at] {
                Some(text) => (text.as_str(), Paint::plain as PaintWith),
                None => (NULL, Paint::dim as PaintWith),
            };
            writeln!(out, "{}", layout.row(&self.is_right, cell, self.look.paint))?;
        }
        self.waiting_bytes = 0;
        Ok(())
    }

    /// Settles the layout, and writes the names of the columns.
    fn begin(&mut self, natural: &[usize], out: &mut impl Write) -> io::Result<()> {
        let layout = Layout::of(natural, &self.is_right, self.look.width);
        let name = |at: usize| (self.names[at].as_str(), Paint::bold as PaintWith);
        writeln!(out, "{}", layout.line("┌", "┬", "┐"))?;
        writeln!(out, "{}", layout.row(&self.is_right, name, self.look.paint))?;
        writeln!(out, "{}", layout.line("├", "┼", "┤"))?;
        self.layout = Some(layout);
        Ok(())
    }

    fn natural_widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.names.iter().map(|name| width(name)).collect();
        for row in &self.waiting {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(cell.as_deref().map_or(NULL.len(), width));
            }
        }
        widths
    }
}

/// A way to paint a cell.
type PaintWith = fn(Paint, &str) -> String;

/// Rows one value per line, for what is too wide to be a table.
#[derive(Debug)]
pub(super) struct Expanded {
    names: Vec<String>,
    name_width: usize,
    paint: Paint,
    rows: u64,
}

impl Expanded {
    /// Rows of the columns of `schema`.
    pub(super) fn new(schema: &Schema, paint: Paint) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| printable(field.name()).into_owned()).collect();
        let name_width = names.iter().map(|name| width(name)).max().unwrap_or_default();
        Self { names, name_width, paint, rows: 0 }
    }

    /// Writes rows.
    ///
    /// # Errors
    /// What `out` fails with.
    pub(super) fn push(&mut self, batch: &RecordBatch, out: &mut impl Write) -> io::Result<()> {
        for row in rows(batch, None) {
            self.rows += 1;
            writeln!(out, "{}", self.paint.bold(&format!("─[ row {} ]─", self.rows)))?;
            for (name, value) in self.names.iter().zip(&row) {
                let value = value.as_ref().map_or_else(|| self.paint.dim(NULL), Clone::clone);
                writeln!(out, "{name}{:pad$} │ {value}", "", pad = self.name_width - width(name))?;
            }
        }
        Ok(())
    }
}

/// Numbers stand at the right, so that their digits line up.
fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

#[cfg(test)]
mod tests;
