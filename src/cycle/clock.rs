use std::{future::Future, time::Duration};

use jiff::Timestamp;

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

impl Deadline {
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
