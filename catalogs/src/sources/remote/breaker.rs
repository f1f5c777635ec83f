//! A server that cannot be reached is not tried by every query: after a few failures in a row queries fail at once, until one
//! of them may try whether it is back.
//!
//! Only failures to connect count. A server that refuses a password, or a statement, is there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use engine::{Code, Error};

/// Failures in a row after which the server is left alone.
const FAILURES: u32 = 5;
/// How long it is left alone at first; each failure after that doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// How long it is left alone at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Counts the failures of one source.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// The source and its place, as messages name it.
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When the first of the failures was.
    since: Option<SystemTime>,
    pause: Option<Pause>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    length: Duration,
    until: Instant,
    /// Whether somebody tries at this moment.
    is_tried: bool,
}

impl Breaker {
    /// For the source `id` at `location`.
    pub(crate) fn new(id: &str, location: &str) -> Self {
        Self { name: format!("Source \"{id}\" at {location}"), state: Mutex::default() }
    }

    /// Leave to connect.
    ///
    /// # Errors
    /// `source_unavailable` while the server is left alone, with when it will be tried again.
    pub(crate) fn attempt(&self) -> Result<Attempt<'_>, Error> {
        self.attempt_at(Instant::now())
    }

    fn attempt_at(&self, now: Instant) -> Result<Attempt<'_>, Error> {
        let mut state = self.state();
        let Some(pause) = &mut state.pause else { return Ok(Attempt { breaker: self, is_trial: false }) };
        if !pause.is_tried && now >= pause.until {
            pause.is_tried = true;
            return Ok(Attempt { breaker: self, is_trial: true });
        }
        let hint = match pause.until.saturating_duration_since(now) {
            Duration::ZERO => "It is being tried right now: retry in a moment.".to_owned(),
            rest => format!(
                "The next try is in {} s, at {}. Check that the server runs.",
                rest.as_secs() + 1,
                moment(SystemTime::now() + rest)
            ),
        };
        Err(Error::new(Code::SourceUnavailable, self.outage_of(&state)).hint(hint))
    }

    /// Why the server is left alone, if it is, and when it will be tried again.
    pub(crate) fn outage(&self) -> Option<String> {
        let state = self.state();
        let rest = state.pause?.until.saturating_duration_since(Instant::now());
        let next = match rest {
            Duration::ZERO => "The next query tries again.".to_owned(),
            rest => format!("The next try is at {}.", moment(SystemTime::now() + rest)),
        };
        Some(format!("{} {next}", self.outage_of(&state)))
    }

    fn outage_of(&self, state: &State) -> String {
        let Self { name, .. } = self;
        match state.since {
            Some(since) => format!("{name} has not been reached since {}.", moment(since)),
            None => format!("{name} has not been reached."),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to connect, given once. Dropped without an end, as by a panic, it says nothing about the server.
#[must_use]
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    breaker: &'a Breaker,
    is_trial: bool,
}

impl Attempt<'_> {
    /// Takes note of how it ended.
    pub(crate) fn ended(self, error: Option<&Error>) {
        self.ended_at(error, Instant::now());
    }

    fn ended_at(self, error: Option<&Error>, now: Instant) {
        let mut state = self.breaker.state();
        match error.map(Error::code) {
            None | Some(Code::SourceRejected) => *state = State::default(),
            Some(Code::SourceUnavailable) => {
                state.failures += 1;
                state.since.get_or_insert_with(SystemTime::now);
                let length = match state.pause {
                    Some(pause) if self.is_trial => Some((pause.length * 2).min(LONGEST_PAUSE)),
                    // It had begun before the pause did.
                    Some(_) => None,
                    None => (state.failures >= FAILURES).then_some(FIRST_PAUSE),
                };
                if let Some(length) = length {
                    state.pause = Some(Pause { length, until: now + length, is_tried: false });
                }
            }
            // The fault is on this side: nothing is known of the server.
            Some(_) => {}
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_trial
            && let Some(pause) = &mut self.breaker.state().pause
        {
            pause.is_tried = false;
        }
    }
}

fn moment(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new("bank", "db:5432")
    }

    fn fail(breaker: &Breaker, now: Instant, code: Code) -> bool {
        let Ok(attempt) = breaker.attempt_at(now) else { return false };
        attempt.ended_at(Some(&Error::new(code, "No.")), now);
        true
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = breaker();
        assert!((0..FAILURES).all(|_| fail(&breaker, now, Code::SourceUnavailable)));
        breaker
    }

    #[test]
    fn five_failures_in_a_row_make_a_pause_that_says_how_long_it_is() {
        let now = Instant::now();
        let breaker = opened(now);
        let error = breaker.attempt_at(now).unwrap_err();
        assert_eq!(error.code(), Code::SourceUnavailable);
        assert!(error.message().starts_with("Source \"bank\" at db:5432 has not been reached since 2"), "{error}");
        assert!(error.hint_text().unwrap().starts_with("The next try is in 11 s, at 2"), "{:?}", error.hint_text());
        assert!(breaker.outage().unwrap().contains(". The next try is at 2"), "{:?}", breaker.outage());
    }

    #[test]
    fn a_server_that_answers_in_between_starts_the_count_anew() {
        let (breaker, now) = (breaker(), Instant::now());
        for code in [Code::SourceRejected, Code::SourceUnavailable] {
            for _ in 1..FAILURES {
                assert!(fail(&breaker, now, Code::SourceUnavailable));
            }
            assert!(fail(&breaker, now, code));
        }
        assert!(breaker.attempt_at(now).is_err());
        let breaker = self::breaker();
        for _ in 0..FAILURES * 2 {
            assert!(fail(&breaker, now, Code::SourceRejected) && fail(&breaker, now, Code::Overloaded));
        }
        assert_eq!(breaker.outage(), None);
    }

    #[test]
    fn after_the_pause_one_may_try_and_its_success_ends_it() {
        let now = Instant::now();
        let breaker = opened(now);
        assert!(breaker.attempt_at(now + FIRST_PAUSE - Duration::from_millis(1)).is_err());
        let trial = breaker.attempt_at(now + FIRST_PAUSE).unwrap();
        let error = breaker.attempt_at(now + FIRST_PAUSE).unwrap_err();
        assert_eq!(error.hint_text(), Some("It is being tried right now: retry in a moment."));
        trial.ended(None);
        assert_eq!(breaker.outage(), None);
        assert!(breaker.attempt_at(now).is_ok() && breaker.attempt_at(now).is_ok());
    }

    #[test]
    fn each_trial_that_fails_doubles_the_pause_up_to_a_minute() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for seconds in [10, 20, 40, 60, 60] {
            let pause = Duration::from_secs(seconds);
            assert!(!fail(&breaker, now + pause - Duration::from_millis(1), Code::SourceUnavailable), "{seconds}");
            now += pause;
            assert!(fail(&breaker, now, Code::SourceUnavailable), "{seconds}");
        }
    }

    #[test]
    fn a_trial_that_ends_without_a_word_lets_the_next_one_try() {
        let now = Instant::now();
        let breaker = opened(now);
        drop(breaker.attempt_at(now + FIRST_PAUSE).unwrap());
        assert!(breaker.attempt_at(now + FIRST_PAUSE).is_ok());
    }

    #[test]
    fn connections_that_were_begun_before_the_pause_do_not_lengthen_it() {
        let (breaker, now) = (breaker(), Instant::now());
        let attempts: Vec<_> = (0..2 * FAILURES).map(|_| breaker.attempt_at(now).unwrap()).collect();
        for attempt in attempts {
            attempt.ended_at(Some(&Error::new(Code::SourceUnavailable, "No.")), now);
        }
        assert!(breaker.attempt_at(now + FIRST_PAUSE).is_ok());
    }
}
