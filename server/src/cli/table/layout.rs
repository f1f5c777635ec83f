//! Which columns of a table are shown, and how wide.

use super::cells::{cut, width};
use super::{ELIDED, PaintWith};
use crate::cli::terminal::Paint;

/// Columns of text may be cut down to this width before whole columns are left out.
const NARROW: usize = 12;

/// Columns of a terminal around each value: a border and two spaces.
const FRAME: usize = 3;

/// Shown columns with their widths.
#[derive(Debug)]
pub(super) struct Layout {
    /// The first so many columns are shown.
    head: usize,
    /// The last so many columns are shown.
    tail: usize,
    /// The width of each column, shown or not.
    widths: Vec<usize>,
}

impl Layout {
    /// A layout of columns that would like to be as wide as `natural`, in at most `limit` columns of a terminal.
    pub(super) fn of(natural: &[usize], is_number: &[bool], limit: Option<usize>) -> Self {
        let all = Self { head: natural.len(), tail: 0, widths: natural.to_vec() };
        let Some(limit) = limit else { return all };
        if all.total() <= limit {
            return all;
        }
        // A number that is cut reads as another number: only text gives way.
        let least = natural.iter().zip(is_number);
        let least: Vec<usize> = least.map(|(want, number)| if *number { *want } else { NARROW.min(*want) }).collect();
        let (head, tail) = ends_that_fit(&least, limit);
        let mut layout = Self { head, tail, widths: least };
        layout.spread(natural, limit);
        layout
    }

    /// Makes columns wider where `natural` is.
    pub(super) fn grow(&mut self, natural: &[usize]) {
        for (width, natural) in self.widths.iter_mut().zip(natural) {
            *width = (*width).max(*natural);
        }
    }

    /// How many columns are shown.
    pub(super) fn shown(&self) -> usize {
        self.head + self.tail
    }

    fn is_elided(&self) -> bool {
        self.shown() < self.widths.len()
    }

    fn columns(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.head).chain(self.widths.len() - self.tail..self.widths.len())
    }

    fn total(&self) -> usize {
        let shown: usize = self.columns().map(|at| self.widths[at] + FRAME).sum();
        shown + 1 + if self.is_elided() { FRAME + 1 } else { 0 }
    }

    /// Gives what is left of `limit` to the columns that want it: all grow to one common width, or to what they need.
    fn spread(&mut self, natural: &[usize], limit: usize) {
        let columns: Vec<usize> = self.columns().collect();
        if self.total() > limit {
            // One column alone that is wider than the terminal.
            let over = self.total() - limit;
            for at in columns {
                self.widths[at] = self.widths[at].saturating_sub(over).max(1);
            }
            return;
        }
        let mut left = limit - self.total();
        while left > 0 {
            let narrowest = columns.iter().filter(|at| self.widths[**at] < natural[**at]);
            let Some(at) = narrowest.min_by_key(|at| self.widths[**at]) else { return };
            self.widths[*at] += 1;
            left -= 1;
        }
    }

    /// A horizontal line.
    pub(super) fn line(&self, left: &str, middle: &str, right: &str) -> String {
        let mut cells: Vec<String> = self.columns().map(|at| "─".repeat(self.widths[at] + 2)).collect();
        if self.is_elided() {
            cells.insert(self.head, "─".repeat(3));
        }
        format!("{left}{}{right}", cells.join(middle))
    }

    /// A row of cells.
    pub(super) fn row<'a>(
        &self,
        is_right: &[bool],
        cell: impl Fn(usize) -> (&'a str, PaintWith),
        paint: Paint,
    ) -> String {
        let mut line = String::from("│");
        for (place, at) in self.columns().enumerate() {
            if place == self.head && self.is_elided() {
                self.elided(&mut line, paint);
            }
            let (text, with) = cell(at);
            let text = cut(text, self.widths[at]);
            let padding = " ".repeat(self.widths[at].saturating_sub(width(&text)));
            let painted = with(paint, &text);
            line.push(' ');
            if is_right[at] {
                line.push_str(&padding);
                line.push_str(&painted);
            } else {
                line.push_str(&painted);
                line.push_str(&padding);
            }
            line.push_str(" │");
        }
        if self.is_elided() && self.tail == 0 {
            self.elided(&mut line, paint);
        }
        line
    }

    fn elided(&self, line: &mut String, paint: Paint) {
        line.push(' ');
        line.push_str(&paint.dim(ELIDED));
        line.push_str(" │");
    }
}

/// How many columns from the left and from the right fit; the first one always is shown.
fn ends_that_fit(least: &[usize], limit: usize) -> (usize, usize) {
    let all: usize = least.iter().map(|width| width + FRAME).sum::<usize>() + 1;
    if all <= limit {
        return (least.len(), 0);
    }
    let (mut head, mut tail) = (1, 0);
    let mut used = least.first().map_or(0, |width| width + FRAME) + 1 + FRAME + 1;
    while head + tail < least.len() {
        let is_left = tail >= head;
        let at = if is_left { head } else { least.len() - 1 - tail };
        used += least[at] + FRAME;
        if used > limit {
            break;
        }
        if is_left { head += 1 } else { tail += 1 }
    }
    (head, tail)
}
