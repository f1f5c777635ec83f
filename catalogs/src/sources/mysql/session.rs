//! What a statement runs under: its name in the server's list, its settings, and how long it may take.

use std::time::{Duration, Instant};

/// How long the server waits for a slow reader. Its own patience of a minute is less than a pause of a reader may last.
const READER_PATIENCE: Duration = Duration::from_secs(3600);

/// What one statement runs under.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    /// What a comment before the statement says, by which the server's administrator finds the query.
    pub(super) name: String,
    /// How long the server may work on it.
    pub(super) statement_timeout: Option<Duration>,
    /// When the query that it works for is over in any case.
    pub(super) deadline: Option<Instant>,
}

impl Session {
    /// How long the server may work from now on. The query ends itself at its deadline; the server keeps to it a little later,
    /// for the case that nobody is left to cancel.
    fn timeout(&self) -> Option<Duration> {
        const GRACE: Duration = Duration::from_secs(5);
        let rest = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) + GRACE);
        self.statement_timeout.into_iter().chain(rest).min()
    }

    /// `sql` under a name in the server's list of what runs.
    pub(super) fn signed(&self, sql: &str) -> String {
        let is_plain = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '/' | '-' | '_');
        let name: String = self.name.chars().filter(is_plain).collect();
        format!("/* {name} */ {sql}")
    }

    /// Settings under which a statement means what we mean by it, whatever the server's own are or a function has left
    /// behind.
    pub(super) fn settings(&self, limits: Limits) -> String {
        let mut sql = format!(
            "SET NAMES utf8mb4, SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', SESSION time_zone = '+00:00', \
             SESSION net_write_timeout = {}",
            READER_PATIENCE.as_secs()
        );
        let timeout = self.timeout();
        match limits {
            Limits::None => {}
            Limits::Seconds => {
                let seconds = timeout.map(|timeout| timeout.as_secs_f64().max(0.001).to_string());
                sql.push_str(", SESSION max_statement_time = ");
                sql.push_str(seconds.as_deref().unwrap_or("DEFAULT"));
            }
            Limits::Millis => {
                let millis = timeout.map(|timeout| timeout.as_millis().clamp(1, u32::MAX.into()).to_string());
                sql.push_str(", SESSION max_execution_time = ");
                sql.push_str(millis.as_deref().unwrap_or("DEFAULT"));
            }
        }
        sql
    }
}

/// How a server is told when a statement must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    /// `max_execution_time` of MySQL.
    Millis,
    /// `max_statement_time` of MariaDB.
    Seconds,
    /// Servers from before either.
    None,
}

impl Limits {
    pub(super) fn of(version: &str) -> Self {
        match number(version) {
            (true, number) if number >= (10, 1, 1) => Limits::Seconds,
            (false, number) if number >= (5, 7, 8) => Limits::Millis,
            _ => Limits::None,
        }
    }
}

/// Whether a server knows windows, as in `min(x) OVER (PARTITION BY k)`.
pub(super) fn has_windows(version: &str) -> bool {
    let (is_mariadb, number) = number(version);
    number >= if is_mariadb { (10, 2, 0) } else { (8, 0, 0) }
}

/// Whether it is MariaDB, and the number of a version.
fn number(version: &str) -> (bool, (u32, u32, u32)) {
    // So MariaDB calls itself before old replicas.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (version.contains("MariaDB"), (next(), next(), next()))
}

#[cfg(test)]
mod tests {
    use super::{Limits, Session, has_windows};

    #[test]
    fn every_server_is_told_in_its_own_way() {
        for (version, limits) in [
            ("10.11.6-MariaDB-0+deb12u1", Limits::Seconds),
            ("5.5.5-10.4.1-MariaDB", Limits::Seconds),
            ("10.0.38-MariaDB", Limits::None),
            ("11.4.2-MariaDB", Limits::Seconds),
            ("8.0.36", Limits::Millis),
            ("5.7.44-log", Limits::Millis),
            ("5.6.51", Limits::None),
            ("", Limits::None),
        ] {
            assert_eq!(Limits::of(version), limits, "{version}");
            let is_old = ["10.0.38-MariaDB", "5.7.44-log", "5.6.51", ""].contains(&version);
            assert_eq!(has_windows(version), !is_old, "{version}");
        }
    }

    #[test]
    fn a_name_cannot_end_its_comment() {
        let session = Session { name: "weft/1*/ DROP".to_owned(), ..Session::default() };
        assert_eq!(session.signed("SELECT 1"), "/* weft/1/DROP */ SELECT 1");
        assert!(session.settings(Limits::Seconds).ends_with("max_statement_time = DEFAULT"));
    }
}
