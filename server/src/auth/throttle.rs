//! Guessing passwords is slowed: after some failures for one name from one address, or for any names from one address, the
//! next attempts wait, longer each time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::{Code, Error};

/// Failures that everybody may have.
const FREE_OF_NAME: u32 = 5;
const FREE_OF_PEER: u32 = 50;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Failures are forgotten after so long without another.
const FORGOTTEN: Duration = Duration::from_secs(900);
/// With more than these, failures of addresses are not told apart by name any more.
const REMEMBERED_AT_MOST: usize = 100_000;

/// Failures by address and name, and by address alone.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: Mutex<HashMap<Who, Failures>>,
}

/// An address, and a name by its hash: names may be as long as a header, and are remembered in numbers.
type Who = (Option<IpAddr>, Option<[u8; 32]>);

fn named(peer: Option<IpAddr>, name: &str) -> Who {
    (peer, Some(*blake3::hash(name.as_bytes()).as_bytes()))
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    /// How long after the last failure the next attempt may come.
    fn wait(&self, free: u32) -> Duration {
        match self.count.checked_sub(free) {
            None => Duration::ZERO,
            Some(more) => FIRST_WAIT.saturating_mul(2_u32.saturating_pow(more)).min(LONGEST_WAIT),
        }
    }
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Lets an attempt through.
    ///
    /// # Errors
    /// `rate_limited` where it comes too early after failures.
    pub(super) fn admit(&self, peer: Option<IpAddr>, name: &str) -> Result<(), Error> {
        let failures = self.lock();
        let left = [(named(peer, name), FREE_OF_NAME), ((peer, None), FREE_OF_PEER)]
            .into_iter()
            .filter_map(|(who, free)| {
                let failures = failures.get(&who)?;
                failures.wait(free).checked_sub(failures.last.elapsed())
            })
            .max();
        match left {
            Some(left) if left > Duration::ZERO => {
                Err(Error::new(Code::RateLimited, "Too many wrong passwords were tried.")
                    .hint(format!("Try again in {} s.", left.as_secs() + 1))
                    .retry_after(left))
            }
            _ => Ok(()),
        }
    }

    /// An attempt was wrong.
    pub(super) fn failed(&self, peer: Option<IpAddr>, name: &str) {
        let mut failures = self.lock();
        if failures.len() >= REMEMBERED_AT_MOST {
            failures.retain(|_, failures| failures.last.elapsed() < FORGOTTEN);
        }
        let is_full = failures.len() >= REMEMBERED_AT_MOST;
        let of_name = (!is_full).then(|| named(peer, name));
        for who in of_name.into_iter().chain([(peer, None)]) {
            let failures = failures.entry(who).or_insert(Failures { count: 0, last: Instant::now() });
            if failures.last.elapsed() > FORGOTTEN {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = Instant::now();
        }
    }

    /// The right password came.
    pub(super) fn forget(&self, peer: Option<IpAddr>, name: &str) {
        self.lock().remove(&named(peer, name));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    #[test]
    fn failures_for_one_name_slow_that_name_from_there_only() {
        let throttle = Throttle::new();
        for _ in 0..FREE_OF_NAME {
            assert!(throttle.admit(PEER, "meera").is_ok());
            throttle.failed(PEER, "meera");
        }
        assert_eq!(throttle.admit(PEER, "meera").unwrap_err().code(), Code::RateLimited);
        assert!(throttle.admit(PEER, "ravi").is_ok());
        assert!(throttle.admit(None, "meera").is_ok());
        throttle.forget(PEER, "meera");
        assert!(throttle.admit(PEER, "meera").is_ok());
    }

    #[test]
    fn trying_many_names_slows_the_address() {
        let throttle = Throttle::new();
        for name in 0..FREE_OF_PEER {
            throttle.failed(PEER, &name.to_string());
        }
        assert_eq!(throttle.admit(PEER, "meera").unwrap_err().code(), Code::RateLimited);
    }

    #[test]
    fn each_wait_is_longer_up_to_a_bound() {
        let wait = |count| Failures { count, last: Instant::now() }.wait(FREE_OF_NAME);
        assert_eq!(wait(FREE_OF_NAME - 1), Duration::ZERO);
        assert_eq!(wait(FREE_OF_NAME), FIRST_WAIT);
        assert_eq!(wait(FREE_OF_NAME + 2), FIRST_WAIT * 4);
        assert_eq!(wait(u32::MAX), LONGEST_WAIT);
    }
}
