//! What a running Weft tells its operator: log lines on standard error, and metrics.
//!
//! A failure's cause is logged once, at the door, under the query's id. Neither logs nor metrics hold credentials.

mod metrics;

use std::error::Error as StdError;
use std::fmt::Write;
use std::io::IsTerminal;

use catalogs::LogFormat;
use engine::Error;
use tracing_subscriber::EnvFilter;

pub use metrics::Metrics;

use crate::cli::terminal::is_colored;

/// The variable that overrides the configured log filter.
pub const LOG_VARIABLE: &str = "WEFT_LOG";

/// Libraries whose own `info` lines say nothing to who operates Weft.
const QUIET: [&str; 7] = ["datafusion", "h2", "hyper", "hyper_util", "r2d2", "tower", "tonic"];
/// It warns of each mistake of a client, who is told of it anyway.
const MUTE: &str = "rmcp=error";

/// Starts logging to standard error. `filter` is a level or a list of `target=level`; `$WEFT_LOG` overrides it.
///
/// # Errors
/// A sentence, where the filter cannot be read or this process logs already.
pub fn init(filter: &str, format: LogFormat) -> Result<(), String> {
    let wanted = std::env::var(LOG_VARIABLE).ok().filter(|value| !value.trim().is_empty());
    let filter = parse(wanted.as_deref().unwrap_or(filter))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_colored(std::io::stderr().is_terminal()))
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| "Logging has been started already.".to_owned())
}

fn parse(text: &str) -> Result<EnvFilter, String> {
    let quiet = QUIET.iter().map(|target| format!("{target}=warn"));
    // Later directives win, so that `datafusion=debug` still can be asked for.
    let text = quiet.chain([MUTE.to_owned(), text.to_owned()]).collect::<Vec<_>>().join(",");
    EnvFilter::try_new(text).map_err(|error| {
        format!(
            "The log filter cannot be read: {error}. Write a level such as info, or a list such as info,engine=debug."
        )
    })
}

/// Logs what lies behind `error`, once, where it leaves through a door. What the caller is told needs no log line.
pub fn log_cause(error: &Error) {
    let Some(mut cause) = error.source() else { return };
    let mut causes = cause.to_string();
    while let Some(next) = cause.source() {
        // Writing to a string cannot fail.
        let _ = write!(causes, ": {next}");
        cause = next;
    }
    let id = error.query_id().map(|id| id.to_string()).unwrap_or_default();
    let code = error.code();
    if code.http_status() >= 500 {
        tracing::error!(query.id = id, code = code.as_str(), cause = causes, "{error}");
    } else {
        tracing::info!(query.id = id, code = code.as_str(), cause = causes, "{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_level_and_a_list_are_read_and_nonsense_is_not() {
        assert!(parse("info").is_ok());
        assert!(parse("warn,engine=debug").is_ok());
        assert!(parse("engine=loud").is_err());
    }
}
