//! What each principal has used: queries by the minute, rows and bytes by the day. Beyond its bounds it is told when to ask again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};

use crate::{Code, Error, Limits, PerPrincipal, Principal};

/// Principals that are remembered. Beyond that, those who have not asked for longest go.
const PRINCIPALS: usize = 100_000;

/// Counts of all principals.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    used: Mutex<HashMap<String, Used>>,
}

/// What one has used.
#[derive(Debug)]
struct Used {
    /// Queries that it may still ask at once: they come back with time.
    left: f64,
    filled: Instant,
    day: NaiveDate,
    rows: u64,
    source_bytes: u64,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, used: Mutex::default() }
    }

    /// Counts a query that a principal asks.
    ///
    /// # Errors
    /// `rate_limited` where it asks too often, or its day's rows or bytes are used up.
    pub(crate) fn admit(&self, principal: &Principal) -> Result<(), Error> {
        let PerPrincipal { queries_per_minute, rows_per_day, source_bytes_per_day, .. } = self.limits.of(principal);
        if queries_per_minute.is_none() && rows_per_day.is_none() && source_bytes_per_day.is_none() {
            return Ok(());
        }
        let now = Utc::now();
        let mut all = self.locked();
        let used = entry(&mut all, principal.name(), now.date_naive());
        for (limit, has, what) in
            [(rows_per_day, used.rows, "rows"), (source_bytes_per_day, used.source_bytes, "bytes from databases")]
        {
            if limit.is_some_and(|limit| has >= limit) {
                return Err(Error::new(Code::RateLimited, format!("Today's budget of {what} is used up."))
                    .hint("It begins anew at midnight UTC; an administrator can raise limits.per_principal or limits.per_role.")
                    .retry_after(until_midnight(now)));
            }
        }
        let Some(per_minute) = queries_per_minute else { return Ok(()) };
        let rate = f64::from(per_minute) / 60.0;
        used.left = (used.left + used.filled.elapsed().as_secs_f64() * rate).min(f64::from(per_minute));
        used.filled = Instant::now();
        if used.left < 1.0 {
            let wait = Duration::from_secs_f64((1.0 - used.left) / rate);
            let seconds = wait.as_secs_f64().ceil();
            return Err(Error::new(Code::RateLimited, format!("That is more than {per_minute} queries a minute."))
                .hint(format!("Ask again in {seconds} s."))
                .retry_after(wait));
        }
        used.left -= 1.0;
        Ok(())
    }

    /// Counts what a query has used.
    pub(crate) fn used(&self, principal: &str, rows: u64, source_bytes: u64) {
        let has_budget = self.limits.per_principal.has_budget();
        if !has_budget && !self.limits.per_role.values().any(PerPrincipal::has_budget) {
            return;
        }
        let mut all = self.locked();
        let used = entry(&mut all, principal, Utc::now().date_naive());
        used.rows = used.rows.saturating_add(rows);
        used.source_bytes = used.source_bytes.saturating_add(source_bytes);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'a>(all: &'a mut HashMap<String, Used>, name: &str, today: NaiveDate) -> &'a mut Used {
    if all.len() >= PRINCIPALS && !all.contains_key(name) {
        let oldest = all.iter().min_by_key(|(_, used)| used.filled).map(|(name, _)| name.clone());
        oldest.and_then(|oldest| all.remove(&oldest));
    }
    let used = all.entry(name.to_owned()).or_insert_with(|| Used {
        // As many as a minute has, whatever that is.
        left: f64::INFINITY,
        filled: Instant::now(),
        day: today,
        rows: 0,
        source_bytes: 0,
    });
    if used.day != today {
        (used.day, used.rows, used.source_bytes) = (today, 0, 0);
    }
    used
}

fn until_midnight(now: DateTime<Utc>) -> Duration {
    let midnight = (now + chrono::Days::new(1)).date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    (midnight - now).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(per_principal: PerPrincipal) -> Meter {
        Meter::new(Limits { per_principal, ..Limits::default() })
    }

    #[test]
    fn more_queries_than_a_minute_has_are_told_when_to_come_again() {
        let meter = meter(PerPrincipal { queries_per_minute: Some(3), ..PerPrincipal::default() });
        let (meera, ravi) = (Principal::new("meera", []), Principal::new("ravi", []));
        (0..3).for_each(|_| meter.admit(&meera).unwrap());
        let error = meter.admit(&meera).unwrap_err();
        assert_eq!(error.code(), Code::RateLimited);
        let wait = error.retry_time().unwrap();
        assert!(wait > Duration::from_secs(15) && wait <= Duration::from_secs(20), "{wait:?}");
        meter.admit(&ravi).unwrap();
    }

    #[test]
    fn what_a_day_has_is_used_up() {
        let limits =
            PerPrincipal { rows_per_day: Some(100), source_bytes_per_day: Some(1000), ..PerPrincipal::default() };
        let meter = meter(limits);
        let meera = Principal::new("meera", []);
        meter.admit(&meera).unwrap();
        meter.used("meera", 99, 10);
        meter.admit(&meera).unwrap();
        meter.used("meera", 1, 10);
        let error = meter.admit(&meera).unwrap_err();
        assert_eq!(error.code(), Code::RateLimited);
        assert!(error.retry_time().unwrap() <= Duration::from_secs(24 * 60 * 60));
        meter.used("ravi", 0, 2000);
        assert_eq!(meter.admit(&Principal::new("ravi", [])).unwrap_err().code(), Code::RateLimited);
    }
}
