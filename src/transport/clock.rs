//! The system clock and the deadline of an invocation. Time is a value, so tests and the model set it.

use std::{future::Future, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::Clock;

/// The system clock and tokio's timers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        tokio::time::timeout(limit, future).await.ok()
    }
}

/// The time at which Lambda ends the invocation.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Timestamp);

/// The deadline of a run whose runtime names none. A claim expires at the deadline, so every run has one.
const UNNAMED: SignedDuration = SignedDuration::from_mins(10);

impl Deadline {
    /// Returns the deadline that the runtime names, in milliseconds since 1970. A deadline before `now` is ignored:
    /// `cargo lambda watch` always names 00:10 of January 1, 1970.
    #[must_use]
    pub fn named(milliseconds: u64, now: Timestamp) -> Self {
        let named = i64::try_from(milliseconds).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Self(named.filter(|deadline| *deadline > now).unwrap_or(now + UNNAMED))
    }

    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self(time)
    }

    /// Returns the deadline as a timestamp.
    #[must_use]
    pub const fn time(self) -> Timestamp {
        self.0
    }

    /// Returns the time until the deadline; zero after it.
    #[must_use]
    pub fn remaining(self, now: Timestamp) -> Duration {
        Duration::try_from(self.0.duration_since(now)).unwrap_or(Duration::ZERO)
    }
}
