use std::{future::Future, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::Clock;

/// The machine's clock and tokio's timers.
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

/// When the invocation ends, whatever it is doing.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Timestamp);

/// What a run gives itself whose runtime names no deadline. A claim lasts as long, so it has to end.
const UNNAMED: SignedDuration = SignedDuration::from_mins(10);

impl Deadline {
    /// The deadline that the runtime names, in milliseconds since 1970. One that was over before the run began is none:
    /// `cargo lambda watch` always says ten minutes past midnight of the first of January 1970.
    #[must_use]
    pub fn named(milliseconds: u64, now: Timestamp) -> Self {
        let named = i64::try_from(milliseconds).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Self(named.filter(|deadline| *deadline > now).unwrap_or(now + UNNAMED))
    }

    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self(time)
    }

    /// The moment itself.
    #[must_use]
    pub const fn time(self) -> Timestamp {
        self.0
    }

    /// What is left of the invocation.
    #[must_use]
    pub fn remaining(self, now: Timestamp) -> Duration {
        Duration::try_from(self.0.duration_since(now)).unwrap_or(Duration::ZERO)
    }
}
