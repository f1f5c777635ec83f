//! SIGHUP: whoever runs the server asks it to read its home again, or its terminal has closed. Where there are no such
//! signals, none comes.

#[cfg(unix)]
use std::io::{IsTerminal, stderr};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
pub(super) enum Hangup {
    Reload,
    TerminalClosed,
}

/// Signals as they come.
#[cfg(unix)]
pub(crate) struct Hangups {
    signals: Option<Signal>,
    has_terminal: bool,
}

#[cfg(unix)]
impl Hangups {
    /// From now on the signal does not end the process.
    pub(crate) fn listen() -> Self {
        Self { signals: signal(SignalKind::hangup()).ok(), has_terminal: stderr().is_terminal() }
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Hangup {
        let came = match &mut self.signals {
            Some(signals) => signals.recv().await,
            None => None,
        };
        match came {
            // A terminal that has closed is none any more by the time its signal comes.
            Some(()) if self.has_terminal && !stderr().is_terminal() => Hangup::TerminalClosed,
            Some(()) => Hangup::Reload,
            None => std::future::pending().await,
        }
    }
}

/// Signals as they come.
#[cfg(not(unix))]
pub(crate) struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    pub(crate) fn listen() -> Self {
        Self
    }

    pub(super) async fn next(&mut self) -> Hangup {
        std::future::pending().await
    }
}
