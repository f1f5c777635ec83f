//! What a person sees while a long query runs: rows so far, and the time. Only on a terminal, and not before a second.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// A query that takes less than this shows no progress.
const PATIENCE: Duration = Duration::from_secs(1);

const TICK: Duration = Duration::from_millis(100);

/// The progress of one query. Dropped, it is gone from the screen.
#[derive(Debug)]
pub(super) struct Progress {
    rows: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    bar: ProgressBar,
    _ticking: Option<AbortOnDropHandle<()>>,
}

impl Progress {
    /// Progress that appears on standard error where that is a terminal.
    pub(super) fn begin() -> Self {
        let rows = Arc::new(AtomicU64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let ticking = std::io::stderr().is_terminal().then(|| {
            let task = tick(bar.clone(), Arc::clone(&rows), Arc::clone(&is_over));
            #[expect(clippy::disallowed_methods, reason = "the handle owns the task: it ends with the query")]
            let task = tokio::spawn(task);
            AbortOnDropHandle::new(task)
        });
        Self { rows, is_over, bar, _ticking: ticking }
    }

    /// So many rows have come until now.
    pub(super) fn set_rows(&self, rows: u64) {
        self.rows.store(rows, Ordering::Relaxed);
    }

    /// Takes it from the screen for good, because something else is about to be written there.
    pub(super) fn clear(&self) {
        if !self.is_over.swap(true, Ordering::Relaxed) {
            self.bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

async fn tick(bar: ProgressBar, rows: Arc<AtomicU64>, is_over: Arc<AtomicBool>) {
    sleep(PATIENCE).await;
    if is_over.load(Ordering::Relaxed) {
        return;
    }
    bar.set_draw_target(ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed}; Ctrl-C cancels)") {
        bar.set_style(style);
    }
    while !is_over.load(Ordering::Relaxed) {
        match rows.load(Ordering::Relaxed) {
            0 => bar.set_message("no rows yet"),
            rows => bar.set_message(format!("{} rows", grouped(rows))),
        }
        bar.tick();
        sleep(TICK).await;
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
